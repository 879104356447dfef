"""What a run is called and tagged with: execution, cell, commit; which store holds it. Imports no mlflow."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pipeline.params.schema import Params

PARENT_STAGE = "evaluate"  # its run is the parent itself
CELLS = {  # what the matrices in dvc.yaml vary, in their order
    "train_gan": ("replicate",),
    "screen_set": ("replicate",),
    "synthesize": ("replicate",),
    "assess": ("replicate",),
    "train_baseline": ("real_percent", "replicate"),
    "train_rival": ("rival", "replicate"),
    "train_control": ("control", "synthetic_percent", "replicate"),
    "train_classifier": ("synthetic_percent", "replicate"),
    "extend_classes": ("num_shots", "replicate"),
    "train_extended": ("arm", "num_shots", "replicate"),
}
Cell = Mapping[str, int | str]  # what identifies a run among those of its stage
CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


@dataclass(frozen=True)
class Execution:
    """One walk through the graph with one set of params: an MLflow parent run.

    Attributes:
        name: DVC's experiment name, or profile-dataset-digest.
        dataset: `dataset.title`.
        digest: first 8 hex digits of the sha256 of params.yaml and dvc.yaml.
        params: every value of params.yaml, flattened to dotted names.
        sweep: name of the sweep that it is part of, empty for none.
    """

    name: str
    digest: str
    dataset: str
    profile: str
    params: Mapping[str, str]
    sweep: str


def current_execution(params: Mapping[str, Any]) -> Execution:
    """The execution that the working folder's files and DVC's environment describe.

    Args:
        params: the whole of params.yaml, as `Params.model_dump()` gives it.
    """
    dataset, profile = params["dataset"]["title"], params["profile"]
    files = [path.read_bytes() if path.exists() else b"" for path in (Path("params.yaml"), Path("dvc.yaml"))]
    digest = hashlib.sha256(b"\0".join(files)).hexdigest()[:8]
    name = os.environ.get("DVC_EXP_NAME") or f"{profile}-{dataset}-{digest}"
    return Execution(name, digest, dataset, profile, dict(flatten(params)), sweep_name(params))


def sweep_name(params: Mapping[str, Any]) -> str:
    """What the executions of all settings of a sweep have in common: its name, a digest of the other values."""
    sweep = params["sweep"]
    varied = {key for changes in sweep["settings"].values() for key in changes}
    others = sorted(pair for pair in flatten(dict(params) | {"sweep": {}}) if pair[0] not in varied)
    return f"{sweep['name']}-{hashlib.sha256(json.dumps(others).encode()).hexdigest()[:8]}" if sweep["name"] else ""


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as text, by dotted key."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)


def repository() -> Path:
    """The real repository's root: DVC runs queued experiments in temporary copies of it."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file in the repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository() / 'mlflow.db'}"


def without_credentials(text: str) -> str:
    """`text` on one line, without the user, password or token of any address in it."""
    for value in filter(None, map(os.environ.get, CREDENTIALS)):
        text = text.replace(value, "***")
    text = re.sub(r"(?<=//)\S*@", "", text)
    return " ".join(re.sub(r"\?[^\s'\")]*", "", text).split())


def behind(reason: object) -> str:
    """The one line about why the tracking store lacks something, and how to catch up."""
    why = without_credentials(f"{reason}")[:200]
    return (
        f"tracking: {without_credentials(store_uri())} is behind ({why}); the result is safe; "
        "catch up with: synthmix track sync"
    )


def is_server() -> bool:
    """Whether the store is a server that keeps artifacts by itself."""
    return store_uri().startswith(("http://", "https://"))


def cell_key(stage: str, cell: Cell) -> str:
    """The cell's part of file and stage names, as in `50-0`; empty for a stage without cells."""
    return "-".join(str(cell[name]) for name in CELLS.get(stage, ()))


def declared_keys(stage: str, params: Params) -> Iterator[str]:
    """The keys of all cells of a stage, in DVC's order."""
    lists = {"control": "controls", "rival": "rivals", "replicate": "replicates", "arm": "arms"}
    extended = ("arm", "num_shots")
    blocks = (params.extend if name in extended else params.ablation for name in CELLS[stage])
    values = (getattr(block, lists.get(name, name)) for block, name in zip(blocks, CELLS[stage], strict=True))
    return ("-".join(map(str, cell)) for cell in product(*values))


def dvc_name(stage: str, key: str) -> str:
    """The stage's name in DVC, as in `train_classifier@50-0`."""
    return f"{stage}@{key}" if key else stage


def describe_place(stage: str, cell: Cell, params: Params) -> str:
    """The stage's name in DVC, and which of the cells that are declared it is, in the order of a serial run."""
    name = dvc_name(stage, cell_key(stage, cell))
    trainings = (other for other, matrix in CELLS.items() if len(matrix) > 1)
    cells = [dvc_name(other, key) for other in trainings for key in declared_keys(other, params)]
    return f"{name}, cell {cells.index(name) + 1} of {len(cells)}" if name in cells else name


def run_tags(execution: Execution, stage: str, cell: Cell) -> dict[str, str]:
    """Tags that hold wherever the run is published: now, or later by `sync`."""
    return execution_tags(execution) | {"stage": stage, "dvc.stage": dvc_name(stage, cell_key(stage, cell))}


def execution_tags(execution: Execution) -> dict[str, str]:
    """Tags of the parent and of all its children."""
    tags = {"pipeline.execution": execution.name, "pipeline.digest": execution.digest}
    tags |= {"profile": execution.profile, "dataset": execution.dataset}
    if execution.sweep:
        tags |= {"pipeline.sweep": execution.sweep, "pipeline.setting": execution.params["sweep.setting"]}
    experiment = os.environ.get("DVC_EXP_NAME")
    return tags | ({"dvc.exp": experiment} if experiment else {})


def git_tags() -> dict[str, str]:
    """Commit, and whether tracked files differ from it; empty outside git."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    dirty = bool(_git("status", "--porcelain", "--untracked-files=no"))
    return {"git.commit": commit, "git.dirty": str(dirty).lower(), "mlflow.source.git.commit": commit}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
