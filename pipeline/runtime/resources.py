"""Whether there is room for what is about to be allocated or written, asked before it is."""

import resource
import sys
from pathlib import Path

import psutil

from pipeline.runtime.errors import ExhaustedError, free_bytes

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
CONTAINERS = {  # folder of each version of control groups, which psutil does not know: limit, used, cache of that
    Path("/sys/fs/cgroup"): ("memory.max", "memory.current", "inactive_file"),
    Path("/sys/fs/cgroup/memory"): ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def need_memory(size: int, what: str, remedy: str) -> None:
    """Refuses what cannot fit.

    Args:
        size: bytes that `what` takes at the very least.
        what: names the values or files that decide it.
        remedy: what to do.

    Raises:
        ExhaustedError: this process cannot have so much.
    """
    _compare(size, available_memory(), "memory", what, remedy)


def need_address_space(size: int, what: str, remedy: str) -> None:
    """The same of what `ulimit -v` counts: libraries map more than they use."""
    _compare(size, address_space(), "address space (`ulimit -v`)", what, remedy)


def need_disk(size: int, folder: Path, what: str, remedy: str) -> None:
    """The same for bytes that will be written below `folder`, which need not exist yet."""
    _compare(size, free_bytes(folder), "disk space", f"{folder}: {what}", f"free space or {remedy}")


def size_below(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _compare(need: int, have: int, kind: str, what: str, remedy: str) -> None:
    if need > have:
        raise ExhaustedError(f"{what}: needs {in_words(need)} of {kind} at least, {in_words(have)} are free: {remedy}")


def in_words(size: int) -> str:
    """Bytes with a decimal unit: `3.2 TB`."""
    power = min((len(str(size)) - 1) // 3, len(UNITS) - 1)
    return f"{size / 1000**power:,.4g} {UNITS[power]}"


def available_memory() -> int:
    """Bytes that this process may have: what the machine has to give, or a limit of the process or container."""
    machine = psutil.virtual_memory().available + psutil.swap_memory().free
    return min(machine, address_space(), *(_left_in_container(folder, *names) for folder, names in CONTAINERS.items()))


def _left_in_container(folder: Path, limit: str, used: str, cache: str) -> int:
    """What a control group has left; without end where it has no limit ("max"), or there is none."""
    text = _read(folder / limit)
    if not text.isdigit():
        return sys.maxsize
    fields = dict(line.split(maxsplit=1) for line in _read(folder / "memory.stat").splitlines())
    return max(0, int(text) - int(_read(folder / used) or 0) + int(fields.get(cache, 0)))


def _read(file: Path) -> str:
    """What it says; nothing where a sandbox's kernel has no such file."""
    return file.read_text(encoding="ascii").strip() if file.is_file() else ""


def address_space() -> int:
    """Bytes that this process may still map; without end where there is no limit."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else max(0, limit - psutil.Process().memory_info().vms)
