"""Train one classifier of old and new classes, of one arm."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("train_extended")  # imports this module, and so torch, when the machine is checked

from typing import Annotated

import typer

from pipeline.device import pick_device
from pipeline.extend.arms import run_arm
from pipeline.extend.cell import Folders, read_data
from pipeline.extend.record import cell_name
from pipeline.files import write_json
from pipeline.params.load import load_params
from pipeline.params.schema import Arm
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.tracking import tracked_run


def main(
    prepared: PathFlag,
    test: PathFlag,
    novel_test: PathFlag,
    synthetic: PathFlag,
    arm: Annotated[Arm, typer.Option(show_default=False)],
    num_shots: IntFlag,
    replicate: IntFlag,
    results: PathFlag,
) -> None:
    """Writes the record of the classifier below RESULTS."""
    params = load_params("classifier", "ablation.threads")
    device = pick_device(params.ablation.threads)
    data = read_data(Folders(prepared, test, novel_test, synthetic), num_shots)
    paths = {"prepared": prepared, "test": test, "novel_test": novel_test, "synthetic": synthetic, "results": results}
    cell = {"arm": arm, "num_shots": num_shots, "replicate": replicate}
    with tracked_run("train_extended", paths, cell=cell):
        record = run_arm(arm, data, params.classifier, num_shots=num_shots, seed=replicate, device=device)
        write_json(results / "cells" / f"{cell_name(arm, num_shots, replicate)}.json", record.model_dump())
