"""dvc.lock, the record of runs: what each stage ran with, and the md5 of what it wrote."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class LockedStage:
    """One stage, or one cell of it, as DVC ran it last.

    Attributes:
        paths: of its command, by flag.
        params: values of params.yaml by dotted key, a block being a value too.
    """

    paths: Mapping[str, Path]
    params: Mapping[str, Any]

    def ran_with(self, values: Mapping[str, Any]) -> bool:
        """Whether the content of params.yaml would have DVC run the same."""
        return all(_value_at(values, key) == value for key, value in self.params.items())


class Lock:
    """dvc.lock; empty before the first `dvc repro`.

    Attributes:
        stages: by DVC's name, as in `train_classifier@50-0`.
    """

    def __init__(self) -> None:
        """Reads ./dvc.lock.

        Raises:
            UserError: it is not YAML.
        """
        entries: Mapping[str, Any] = read_yaml(Path("dvc.lock")).get("stages") or {}
        self.stages = {name: _locked_stage(entry) for name, entry in entries.items()}
        self._outs = {Path(out["path"]): str(out["md5"]) for entry in entries.values() for out in entry.get("outs", [])}
        self._as_locked: dict[Path, bool] = {}

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


def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file that DVC or its user writes, empty where it is absent.

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


def _locked_stage(entry: Mapping[str, Any]) -> LockedStage:
    flags = [(flag, value) for flag, value in pairwise(shlex.split(entry["cmd"])) if flag.startswith("--")]
    paths = {flag[2:].replace("-", "_"): Path(value) for flag, value in flags}
    return LockedStage(paths, entry.get("params", {}).get("params.yaml", {}))


def _value_at(values: Mapping[str, Any], key: str) -> object:
    """The value under a dotted key; None where there is none."""
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def dvc_md5(path: Path) -> str:
    """What DVC calls a file or folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        names = sorted((file.relative_to(path).as_posix(), dvc_md5(file)) for file in files)
        listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in names])
        return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
