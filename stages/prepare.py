"""Split the real images into train, reserve, val and test."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("prepare")  # imports this module, and so torch, when the machine is checked

import numpy as np
import typer

from pipeline.files import write_json
from pipeline.params.load import load_params
from pipeline.runtime.entry import PathFlag
from pipeline.shards.writer import write_split
from pipeline.sources.description import describe
from pipeline.sources.load import load
from pipeline.sources.splits import check_sizes, split
from pipeline.tracking import tracked_run


def main(out: PathFlag) -> None:
    """Writes the splits, without shared content, and dataset.json to OUT."""
    params = load_params("dataset", "ablation.real_percent")
    dataset = params.dataset
    source = f"real:{dataset.name}"
    with tracked_run("prepare", {"out": out}):
        splits = split(*load(dataset), dataset)
        check_sizes(splits, params.ablation.real_percent)
        counts = {name: len(images) for name, images in splits.images.items()}
        (out / "dataset.json").unlink(missing_ok=True)  # written last: where it stands, the splits are whole
        for name, images in splits.images.items():
            index = np.arange(len(images), dtype=np.int64)
            write_split(out / name, name, images, index=index, seed=dataset.seed, generator=source)
        write_json(out / "dataset.json", describe(dataset.name, splits).model_dump())
    sizes = ", ".join(f"{name} {count}" for name, count in counts.items())
    typer.echo(f"{dataset.name}: {sizes}; {sum(splits.duplicates_dropped.values())} duplicates dropped")
