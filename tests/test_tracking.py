"""Tracking: runs, their execution, and what happens when the store is not there. Real SQLite, real processes."""

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
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files import hash_file, write_csv
from pipeline.runtime.errors import UserError
from pipeline.tracking import TrackedRun, execution, store
from pipeline.tracking.commands import chart_url, describe_pages, experiment_url, sync_runs
from pipeline.tracking.lock import dvc_md5
from tests.project import run
from tests.tracking_inputs import (
    CELL,
    ROOT,
    change_params,
    child,
    grow_history,
    make_result,
    open_parent,
    read_params,
    save_networks,
    sync,
    track,
    wait_for,
    write_answer,
    write_cell,
    write_lock,
    write_results,
    write_run,
)

GAN = "train_gan@0"
USAGE = {"wall_seconds", "processor_seconds", "peak_memory_mib", "images_per_second"}
PREPARED = {"num_train": 100, "num_reserve": 10, "num_val": 50, "num_select": 50, "num_test": 50}
NUM_RUNS = 21  # prepare; of each replicate GAN, synthetic set and its assessment, and seven cells
CIRCUMSTANCES = ("git.", "mlflow.source", "mlflow.user", "mlflow.parentRunId", "torch", "device")  # as tags
BEHIND = "is behind"
STAGE = """
import sys
from tests.tracking_inputs import grow_history, track
with track(sys.argv[1]) as run:
    grow_history({1: 0.5, 2: 0.6})
    run.publish()
    print("logged", "mlflow" in sys.modules, flush=True)
    sys.stdin.readline()
"""


def points(run: Any, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a metric, in the order of steps."""
    history = store.open_experiment("digits").client.get_metric_history(run.info.run_id, metric)
    return sorted((item.step, item.value) for item in history)


def start_stage(name: str) -> "subprocess.Popen[str]":
    """A stage in its own process, which has published two steps of the GAN's history and waits for a line."""
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_cell_is_whole(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A cell's run has its identity alone as params, its curve, its final metrics, lineage; the parent all params."""
    write_results()
    with track(CELL):
        write_cell(CELL, 0.7)
    assert capfd.readouterr().err == ""
    cell, parent = child(CELL), open_parent()
    assert cell.info.run_name == "train_classifier 50-0"
    assert cell.info.status == "FINISHED"
    assert cell.data.params == {"synthetic_percent": "50", "real_percent": "100", "replicate": "0"}
    assert points(cell, "val_accuracy") == [(1, 0.3), (2, 0.6)]
    assert points(cell, "test_accuracy") == [(12, 0.7)]
    inputs = {item.dataset.name: item.dataset.digest for item in cell.inputs.dataset_inputs}
    assert inputs == {name: dvc_md5(Path(name)) for name in ("data/prepared", "data/synthetic/0", "data/scores/0")}
    top = parent.client.get_run(parent.run_id)
    assert top.info.status == "RUNNING"
    assert top.info.run_name == cell.data.tags["pipeline.execution"] == parent.execution.name
    assert top.data.params["gan.r3.width"] == str(read_params()["gan"]["r3"]["width"])
    assert top.data.params["ablation.synthetic_percent"] == "[50, 100]"


def test_what_a_stage_took_is_logged(repo: Path) -> None:
    """Wall and processor time, peak memory, throughput: in MLflow alone."""
    with track(CELL):
        write_cell(CELL, 0.7)
    values = child(CELL).data.metrics
    assert values["images_per_second"] == pytest.approx(12 * 32 / values["wall_seconds"])  # steps of batches
    assert 0 < values["processor_seconds"] <= time.process_time()  # of a process that ran other tests before
    assert 20 < values["peak_memory_mib"] < 10_000


def cas_so_far() -> list[tuple[int, float]]:
    """What the run of train_gan shows, none where it is not begun."""
    experiment = store.open_experiment("digits")
    runs = store.search(experiment, {"dvc.stage": GAN})
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
        (repo / "models" / "gan").mkdir()
        shutil.move(repo / "kept", repo / "models" / "gan" / "0")
        Path("results/gan").mkdir()
        Path("results/gan/samples-0.png").write_bytes(b"picture")
    gan, client = child(GAN), open_parent().client
    assert points(gan, "cas") == [(1, 0.5), (2, 0.6)]
    assert points(gan, "degraded") == [(2, 0.0)]
    version = client.get_model_version_by_alias("digits-generator", "replicate-0")
    assert version.run_id == gan.info.run_id
    folder = str(version.source).rsplit("/", 1)[1]
    assert [item.path for item in client.list_artifacts(gan.info.run_id)] == [folder, "samples-0.png"]


def test_gan_is_whole(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In SQLite."""
    check_gan_run(repo, track(GAN))
    assert capfd.readouterr().err == ""


def test_rerun_replaces(repo: Path) -> None:
    """The same stage again leaves one run: the newer one, with its own curve alone; the older files are passed over."""
    for rows in ({1: 0.1, 2: 0.2}, {2: 0.7}):
        with track(GAN) as run:
            run.publish()
            grow_history(rows)
    assert points(child(GAN), "cas") == [(2, 0.7)]


def test_changed_params_start_a_new_execution(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other params are another parent, also under a DVC experiment's name that is used again."""
    monkeypatch.setenv("DVC_EXP_NAME", "wide")
    write_run("prepare")
    first = open_parent()
    change_params(gan={"steps": 9})
    write_run("prepare")
    second = open_parent()
    assert first.execution.name == second.execution.name == "wide"
    assert first.run_id != second.run_id
    assert len(store.children(first)) == len(store.children(second)) == 1


def test_a_failed_stage_ends_its_parent(repo: Path) -> None:
    """A stage's own error passes through, its run and its parent say FAILED until it has succeeded."""
    write_results()
    with pytest.raises(ZeroDivisionError), track("prepare"):
        _ = 1 / 0
    assert (child("prepare").info.status, parent_status()) == ("FAILED", "FAILED")
    write_run(GAN)
    assert parent_status() == "FAILED"
    write_run("prepare")
    assert parent_status() == "RUNNING"
    write_run("evaluate")
    assert parent_status() == "FINISHED"


def parent_status() -> str:
    """How the only parent ended, or that it runs."""
    parent = open_parent()
    return str(parent.client.get_run(parent.run_id).info.status)


def test_killed_stage_keeps_its_curve(repo: Path) -> None:
    """After kill -9 the run says KILLED; the stage that resumes at step 3 continues the curve of its steps 1, 2.

    The stage's process never imports mlflow.
    """
    process = start_stage(GAN)
    assert process.stdout
    assert process.stdout.readline() == "logged False\n"
    process.kill()
    process.communicate()
    wait_for(lambda: (repo / "mlflow.db.lock").exists() and store.children(open_parent()))
    wait_for(lambda: child(GAN).info.status == "KILLED")
    assert points(child(GAN), "cas") == [(1, 0.5), (2, 0.6)]
    with track(GAN):
        grow_history({1: 0.5, 2: 0.6, 3: 0.7})
    gan = child(GAN)
    assert points(gan, "cas") == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert gan.info.status == "FINISHED"
    assert "images_per_second" not in gan.data.metrics


def test_off(repo: Path) -> None:
    """PIPELINE_TRACKING=off: no mlflow, no companion, no store."""
    Path("mlflow.db").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_TRACKING", "off")
        process = start_stage(GAN)
        output, errors = process.communicate("\n")
    assert (process.returncode, output, errors) == (0, "logged False\n", "")
    assert not list(repo.glob("ml*"))


def test_switch_is_on_or_off(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt switch is the user's error, not a silent choice."""
    monkeypatch.setenv("PIPELINE_TRACKING", "no")
    with pytest.raises(UserError, match="on or off"), track("prepare"):
        pass


@pytest.mark.parametrize("uri", ["http://me:secret@127.0.0.1:1", "sqlite:////proc/none/x.db", "nonsense://me:secret@x"])
def test_store_out_of_reach(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], uri: str
) -> None:
    """A store that is not there costs seconds and one line without the password; the stage's body runs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    done, begin = False, time.monotonic()
    with track(GAN) as run:
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
    with track(GAN) as run:
        for _ in range(100):
            run.publish()
    assert capfd.readouterr().err.count(BEHIND) == 1


def test_store_fails_in_the_middle(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read ends the run's tracking with one line, not the stage."""
    with track(GAN) as run:
        grow_history({1: 0.5})
        run.publish()
        Path("results/history/train_gan-0.csv").write_text("step,cas\n1,x\n", encoding="utf-8")
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
    stages = [start_stage(f"train_classifier@50-{replicate}") for replicate in range(4)]
    outcomes = [stage.communicate("\n") for stage in stages]
    assert [errors for _, errors in outcomes] == [""] * 4
    assert len(store.children(open_parent())) == 4
    assert len(store.search(store.open_experiment("digits"), {"pipeline.role": "parent"})) == 1


def test_sync_rebuilds_the_runs(repo: Path) -> None:
    """From the files alone: every stage and declared cell, the parent with answer, curve, report and figure."""
    write_results()
    assert sync() == (NUM_RUNS, 0, 0)
    parent = open_parent()
    names = {run.data.tags["dvc.stage"] for run in store.children(parent)}
    assert {
        "prepare",
        GAN,
        "synthesize@1",
        "assess@0",
        "train_baseline@25-1",
        "train_control@ceiling-100-0",
        "train_rival@mixup-1",
    } < names
    assert "train_classifier@10-0" not in names
    cell = child("train_classifier@50-1")
    assert cell.data.params == {"synthetic_percent": "50", "real_percent": "100", "replicate": "1"}
    assert points(cell, "val_accuracy") == [(1, 0.3), (2, 0.6)]
    assert points(cell, "test_accuracy") == [(12, 0.72)]
    control = child("train_control@ceiling-50-1").data.params
    assert control == {"control": "ceiling", "synthetic_percent": "50", "real_percent": "100", "replicate": "1"}
    assert child("train_gan@1").data.params == {"replicate": "1"}
    assert child("prepare").data.metrics == PREPARED
    assert child("synthesize@1").data.metrics == {"num_images": 300}
    assert child("assess@1").data.metrics["frechet_distance"] == 12.5
    assert [file.path for file in parent.client.list_artifacts(child(GAN).info.run_id)] == ["samples-0.png"]
    top = parent.client.get_run(parent.run_id)
    assert top.info.status == "FINISHED"
    assert top.data.tags[store.NOTE] == "# It helps\n"
    assert points(top, "test_accuracy_mean") == [(0, 0.8), (50, 0.9), (100, 1.0)]
    headline = {"baseline_test_accuracy": 0.8, "chosen_test_accuracy": 0.9, "difference": 0.1}
    result = make_result()
    assert result.real_equivalent
    answer = {
        "chosen_percent": 50,
        "p_value": round(result.chosen.p_value_holm, 6),
        "real_equivalent": result.real_equivalent.num_real_equivalent,
        "ceiling_difference": round(result.controls[0].difference_mean, 6),
    }
    assert top.data.metrics == top.data.metrics | headline | answer
    files = {file.path for file in parent.client.list_artifacts(parent.run_id)}
    assert files == {"ablation.json", "ablation.svg", "report.md"}


def test_sync_twice_adds_nothing(repo: Path) -> None:
    """Sync can be run at any time: the second one keeps every run and every point."""
    write_results()
    sync()
    before = {run.info.run_id for run in store.children(open_parent())}
    assert sync() == (0, NUM_RUNS, 0)
    parent = open_parent()
    assert {run.info.run_id for run in store.children(parent)} == before
    assert len(points(parent.client.get_run(parent.run_id), "test_accuracy_low")) == 3


def test_sync_adds_what_a_pull_brought(repo: Path) -> None:
    """A clone without DVC's data has its history alone; once the data is there, the run that is there gets the rest."""
    write_results()
    shutil.move("data", "elsewhere")
    assert sync() == (NUM_RUNS - 3, 0, 3)
    shutil.move("elsewhere", "data")
    assert sync() == (3, NUM_RUNS - 3, 0)
    assert child("prepare").data.metrics == PREPARED


def test_sync_takes_no_files_but_those_of_the_lock(repo: Path) -> None:
    """Files that dvc.lock does not name by their md5, and results of other params, are no results of this execution."""
    write_results()
    Path("data/synthetic/0/manifest.json").write_text('{"num_images": 7}', encoding="utf-8")
    change_params(gan={"steps": 9})
    assert sync() == (NUM_RUNS - 3, 0, 3)
    names = {run.data.tags["dvc.stage"] for run in store.children(open_parent())}
    assert not names & {"synthesize@0", "train_gan@0", "train_gan@1"}
    parent = open_parent()
    assert parent.client.get_run(parent.run_id).data.metrics == {}


def test_the_pages_that_are_named_have_runs(repo: Path) -> None:
    """Also where params.yaml asks for another data set, as beside a demo; that one's experiment is not created."""
    write_results()
    sync()
    parent = open_parent()
    name, address = parent.execution.dataset, chart_url("http://x", parent.experiment.id, parent.run_id)
    runs = f"{name}, all executions: {experiment_url('http://x', parent.experiment.id)}"
    assert describe_pages("http://x") == [f"{name}, this execution: {address}", runs]
    change_params(dataset={"title": "others"})
    assert describe_pages("http://x") == [f"{name}, latest execution: {address}", runs]
    assert parent.client.get_experiment_by_name("others") is None


def test_sync_refuses_results_of_another_data_set(repo: Path) -> None:
    """Results of another profile's data are not logged as this one's."""
    write_results()
    change_params(dataset={"seed": 7})
    with pytest.raises(UserError, match=r"results/ come from dataset.seed 0, params.yaml says another value"):
        sync()


def test_sync_believes_the_files(repo: Path) -> None:
    """A live run that agrees with the files stays; one that does not, or never ended, is replaced."""
    write_results()
    write_run(CELL)
    write_cell("train_classifier@50-1", 0.5)
    write_run("train_classifier@50-1")
    write_cell("train_classifier@50-1", 0.72)
    write_run("train_baseline@100-0", status=None)
    kept = child(CELL).info.run_id
    assert sync() == (NUM_RUNS - 1, 1, 0)
    assert child(CELL).info.run_id == kept
    assert child("train_classifier@50-1").data.metrics["test_accuracy"] == 0.72
    assert child("train_baseline@100-0").info.status == "FINISHED"


def test_evaluate_is_the_parent(repo: Path) -> None:
    """Evaluate's run is the parent; cells from DVC's cache get their runs beside the others.

    Evaluating again adds no point but those that changed, and the answer is the newest.
    """
    write_results()
    write_run(CELL)
    for difference in (0.1, 0.1, 0.05, 0.1):
        write_answer(difference)
        write_run("evaluate")
    parent = open_parent()
    top = parent.client.get_run(parent.run_id)
    assert [step for step, _ in points(top, "test_accuracy_mean")] == [0, 50, 50, 50, 100, 100, 100]
    assert top.data.metrics["difference"] == 0.1
    assert top.data.tags[store.NOTE] == "# It helps\n"
    assert top.info.status == "FINISHED"
    assert len(store.children(parent)) == NUM_RUNS


def test_evaluate_names_the_networks_to_take(repo: Path) -> None:
    """The generator of the replicate whose images are best on val is `current`, the best classifier `champion`."""
    write_results()
    for folder in ("gan", "train_classifier"):
        (repo / "models" / folder).mkdir(parents=True)
    for replicate in (0, 1):
        save_networks(repo / "saved", seed=replicate)
        shutil.move(repo / "saved/generator", repo / f"models/gan/{replicate}")
        write_run(f"train_gan@{replicate}")
    shutil.move(repo / "saved/classifier", repo / "models/train_classifier/50-1")
    write_lock()
    write_run("evaluate")
    client = open_parent().client
    generators = {
        alias: client.get_model_version_by_alias("digits-generator", alias).version
        for alias in ("current", "replicate-1", "replicate-0")
    }
    assert generators["current"] == generators["replicate-1"] != generators["replicate-0"]
    champion = client.get_model_version_by_alias("digits-classifier", "champion")
    assert str(champion.description).startswith("train_classifier/50-1 of execution")


def test_a_clone_without_networks_is_told_what_to_pull(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Those that the result names: by evaluate's run and by sync, which registers them once they are there."""
    write_results()
    write_run("evaluate")
    told = (
        "networks of train_classifier@50-1 train_gan@1 are not here; to register them: dvc pull train_classifier@50-1"
    )
    assert told in capfd.readouterr().err
    assert told in sync_runs()


def test_an_alarm_costs_no_live_run(repo: Path) -> None:
    """Training that went back after an alarm shows steps twice; evaluate keeps the run, the later row counts."""
    write_results()
    rows = [
        {"step": 10, "restarts": 0, "cas": 0.5}, {"step": 20, "restarts": 0, "cas": 0.4},
        {"step": 20, "restarts": 1, "cas": 0.3},
    ]  # fmt: skip
    with track(GAN) as run:
        for count in (1, 3):
            write_csv(Path("results/history/train_gan-0.csv"), rows[:count])
            run.publish()
    write_lock()
    live = child(GAN)
    assert points(live, "cas") == [(10, 0.5), (20, 0.3), (20, 0.4)]
    assert live.data.metrics["cas"] == 0.3
    write_run("evaluate")
    assert child(GAN).info.run_id == live.info.run_id


def test_sync_knows_an_applied_experiment(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `dvc exp run` tracked under its own name is not added again once its files are applied."""
    write_results()
    monkeypatch.setenv("DVC_EXP_NAME", "trial")
    write_run("evaluate")
    monkeypatch.delenv("DVC_EXP_NAME")
    assert sync() == (0, NUM_RUNS, 0)
    assert len(store.search(store.open_experiment("digits"), {"pipeline.role": "parent"})) == 1
    write_cell("train_classifier@50-1", 0.76)
    write_lock()
    assert sync() == (NUM_RUNS, 0, 0)


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


def shown(folder: Path) -> dict[str, dict[str, object]]:
    """What the store of a project shows of each run, but for times, hosts and the state of git."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        experiment = store.open_experiment("digits")
        return {
            run.data.tags.get("dvc.stage", "parent"): describe(experiment.client, run)
            for run in store.search(experiment, {"dataset": "digits"})
        }


def describe(client: Any, run: Any) -> dict[str, object]:
    """Everything about a run that must not depend on who published it."""
    inputs = run.inputs.dataset_inputs
    run_id, files = run.info.run_id, Path(run.info.artifact_uri.removeprefix("file://"))
    points = {
        (point.key, point.step, point.value)
        for name in run.data.metrics.keys() - USAGE
        for point in client.get_metric_history(run_id, name)
    }
    artifacts = (file for file in files.rglob("*") if file.is_file() and file.suffix not in ("", ".yaml"))
    models = [
        client.get_model_version(found.name, found.version)
        for found in client.search_model_versions(f"run_id = '{run_id}'")
    ]
    return {
        "status": run.info.status,
        "metrics": points,
        "latest": {name: value for name, value in run.data.metrics.items() if name not in USAGE},
        "params": run.data.params,
        "tags": {key: value for key, value in run.data.tags.items() if not key.startswith(CIRCUMSTANCES)},
        "artifacts": {str(file.relative_to(files)): hash_file(file) for file in artifacts},
        "datasets": {(used.dataset.name, used.dataset.digest, used.tags[0].value) for used in inputs},
        "models": {(model.name, *model.tags.items(), *model.aliases) for model in models},
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)  # of which the project takes most, on a busy machine
def test_sync_of_a_clone_equals_what_the_stages_published(reproduced: Path, tmp_path: Path) -> None:
    """Run by run, over a whole project: metrics with steps, params, tags, files, data sets, registered networks."""
    original, clone = shutil.copytree(reproduced, tmp_path / "original", symlinks=True), tmp_path / "clone"
    commit = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "results")
    clone_it = ("git", "clone", "-q", ".", str(clone))
    fill = ("dvc", "cache", "dir", "--local", str(original / ".dvc/cache")), ("dvc", "checkout", "-q")
    sync = ("python", "-m", "pipeline", "track", "sync")
    for folder, command in [(original, ("git", "add", "-A")), (original, commit), (original, clone_it),
                            *((clone, command) for command in (*fill, sync))]:  # fmt: skip
        done = run(folder, *command)
        assert done.returncode == 0, done.stdout
    published, synced = shown(reproduced), shown(clone)
    assert len(published) == 1 + 19
    assert published.keys() == synced.keys()
    for name, expected in published.items():
        assert synced[name] == expected, name
    assert run(clone, *sync).stdout == "tracking: 0 runs added, 19 kept\n"
    assert shown(clone) == synced


@pytest.mark.slow
def test_server(repo: Path, server: "subprocess.Popen[bytes]", capfd: pytest.CaptureFixture[str]) -> None:
    """Over HTTP all is the same; a server that dies in the middle of a stage costs one line."""
    check_gan_run(repo, track(GAN))
    assert capfd.readouterr().err == ""
    begin = time.monotonic()
    with track(CELL) as run:
        wait_for(lambda: len(store.children(open_parent())) == 2)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        for _ in range(500):
            run.publish()
        write_cell(CELL, 0.7)
    assert time.monotonic() - begin < 60
    errors = capfd.readouterr().err
    assert errors.count(BEHIND) == errors.count("\n") == 1, errors
