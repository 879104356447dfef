"""Tracking in a project that was moved or copied, or of which a user deleted something in MLflow."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from pipeline.tracking import store
from pipeline.tracking.location import artifact_location, follow_move
from tests.project import ROOT, run
from tests.tracking_inputs import child, open_parent, save_networks, sync, write_lock, write_results, write_run

GAN = "train_gan@0"


@pytest.fixture
def published(repo: Path) -> Path:
    """A project whose results are in MLflow with a registered generator."""
    save_networks(repo / "models")
    (repo / "models/gan").mkdir()
    shutil.move(repo / "models/generator", repo / "models/gan/0")
    write_results()
    done = run(
        repo, sys.executable, "-m", "pipeline", "track", "sync", PYTHONPATH=str(ROOT)
    )  # MLflow remembers folders
    assert done.returncode == 0, done.stdout
    return repo


def registered() -> Any:
    """The version of the generator."""
    return open_parent().client.get_model_version_by_alias("digits-generator", "replicate-0")


def artifacts() -> set[str]:
    """Names of the files of the GAN's run."""
    run_id = child(GAN).info.run_id
    return {item.path.partition("-")[0] for item in open_parent().client.list_artifacts(run_id)}


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_moved_project_takes_its_files_along(
    published: Path, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Runs and models name the files beside the database; nothing is written to, or made, where the project was."""
    before, elsewhere = open_parent().run_id, tmp_path_factory.mktemp("else") / "where it is"
    shutil.copytree(published, elsewhere)
    shutil.rmtree(published / "mlruns" if how == "copied" else published)
    monkeypatch.chdir(elsewhere)
    assert sync()[0] == 0
    assert open_parent().run_id == before
    assert artifacts() == {"samples", "generator"}
    here = (elsewhere / "mlruns").as_uri()
    assert registered().source.startswith(f"{here}/digits/")
    assert registered().version == 1
    write_run(GAN)
    assert child(GAN).info.artifact_uri.startswith(f"{here}/digits/")
    assert not (published / "mlruns").exists()


def test_only_addresses_in_the_old_folder_are_changed(empty_store: Path, tmp_path: Path) -> None:
    """An experiment of the user's own that is elsewhere stays there, whatever its path begins with."""
    database = Path(shutil.copy(empty_store, tmp_path))
    client = MlflowClient(f"sqlite:///{database}")
    old = artifact_location(Path("/old/mlflow.db"), "digits")
    ids = [client.create_experiment(name, artifact_location=place) for name, place in (
        ("digits", old), ("own", "s3://bucket/mlruns-own"), ("like", "file:///old/mlruns2/other"))]  # fmt: skip
    first = client.create_run(ids[0])
    follow_move(database)
    places = [client.get_experiment(number).artifact_location for number in ids]
    assert places == [artifact_location(database, "digits"), "s3://bucket/mlruns-own", "file:///old/mlruns2/other"]
    assert client.get_run(first.info.run_id).info.artifact_uri.startswith(f"{places[0]}/")


def test_sync_brings_back_files_that_are_gone(published: Path) -> None:
    """A store without its folder of files: pictures are uploaded again, models registered again."""
    shutil.rmtree(published / "mlruns")
    assert sync()[0] == 0
    assert artifacts() == {"samples", "generator"}
    assert registered().version == 2


def test_a_deleted_experiment_is_begun_anew(published: Path) -> None:
    """MLflow keeps its name taken: it is restored for the runs to come; those that were deleted with it stay so."""
    experiment, before = store.open_experiment("digits"), open_parent().run_id
    experiment.client.delete_experiment(experiment.id)
    write_run("prepare")
    assert child("prepare").info.status == "FINISHED"
    assert open_parent().run_id != before
    assert len(store.children(open_parent())) == 1
    write_lock()
    assert sync()[0] > 0
    assert artifacts() == {"samples", "generator"}
