"""What the report says of held-out classes, and that it says nothing where none is held out."""

import json
from pathlib import Path

import pytest

from pipeline.evaluation.result import read_result
from pipeline.extend.record import ExtendedCell, cell_name
from pipeline.files import write_json
from pipeline.params.schema import Arm
from pipeline.runtime.errors import UserError
from tests.evaluation_files import evaluate_and_write, write_inputs
from tests.evaluation_inputs import make_params

RECALLS: dict[Arm, float] = {"oversampled": 0.4, "synthetic": 0.6}


def test_the_section_is_there_where_a_class_is_held_out(tmp_path: Path) -> None:
    """Table, figure and numbers in every file; a missing cell is one line; without held-out classes, no trace."""
    gain = {25: 0.004, 50: 0.01, 100: -0.03}.__getitem__
    params = make_params("dataset.held_out=['<x>']", "extend.num_shots=[2]", "extend.arms=[oversampled,synthetic]")
    write_inputs(tmp_path, params, gain)
    with pytest.raises(UserError, match=r"not found; run: dvc repro train_extended@oversampled-2-0"):
        evaluate_and_write(tmp_path, params, tmp_path / "out")
    for arm, recall in RECALLS.items():
        for place, replicate in enumerate(params.ablation.replicates):
            cell = ExtendedCell(
                arm=arm, num_shots=2, replicate=replicate, steps=5, num_images=9, num_new_test=50, num_old_test=450,
                new_recall=recall + 0.02 * place, old_accuracy=0.95, harmonic_mean=0.5, val_harmonic_mean=0.5,
            )  # fmt: skip
            write_json(tmp_path / f"results/cells/{cell_name(arm, 2, replicate)}.json", cell.model_dump())
    evaluate_and_write(tmp_path, params, tmp_path / "out")
    found = read_result(tmp_path / "out/ablation.json").new_classes
    assert found
    assert found.comparisons[0].new_recall_mean == pytest.approx(0.2)
    page, markdown, figure = (
        (tmp_path / "out" / name).read_text() for name in ("report.html", "report.md", "ablation.svg")
    )
    assert "New classes from few images</h2>" in page
    assert "&lt;x&gt;" in page
    assert "<x>" not in page
    assert "| half synthetic | oversampled | 2 | +20.00 |" in markdown
    assert "new-class recall" in figure
    off = params.model_copy(update={"dataset": params.dataset.model_copy(update={"held_out": []})})
    evaluate_and_write(tmp_path, off, tmp_path / "off")
    assert "new_classes" not in json.loads((tmp_path / "off/ablation.json").read_text())
    for name in ("report.html", "report.md", "ablation.svg"):
        assert "ew class" not in (tmp_path / "off" / name).read_text().split("Every value in force")[0]
