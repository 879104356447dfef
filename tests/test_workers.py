"""Warm worker processes, on tasks of no weight, and which stage they are given first."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from pipeline.orchestration.dvc_graph import DvcStage
from pipeline.orchestration.schedule import Schedule
from pipeline.orchestration.times import Times, Took, time_children
from pipeline.orchestration.workers import Task, TaskResult, module_arguments, run_in_processes


def task(name: str, action: str) -> Task:
    """An odd job."""
    return Task(name, f"exec python -m tests.odd_job {action}", {"DVC_STAGE": name}, {}, ())


def results(*actions: str, num_workers: int) -> dict[str, TaskResult]:
    """What becomes of a task for each action, by its name `<number>-<action>`."""
    names = [f"{number}-{action}" for number, action in enumerate(actions)]
    waiting = [task(name, name.split("-")[1]) for name in names]
    ended: dict[str, TaskResult] = {}
    with run_in_processes(num_workers) as pool:
        running = 0
        while waiting or running:
            while waiting and running < pool.size:
                pool.submit(waiting.pop(0))
                running += 1
            ended |= {result.task.name: result for result in pool.wait()}
            running = len(names) - len(waiting) - len(ended)
    return ended


def test_a_worker_runs_many_tasks() -> None:
    """Two workers for five tasks, neither of them this process; each task has its own DVC_STAGE and its own output."""
    outputs = {name: result.output.split() for name, result in results(*["say"] * 5, num_workers=2).items()}
    assert len(outputs) == 5
    assert all(words[1:] == [name] for name, words in outputs.items())
    workers = {words[0] for words in outputs.values()}
    assert len(workers) <= 2
    assert str(os.getpid()) not in workers


def test_every_end_is_reported_and_none_is_the_end_of_the_others() -> None:
    """Exit codes and tracebacks are as `python -m` has them; a worker that is killed is replaced."""
    ended = results("fail", "divide", "die", "say", "die", num_workers=1)
    codes = [ended[name].exit_code for name in ("0-fail", "1-divide", "2-die", "3-say", "4-die")]
    assert codes == [1, 1, -signal.SIGKILL, 0, -signal.SIGKILL]
    assert ended["0-fail"].output.splitlines()[-1] == "no luck"
    assert "ZeroDivisionError" in ended["1-divide"].output
    assert ended["0-fail"].output.split()[0] == ended["1-divide"].output.split()[0]  # warm still
    assert ended["2-die"].output.split()[0] != ended["3-say"].output.split()[0]


def test_a_task_s_time_is_its_own() -> None:
    """Wall and processor time of a worker's second task have nothing of the first; one that was ended has none."""
    took = {name.split("-")[1]: result.took for name, result in results("work", "sleep", "die", num_workers=1).items()}
    assert took["work"].processor >= 0.3
    assert took["work"].wall >= 0.3
    assert took["sleep"].wall >= 0.3
    assert took["sleep"].processor < 0.2
    assert took["die"] == Took()


def test_the_end_of_a_run_says_what_each_kind_of_stage_took() -> None:
    """A line a kind with its sums, one for all of them; nothing where nothing ran."""
    times = Times()
    assert times.describe() == ""
    for stage, wall, processor in (("train_gan@0", 100, 90), ("train_gan@1", 80, 90), ("evaluate", 7, 3)):
        times.add(stage, Took(wall, processor))
    times.add_restored("train_gan@2")
    lines = [line.split("  ") for line in times.describe().splitlines()]
    told = [[word.strip() for word in line if word.strip()] for line in lines]
    assert told[1:4] == [
        ["train_gan", "2", "1", "3.0 min", "3.0 min"],
        ["evaluate", "1", "0", "7 s", "3 s"],
        ["all", "3", "1", "3.1 min", "3.0 min"],
    ]


def test_time_of_children_is_that_of_those_that_ended_within() -> None:
    """A program that DVC starts is counted with its processor time."""
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    with time_children() as took:
        subprocess.run([sys.executable, "-c", busy], check=True)
    assert 0.3 <= took.processor < 5
    with time_children() as none:
        pass
    assert none.processor == 0


def test_a_run_that_is_given_up_leaves_no_worker() -> None:
    """Whatever stops the run, as Ctrl-C does, ends the workers, busy ones and idle ones."""
    with pytest.raises(KeyboardInterrupt), run_in_processes(2) as pool:
        for action in ("say", "sleep"):
            pool.submit(task(action, action))
        pool.wait()
        raise KeyboardInterrupt
    for worker in multiprocessing.active_children():
        worker.join(10)
    assert not multiprocessing.active_children()


def test_a_pool_at_rest_has_no_worker() -> None:
    """What follows may need the memory that they hold; a later task gets a new one."""
    with run_in_processes(1) as pool:
        pool.submit(task("say", "say"))
        first = pool.wait()
        pool.rest()
        assert not multiprocessing.active_children()
        pool.submit(task("say", "say"))
        assert pool.wait()[0].output.split()[0] != first[0].output.split()[0]


def test_only_modules_are_for_workers() -> None:
    """Any other command line is left to DVC."""
    assert module_arguments("exec python -m stages.train --seed 1") == ["stages.train", "--seed", "1"]
    assert module_arguments("torchrun -m stages.train") == module_arguments("") == []


def test_the_stage_that_most_others_wait_for_counts_most() -> None:
    """Those that wait through others are counted too, so that GANs are trained before what only evaluate waits for."""
    upstream = {
        "baseline": {"prepare"}, "gan": {"prepare"}, "synthesize": {"gan"}, "assess": {"synthesize", "baseline"},
        "rival": {"prepare"}, "evaluate": {"assess", "rival"},
    }  # fmt: skip
    plan = [DvcStage(name, "", frozenset(needs), "", is_in_root=True, _stage=None) for name, needs in upstream.items()]
    schedule = Schedule(plan)
    assert {stage.name: schedule.num_waiting(stage) for stage in plan} == {
        "gan": 3, "baseline": 2, "synthesize": 2, "assess": 1, "rival": 1, "evaluate": 0,
    }  # fmt: skip
