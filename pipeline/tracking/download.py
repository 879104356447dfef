"""A registered generator as a folder to start from: what `gan.init_from=models:/…` of configure does."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.files import hash_file
from pipeline.runtime.atomic import creating
from pipeline.runtime.errors import UserError
from pipeline.tracking import execution, registry, store
from pipeline.tracking.contents import Network
from pipeline.tracking.package import packaged_files

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

PREFIX = "gan.init_from=models:/"
REGISTERED = Path("registered")  # where the folders go; a stage reads none that MLflow could change


def fetch_choices(choices: list[str]) -> list[str]:
    """The choices of `configure`, with the folder of a registered generator in the place of its address.

    Raises:
        UserError: there is no such model, or it holds no generator and discriminator of ours.
    """
    return [f"gan.init_from={fetch_generator(c.removeprefix(PREFIX))}" if c.startswith(PREFIX) else c for c in choices]


def fetch_generator(model: str) -> Path:
    """Downloads `NAME@ALIAS` or `NAME/VERSION`, unless its folder is there; the folder's name has its digest.

    Raises:
        UserError: as `fetch_choices`.
    """
    try:
        store.import_mlflow()
        client = store.connect()
        with tempfile.TemporaryDirectory() as temporary:
            return _keep(model, _download(client, _find(client, model), Path(temporary)))
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a store or a network throws, the user gets one line
        reason = execution.without_credentials(" ".join(f"{error}".split()))[:200]
        where = execution.without_credentials(execution.store_uri())
        raise UserError(f"configure: {PREFIX}{model}: not found in {where} ({reason})") from None


def _find(client: "MlflowClient", model: str) -> "ModelVersion":
    if not (words := re.fullmatch(r"([^/@]+)(?:@([^/@]+)|/(\d+))", model)):
        raise UserError(f"configure: {PREFIX}{model}: write it as models:/NAME@ALIAS or models:/NAME/VERSION")
    name, alias, version = words.groups()
    return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)


def _download(client: "MlflowClient", version: "ModelVersion", into: Path) -> Path:
    """The folder with the files that `write_package` packed; their digest is that of the registry."""
    assert version.run_id
    package = str(version.source).rsplit("/", 1)[1]
    folder = Path(client.download_artifacts(version.run_id, f"{package}/data", str(into))) / "generator"
    missing = [file.name for file in packaged_files("generator", folder) if not file.is_file()]
    if missing:
        raise UserError(
            f"configure: {PREFIX}{version.name}/{version.version}: has no {missing[0]}; register a newer one, or name "
            "the folder models/gan/<replicate> of its project"
        )
    if version.tags.get(registry.DIGEST) != registry.weights_digest(Network("generator", "", folder)):
        raise UserError(f"configure: {PREFIX}{version.name}/{version.version}: its files are not those registered")
    return folder


def _keep(model: str, folder: Path) -> Path:
    name = re.sub(r"[^\w.-]+", "-", re.split("[@/]", model)[0])
    kept = REGISTERED / f"{name}-{hash_file(folder / 'generator.safetensors')[:12]}"
    if not kept.exists():
        with creating(kept) as part:
            shutil.copytree(folder, part)
        typer.echo(f"{kept}: downloaded; to keep it with the project: dvc add {kept}")
    return kept
