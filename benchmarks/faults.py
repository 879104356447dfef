"""Faults at random moments in a tiny project, and whether the same command again mends them.

`python -m benchmarks.faults` plants each kind of fault ROUNDS times (environment; 3), at moments that SEED (0) decides,
two at a time, and prints a line for each and a table at the end. `MINUTES=2` begins none after that time, `ONLY=sync`
plants the kinds with that in their names. Ends with exit code 1 if one was not mended. It is a stress test of
tests/recovery, not a measurement.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from tests.recovery import company, disks, gans, kills, servers
from tests.recovery.project import DEMO, STAGES, Outcome, Truth, make_truth

LANES = 2
Plant = Callable[[Truth, Path, random.Random], Outcome]


class Fault(NamedTuple):
    """A kind of fault: its row in the table, and what plants one in a scratch folder at a random moment."""

    name: str
    plant: Plant


@dataclass
class Row:
    """What the table says of a kind."""

    times: int = 0
    recovered: int = 0
    compared: int = 0
    equal: int = 0
    told: list[str] = field(default_factory=list)

    def count(self, outcome: Outcome) -> None:
        """Adds one fault."""
        self.times += 1
        self.recovered += not outcome.told
        self.compared += outcome.equal is not None
        self.equal += bool(outcome.equal)
        self.told += [outcome.told] if outcome.told else []

    @property
    def is_good(self) -> bool:
        """Whether every one was mended."""
        return self.times == self.recovered and self.compared == self.equal


def list_kinds(server: tuple[str, int], store: Path) -> Iterator[Fault]:
    """Every kind once."""
    yield from _kills()
    yield from _two_at_once()
    yield from _used_up()
    for fault in servers.FAULTS:
        plant = partial(servers.tracking_down, fault=fault, server=server, store=store)
        yield Fault(f"MLflow server: {fault}", plant)
    for name, test in gans.TESTS.items():
        yield Fault(f"GAN: {name}", partial(gans.faulty_gan, test=test))


def _kills() -> Iterator[Fault]:
    for number in kills.SIGNALS:
        for stage in STAGES:
            yield Fault(f"{number.name} to {short(stage)}", partial(kills.kill_stage, stage=stage, number=number))
        for group, whom in enumerate(("alone", "and its group")):
            plant = partial(kills.kill_dvc, number=number, group=bool(group))
            yield Fault(f"{number.name} to dvc {whom}", plant)
        yield Fault(f"{number.name} to a fan-out", partial(kills.kill_fanout, number=number, group=False))
        yield Fault(f"{number.name} to a worker of a fan-out", partial(kills.kill_worker, number=number))
        plant = partial(kills.kill_worker, number=number, names=kills.GANS)
        yield Fault(f"{number.name} to a worker that trains a GAN", plant)
        yield Fault(f"{number.name} to configure", partial(kills.kill_configure, number=number))
        yield Fault(f"{number.name} to tracking sync", partial(kills.kill_sync, number=number))
    yield Fault("SIGKILL to dvc while it writes dvc.lock", kills.kill_dvc_at_lock)
    yield Fault("SIGKILL to a fan-out whose workers are loading", kills.kill_fanout_at_start)
    yield Fault("SIGKILL to a cell's tracking writer", kills.kill_writer)


def _two_at_once() -> Iterator[Fault]:
    for name, commands in company.PAIRS.items():
        yield Fault(name, partial(company.two_of_dvc, commands=commands))
    yield Fault("make demo beside dvc repro", partial(company.refused_beside_repro, command=DEMO))
    yield Fault("configure beside dvc repro", partial(company.refused_beside_repro, command=company.CONFIGURE))
    for stage in STAGES[1:]:
        yield Fault(f"{short(stage)} twice at once, without DVC", partial(company.twice_without_dvc, stage=stage))
    yield Fault("four processes create one MLflow store", company.four_and_one_store)


def _used_up() -> Iterator[Fault]:
    for stage in STAGES if disks.may_mount() else ():
        yield Fault(f"full disk under {short(stage)}", partial(disks.full_disk, stage=stage))
        yield Fault(f"read-only disk under {short(stage)}", partial(disks.read_only_disk, stage=stage))
    for stage in STAGES:
        yield Fault(f"slow fsync under {short(stage)}", partial(disks.slow_disk, stage=stage))
    for stage in disks.HUNGRY:
        yield Fault(f"little memory for {short(stage)}", partial(disks.little_memory, stage=stage))


def short(stage: str) -> str:
    """Without the cell."""
    return stage.split("@")[0]


def plant(fault: Fault, truth: Truth, folder: Path, seed: str) -> Outcome:
    """One fault; what goes wrong in the harness itself counts as not recovered."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            return fault.plant(truth, Path(scratch) / "project", random.Random(seed))
        except Exception as error:  # noqa: BLE001 - one broken fault must not hide the others
            return Outcome(f"{type(error).__name__}: {error}", equal=None)


def run_all(kinds: list[Fault], rounds: int, minutes: float, seed: int, truth: Truth, folder: Path) -> dict[str, Row]:
    """Plants all, in an order of chance, and prints a line for each."""
    rows = {fault.name: Row() for fault in kinds}
    todo = [(fault, f"{seed}-{number}-{fault.name}") for number in range(rounds) for fault in kinds]
    random.Random(seed).shuffle(todo)
    begin, done, lock = time.monotonic(), 0, Lock()

    def work(item: tuple[Fault, str]) -> None:
        nonlocal done
        if time.monotonic() - begin > 60 * minutes:
            return
        fault, moment = item
        started = time.monotonic()
        outcome = plant(fault, truth, folder, moment)
        with lock:
            now, done = time.monotonic(), done + 1
            rows[fault.name].count(outcome)
            rate = done / (now - begin)
            state = "NOT RECOVERED" if outcome.told else "DIFFERS" if outcome.equal is False else "recovered"
            left = min((len(todo) - done) / rate, max(0.0, 60 * minutes - (now - begin)))
            print(
                f"[{done}/{len(todo)}, {60 * rate:.1f} a minute, {left / 60:.0f} min left] "
                f"{fault.name}: {state} ({now - started:.0f} s)",
                flush=True,
            )

    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(work, todo))
    return rows


def print_table(rows: dict[str, Row]) -> None:
    """Markdown; a dash where there are no outs to compare."""
    print("\n| fault | times | recovered | byte-equal |\n|---|---|---|---|")
    for name, row in rows.items():
        if row.times:
            print(f"| {name} | {row.times} | {row.recovered} | {row.equal if row.compared else '-'} |")
    times, recovered = (sum(getattr(row, key) for row in rows.values()) for key in ("times", "recovered"))
    print(
        f"| all | {times} | {recovered} | "
        f"{sum(row.equal for row in rows.values())} of {sum(row.compared for row in rows.values())} |"
    )
    for name, row in rows.items():
        for told in row.told:
            print(f"\n{name}: {told}")


def main() -> None:
    """Plants, prints, and says by the exit code whether all was mended."""
    rounds, seed = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("SEED", "0"))
    minutes = float(os.environ.get("MINUTES", "inf"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server").mkdir()
        print("making the truth: one dvc repro of the tiny project", flush=True)
        make_truth(folder / "truth")
        truth = Truth(folder / "truth")
        with servers.mlflow_server(folder / "server") as server:
            only = os.environ.get("ONLY", "")
            kinds = [kind for kind in list_kinds(server, folder / "server/mlflow.db") if only in kind.name]
            rows = run_all(kinds, rounds, minutes, seed, truth, folder)
    print_table(rows)
    sys.exit(not all(row.is_good for row in rows.values()))


if __name__ == "__main__":
    main()
