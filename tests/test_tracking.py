"""Tracking: runs, their execution, and what happens when the store is not there. Real SQLite, real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.errors import UserError
from pipeline.tracking import TrackedRun, backfill, execution, store, tracked_run
from pipeline.tracking.view import view_url
from tests.tracking_inputs import (
    CELL,
    ROOT,
    child,
    grow_history,
    open_parent,
    read_params,
    save_networks,
    track_cell,
    track_gan,
    wait_for,
    write_cell,
    write_results,
    write_run,
)

BASELINE = {"synthetic_percent": 0, "real_percent": 100, "seed": 0}
BEHIND = "is behind"
STAGE = """
import sys
from tests.tracking_inputs import grow_history, track_gan, track_cell
with track_cell(seed=int(sys.argv[2])) if sys.argv[1] == "cell" else track_gan() as run:
    grow_history({1: 0.5, 2: 0.6})
    run.publish()
    print("logged", "mlflow" in sys.modules, flush=True)
    sys.stdin.readline()
"""


def points(run: Any, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a metric, in the order of steps."""
    history = store.open_experiment("digits").client.get_metric_history(run.info.run_id, metric)
    return sorted((item.step, item.value) for item in history)


def metrics(step: int, **values: float) -> dict[str, Any]:
    """The message by which a stage logs `values`."""
    return {"do": "log", "metrics": values, "step": step, "time": 1}


def write_lock(test_md5: str = "c" * 32) -> None:
    """A dvc.lock with the data folders and the cells 50-0 and 50-1."""
    outs = {"prepare": "data/prepared", "synthesize": "data/synthetic"}
    entries: dict[str, Any] = {
        stage: {"cmd": stage, "outs": [{"path": path, "md5": f"{letter * 32}.dir"}]}
        for letter, (stage, path) in zip("ab", outs.items(), strict=True)
    }
    for seed in (0, 1):
        deps = [{"path": "data/prepared", "md5": test_md5}]
        entries[f"train_classifier@50-{seed}"] = {"cmd": f"train {seed}", "deps": deps, "params": {}}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": entries}), encoding="utf-8")


def start_stage(kind: str, seed: int = 0) -> "subprocess.Popen[str]":
    """A stage in its own process, which has published two steps and waits for a line; `kind` is `gan` or `cell`."""
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, kind, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_cell_is_whole(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A cell's run has its identity alone as params, its curve, its final metrics, lineage; the parent all params."""
    write_lock()
    with track_cell():
        write_cell("train_classifier", 50, 0, 0.7)
    assert capfd.readouterr().err == ""
    cell, parent = child("train_classifier@50-0"), open_parent()
    assert cell.info.run_name == "train_classifier 50-0"
    assert cell.info.status == "FINISHED"
    assert cell.data.params == {"synthetic_percent": "50", "real_percent": "100", "seed": "0"}
    assert points(cell, "val_accuracy") == [(1, 0.3), (2, 0.6)]
    assert points(cell, "test_accuracy") == [(2, 0.7)]
    inputs = {item.dataset.name: item.dataset.digest for item in cell.inputs.dataset_inputs}
    assert inputs == {"data/prepared": f"{'a' * 32}.dir", "data/synthetic": f"{'b' * 32}.dir"}
    top = parent.client.get_run(parent.run_id)
    assert top.info.status == "RUNNING"
    assert top.info.run_name == cell.data.tags["pipeline.execution"] == parent.execution.name
    assert top.data.params["gan.r3.width"] == str(read_params()["gan"]["r3"]["width"])
    assert top.data.params["ablation.synthetic_percent"] == "[50, 100]"


def test_what_a_stage_took_is_logged(repo: Path) -> None:
    """Wall and processor time, peak memory, throughput: in MLflow alone."""
    with track_cell():
        write_cell("train_classifier", 50, 0, 0.7)
    values = child("train_classifier@50-0").data.metrics
    assert values["images_per_second"] == pytest.approx(2 * 32 / values["wall_seconds"])  # steps of batches
    assert 0 < values["processor_seconds"] < 60
    assert 20 < values["peak_memory_mib"] < 10_000


def cas_so_far() -> list[tuple[int, float]]:
    """What the run of train_gan shows, none where it is not begun."""
    experiment = store.open_experiment("digits")
    runs = store.search(experiment, {"dvc.stage": "train_gan"})
    return points(runs[0], "cas") if runs else []


def check_gan_run(repo: Path, stage: AbstractContextManager[TrackedRun]) -> None:
    """A history that grows shows at each publish; pictures and network come with it."""
    save_networks(repo / "models")
    shutil.move(repo / "models" / "generator", repo / "kept")
    with stage as run:
        grow_history({1: 0.5})
        run.publish()
        wait_for(lambda: cas_so_far() == [(1, 0.5)])
        grow_history({1: 0.5, 2: 0.6})
        shutil.move(repo / "kept", repo / "models" / "gan")
        Path("results/gan_samples.png").write_bytes(b"picture")
    gan, client = child("train_gan"), open_parent().client
    assert points(gan, "cas") == [(1, 0.5), (2, 0.6)]
    assert points(gan, "degraded") == [(2, 0.0)]
    version = client.get_model_version_by_alias("digits-generator", "current")
    assert version.run_id == gan.info.run_id
    folder = str(version.source).rsplit("/", 1)[1]
    assert [item.path for item in client.list_artifacts(gan.info.run_id)] == ["gan_samples.png", folder]


def test_gan_is_whole(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In SQLite."""
    check_gan_run(repo, track_gan())
    assert capfd.readouterr().err == ""


def test_rerun_replaces(repo: Path) -> None:
    """The same stage again leaves one run: the newer one, with its own curve alone; the older files are passed over."""
    for rows in ({1: 0.1, 2: 0.2}, {2: 0.7}):
        with track_gan() as run:
            run.publish()
            grow_history(rows)
    assert points(child("train_gan"), "cas") == [(2, 0.7)]


def test_changed_params_start_a_new_execution(repo: Path) -> None:
    """Other params are another parent, also under a DVC experiment's name that is used again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", "wide")
        write_run("train_classifier", CELL)
        first = open_parent()
        params = read_params()
        params["gan"]["r3"]["width"] += 1
        Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        write_run("train_classifier", CELL)
        second = open_parent()
    assert first.execution.name == second.execution.name == "wide"
    assert first.run_id != second.run_id
    assert len(store.children(first)) == len(store.children(second)) == 1


def test_failed_stage(repo: Path) -> None:
    """A stage's own error passes through, and its run says FAILED."""
    with pytest.raises(ZeroDivisionError), tracked_run("prepare", {"out": repo}):
        _ = 1 / 0
    assert child("prepare").info.status == "FAILED"


def test_killed_stage_keeps_its_curve(repo: Path) -> None:
    """After kill -9 the run says KILLED; the stage that resumes at step 3 continues the curve of its steps 1, 2.

    The stage's process never imports mlflow.
    """
    process = start_stage("gan")
    assert process.stdout
    assert process.stdout.readline() == "logged False\n"
    process.kill()
    process.communicate()
    wait_for(lambda: (repo / "mlflow.db.lock").exists() and store.children(open_parent()))
    wait_for(lambda: child("train_gan").info.status == "KILLED")
    assert points(child("train_gan"), "cas") == [(1, 0.5), (2, 0.6)]
    with track_gan():
        grow_history({1: 0.5, 2: 0.6, 3: 0.7})
    gan = child("train_gan")
    assert points(gan, "cas") == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert gan.info.status == "FINISHED"
    assert "images_per_second" not in gan.data.metrics


def test_off(repo: Path) -> None:
    """PIPELINE_TRACKING=off: no mlflow, no companion, no store."""
    Path("mlflow.db").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_TRACKING", "off")
        process = start_stage("gan")
        output, errors = process.communicate("\n")
    assert (process.returncode, output, errors) == (0, "logged False\n", "")
    assert not list(repo.glob("ml*"))


def test_switch_is_on_or_off(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt switch is the user's error, not a silent choice."""
    monkeypatch.setenv("PIPELINE_TRACKING", "no")
    with pytest.raises(UserError, match="on or off"), tracked_run("prepare", {"out": repo}):
        pass


@pytest.mark.parametrize("uri", ["http://me:secret@127.0.0.1:1", "sqlite:////proc/none/x.db", "nonsense://me:secret@x"])
def test_store_out_of_reach(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], uri: str
) -> None:
    """A store that is not there costs seconds and one line without the password; the stage's body runs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    done, begin = False, time.monotonic()
    with track_gan() as run:
        run.publish()
        done = True
    errors = capfd.readouterr().err
    assert done
    assert time.monotonic() - begin < 25
    assert errors.count("\n") == 1, errors
    assert errors.startswith("tracking: ")
    assert "catch up with: synthmix track sync" in errors
    assert "secret" not in errors


def test_writer_that_dies(repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A companion that cannot even start is one line at the end of the stage."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with track_gan() as run:
        for _ in range(100):
            run.publish()
    assert capfd.readouterr().err.count(BEHIND) == 1


def test_store_fails_in_the_middle(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read ends the run's tracking with one line, not the stage."""
    with track_gan() as run:
        grow_history({1: 0.5})
        run.publish()
        Path("results/history/train_gan.csv").write_text("step,cas\n1,x\n", encoding="utf-8")
        run.publish()
    assert capfd.readouterr().err.count(BEHIND) == 1


@given(user=st.text(), password=st.text(min_size=8), host=st.sampled_from(["host", "10.0.0.1:5000"]))
def test_credentials_are_never_printed(user: str, password: str, host: str) -> None:
    """Whatever is between // and @ of an address does not survive, wherever the address stands."""
    secret = "".join(c for c in password if c.isalnum()) + "/Zq7"
    name = "".join(c for c in user if c.isalnum())
    shown = execution.without_credentials(f"API request to http://{name}:{secret}@{host}/api?token={secret} failed")
    assert "Zq7" not in shown
    assert host in shown


def test_one_store_for_four(repo: Path) -> None:
    """Four stages that begin at once where no store is yet all get their run, under one parent."""
    Path("mlflow.db").unlink()
    stages = [start_stage("cell", seed) for seed in range(4)]
    outcomes = [stage.communicate("\n") for stage in stages]
    assert [errors for _, errors in outcomes] == [""] * 4
    assert len(store.children(open_parent())) == 4
    assert len(store.search(store.open_experiment("digits"), {"pipeline.role": "parent"})) == 1


def test_sync_rebuilds_the_runs(repo: Path) -> None:
    """From the files in git alone: parent with curve, report and figure; GAN, assessment and declared cells."""
    write_results()
    write_lock()
    tally = backfill.sync(read_params())
    assert (tally.added, tally.kept, tally.absent) == (10, 0, 0)
    parent = open_parent()
    names = {run.data.tags["dvc.stage"] for run in store.children(parent)}
    assert {"train_gan", "assess", "train_baseline@25-1", "train_classifier@100-0"} < names
    assert "train_classifier@10-0" not in names
    cell = child("train_classifier@50-1")
    assert cell.data.params == {"synthetic_percent": "50", "real_percent": "100", "seed": "1"}
    assert cell.data.tags["pipeline.source"] == "backfill"
    assert len(cell.data.tags["pipeline.stage_key"]) == 64
    assert points(cell, "val_accuracy") == [(1, 0.3), (2, 0.6)]
    assert points(cell, "test_accuracy") == [(2, 0.71)]
    assert child("assess").data.metrics == {"frechet_distance": 12.5}
    assert [file.path for file in parent.client.list_artifacts(child("train_gan").info.run_id)] == ["gan_samples.png"]
    top = parent.client.get_run(parent.run_id)
    assert top.info.status == "FINISHED"
    assert top.data.tags[store.NOTE] == "# It helps\n"
    assert points(top, "test_accuracy_mean") == [(0, 0.8), (50, 0.8), (100, 0.8)]
    assert points(top, "chosen_percent") == [(0, 50)]


def test_sync_twice_adds_nothing(repo: Path) -> None:
    """Sync can be run at any time: the second one keeps every run and every point."""
    write_results()
    backfill.sync(read_params())
    before = {run.info.run_id for run in store.children(open_parent())}
    tally = backfill.sync(read_params())
    assert (tally.added, tally.kept) == (0, 10)
    parent = open_parent()
    assert {run.info.run_id for run in store.children(parent)} == before
    assert len(points(parent.client.get_run(parent.run_id), "test_accuracy_low")) == 3


def test_sync_refuses_results_of_another_data_set(repo: Path) -> None:
    """Results of another profile's data are not logged as this one's."""
    write_results()
    write_lock()
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"]["prepare"]["params"] = {"params.yaml": {"dataset": {"name": "cifar10"}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(UserError, match=r"results/ come from dataset.name 'cifar10', params.yaml says 'digits'"):
        backfill.sync(read_params())


def test_sync_believes_the_files(repo: Path) -> None:
    """A live run that agrees with the files stays; one that does not, or never ended, is replaced."""
    write_results()
    second = CELL | {"seed": 1}
    write_run("train_classifier", CELL, metrics(2, test_accuracy=0.7000001))
    write_run("train_classifier", second, metrics(2, test_accuracy=0.5))
    write_run("train_baseline", BASELINE, status=None)
    kept = child("train_classifier@50-0").info.run_id
    tally = backfill.sync(read_params())
    assert (tally.added, tally.kept) == (9, 1)
    assert child("train_classifier@50-0").info.run_id == kept
    assert child("train_classifier@50-1").data.metrics["test_accuracy"] == 0.71
    assert child("train_baseline@100-0").info.status == "FINISHED"


def test_evaluate_is_the_parent(repo: Path) -> None:
    """Evaluate's run is the parent: curve with step = percent, report as description, cached cells beside the others.

    Evaluating again adds no point.
    """
    write_results()
    write_run("train_classifier", CELL, metrics(2, test_accuracy=0.7))
    report = {"do": "artifact", "path": str(Path("results/report.md").resolve())}
    for _ in range(2):
        write_run("evaluate", {}, metrics(0, test_accuracy_mean=0.81), metrics(50, test_accuracy_mean=0.83), report)
    parent = open_parent()
    top = parent.client.get_run(parent.run_id)
    assert points(top, "test_accuracy_mean") == [(0, 0.81), (50, 0.83)]
    assert top.data.tags[store.NOTE] == "# It helps\n"
    assert top.info.status == "FINISHED"
    assert len(store.children(parent)) == 10


def test_sync_knows_an_applied_experiment(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `dvc exp run` tracked under its own name is not added again once its files are applied."""
    write_results()
    write_lock()
    monkeypatch.setenv("DVC_EXP_NAME", "trial")
    write_run("evaluate", {})
    monkeypatch.delenv("DVC_EXP_NAME")
    tally = backfill.sync(read_params())
    assert (tally.added, tally.kept) == (0, 2)
    assert len(store.search(store.open_experiment("digits"), {"pipeline.role": "parent"})) == 1
    write_lock("d" * 32)
    assert backfill.sync(read_params()).added == 10


def test_sync_without_a_store(repo: Path) -> None:
    """An unreachable store is one line and exit code 2."""
    write_results()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "track", "sync"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:1"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: tracking: http://127.0.0.1:1 cannot be written")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_view_shows_the_ablation(repo: Path) -> None:
    """The address's share key names a view of this execution's cells, grouped by percent, learning curve left out."""
    write_results()
    backfill.sync(read_params())
    parent = open_parent()
    tags = parent.client.get_experiment(parent.experiment.id).tags
    state = json.loads(tags["mlflow.sharedViewState.bypercent"])
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "synthetic_percent"}]
    found = parent.client.search_runs([parent.experiment.id], state["searchFilter"])
    assert {run.data.tags["dvc.stage"].split("-")[0] for run in found} == {
        "train_baseline@100",
        "train_classifier@50",
        "train_classifier@100",
    }
    assert "viewStateShareKey=bypercent" in view_url("http://127.0.0.1:5000", parent.experiment.id)


def test_view_shows_all_values_of_a_sweep(repo: Path) -> None:
    """Executions that differ in the axis alone are shown together, grouped by percent and the axis's value."""
    write_results()
    params = read_params()
    params["sweep"] = {"key": "dataset.seed", "values": [0, 1]}
    for value in (0, 1):
        params["dataset"]["seed"] = value
        Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        backfill.sync(read_params())
    parent = open_parent()
    state = json.loads(parent.client.get_experiment(parent.experiment.id).tags["mlflow.sharedViewState.bypercent"])
    assert state["groupBy"]["groupByKeys"] == [
        {"mode": "param", "groupByData": "synthetic_percent"},
        {"mode": "tag", "groupByData": "pipeline.axis_value"},
    ]
    found = parent.client.search_runs([parent.experiment.id], state["searchFilter"])
    cells = {(run.data.tags["pipeline.axis_value"], run.data.tags["dvc.stage"]) for run in found}
    assert {value for value, _ in cells} == {"0", "1"}
    assert len(cells) == len(found) == 2 * 6


@pytest.mark.slow
def test_server(repo: Path, server: "subprocess.Popen[bytes]", capfd: pytest.CaptureFixture[str]) -> None:
    """Over HTTP all is the same; a server that dies in the middle of a stage costs one line."""
    check_gan_run(repo, track_gan())
    assert capfd.readouterr().err == ""
    begin = time.monotonic()
    with track_cell() as run:
        wait_for(lambda: len(store.children(open_parent())) == 2)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        for _ in range(500):
            run.publish()
        write_cell("train_classifier", 50, 0, 0.7)
    assert time.monotonic() - begin < 60
    errors = capfd.readouterr().err
    assert errors.count(BEHIND) == errors.count("\n") == 1, errors
