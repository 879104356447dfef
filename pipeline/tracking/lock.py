"""dvc.lock, the record of runs: what each stage ran with, and the md5 of what it wrote."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from pipeline.params.load import read_yaml
from pipeline.runtime.errors import UserError
from pipeline.tracking.execution import flatten


class Lock:
    """dvc.lock, beside params.yaml; empty before the first `dvc repro`. Stages have DVC's names, as in `assess`."""

    def __init__(self, upstream: Mapping[Path, str]) -> None:
        """Reads ./dvc.lock and ./params.yaml.

        Args:
            upstream: md5 of outs that are newer than dvc.lock, by path.

        Raises:
            UserError: one is not YAML.
        """
        self._stages: Mapping[str, Any] = _read_lock(Path("dvc.lock")).get("stages") or {}
        self._values = dict(flatten(read_yaml(Path("params.yaml"))))
        outs = [out for entry in self._stages.values() for out in entry.get("outs", [])]
        self._outs = {Path(out["path"]): str(out["md5"]) for out in outs} | dict(upstream)
        self._as_locked: dict[Path, bool] = {}

    def changed(self, stage: str) -> dict[str, str]:
        """Values, by dotted key, with which DVC ran the stage, and which params.yaml has not any more."""
        params = self._stages.get(stage, {}).get("params", {}).get("params.yaml", {})
        return {key: value for key, value in flatten(params) if self._values.get(key) != value}

    def paths(self, stage: str) -> dict[str, Path] | None:
        """The paths of the stage's command, by flag; None where DVC did not run it with the values of params.yaml."""
        if stage not in self._stages or self.changed(stage):
            return None
        words = shlex.split(self._stages[stage]["cmd"])
        return {flag[2:].replace("-", "_"): Path(value) for flag, value in pairwise(words) if flag.startswith("--")}

    def inputs(self, paths: Mapping[str, Path]) -> dict[str, str]:
        """md5 by path of the data folders that a stage reads, wholly or in part: outs of other stages."""
        read = [path for flag, path in paths.items() if flag != "out"]
        folders = {folder for path in read for folder in (path, *path.parents)}
        return {str(path): md5 for path, md5 in self._outs.items() if path in folders and path.parts[0] == "data"}

    def holds(self, path: Path) -> bool:
        """Whether `path` is there and the file or folder to which it belongs is, by md5, the one that DVC saw."""
        out = next((folder for folder in (path, *path.parents) if folder in self._outs), None)
        if out is None or not path.exists():
            return False
        if out not in self._as_locked:
            self._as_locked[out] = dvc_md5(out) == self._outs[out]
        return self._as_locked[out]


def _read_lock(path: Path) -> dict[str, Any]:
    """The content of dvc.lock, empty where it is absent.

    Raises:
        UserError: it is not YAML.
    """
    if not path.exists():
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a lock of 200 cells takes PyYAML's own seconds
    try:
        return yaml.load(path.read_bytes(), Loader=loader) or {}  # noqa: S506 - both loaders are the safe ones
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML ({reason}); repair it (synthmix repair) or restore it") from None


def dvc_md5(path: Path) -> str:
    """What DVC calls a file or folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        names = sorted((file.relative_to(path).as_posix(), dvc_md5(file)) for file in files)
        listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in names])
        return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
