"""Split the real images into train, reserve, val, select and test, for every replicate; hold classes out."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("prepare")  # imports this module, and so torch, when the machine is checked

import typer

from pipeline.params.load import load_params
from pipeline.runtime.entry import PathFlag
from pipeline.sources.held_out import split_held_out
from pipeline.sources.load import load
from pipeline.sources.splits import check_sizes
from pipeline.sources.write import write_novel, write_splits
from pipeline.tracking import tracked_run


def main(out: PathFlag) -> None:
    """Writes the splits, without shared content, to OUT/REPLICATE with their dataset.json; test to OUT.

    The images of held-out classes lie apart, in OUT/REPLICATE/novel and OUT/novel_test.
    """
    params = load_params(
        "dataset", "ablation.real_percent", "ablation.controls", "ablation.replicates", "ablation.replicate_split"
    )
    dataset, ablation = params.dataset, params.ablation
    with tracked_run("prepare", {"out": out}):
        source = load(dataset)
        for replicate in ablation.replicates:
            draw = replicate if ablation.replicate_split else None
            splits, novel = split_held_out(source, dataset, replicate=draw)
            check_sizes(splits, ablation)
            write_novel(out, replicate, novel, dataset)
            write_splits(out, replicate, splits, dataset)
    sizes = ", ".join(f"{name} {len(images)}" for name, images in splits.images.items())
    draws = f", {len(ablation.replicates)} draws" * ablation.replicate_split
    typer.echo(f"{dataset.name}: {sizes}{draws}; {sum(splits.duplicates_dropped.values())} duplicates dropped")
