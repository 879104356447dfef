"""Compare every declared cell with the baseline and report the result: tables, figure, page."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("evaluate")  # imports this module, and so torch, when the machine is checked

import typer

from pipeline.assessment.record import read_assess_record
from pipeline.evaluation.ablation import evaluate
from pipeline.evaluation.report.evidence import EvidencePaths, read_evidence
from pipeline.evaluation.report.write import to_text, write_report
from pipeline.params.load import load_params
from pipeline.runtime.entry import PathFlag
from pipeline.tracking import tracked_run


def main(
    results: PathFlag,
    models: PathFlag,
    scores: PathFlag,
    dataset: PathFlag,
    gan_samples: PathFlag,
    gan_history: PathFlag,
    out: PathFlag,
) -> None:
    """Writes ablation.{json,csv,svg} and report.{md,html} to OUT from what is in RESULTS; prints table and verdict."""
    params = load_params("profile", "dataset", "gan", "synthesize", "classifier", "assess", "curation", "ablation")
    result = evaluate(params, results / "cells", read_assess_record(results / "assess.json"))
    evidence = read_evidence(params, EvidencePaths(dataset, gan_samples, gan_history, scores), result)
    with tracked_run("evaluate", {"models": models, "scores": scores, "dataset": dataset, "out": out}):
        write_report(out, result, evidence)
    typer.echo(to_text(result))
