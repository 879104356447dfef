"""Versions of the registered models: one for each network, whatever is registered how often."""

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.files import hash_file
from pipeline.tracking import store
from pipeline.tracking.contents import Network
from pipeline.tracking.package import model_files, write_package
from pipeline.tracking.store import Parent

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

DIGEST = "pipeline.weights"


def register(parent: Parent, run_id: str, network: Network) -> None:
    """Makes the network a version of the model `<dataset>-<kind>`, and gives it the alias.

    A network that is a version already keeps it, unless the run that holds its files was deleted.
    """
    name, digest = f"{parent.execution.dataset}-{network.kind}", weights_digest(network)
    with store.creation_lock():
        known = _find(parent, name, digest)
        version = known if known and _is_alive(parent, known) else None
        if version is None:
            version = _create(parent, run_id, name, network, digest)
            if known:
                _replace(parent, known, version)
        parent.client.set_registered_model_alias(name, network.alias, version.version)


def weights_digest(network: Network) -> str:
    """sha256 over the hashes of description and weights."""
    return hashlib.sha256("".join(map(hash_file, model_files(network.folder, network.kind))).encode()).hexdigest()


def _find(parent: Parent, name: str, digest: str) -> "ModelVersion | None":
    found = parent.client.search_model_versions(f"name = '{name}' and tag.`{DIGEST}` = '{digest}'")
    return max(found, key=lambda version: int(version.version), default=None)


def _is_alive(parent: Parent, version: "ModelVersion") -> bool:
    """Whether the version's files are there, and `mlflow gc` leaves them."""
    from mlflow.exceptions import MlflowException

    assert version.run_id
    try:
        run = parent.client.get_run(version.run_id)
        folder = str(version.source).rsplit("/", 1)[1]
        is_there = bool(parent.client.list_artifacts(version.run_id, folder))
        return is_there and bool(run.info.lifecycle_stage == "active")
    except MlflowException:  # it is gone altogether
        return False


def _create(parent: Parent, run_id: str, name: str, network: Network, digest: str) -> "ModelVersion":
    """Uploads the network into the run, as an MLflow model, and makes it the newest version."""
    client, path = parent.client, f"{network.kind}-{digest[:12]}"
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / "model"
        write_package(package, network.kind, network.folder, run_id, path)
        client.log_artifacts(run_id, str(package), path)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    source = f"{client.get_run(run_id).info.artifact_uri}/{path}"
    text = f"{network.folder.parent.name}/{network.folder.name} of execution {parent.execution.name}"
    return client.create_model_version(name, source, run_id, tags={DIGEST: digest}, description=text)


def _replace(parent: Parent, old: "ModelVersion", new: "ModelVersion") -> None:
    """Hands the aliases on, and deletes the version whose files may go."""
    for alias in parent.client.get_model_version(old.name, old.version).aliases:
        parent.client.set_registered_model_alias(old.name, alias, new.version)
    parent.client.delete_model_version(old.name, old.version)
