"""Compare every declared cell with the baseline and report the result: tables, figure, page."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("evaluate")  # imports this module, and so torch, when the machine is checked

import typer

from pipeline.evaluation.ablation import compare_cells
from pipeline.evaluation.grid import read_grid
from pipeline.evaluation.new_classes import read_new_classes
from pipeline.evaluation.predictions import read_predictions
from pipeline.evaluation.replicates import read_made
from pipeline.evaluation.report.evidence import EvidencePaths, read_evidence
from pipeline.evaluation.report.write import to_text, write_report
from pipeline.params.load import load_params
from pipeline.runtime.entry import PathFlag
from pipeline.shards.reader import read_column
from pipeline.tracking import tracked_run


def main(results: PathFlag, collected: PathFlag, prepared: PathFlag, out: PathFlag) -> None:
    """Writes ablation.{json,csv,svg} and report.{md,html} to OUT from what is in RESULTS; prints table and verdict."""
    params = load_params(
        "profile", "dataset", "gan", "synthesize", "classifier", "assess", "curation", "ablation", "rivals", "extend"
    )
    grid = read_grid(params, results / "cells")
    made = read_made(params.ablation.replicates, params.synthesize.source, collected, results / "assess")
    predictions = read_predictions(collected, read_column(prepared / "test", "label"))
    new_classes = read_new_classes(params, results / "cells")
    result = compare_cells(params, grid, made, predictions).model_copy(update={"new_classes": new_classes})
    evidence = read_evidence(params, EvidencePaths(results, prepared, collected), result, grid, predictions)
    with tracked_run("evaluate", {"collected": collected, "prepared": prepared, "out": out}):
        write_report(out, result, evidence)
    typer.echo(f"{to_text(result)}\n\nThe report: {out / 'report.html'}")
