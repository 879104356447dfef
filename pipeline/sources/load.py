"""Which source the real images come from. A new one is a module with `load`, and a row here."""

from collections.abc import Callable

from pipeline.params.schema import DatasetParams
from pipeline.sources import cifar10, csv_list, digits, image_folder, parquet
from pipeline.sources.splits import RealImages

SOURCES: dict[str, Callable[[DatasetParams], RealImages]] = {
    "cifar10": cifar10.load,
    "digits": digits.load,
    "image_folder": image_folder.load,
    "parquet": parquet.load,
    "csv": csv_list.load,
}


def load(dataset: DatasetParams) -> RealImages:
    """The images of the source that `dataset.name` names.

    Raises:
        UserError: they are not there, or cannot be read.
    """
    return SOURCES[dataset.name](dataset)
