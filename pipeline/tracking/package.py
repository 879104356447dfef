"""A trained network as an MLflow model: our files, signature, input example, requirements; no pickle, no code.

Loading one executes only code that is installed: `loader_module` names a module of ours, its data are a
safetensors file and its description. `code_paths` would put code into the registry instead.
"""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

# what the loaders import; synthmix itself, which is on no package index, must be installed beside them
LIBRARIES = (
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "PyYAML",
    "safetensors",
    "torch",
    "torchvision",
    "tqdm",
    "typer",
)
NOISE_SEED = 0
FULL_STD = 1.0  # of the latents, as in training

Description = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """What differs between the kinds of models.

    Attributes:
        loader_module: has `_load_pyfunc`.
        sign: description => signature.
        example: description => one row of input.
        config: what `mlflow.pyfunc.load_model(…, model_config=…)` may change.
    """

    loader_module: str
    sign: "Callable[[Description], ModelSignature]"
    example: "Callable[[Description], pd.DataFrame]"
    config: Mapping[str, str]


def write_package(target: Path, kind: str, folder: Path, run_id: str, artifact_path: str) -> None:
    """Writes the network `kind` (`classifier` or `generator`) in `folder` to the new folder `target`."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    what = KINDS[kind]
    about = json.loads((folder / f"{kind}.json").read_bytes())
    data = target.with_name(kind)
    data.mkdir()
    for file in filter(Path.is_file, packaged_files(kind, folder)):
        shutil.copyfile(file, data / file.name)  # without the mode of the original, which a server may not read
    save_model(
        target,
        loader_module=what.loader_module,
        data_path=data,
        mlflow_model=Model(artifact_path=artifact_path, run_id=run_id),
        signature=what.sign(about),
        input_example=what.example(about),
        model_config=dict(what.config),
        pip_requirements=[f"{name}=={version(name)}" for name in LIBRARIES],
    )


def model_files(folder: Path, kind: str) -> list[Path]:
    """What `pipeline.files.save_model` wrote."""
    return [folder / f"{kind}.json", folder / f"{kind}.safetensors"]


def packaged_files(kind: str, folder: Path) -> list[Path]:
    """What a package holds: a generator's discriminator too where it was kept, so that training can start from both."""
    kinds = ("generator", "discriminator") if kind == "generator" else (kind,)
    return [file for name in kinds for file in model_files(folder, name)]


def probability_column(class_name: str) -> str:
    """The classifier's column with the probability of a class."""
    return f"p({class_name})"


def _sign_classifier(about: Description) -> "ModelSignature":
    """Encoded images => class name, its probability, and that of every class."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    probabilities = [ColSpec("double", probability_column(name)) for name in about["class_names"]]
    answer = Schema([ColSpec("string", "label"), ColSpec("double", "confidence"), *probabilities])
    return ModelSignature(Schema([ColSpec("binary", "image")]), answer)


def _sign_generator(_: Description) -> "ModelSignature":
    """The columns that identify a row of the shards => PNGs; `label` is a class name or its number."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, ParamSchema, ParamSpec, Schema

    label = ColSpec(AnyType(), "label")  # type: ignore[no-untyped-call]  # a constructor that mlflow left unannotated
    row = Schema([label, ColSpec("long", "index"), ColSpec("long", "seed")])
    params = ParamSchema([ParamSpec("latent_std", "double", FULL_STD)])
    return ModelSignature(row, Schema([ColSpec("binary", "image")]), params)


def _noise(about: Description) -> "pd.DataFrame":
    """One PNG of noise: an image of the data set is not ours to put into a registry."""
    import pandas as pd
    from PIL import Image

    size, buffer = about["image_size"], io.BytesIO()
    noise = np.random.default_rng(NOISE_SEED).integers(0, 256, (size, size), np.uint8)
    Image.fromarray(noise).save(buffer, format="PNG")
    return pd.DataFrame({"image": [buffer.getvalue()]})


def _first_row(about: Description) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"label": [about["class_names"][0]], "index": [0], "seed": [0]})


KINDS = {
    "classifier": Kind("pipeline.tracking.serve_classifier", _sign_classifier, _noise, {"network": ""}),
    "generator": Kind("pipeline.tracking.serve_generator", _sign_generator, _first_row, {"networks": ""}),
}
