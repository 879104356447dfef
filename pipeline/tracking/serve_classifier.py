"""The registered classifier in use: encoded images => classes. MLflow's loader module; needs synthmix installed."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

from pipeline.classifier.inference import predict
from pipeline.classifier.network import Network
from pipeline.classifier.saved import load_classifier, read_classifier_record
from pipeline.device import pick_device
from pipeline.images import LabelledImages, Pixels
from pipeline.sources.pictures import decode
from pipeline.tracking.package import probability_column


@dataclass(frozen=True)
class ServedClassifier:
    """A network with what it must know of images that come from anywhere."""

    network: Network
    image_size: int
    channels: int
    class_names: tuple[str, ...]
    flip: bool

    def predict(self, data: pd.DataFrame) -> pd.DataFrame:
        """Column `image`, encoded images of any size and mode => `label`, `confidence` and `p(class)` a class.

        Images are brought to the network's size and mode as `prepare` does with a folder of them.

        Raises:
            MlflowException: a row is no image; a server answers it with code 400.
        """
        images = np.stack([self._decode(row, value) for row, value in enumerate(data["image"])])
        unlabelled = LabelledImages(images, np.zeros(len(images), np.int64), self.class_names)
        logits = torch.from_numpy(predict(self.network, unlabelled, flip=self.flip)).double()
        probabilities = logits.softmax(1).numpy()
        best = probabilities.argmax(1)
        answer = {"label": [self.class_names[i] for i in best], "confidence": probabilities.max(1)}
        answer |= {probability_column(name): probabilities[:, i] for i, name in enumerate(self.class_names)}
        return pd.DataFrame(answer, index=data.index)

    def _decode(self, row: int, encoded: bytes) -> Pixels:
        """uint8 HWC at the network's size and mode."""
        try:
            pixels = decode(io.BytesIO(encoded), self.image_size).pixels
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(f"row {row}: image: {error}") from None
        return pixels if self.channels == 3 else np.asarray(Image.fromarray(pixels).convert("L"))[..., None]


def _load_pyfunc(folder: str, model_config: Mapping[str, Any] | None = None) -> ServedClassifier:
    """What MLflow calls; the device is PIPELINE_DEVICE's.

    A network of the user's own loads only where `model_config` names the same module:function, so that a file in a
    registry does not decide which code runs. MLflow hands over none where a version was registered without.
    """
    path = Path(folder)
    record = read_classifier_record(path)
    size, channels, names = record.image_size, record.shape.channels, record.class_names
    none = LabelledImages(np.empty((0, size, size, channels), np.uint8), np.empty(0, np.int64), names)
    network = load_classifier(path, pick_device(), none, network=(model_config or {"network": ""})["network"])
    return ServedClassifier(network, size, channels, names, record.flip)
