"""What the report shows besides the result, read and checked before anything is drawn from it."""

import io
import platform
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml
from PIL import Image

from pipeline.evaluation.grid import Grid
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.report.examples import Mistake, confident_mistakes, real_grid
from pipeline.evaluation.report.history import History, read_history
from pipeline.evaluation.result import Result
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from pipeline.shards.reader import read_images
from pipeline.sources.description import DatasetDescription, read_description
from pipeline.sources.screened import SAMPLES_FILE

LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pyarrow")
MOST_PIXELS = 10**8  # of a picture in the report: a thousand classes fit


@dataclass(frozen=True)
class Evidence:
    """What the report shows besides the result.

    Attributes:
        dataset: what dataset.json holds.
        real_samples: PNG in base64, real training images of every class.
        mistakes: of the classifier at the chosen percent that belongs to the same replicate.
        confusion: share of each class's test images (rows) that is taken for each class (columns), 0 to 1.
        params: all values of params.yaml, as YAML.
        samples: PNG, synthetic images of every class.
        neighbours: PNG, synthetic images beside their nearest real ones.
        history: columns of train_gan.csv; None where the images come from a set.
        versions: of Python and the libraries that computed the numbers.
    """

    dataset: DatasetDescription
    real_samples: str
    mistakes: list[Mistake]
    confusion: list[list[float]]
    params: str
    samples: bytes
    neighbours: bytes
    history: History | None
    versions: dict[str, str]


@dataclass(frozen=True)
class EvidencePaths:
    """The folders in which it lies, each by replicate."""

    results: Path
    prepared: Path
    collected: Path


def read_evidence(
    params: Params, paths: EvidencePaths, result: Result, grid: Grid, predictions: Predictions
) -> Evidence:
    """Collects what the report of `result` shows, of the replicate whose synthetic set is the one to take.

    Raises:
        UserError: a file is missing or corrupted, or of other classes; the line names the stage that writes it.
    """
    replicate = str(result.dataset_replicate)
    file = paths.prepared / replicate / "dataset.json"
    dataset = read_description(file)
    if set(dataset.class_names) != set(result.per_class):
        raise UserError(f"{file}: its classes are not those of the cells; run: dvc repro")
    is_gan = result.source == "gan"
    samples = paths.results / f"gan/samples-{replicate}.png"
    if not is_gan:
        samples = paths.collected / result.source / replicate / SAMPLES_FILE
    cells = grid.mixed[result.chosen_percent]
    cell = next(cell for cell in cells if cell.replicate == result.dataset_replicate)
    return Evidence(
        dataset=dataset,
        real_samples=real_grid(read_images(paths.prepared / replicate / "train")),
        mistakes=confident_mistakes(predictions.logits(cell), read_images(paths.prepared / "test")),
        confusion=predictions.confusion(cells, len(result.per_class)).tolist(),
        # from the values, not from the file: its comments are no input of a stage
        params=yaml.safe_dump(params.model_dump(), sort_keys=False),
        samples=read_picture(samples, "train_gan" if is_gan else "collect"),
        neighbours=read_picture(paths.collected / "scores" / replicate / "neighbours.png", "collect"),
        history=read_history(paths.results / "history" / f"train_gan-{replicate}.csv") if is_gan else None,
        versions={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    )


def read_picture(path: Path, stage: str) -> bytes:
    """The bytes of a PNG that `stage` wrote.

    Raises:
        UserError: missing, no PNG, or one that would fill the memory.
    """
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # an error below
            with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
                num_pixels = picture.width * picture.height
                if num_pixels <= MOST_PIXELS:
                    picture.load()
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run: dvc repro {stage}") from None
    except Exception as error:  # noqa: BLE001 - broken bytes make decoders raise any type
        raise UserError(f"{path}: corrupted ({error}); delete it and run: dvc repro {stage}") from None
    if num_pixels > MOST_PIXELS:
        raise UserError(f"{path}: {num_pixels} pixels are too many; delete it and run: dvc repro {stage}")
    return data
