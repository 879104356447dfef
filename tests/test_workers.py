"""Warm worker processes, on jobs of no weight."""

import multiprocessing
import os
import signal

from pipeline.orchestration.workers import Job, Outcome, arguments, run_in_processes


def outcomes(*actions: str, num_workers: int) -> dict[str, Outcome]:
    """What becomes of a job for each action, by its name `<number>-<action>`."""
    names = [f"{number}-{action}" for number, action in enumerate(actions)]
    jobs = [Job(n, f"exec python -m tests.odd_job {n.split('-')[1]}", {"DVC_STAGE": n}) for n in names]
    return {outcome.job.name: outcome for outcome in run_in_processes(jobs, num_workers)}


def test_a_worker_runs_many_jobs() -> None:
    """Two workers for five jobs, neither of them this process; each job has its own DVC_STAGE and its own words."""
    told = {name: outcome.told.split() for name, outcome in outcomes(*["say"] * 5, num_workers=2).items()}
    assert len(told) == 5
    assert all(words[1:] == [name] for name, words in told.items())
    workers = {words[0] for words in told.values()}
    assert len(workers) <= 2
    assert str(os.getpid()) not in workers


def test_every_end_is_told_and_none_is_the_end_of_the_others() -> None:
    """Exit codes and tracebacks are as `python -m` has them; a worker that is killed is replaced."""
    ended = outcomes("fail", "divide", "die", "say", "die", num_workers=1)
    codes = [ended[name].exit_code for name in ("0-fail", "1-divide", "2-die", "3-say", "4-die")]
    assert codes == [1, 1, -signal.SIGKILL, 0, -signal.SIGKILL]
    assert ended["0-fail"].told.splitlines()[-1] == "no luck"
    assert "ZeroDivisionError" in ended["1-divide"].told
    assert ended["0-fail"].told.split()[0] == ended["1-divide"].told.split()[0]  # warm still
    assert ended["2-die"].told.split()[0] != ended["3-say"].told.split()[0]


def test_a_run_that_is_given_up_leaves_no_worker() -> None:
    """Whoever stops asking for outcomes, as Ctrl-C does, ends the workers."""
    jobs = [Job(f"{n}", "exec python -m tests.odd_job say", {"DVC_STAGE": "say"}) for n in range(3)]
    running = run_in_processes(jobs, 2)
    next(running)
    running.close()  # type: ignore[attr-defined]  # it is a generator
    for worker in multiprocessing.active_children():
        worker.join(10)
    assert not multiprocessing.active_children()


def test_only_modules_are_for_workers() -> None:
    """Any other command line is left to DVC."""
    assert arguments("exec python -m stages.train --seed 1") == ["stages.train", "--seed", "1"]
    assert arguments("torchrun -m stages.train") == arguments(["echo a", "echo b"]) == arguments(None) == []
