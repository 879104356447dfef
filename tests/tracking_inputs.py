"""Runs and results that the tests of tracking are about."""

import re
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from pipeline.classifier.network import Architecture, build_network
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.saved import ClassifierRecord, save_classifier
from pipeline.evaluation.result import Result, rounded
from pipeline.files import write_csv, write_json
from pipeline.gan.description import GanDescription
from pipeline.gan.networks import ImageShape, PixelShuffleGenerator, PixelUnshuffleDiscriminator
from pipeline.gan.sampling import Sampler
from pipeline.params.load import load_all_params
from pipeline.sources.description import DatasetDescription
from pipeline.tracking import TrackedRun, execution, store, tracked_run, writer
from pipeline.tracking.lock import dvc_md5
from pipeline.tracking.messages import End, Start, Status
from pipeline.tracking.sync import sync as run_sync
from tests.evaluation_inputs import FIDELITY, make_cell, make_params, plant

ROOT = Path(__file__).resolve().parents[1]
CELL = "train_classifier@50-0"
DIGITS = tuple("0123456789")
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
GRID = {
    "synthetic_percent": [50, 100],
    "real_percent": [25, 100],
    "controls": ["ceiling"],
    "rivals": ["mixup"],
    "replicates": [0, 1],
}


def read_params() -> dict[str, Any]:
    """The values in force."""
    values: dict[str, Any] = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return values


def change_params(**blocks: dict[str, Any]) -> None:
    """Changes values of blocks of params.yaml."""
    values = read_params()
    changed = {name: values[name] | block for name, block in blocks.items()}
    Path("params.yaml").write_text(yaml.safe_dump(values | changed), encoding="utf-8")


def sync() -> tuple[int, int, int]:
    """What `synthmix track sync` added, kept and found no result of."""
    tally = run_sync(load_all_params())
    return tally.added, tally.kept, tally.absent


def open_parent() -> store.Parent:
    """The only parent run, as the store has it."""
    found = store.find_parent(store.open_experiment("digits"), execution.current_execution(read_params()))
    assert found
    return found


def child(name: str) -> Any:
    """The only child of DVC's stage `name`."""
    (run,) = store.children(open_parent(), name)
    return run


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until `condition` is true, three minutes at most: a server starts slowly on a busy machine."""
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "waited three minutes in vain"
        time.sleep(0.2)


def answers(address: str) -> bool:
    """Whether something listens there."""
    try:
        with urllib.request.urlopen(address, timeout=2):  # noqa: S310 - our own server
            return True
    except OSError:
        return False


def save_networks(folder: Path, seed: int = 0) -> None:
    """Untrained networks of the digits in `classifier` and `generator`, as the stages save them."""
    shape = Architecture(network="convnet", width=8, channels=1, num_classes=len(DIGITS))
    record = ClassifierRecord(shape=shape, image_size=16, class_names=DIGITS, flip=False)
    save_classifier(folder / "classifier", build_network(shape, seed=seed), record)
    torch.manual_seed(seed)
    size = ImageShape(16, 1, len(DIGITS))
    sampler = Sampler(PixelShuffleGenerator(8, 8, size).eval(), 8, size, DIGITS, torch.device("cpu"))
    about = GanDescription(
        recipe="r3", networks="", latent_dim=8, width=8, image_size=16, channels=1, class_names=DIGITS,
        images_seen=512, restarts=0, degraded=False, small_cas=0.5, seed=0,
    )  # fmt: skip
    sampler.save(folder / "generator", about)


def build_own(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """Networks as a user names them."""
    return PixelShuffleGenerator(latent_dim, width, shape), PixelUnshuffleDiscriminator(width, shape)


def track(name: str) -> AbstractContextManager[TrackedRun]:
    """The run of a stage as its script opens it, on the paths of dvc.yaml; `name` is DVC's, as in `prepare`."""
    return tracked_run(stage_of(name), paths_of(name), cell=cell_of(name))


def stage_of(name: str) -> str:
    """Its name without the cell."""
    return name.partition("@")[0]


def cell_of(name: str) -> execution.Cell:
    """What identifies a run among those of its stage, as the stage says it."""
    items = items_of(name)
    is_cell_of_ablation = len(items) > 1
    return plan_cell(load_all_params(), train_size=100, **items).identity if is_cell_of_ablation else items


def items_of(name: str) -> dict[str, Any]:
    """The values of its matrix in dvc.yaml: numbers, and the name of a control or rival."""
    stage, _, key = name.partition("@")
    items = zip(execution.CELLS.get(stage, ()), key.split("-"), strict=False)
    return {axis: int(value) if value.isdigit() else value for axis, value in items}


def command_of(name: str) -> str:
    """A stage's command in dvc.yaml, with the values of its cell and of params.yaml."""
    values = dict(execution.flatten(read_params()))
    values |= {f"item.{axis}": str(value) for axis, value in items_of(name).items()} | {"key": name.partition("@")[2]}
    command: str = GRAPH[stage_of(name)]["cmd"]
    return re.sub(r"\${(.*?)}", lambda found: values[found[1]], command)


def paths_of(name: str) -> dict[str, Path]:
    """The paths of a stage's command, by flag."""
    flags = re.findall(r"--(\S+) (\S+)", command_of(name))
    return {flag.replace("-", "_"): Path(value) for flag, value in flags}


def write_run(name: str, status: Status | None = "FINISHED") -> None:
    """The run of a stage whose files are there, written in this process; without a status it is killed."""
    now = time.time_ns() // 1_000_000
    start = Start(stage=stage_of(name), cell=dict(cell_of(name)), paths=paths_of(name), upstream={}, time=now)
    end = [End(status=status, tags={}, usage={"wall_seconds": 1.0}, time=now)] if status else []
    writer.write(start, iter(end))


def grow_history(cas: dict[int, float]) -> None:
    """The history file of the first GAN with these steps."""
    write_csv(Path("results/history/train_gan-0.csv"), [{"step": step, "cas": value} for step, value in cas.items()])


def write_cell(name: str, accuracy: float) -> None:
    """The files of one cell, as the stages write them."""
    cell = make_cell(load_all_params(), accuracy, DIGITS, **items_of(name))
    write_csv(Path(f"results/history/{cell.name}.csv"), [
        {"step": step, "train_loss": 0.2 / step, "val_accuracy": 0.3 * step} for step in (1, 2)
    ])  # fmt: skip
    write_json(Path(f"results/cells/{cell.name}.json"), cell.model_dump(exclude_none=True))


def write_results() -> None:
    """Everything a finished `dvc repro` leaves, dvc.lock too, and the files of a cell that the grid lost since."""
    for replicate in (0, 1):
        for percent in (25, 100):
            write_cell(f"train_baseline@{percent}-{replicate}", 0.8 + replicate / 50)
        write_cell(f"train_rival@mixup-{replicate}", 0.8)
        for percent in (50, 100):
            write_cell(f"train_control@ceiling-{percent}-{replicate}", 0.9)
        for percent in (10, 50, 100):
            write_cell(f"train_classifier@{percent}-{replicate}", 0.7 + replicate / 50)
        write_json(Path(f"results/assess/{replicate}.json"), FIDELITY.model_dump())
        write_csv(Path(f"results/history/train_gan-{replicate}.csv"), [{"step": 10, "images": 640, "loss_d": 1.5}])
        write_json(Path(f"data/synthetic/{replicate}/manifest.json"), {"num_images": 300})
        write_json(Path(f"data/scores/{replicate}/scores.parquet"), {"stands for": "scores"})
        write_description(Path(f"data/prepared/{replicate}/dataset.json"))
    Path("results/gan").mkdir(exist_ok=True)
    Path("results/gan/samples-0.png").write_bytes(b"picture")
    write_answer(0.1)
    write_lock()


def write_description(file: Path) -> None:
    """What the splits of a replicate hold."""
    sizes = {"train": 100, "reserve": 10, "val": 50, "select": 50, "test": 50}
    description = DatasetDescription(
        dataset="digits", class_names=DIGITS, image_size=16, channels=1, digests=dict.fromkeys(sizes, "a"),
        counts={split: dict.fromkeys(DIGITS, size // 10) for split, size in sizes.items()},
        duplicates_dropped=dict.fromkeys(sizes, 0), near_duplicates=dict.fromkeys(("val", "select", "test"), 0),
        near_duplicates_in_reserve=dict.fromkeys(("val", "select", "test"), 0),
    )  # fmt: skip
    write_json(file, description.model_dump())


def write_answer(difference: float) -> None:
    """What evaluate writes, where 50 % gain `difference` over the baseline's 0.8."""
    result = rounded(make_result().model_dump(mode="json"))
    assert isinstance(result, dict)
    for setting in (*result["settings"], result["baseline"], result["chosen"]):
        gain = difference * setting["synthetic_percent"] / 50
        setting |= {"test_accuracy_mean": 0.8 + gain, "difference_mean": gain}
    result["champion"] |= {"stage": "train_classifier", "percent": 50, "replicate": 1}
    result["dataset_replicate"] = 1
    write_json(Path("results/ablation.json"), result)
    Path("results/report.md").write_text("# It helps\n", encoding="utf-8")
    Path("results/ablation.svg").write_text("<svg/>", encoding="utf-8")


@cache
def make_result() -> Result:
    """A result of evaluate, of which 50 % are chosen."""
    grid = (f"ablation.{axis}={values}" for axis, values in GRID.items())
    params = make_params(*grid, "ablation.replicates=[0,1,2]")  # enough for the ceiling to be clear
    return plant(params, lambda percent: 0.01 if percent == 50 else 0.0).compare()


def write_lock() -> None:
    """A dvc.lock of the files that are there, with the params in force."""
    values = read_params()
    Path("dvc.lock").write_text(
        yaml.safe_dump({"schema": "2.0", "stages": {name: lock_entry(name, values) for name in stage_names()}}),
        encoding="utf-8",
    )


def lock_entry(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """What dvc.lock says of a stage."""
    entry, key = GRAPH[stage_of(name)], name.partition("@")[2]
    outs = [out if isinstance(out, str) else next(iter(out))
            for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]  # fmt: skip
    paths = [Path(out.replace("${key}", key)) for out in outs]
    keys = [param for param in entry["params"] if "$" not in param]
    return {
        "cmd": command_of(name),
        "params": {"params.yaml": {name: reduce(getitem, name.split("."), values) for name in keys}},
        "outs": [{"path": str(path), "md5": dvc_md5(path)} for path in paths if path.exists()],
    }


def stage_names() -> list[str]:
    """Names in DVC of all stages and cells of the grid."""
    params = load_all_params()
    return [
        execution.dvc_name(stage, key)
        for stage in GRAPH
        for key in (execution.declared_keys(stage, params) if stage in execution.CELLS else ("",))
    ]
