"""Collect into one folder what evaluate needs of the outs of many stages: logits, descriptions, pictures."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("collect")  # imports this module when the machine is checked

from pipeline.collection import Places, collect
from pipeline.params.load import load_params
from pipeline.runtime.entry import PathFlag


def main(results: PathFlag, models: PathFlag, scores: PathFlag, out: PathFlag) -> None:
    """Copies files of MODELS and SCORES that the records in RESULTS describe to OUT."""
    params = load_params("synthesize.source", "ablation.controls", "ablation.replicates", "ablation.synthetic_percent")
    collect(params, Places(results, models, scores), out)
