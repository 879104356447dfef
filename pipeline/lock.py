"""Mends a dvc.lock that a kill cut off: `python -m pipeline.lock`.

DVC rewrites dvc.lock in place after every stage, so a kill at that moment leaves it torn and `dvc repro` refuses
to start. Dropping the torn entries loses no work: DVC finds their results in its run cache.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime import run_stage

LOCK_FILE = Path("dvc.lock")
MD5_DIGITS = 32


def main() -> None:
    """Drops what is torn from dvc.lock and says so."""
    dropped = mend(LOCK_FILE)
    print(f"{LOCK_FILE}: " + (f"dropped torn {', '.join(dropped)}" if dropped else "nothing torn"))  # noqa: T201


def mend(file: Path) -> list[str]:
    """Drops entries from the end of `file` until what is left is whole; returns the names of those dropped."""
    if not file.exists():
        return []
    head, *entries = re.split(r"(?m)^(?=  \S)", file.read_text(encoding="utf-8", errors="replace"))
    kept = list(entries)
    while kept and not _is_whole(head + "".join(kept)):
        kept.pop()
    dropped = [entry.split(":\n")[0].strip() for entry in entries[len(kept) :]]
    if not kept:
        file.unlink()  # torn in the first lines: DVC starts a new one
    elif dropped:
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_text(head + "".join(kept), encoding="utf-8")
        temporary.replace(file)
    return dropped if kept else ["the whole file"]


def _is_whole(text: str) -> bool:
    """Whether DVC can load `text`: every stage has a command, every dep and out a path and a hash."""
    try:
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]  # noqa: S506 - safe
    except (yaml.YAMLError, KeyError, TypeError):
        return False
    return isinstance(stages, dict) and all(_is_whole_entry(entry) for entry in stages.values())


def _is_whole_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("cmd"), str):
        return False
    files = [file for kind in ("deps", "outs") for file in entry.get(kind) or [None]]
    return all(
        isinstance(file, dict) and isinstance(file.get("path"), str) and len(str(file.get("md5"))) >= MD5_DIGITS
        for file in files
    )


if __name__ == "__main__":
    run_stage(main)
