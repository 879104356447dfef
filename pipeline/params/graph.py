"""What dvc.yaml has according to params.yaml, and DVC's templates cannot say, as they know no conditions.

Of `train_gan`, for a GAN, and `screen_set`, for a set of images, one is there: a stage with an empty matrix is no
stage, and its line says for which replicates it is there. `prepare` depends on one's own images, `train_gan` on
`gan.init_from`, where there are such: to DVC an empty dep is an error. And files of the user's own, which params name,
are deps of the stages that read them. `configure` writes these lines.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.params.schema import LIBRARIES, OWN_SETS, Params
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError

ALL, NONE = "${ablation.replicates}", "[]"
MARK = "  # by synthmix configure"
CELLS = ("train_baseline", "train_rival", "train_control", "train_classifier")
JUDGED = ("train_baseline", "assess")  # stages that build the judge where the cells are trained by the user's program


def fit_graph(file: Path, params: Params) -> None:
    """Writes dvc.yaml with the stages and deps that `params` need, if it has others.

    Raises:
        UserError: a stage's line is not there.
    """
    if (fitting := fitted(file, params)) != file.read_text(encoding="utf-8"):
        write_bytes(file, fitting.encode())


def check_graph(file: Path, params: Params) -> None:
    """Refuses a dvc.yaml with the stages or deps of other params.

    Raises:
        UserError: says what its lines must be.
    """
    text = file.read_text(encoding="utf-8")
    if _with_stages(file, text, params) != text:
        lines = " and ".join(f"that of {stage} {value}" for stage, value in _matrices(params).items())
        raise UserError(
            f"{file}: its stages do not fit synthesize.source {params.synthesize.source}: compose both files by "
            f"`synthmix configure`, or set under `matrix:` the replicate: {lines}"
        )
    for stage, (key, path) in _sources(params).items():
        if _with_dep(file, text, stage, key, wanted=bool(path)) != text:
            change = f"lacks the dep `- ${{{key}}}`, which is {path!r}" if path else f"has a dep too much, ${{{key}}}"
            raise UserError(
                f"{file}: {stage} {change}: compose both files by `synthmix configure`, or edit its `deps:`"
            )
    for stage, dep in _own_files(file.parent, params):
        if not (file.parent / dep).exists():
            raise UserError(f"{dep}: not found; params.yaml names it, for stage {stage}")
        if not _has(_stage(file, text, stage), dep):
            raise UserError(
                f"{file}: stage {stage} lacks the dep {dep}, which params.yaml names: compose both files by `synthmix "
                "configure`, or edit its `deps:`"
            )


def fitted(file: Path, params: Params) -> str:
    """The text of dvc.yaml with the stages and deps that `params` need.

    Raises:
        UserError: a stage's line is not there.
    """
    text = _with_stages(file, file.read_text(encoding="utf-8"), params)
    for stage, (key, path) in _sources(params).items():
        text = _with_dep(file, text, stage, key, wanted=bool(path))
    text = re.sub(rf"^      - .*{re.escape(MARK)}\n", "", text, flags=re.MULTILINE)
    for stage, dep in _own_files(file.parent, params):
        old, code = _stage(file, text, stage), f"      - stages/{stage}.py\n"
        if not _has(old, dep):
            text = text.replace(old, old.replace(code, f"{code}      - {_scalar(dep)}{MARK}\n", 1))
    return text


def _own_files(folder: Path, params: Params) -> Iterator[tuple[str, str]]:
    """Stages, each with a file of the user's that it reads."""
    gan, judge, cells = params.gan, params.gan.judge, params.classifier
    wanted = [
        (("train_gan", "synthesize", "assess"), _module_file(folder, gan.networks)),
        (("train_gan",), _module_file(folder, judge.network)),
        (("train_gan",), judge.weights),
        ((*CELLS, "assess") if not cells.train else JUDGED, _module_file(folder, cells.network)),
        (CELLS if not cells.train else JUDGED[:1], cells.weights),
        (CELLS, _module_file(folder, cells.train)),
    ]
    if params.extend.num_shots:
        wanted.append((("extend_classes",), _module_file(folder, gan.networks)))
        wanted += [(("train_extended",), file) for file in (_module_file(folder, cells.network), cells.weights)]
    deps = [(stage, dep) for stages, dep in wanted if dep for stage in stages]
    yield from dict.fromkeys((stage, dep) for stage, dep in deps if gan.recipe != "none" or stage != "train_gan")


def _module_file(folder: Path, name: str) -> str:
    """The file or package below `folder` that `module:function` means; empty where it is none, or installed."""
    module, colon, _ = name.partition(":")
    path = module.replace(".", "/")
    if not colon or module in LIBRARIES:
        return ""
    return f"{path}.py" if (folder / f"{path}.py").is_file() else path if (folder / path).is_dir() else ""


def _has(stage: str, dep: str) -> bool:
    """Whether the lines of a stage name a dep, in whatever quotes."""
    return re.search(rf"^      - ['\"]?{re.escape(dep)}['\"]?( |$)", stage, re.MULTILINE) is not None


def _scalar(path: str) -> str:
    """`path` as YAML reads it."""
    return path if re.fullmatch(r"[\w./-]+", path) else json.dumps(path, ensure_ascii=False)


def _stage(file: Path, text: str, stage: str) -> str:
    """The lines of a stage."""
    found = re.search(rf"^  {stage}:\n(?:(?:    .*)?\n)*", text, re.MULTILINE)
    if not found:
        raise UserError(f"{file}: has no stage {stage}; git restore {file}")
    return found[0]


def _with_stages(file: Path, text: str, params: Params) -> str:
    for stage, value in _matrices(params).items():
        line = rf"^(  {stage}:\n    matrix:\n      replicate:) .*$"
        text, count = re.subn(line, rf"\1 {value}", text, flags=re.MULTILINE)
        if not count:
            raise UserError(f"{file}: stage {stage} has no line `replicate:` under `matrix:`; git restore {file}")
    return text


def _with_dep(file: Path, text: str, stage: str, key: str, *, wanted: bool) -> str:
    """`text` with the dep that `key` names as the first one of `stage`, or without it."""
    before, found, after = text.partition(f"\n  {stage}:\n")
    head, deps, tail = after.partition("    deps:\n")
    if not found or not deps:
        raise UserError(f"{file}: stage {stage} has no line `deps:`; git restore {file}")
    line = f"      - ${{{key}}}\n"
    return f"{before}{found}{head}{deps}{line if wanted else ''}{tail.removeprefix(line)}"


def _sources(params: Params) -> dict[str, tuple[str, str]]:
    """Of every stage that may read what lies elsewhere: the key that names it, and its value."""
    own = params.dataset.path if params.dataset.name in OWN_SETS else ""
    return {"prepare": ("dataset.path", own), "train_gan": ("gan.init_from", params.gan.init_from)}


def _matrices(params: Params) -> dict[str, str]:
    """What the line of each stage is."""
    is_gan = params.synthesize.source == "gan"
    return {"train_gan": ALL if is_gan else NONE, "screen_set": NONE if is_gan else ALL}
