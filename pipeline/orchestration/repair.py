"""Repairs what a kill of DVC can leave behind: `synthmix repair`.

DVC rewrites dvc.lock in place after every stage, so a kill at that moment leaves it truncated and `dvc repro` refuses
to start. Dropping the truncated entries loses no work: DVC finds their results in its run cache. The same goes for
.dvc/tmp/rwlock, which says who reads and writes what.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.dvc import lock_owner, refuse_concurrent_dvc
from pipeline.runtime.locks import lock

LOCK_FILE = Path("dvc.lock")
CLAIMS = Path(".dvc/tmp/rwlock")
MD5_DIGITS = 32


def repair_all() -> list[str]:
    """Repairs dvc.lock and DVC's claims in this folder; returns a line for each.

    Raises:
        UserError: a dvc is at work here.
    """
    refuse_concurrent_dvc(str(LOCK_FILE))
    dropped = repair_lock(LOCK_FILE)
    lines = [f"{LOCK_FILE}: dropped truncated {', '.join(dropped)}"] if dropped else []
    return [*lines, f"{CLAIMS}: removed, its dvc is dead"] if remove_claims() else lines


def remove_claims() -> bool:
    """Removes what dead processes claim to read and write; whether there was such a thing.

    DVC itself drops the claims of ids that are free, but not those of one that another process has by now, and it
    stops at a file that a kill cut off.
    """
    if not CLAIMS.is_file() or _claims_nothing(CLAIMS.read_text(encoding="utf-8", errors="replace")):
        return False
    with (CLAIMS.with_name("rwlock.lock")).open("a") as guard:  # DVC's own, for the moment in which it edits the file
        lock(guard)
        if lock_owner():
            return False
        CLAIMS.unlink(missing_ok=True)
    return True


def _claims_nothing(text: str) -> bool:
    try:
        return not any(json.loads(text).values())
    except (ValueError, AttributeError):
        return False


def repair_lock(file: Path) -> list[str]:
    """Drops entries from the end of `file` until what is left is complete; returns the names of those dropped."""
    if not file.exists():
        return []
    head, *entries = re.split(r"(?m)^(?=  \S)", file.read_text(encoding="utf-8", errors="replace"))
    kept = list(entries)
    while kept and not is_complete(head + "".join(kept)):
        kept.pop()
    dropped = [entry.split(":\n")[0].strip() for entry in entries[len(kept) :]]
    if not kept:
        file.unlink()  # truncated in the first lines: DVC starts a new one
    elif dropped:
        write_bytes(file, (head + "".join(kept)).encode())
    return dropped if kept else ["the whole file"]


def is_complete(text: str) -> bool:
    """Whether DVC can load `text`: every stage has a command, every dep and out a path and a hash."""
    try:
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]  # noqa: S506 - safe
    except (yaml.YAMLError, KeyError, TypeError):
        return False
    return isinstance(stages, dict) and all(_is_complete_entry(entry) for entry in stages.values())


def _is_complete_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("cmd"), str):
        return False
    files = [file for kind in ("deps", "outs") for file in entry.get(kind) or [None]]
    return all(
        isinstance(file, dict) and isinstance(file.get("path"), str) and len(str(file.get("md5"))) >= MD5_DIGITS
        for file in files
    )
