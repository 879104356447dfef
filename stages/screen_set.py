"""Take the images of a set that another program made, without those that copy images on which cells are judged."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("screen_set")  # imports this module, and so torch, when the machine is checked

import typer

from pipeline.assessment.contamination import find_copies
from pipeline.device import pick_device
from pipeline.files import write_json
from pipeline.params.load import load_params
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.shards.reader import read_alike
from pipeline.sources.screened import Found, Judged, save_screened, screen
from pipeline.sources.taken import Draw, take_images
from pipeline.tracking import tracked_run

JUDGED: tuple[Judged, ...] = ("test", "val", "select")


def main(prepared: PathFlag, test: PathFlag, replicate: IntFlag, out: PathFlag, metrics: PathFlag) -> None:
    """Writes the images to OUT, and what was found to METRICS too."""
    params = load_params("synthesize", "dataset.seed", "ablation.replicates", "ablation.threads")
    device, replicates = pick_device(params.ablation.threads), params.ablation.replicates
    train, *splits = read_alike(prepared / "train", test, prepared / "val", prepared / "select")
    paths = {"prepared": prepared, "test": test, "out": out, "metrics": metrics}
    draw = Draw(replicate, replicates.index(replicate), len(replicates), params.dataset.seed)
    with tracked_run("screen_set", paths, cell={"replicate": replicate}):
        taken = take_images(params.synthesize, train, draw)
        found = {}
        for name, judged in zip(JUDGED, splits, strict=True):
            copies = find_copies(taken.images.images, judged.images, train.images, device)
            found[name] = Found(copies.exact | copies.near, copies.counted())
        screened = screen(taken, found, params.synthesize, replicate=replicate)
        save_screened(out, screened)
        write_json(metrics, screened.record.model_dump())
    record = screened.record
    typer.echo(f"{record.name}: {len(screened.images)} images, {record.num_dropped} copies of judged images left out")
