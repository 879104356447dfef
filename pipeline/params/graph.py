"""What dvc.yaml has according to params.yaml, and DVC's templates cannot say, as they know no conditions.

Of `train_gan`, for a GAN, and `screen_set`, for a set of images, one is there: a stage with an empty matrix is no
stage, and its line says for which replicates it is there. `train_gan` depends on `gan.init_from` where that names a
folder: to DVC an empty dep is an error. `configure` writes these lines.
"""

import re
from pathlib import Path

from pipeline.params.schema import Params
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError

ALL, NONE = "${ablation.replicates}", "[]"
START = "      - ${gan.init_from}\n"


def fit_graph(file: Path, params: Params) -> None:
    """Writes dvc.yaml with the stages and deps that `params` need, if it has others.

    Raises:
        UserError: a stage's line is not there.
    """
    text = file.read_text(encoding="utf-8")
    if (fitting := _fitted(file, text, params)) != text:
        write_bytes(file, fitting.encode())


def check_graph(file: Path, params: Params) -> None:
    """Refuses a dvc.yaml with the stages or deps of other params.

    Raises:
        UserError: says what its lines must be.
    """
    text = file.read_text(encoding="utf-8")
    if (stages := _with_stages(file, text, params)) != text:
        lines = " and ".join(f"that of {stage} {value}" for stage, value in _matrices(params).items())
        raise UserError(
            f"{file}: its stages do not fit synthesize.source {params.synthesize.source}: compose both files by "
            f"`synthmix configure`, or set under `matrix:` the replicate: {lines}"
        )
    if _with_start(file, stages, params) != text:
        change = "lacks" if params.gan.init_from else "has, and must not have,"
        raise UserError(
            f"{file}: train_gan {change} the dep `{START.strip()}`, as gan.init_from is {params.gan.init_from!r}: "
            "compose both files by `synthmix configure`, or edit its `deps:`"
        )


def _fitted(file: Path, text: str, params: Params) -> str:
    return _with_start(file, _with_stages(file, text, params), params)


def _with_stages(file: Path, text: str, params: Params) -> str:
    for stage, value in _matrices(params).items():
        line = rf"^(  {stage}:\n    matrix:\n      replicate:) .*$"
        text, count = re.subn(line, rf"\1 {value}", text, flags=re.MULTILINE)
        if not count:
            raise UserError(f"{file}: stage {stage} has no line `replicate:` under `matrix:`; git restore {file}")
    return text


def _with_start(file: Path, text: str, params: Params) -> str:
    before, found, after = text.partition("\n  train_gan:\n")
    head, deps, tail = after.partition("    deps:\n")
    if not found or not deps:
        raise UserError(f"{file}: stage train_gan has no line `deps:`; git restore {file}")
    return f"{before}{found}{head}{deps}{START if params.gan.init_from else ''}{tail.removeprefix(START)}"


def _matrices(params: Params) -> dict[str, str]:
    """What the line of each stage is."""
    is_gan = params.synthesize.source == "gan"
    return {"train_gan": ALL if is_gan else NONE, "screen_set": NONE if is_gan else ALL}
