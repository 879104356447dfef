"""The two stages of dvc.yaml of which one is there: `train_gan` for a GAN, `screen_set` for a set of images.

DVC's templates know no conditions, but a stage with an empty matrix is no stage: its line in dvc.yaml says for which
replicates it is there, and `configure` sets it.
"""

import re
from pathlib import Path

from pipeline.params.schema import Source
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError

ALL, NONE = "${ablation.replicates}", "[]"


def fit_graph(file: Path, source: Source) -> None:
    """Writes dvc.yaml with the stages that images of `source` need, if it has others.

    Raises:
        UserError: a stage's line is not there.
    """
    text = file.read_text(encoding="utf-8")
    if (fitting := _fitted(file, text, source)) != text:
        write_bytes(file, fitting.encode())


def check_graph(file: Path, source: Source) -> None:
    """Refuses a dvc.yaml with the stages of another source.

    Raises:
        UserError: says what its lines must be.
    """
    text = file.read_text(encoding="utf-8")
    if _fitted(file, text, source) != text:
        lines = " and ".join(f"that of {stage} {value}" for stage, value in _matrices(source).items())
        raise UserError(
            f"{file}: its stages do not fit synthesize.source {source}: compose both files by `synthmix configure`, or "
            f"set under `matrix:` the replicate: {lines}"
        )


def _fitted(file: Path, text: str, source: Source) -> str:
    for stage, value in _matrices(source).items():
        line = rf"^(  {stage}:\n    matrix:\n      replicate:) .*$"
        text, count = re.subn(line, rf"\1 {value}", text, flags=re.MULTILINE)
        if not count:
            raise UserError(f"{file}: stage {stage} has no line `replicate:` under `matrix:`; git restore {file}")
    return text


def _matrices(source: Source) -> dict[str, str]:
    """What the line of each stage is."""
    return {"train_gan": ALL if source == "gan" else NONE, "screen_set": NONE if source == "gan" else ALL}
