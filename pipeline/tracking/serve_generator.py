"""The registered generator in use: rows of a dataset => PNGs. MLflow's loader module; needs synthmix installed."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from pipeline.device import pick_device
from pipeline.gan.labels import Labels
from pipeline.gan.sampling import BLOCK, Sampler
from pipeline.images import Pixels
from pipeline.shards.png import encode_png


@dataclass(frozen=True)
class ServedGenerator:
    """A generator that draws single rows."""

    sampler: Sampler

    def predict(self, data: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
        """Columns `label` (class name or number), `index`, `seed` => column `image`: PNGs as the shards have them.

        With `synthesize.latent_std` as the param `latent_std`, a row's label, index and seed give its very image.

        Raises:
            MlflowException: no such class, or a negative number; a server answers it with code 400.
        """
        passes: defaultdict[tuple[int, int, int], dict[int, tuple[int, int]]] = defaultdict(dict)
        asked: Counter[tuple[int, int]] = Counter()
        for row, values in enumerate(zip(data["label"], data["index"], data["seed"], strict=True)):
            label, index, seed = self._check(row, *values)
            passes[seed, index // BLOCK, asked[seed, index]][index % BLOCK] = (row, label)
            asked[seed, index] += 1  # one image in two classes takes two passes
        images: list[Pixels] = [np.empty(0, np.uint8)] * len(data)
        for (seed, block, _), wanted in passes.items():
            labels = np.zeros(BLOCK, np.int64)
            for offset, (_, label) in wanted.items():
                labels[offset] = label
            start = block * BLOCK
            drawn, _ = self.sampler.draw(
                start, start + BLOCK, seed=seed, std=params["latent_std"], labels=Labels(np.empty(0, np.int64), labels)
            )
            for offset, (row, _) in wanted.items():
                images[row] = drawn[offset]
        return pd.DataFrame({"image": [png.tobytes() for png in encode_png(np.stack(images))]}, index=data.index)

    def _check(self, row: int, label: object, index: int, seed: int) -> tuple[int, int, int]:
        """Number of the class, index and seed."""
        names = self.sampler.class_names
        number = names.index(label) if label in names else label
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < len(names):
            reason = f"{label!r} is neither a class ({', '.join(names)}) nor the number of one (0 ... {len(names) - 1})"
            raise MlflowException.invalid_parameter_value(f"row {row}: label: {reason}"[:500])
        if index < 0 or seed < 0:
            raise MlflowException.invalid_parameter_value(f"row {row}: index {index}, seed {seed}: below 0")
        return int(number), int(index), int(seed)


def _load_pyfunc(folder: str, model_config: Mapping[str, Any]) -> ServedGenerator:
    """What MLflow calls; the device is PIPELINE_DEVICE's.

    A generator of the user's own networks loads only where `model_config` names the same module:function, so
    that a file in a registry does not decide which code runs.
    """
    return ServedGenerator(Sampler.load(Path(folder), pick_device(), networks=model_config["networks"]))
