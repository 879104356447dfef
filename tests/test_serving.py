"""Registered models in use: real stores, real servers, clean processes."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

from pipeline.classifier.inference import predict
from pipeline.classifier.network import Architecture, build_network
from pipeline.classifier.saved import ClassifierRecord, load_classifier, save_classifier
from pipeline.files import hash_file
from pipeline.gan.labels import Labels
from pipeline.gan.sampling import Sampler
from pipeline.gan.transfer import read_start
from pipeline.images import LabelledImages, Pixels
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from pipeline.shards.writer import write_split
from pipeline.tracking import execution, registry, serve_classifier, serve_generator
from pipeline.tracking.contents import Network
from pipeline.tracking.download import fetch_choices
from pipeline.tracking.package import write_package
from tests.gan_inputs import train
from tests.tracking_inputs import (
    CELL,
    DIGITS,
    ROOT,
    child,
    open_parent,
    save_networks,
    sync,
    write_lock,
    write_results,
    write_run,
)

CPU = torch.device("cpu")
SEED, STD = 5, 0.8
ROWS = (3, 270)  # of two blocks
USER = """
import sys, pandas as pd, mlflow
for alias in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(f"models:/digits-{alias}")
    params = {"latent_std": 0.8} if alias.startswith("generator") else None
    model.predict(pd.read_parquet(alias), params=params).to_parquet(f"{alias}-answer")
"""


def png(pixels: Pixels) -> bytes:
    """uint8 HWC or HW as a file."""
    buffer = io.BytesIO()
    Image.fromarray(np.squeeze(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def registered(repo: Path) -> Path:
    """A store with the version 1 of both models."""
    save_networks(repo)
    register("train_gan@0", Network("generator", "current", repo / "generator"))
    register(CELL, Network("classifier", "champion", repo / "classifier"))
    return repo


def register(name: str, network: Network) -> None:
    """Registers a network in a new run of a stage."""
    write_run(name)
    parent = open_parent()
    registry.register(parent, parent.run_id if name == "evaluate" else child(name).info.run_id, network)


def versions(kind: str) -> dict[int, list[str]]:
    """Aliases by version."""
    client = open_parent().client
    numbers = [found.version for found in client.search_model_versions(f"name = 'digits-{kind}'")]
    return {int(n): sorted(client.get_model_version(f"digits-{kind}", n).aliases) for n in sorted(numbers)}


def noise(count: int) -> LabelledImages:
    """Images of the classifier's size."""
    pixels = np.random.default_rng(1).integers(0, 256, (count, 16, 16, 1), np.uint8)
    return LabelledImages(pixels, np.zeros(count, np.int64), DIGITS)


def use_in_clean_process(folder: Path, asked: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The answers of models that a process loads which holds nothing but synthmix and mlflow."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for alias, data in asked.items():
        data.to_parquet(elsewhere / alias)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": execution.store_uri()}
    subprocess.run([sys.executable, "-c", USER, *asked], check=True, cwd=elsewhere, env=environment)
    return {alias: pd.read_parquet(elsewhere / f"{alias}-answer") for alias in asked}


def check_answers(repo: Path) -> None:
    """Both models answer in a clean process what the pipeline says in this one."""
    data, sampler = noise(3), Sampler.load(repo / "generator", CPU, networks="")
    labels = Labels.balanced(len(DIGITS))
    drawn = LabelledImages(*sampler.draw(0, 300, seed=SEED, std=STD, labels=labels), DIGITS)
    write_split(repo / "shards", "train", drawn, index=np.arange(300), seed=SEED, generator="test")
    shard = pd.read_parquet(next((repo / "shards").glob("*.parquet")))
    answers = use_in_clean_process(repo, {
        "classifier@champion": pd.DataFrame({"image": [png(image) for image in data.images]}),
        "generator@current": shard.loc[list(ROWS), ["label", "index", "seed"]],
    })  # fmt: skip
    logits = predict(load_classifier(repo / "classifier", CPU, data, network="convnet"), data, flip=False)
    answer = answers["classifier@champion"]
    assert answer["label"].tolist() == [DIGITS[i] for i in logits.argmax(1)]
    assert answer.columns[2:].tolist() == [f"p({name})" for name in DIGITS]
    probabilities = torch.from_numpy(logits).double().softmax(1).numpy()
    assert np.allclose(answer.iloc[:, 2:].to_numpy(), probabilities, atol=1e-6)
    assert np.array_equal(answer["confidence"], answer.iloc[:, 2:].max(axis=1))
    assert answers["generator@current"]["image"].tolist() == [shard["image"][row]["bytes"] for row in ROWS]


def test_models_load_in_a_clean_process(registered: Path) -> None:
    """models:/…@champion and @current, from SQLite: the champion says what `predict` says, rows are the shards'."""
    check_answers(registered)


@pytest.mark.usefixtures("own_programs")
def test_a_classifier_of_the_users_own_network_loads_where_it_is_named(repo: Path) -> None:
    """By the same module:function as in its description; else one line, and no code of a file's choice is run."""
    data, name = noise(3), "my_classifier:build"
    shape = Architecture(network=name, width=8, channels=1, num_classes=len(DIGITS), image_size=16)
    network = build_network(shape, seed=0)
    record = ClassifierRecord(shape=shape, image_size=16, class_names=DIGITS, flip=False)
    save_classifier(repo / "classifier", network, record)
    (repo / "made").mkdir()
    write_package(repo / "made/package", "classifier", repo / "classifier", "0" * 32, "classifier")
    asked = pd.DataFrame({"image": [png(image) for image in data.images]})
    served = mlflow.pyfunc.load_model(str(repo / "made/package"), model_config={"network": name})
    assert served.predict(asked)["label"].tolist() == [DIGITS[i] for i in predict(network, data, flip=False).argmax(1)]
    with pytest.raises(UserError, match=f"asks for the network '{name}', params.yaml names ''"):
        mlflow.pyfunc.load_model(str(repo / "made/package"))


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_models_load_from_a_server(repo: Path) -> None:
    """The same over HTTP, artifacts included."""
    save_networks(repo)
    register("train_gan@0", Network("generator", "current", repo / "generator"))
    register(CELL, Network("classifier", "champion", repo / "classifier"))
    check_answers(repo)


@pytest.mark.slow
def test_command_line_classifies_a_png(registered: Path) -> None:
    """`mlflow models predict` takes base64 in JSON, as a server does, and prints nothing beside its answer."""
    encoded = base64.b64encode(png(noise(1).images[0])).decode()
    Path("ask.json").write_text(json.dumps({"dataframe_records": [{"image": encoded}]}), encoding="utf-8")
    command = ["predict", "-m", "models:/digits-classifier@champion", "-i", "ask.json", "-o", "answer.json"]
    quiet = {
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }  # as docs/serving.md says
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": execution.store_uri()} | quiet
    done = subprocess.run([sys.executable, "-m", "mlflow", "models", *command, "--env-manager", "local"], check=True,
                          env=environment, capture_output=True, text=True)  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")
    (answer,) = json.loads(Path("answer.json").read_text(encoding="utf-8"))["predictions"]
    assert answer["label"] in DIGITS
    assert answer["confidence"] == answer[f"p({answer['label']})"]


def test_a_version_is_known_by_its_network(registered: Path) -> None:
    """The same network again is no new version; its alias comes back to it; another network is version 2."""
    save_networks(registered / "other", seed=1)
    assert versions("classifier") == {1: ["champion"]}
    register("evaluate", Network("classifier", "champion", registered / "classifier"))
    assert versions("classifier") == {1: ["champion"]}
    register("evaluate", Network("classifier", "champion", registered / "other" / "classifier"))
    assert versions("classifier") == {1: [], 2: ["champion"]}
    register("evaluate", Network("classifier", "champion", registered / "classifier"))
    assert versions("classifier") == {1: ["champion"], 2: []}


def test_a_version_does_not_outlive_its_files(registered: Path) -> None:
    """A stage that runs again deletes its older run, so the version moves, with all its aliases, to the new one."""
    open_parent().client.set_registered_model_alias("digits-generator", "mine", "1")
    register("train_gan@0", Network("generator", "current", registered / "generator"))
    assert versions("generator") == {2: ["current", "mine"]}
    version = open_parent().client.get_model_version("digits-generator", "2")
    assert version.run_id == child("train_gan@0").info.run_id


def test_sync_registers_what_the_lock_names(repo: Path) -> None:
    """No versions in a fresh clone, nor of networks that other runs left; those of dvc.lock once, however often.

    A generator is known by its replicate; `current` is the one whose dataset the result names.
    """
    write_results()
    sync()
    save_networks(repo)
    shutil.move("generator", "models/gan/1")
    shutil.move("classifier", "models/train_classifier/50-1")
    sync()
    assert (versions("classifier"), versions("generator")) == ({}, {})
    write_lock()
    for _ in range(2):
        sync()
        assert (versions("classifier"), versions("generator")) == ({1: ["champion"]}, {1: ["current", "replicate-1"]})
    save_networks(repo / "other", seed=1)
    shutil.rmtree("models/gan/1")
    shutil.move("other/generator", "models/gan/1")
    sync()
    assert versions("generator") == {1: ["current", "replicate-1"]}


def test_a_package_holds_no_code_and_no_pickle(repo: Path) -> None:
    """Signature and example are there; besides them safetensors and text only."""
    save_networks(repo)
    for kind in ("classifier", "generator"):
        package = repo / "packages" / kind / "model"
        package.parent.mkdir(parents=True)
        write_package(package, kind, repo / kind, "run", "path")
        suffixes = {path.suffix for path in package.rglob("*") if path.is_file()}
        assert suffixes == {"", ".json", ".safetensors", ".txt", ".yaml"}
        assert b"binary" in (package / "MLmodel").read_bytes()
        assert (package / "serving_input_example.json").exists()
        pinned = (package / "requirements.txt").read_text().split()
        assert f"torch=={torch.__version__.split('+')[0]}" in pinned


def test_any_picture_is_brought_to_the_network(repo: Path) -> None:
    """A large photograph in colour is one row like the others, and so is a grey PNG of the right size."""
    save_networks(repo)
    model = serve_classifier._load_pyfunc(str(repo / "classifier"))
    grey = noise(1).images[0]
    colour = np.repeat(grey, 3, 2)
    answer = model.predict(pd.DataFrame({"image": [png(grey), png(colour), png(np.zeros((90, 40, 3), np.uint8))]}))
    assert answer.iloc[0].equals(answer.iloc[1])
    assert answer.notna().all().all()


def test_what_is_no_image_is_refused(repo: Path) -> None:
    """The row and the reason, as an error that a server answers with code 400."""
    save_networks(repo)
    model = serve_classifier._load_pyfunc(str(repo / "classifier"))
    with pytest.raises(MlflowException, match="row 1: image: not an image") as error:
        model.predict(pd.DataFrame({"image": [png(noise(1).images[0]), b"<html>"]}))
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"  # 400 in HTTP


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"label": "cat"}, r"row 0: label: 'cat' is neither a class \(0, 1"),
        ({"label": 10}, "row 0: label: 10 is neither"),
        ({"label": None}, "row 0: label: None is neither"),
        ({"index": -1}, "row 0: index -1, seed 0: below 0"),
    ],
)
def test_a_row_that_no_dataset_has_is_refused(repo: Path, values: dict[str, Any], reason: str) -> None:
    """An unknown class or a negative number is an error with code 400, not another image."""
    save_networks(repo)
    model = serve_generator._load_pyfunc(str(repo / "generator"), {"networks": ""})
    with pytest.raises(MlflowException, match=reason):
        model.predict(pd.DataFrame([{"label": 0, "index": 0, "seed": 0} | values]), {"latent_std": 1.0})


def test_a_class_is_named_or_numbered(repo: Path) -> None:
    """One row asked for in two classes, by name and by number: two images, each as if alone."""
    save_networks(repo)
    model = serve_generator._load_pyfunc(str(repo / "generator"), {"networks": ""})
    rows = pd.DataFrame([{"label": label, "index": 7, "seed": 2} for label in ("3", 3, 4)])
    named, numbered, other = model.predict(rows, {"latent_std": 1.0})["image"]
    assert named == numbered != other
    (alone,) = model.predict(rows[2:], {"latent_std": 1.0})["image"]
    assert alone == other


def test_a_registry_does_not_choose_the_code(repo: Path) -> None:
    """A generator of own networks loads only where the caller names their module:function."""
    save_networks(repo)
    file = repo / "generator" / "generator.json"
    own = "tests.tracking_inputs:build_own"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"networks": own}), encoding="utf-8")
    with pytest.raises(UserError, match=r"asks for the networks 'tests.tracking_inputs:build_own', "):
        serve_generator._load_pyfunc(str(repo / "generator"), {"networks": ""})
    assert serve_generator._load_pyfunc(str(repo / "generator"), {"networks": own}).sampler.latent_dim == 8


def test_a_registered_generator_becomes_a_folder_to_start_from(
    repo: Path, tiny: Params, patches: LabelledImages, capsys: pytest.CaptureFixture[str]
) -> None:
    """`configure gan.init_from=models:/…` fetches both networks, once; training then starts from the folder."""
    train(tiny.gan, patches, repo).save(repo / "gan")
    register("train_gan@0", Network("generator", "current", repo / "gan"))
    fetched = fetch_choices(["dataset=digits", "gan.init_from=models:/digits-generator@current"])
    assert fetched == fetch_choices(["dataset=digits", "gan.init_from=models:/digits-generator/1"])
    assert capsys.readouterr().out.count("downloaded") == 1
    folder = Path(fetched[1].removeprefix("gan.init_from="))
    assert hash_file(repo / "gan/generator.safetensors").startswith(folder.name.removeprefix("digits-generator-"))
    start = read_start(tiny.gan.model_copy(update={"init_from": str(folder)}), patches, replicate=0)
    assert start
    assert start.record.discriminator_sha256 == hash_file(repo / "gan/discriminator.safetensors")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("digits-generator@current", "has no discriminator.json; register a newer one"),
        ("digits-generator@nobody", "nobody"),
        ("elsewhere/1", "elsewhere"),
        ("digits-generator", "write it as models:/NAME@ALIAS or models:/NAME/VERSION"),
    ],
)
def test_a_model_to_start_from_that_is_not_there_is_one_line(registered: Path, model: str, message: str) -> None:
    """Registered without its discriminator, under another alias, not at all, or named in part."""
    with pytest.raises(UserError, match=f"^configure: gan.init_from=models:/{model.split('@')[0]}.*{message}"):
        fetch_choices([f"gan.init_from=models:/{model}"])
    assert not (registered / "registered").exists()
