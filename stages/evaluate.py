"""Compare every declared cell with the baseline and tell the result: tables, figure, report."""

import typer

from pipeline.evaluation.ablation import evaluate
from pipeline.evaluation.inputs import check_classes, read_assess
from pipeline.evaluation.report import read_evidence, to_text, write_report
from pipeline.params.load import load_params
from pipeline.runtime.entry import PathFlag, run_stage
from pipeline.tracking import tracked_run


def main(
    cells: PathFlag,
    models: PathFlag,
    assess: PathFlag,
    scores: PathFlag,
    dataset: PathFlag,
    gan_samples: PathFlag,
    gan_history: PathFlag,
    out: PathFlag,
) -> None:
    """Writes ablation.{json,csv,svg} and report.{md,html} to OUT and prints the table and the verdict."""
    params = load_params("profile", "dataset", "gan", "synthesize", "classifier", "assess", "curation", "ablation")
    result = evaluate(params, cells, read_assess(assess))
    evidence = read_evidence(params, dataset, gan_samples, gan_history, scores)
    check_classes(dataset, evidence.dataset, result["per_class"])
    paths = {"models": models, "scores": scores, "dataset": dataset, "out": out}
    with tracked_run("evaluate", paths):
        write_report(out, result, evidence)
    typer.echo(to_text(result))


if __name__ == "__main__":
    run_stage(main)
