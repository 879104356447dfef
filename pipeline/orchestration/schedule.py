"""Which stages of a run are done, at work and still to come, and what of that stands in dvc.lock."""

import json
import os
import signal
from dataclasses import dataclass, field

from pipeline.orchestration.dvc_graph import DvcStage, write_lock_entries
from pipeline.orchestration.times import Times
from pipeline.runtime.progress import say
from pipeline.runtime.signals import hold_signals
from pipeline.tracking import UPSTREAM


@dataclass
class Schedule:
    """Which stages are done and which may run now.

    Attributes:
        plan: all stages, in the order in which the serial run takes them.
        stale: cells whose turn has come, and for which there is no room yet.
        running: those at work.
        settled: names of the stages that are up to date, and of those that failed.
        failed: the latter, in the order in which they failed.
        changed: those of the former that ran or were restored.
        num_written: how many stages of the plan dvc.lock has taken.
        times: what those that ran took.
    """

    plan: list[DvcStage]
    stale: dict[str, DvcStage] = field(default_factory=dict)
    running: dict[str, DvcStage] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    num_written: int = 0
    times: Times = field(default_factory=Times)

    def ready(self) -> list[DvcStage]:
        """Stages that nobody has looked at and whose turn has come; what waits for a failed one never is."""
        seen, up_to_date = self.settled | self.stale.keys() | self.running.keys(), self.settled - set(self.failed)
        return [stage for stage in self.plan if stage.name not in seen and stage.upstream <= up_to_date]

    def num_waiting(self, stage: DvcStage) -> int:
        """How many stages of the plan wait for `stage`, however indirectly: the training of a GAN holds up the most."""
        waiting = {stage.name}
        for other in self.plan:  # in the order of a serial run: what waits comes later
            if other.upstream & waiting:
                waiting.add(other.name)
        return len(waiting) - 1

    def settle(self, stage: DvcStage, *, changed: bool) -> None:
        """Counts `stage` as up to date."""
        self.settled.add(stage.name)
        if changed:
            self.changed.add(stage.name)

    def fail(self, stage: DvcStage, reason: str) -> None:
        """Counts `stage` as failed, and says why."""
        say(f"{stage.name}: {reason}")
        self.settled.add(stage.name)
        self.failed.append(stage.name)

    def environment_of(self, stage: DvcStage) -> dict[str, str]:
        """The variables that DVC sets for a stage, and what tracking would look for in dvc.lock."""
        upstream = [outs for other in self.plan if other.name in stage.upstream for outs in other.outs().items()]
        root = os.environ.get("DVC_ROOT", stage.root)
        return {"DVC_STAGE": stage.name, "DVC_ROOT": root, UPSTREAM: json.dumps(dict(upstream))}

    def write_lock(self, *, to_the_end: bool) -> None:
        """Enters in dvc.lock what changed, as far as no stage before it in the plan is still to come.

        So new entries stand in the serial order even after a kill: what it took from dvc.lock is in the run cache.
        """
        end = self.num_written
        while end < len(self.plan) and (to_the_end or self.plan[end].name in self.settled):
            end += 1
        entries = [stage for stage in self.plan[self.num_written : end] if stage.name in self.changed]
        self.num_written = end
        if not entries:
            return
        with hold_signals() as received:
            write_lock_entries(entries)
        if number := received():
            signal.raise_signal(number)
