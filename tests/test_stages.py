"""The whole graph through real DVC, Parquet and SQLite MLflow, on tiny values, in a repository of its own."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from pipeline.evaluation.statistics import Verdict
from pipeline.params.compose import write_params
from stages import train_classifier
from tests.project import ENVIRONMENT, FAN_OUT, TINY, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def lock_of(folder: Path) -> bytes:
    """The bytes of dvc.lock."""
    return (folder / "dvc.lock").read_bytes()


def commit(folder: Path) -> None:
    """A first commit of all that is not ignored."""
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("add", "--all"), (*who, "commit", "-qm", "start")):
        assert run(folder, "git", *command).returncode == 0


def test_one_repro_answers_the_question(reproduced: Path) -> None:
    """Every declared setting and control is there with its interval, and verdict, fidelity and curve beside them."""
    result: dict[str, Any] = json.loads((reproduced / "results/ablation.json").read_text())
    assert [setting["synthetic_percent"] for setting in result["settings"]] == [0, 50]
    for setting in result["settings"]:
        low, mean, high = (setting[f"test_accuracy_{end}"] for end in ("low", "mean", "high"))
        assert low <= mean <= high
        assert (setting["n"], setting["replicates"]) == (2, [0, 1])
    assert [control["control"] for control in result["controls"]] == ["ceiling", "placebo"]
    assert [rival["rival"] for rival in result["rivals"]] == ["mixup"]
    assert result["verdict"] in get_args(Verdict)
    assert [point["num_real"] for point in result["learning_curve"]] == [100, 200]
    assert [replicate["replicate"] for replicate in result["replicates"]] == [0, 1]
    assert {"real_equivalent", "fidelity", "per_class", "dataset", "profile", "budget"} <= set(result)
    for name in ("ablation.csv", "ablation.svg", "report.md", "report.html", "gan/samples-1.png"):
        assert (reproduced / "results" / name).stat().st_size > 0


def test_cells_hold_what_they_declare(reproduced: Path) -> None:
    """A mixed cell saw all real and all synthetic images, its controls fresh or the same real ones, in equal steps."""
    cells = {file.stem: json.loads(file.read_text()) for file in (reproduced / "results/cells").iterdir()}
    assert len({cell["steps"] for cell in cells.values()}) == 1
    assert {name: (cell["num_real"], cell["num_synthetic"]) for name, cell in cells.items()} == {
        f"{name}-{replicate}": sizes
        for replicate in (0, 1)
        for name, sizes in {
            "train_baseline-100": (100, 0),
            "train_baseline-200": (200, 0),
            "train_rival-mixup": (100, 0),
            "train_control-ceiling-50": (100, 300),
            "train_control-placebo-50": (100, 100),
            "train_classifier-50": (100, 300),
        }.items()
    }


def test_each_replicate_has_its_own_images_and_generator(reproduced: Path) -> None:
    """No two draw the same real images or the same synthetic ones; test is the same, for it lies beside them."""
    for name in (
        "data/prepared/{}/dataset.json",
        "models/gan/{}/generator.safetensors",
        "data/synthetic/{}/manifest.json",
    ):
        first, second = ((reproduced / name.format(replicate)).read_bytes() for replicate in (0, 1))
        assert first != second, name
    read = [json.loads((reproduced / f"data/prepared/{r}/dataset.json").read_text())["digests"] for r in (0, 1)]
    assert [split for split in read[0] if read[0][split] == read[1][split]] == ["test"]


def test_a_second_repro_has_nothing_to_do(project: Path) -> None:
    """Everything is up to date right after a run, though Python has left its caches about."""
    assert "up to date" in run(project, "dvc", "repro").stdout


def test_a_stage_gives_equal_bytes_again(project: Path) -> None:
    """Running generator, dataset and a cell by force changes no byte of dvc.lock: outs are functions of inputs."""
    before = lock_of(project)
    stages = ("prepare", "train_gan@1", "synthesize@1", "train_control@ceiling-50-1", "assess@1",
              "train_classifier@50-1", "evaluate")  # fmt: skip
    forced = run(project, "dvc", "repro", "--force", "--single-item", *stages)
    assert forced.returncode == 0, forced.stdout
    assert forced.stdout.count("Running stage") == len(stages)
    assert lock_of(project) == before


def test_no_file_of_an_out_knows_time_or_place(reproduced: Path) -> None:
    """JSON, CSV, cards and reports name neither this folder nor this host."""
    here = [str(reproduced), os.uname().nodename]
    for folder in ("results", "data", "models"):
        for file in (reproduced / folder).rglob("*"):
            if file.suffix in (".json", ".csv", ".md", ".html", ".svg"):
                text = file.read_text()
                assert not [word for word in here if len(word) > 3 and word in text], file


def test_a_new_generator_retrains_no_baseline(project: Path) -> None:
    """Editing the GAN makes every generator stale and leaves every cell of real images alone."""
    file = project / "pipeline/gan/ema.py"
    file.write_text(file.read_text() + "\n# edited\n")
    stale = json.loads(run(project, "dvc", "status", "--json").stdout)
    assert {f"{stage}@{replicate}" for stage in ("train_gan", "synthesize") for replicate in (0, 1)} <= set(stale)
    assert not [name for name in stale if name.startswith(("train_baseline", "train_control", "prepare"))]


def test_values_of_an_unused_recipe_retrain_nothing(project: Path) -> None:
    """While `gan.recipe` is r3, a value of dcgan makes no stage stale but the report, which shows all values."""
    file = project / "params.yaml"
    values = yaml.safe_load(file.read_text())
    values["gan"]["dcgan"]["width"] += 8
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    stale = json.loads(run(project, "dvc", "status", "--json").stdout)
    assert set(stale) == {"evaluate"}


def test_a_missing_cell_names_the_command(project: Path) -> None:
    """evaluate walks the declared grid: what is missing is an error with its remedy, what is too much is ignored."""
    cell = project / "results/cells/train_classifier-50-1.json"
    stray = cell.with_name("train_classifier-75-9.json")
    text = cell.read_text()
    _, *command = shlex.split(yaml.safe_load((project / "dvc.yaml").read_text())["stages"]["evaluate"]["cmd"])
    cell.unlink()
    stray.write_text(text)
    missing = run(project, *command)
    cell.write_text(text)
    ignored = run(project, *command)
    stray.unlink()
    assert missing.returncode == 2
    assert "dvc repro train_classifier@50-1" in missing.stdout
    assert missing.stdout.count("\n") == 1
    assert ignored.returncode == 0, ignored.stdout
    assert "up to date" in run(project, "dvc", "repro").stdout


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("steps: 12", "stepz: 12", "classifier.stepz: no such key"),
        ("steps: 12", "steps: 2e4", "classifier.steps: 20000.0 is no whole number to YAML; write 20000"),
    ],
)
def test_wrong_params_stop_dvc_before_any_work(project: Path, old: str, new: str, told: str) -> None:
    """`dvc repro` ends in one line of ours, no traceback, and nothing is lost."""
    file, before = project / "params.yaml", (project / "params.yaml").read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    stopped = run(project, "dvc", "repro")
    file.write_text(before)
    assert stopped.returncode != 0
    assert told in stopped.stdout
    assert "Traceback" not in stopped.stdout
    assert "Running stage" not in run(project, "dvc", "repro").stdout


def test_an_undeclared_block_stops_the_stage(project: Path) -> None:
    """A stage that reads what dvc.yaml does not watch is stopped, with the place to mend."""
    file = project / "dvc.yaml"
    file.write_text(file.read_text().replace("      - assess\n      - curation\n", "      - curation\n"))
    stopped = run(project, "dvc", "repro", "--force", "--single-item", "assess@0")  # DVC overlooks what is taken away
    assert "dvc.yaml: stage assess reads params ['assess']; add them under its `params:`" in stopped.stdout


GRIDS = {
    "replace": (["ablation.mode=replace"], 50, (50, 300, 12)),
    "replace, not recycled": (["ablation.mode=replace", "curation.recycle=false"], 50, (50, 50, 12)),
    "add, not recycled": (["curation.recycle=false"], 50, (100, 100, 12)),
    "real epochs": (["ablation.budget=real_epochs", "ablation.controls=[real_only]"], 50, (100, 300, 24)),
    "pretraining": (["ablation.mixing=pretrain_finetune"], 50, (100, 300, 12)),
    "synthetic alone": ([], 100, (0, 300, 12)),
}


@pytest.mark.parametrize(("choices", "percent", "expected"), GRIDS.values(), ids=GRIDS)
def test_a_cell_trains_on_what_the_grid_asks(
    reproduced: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    choices: list[str],
    percent: int,
    expected: tuple[int, int, int],
) -> None:
    """Real and synthetic images and steps of a cell, and a classifier that is another one for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_TRACKING", "off")
    write_params(Path("params.yaml"), [*TINY, *choices])
    data, results = reproduced / "data", Path("results")
    train_classifier.main(
        data / "prepared/0", data / "prepared/test", data / "synthetic/0/data", data / "scores/0",
        synthetic_percent=percent, replicate=0, out=Path("model"), results=results,
    )  # fmt: skip
    cell = json.loads((results / f"cells/train_classifier-{percent}-0.json").read_text())
    assert (cell["num_real"], cell["num_synthetic"], cell["steps"]) == expected
    usual = reproduced / "models/train_classifier/50-0/classifier.safetensors"
    assert Path("model/classifier.safetensors").read_bytes() != usual.read_bytes()


def test_dvc_tells_the_same_numbers(project: Path) -> None:
    """`dvc metrics show` lists the answer, on a screen; `dvc plots show` reads the table."""
    result = json.loads((project / "results/ablation.json").read_text())
    metrics = json.loads(run(project, "dvc", "metrics", "show", "--json").stdout)
    (shown,) = (file["data"] for file in next(iter(metrics.values()))["data"].values())
    assert (shown["verdict"], shown["chosen_percent"]) == (result["verdict"], result["chosen_percent"])
    assert shown["difference"] == result["chosen"]["difference_mean"]
    assert len(shown) <= 12
    plots = run(project, "dvc", "plots", "show", "--json", "results/ablation.csv")
    assert plots.returncode == 0, plots.stdout
    (drawn,) = json.loads(plots.stdout[plots.stdout.index("{") :])["data"]["results/ablation.csv"]
    points = {row["synthetic_percent"]: row["test_accuracy_mean"] for row in drawn["content"]["data"]["values"]}
    means = {str(s["synthetic_percent"]): s["test_accuracy_mean"] for s in result["settings"]}
    assert {percent: float(value) for percent, value in points.items()} == means


def test_dvc_compares_answers_on_a_screen(project: Path) -> None:
    """`dvc metrics diff` names what the answer was in the last commit, and what it is now, in lines that fit."""
    commit(project)
    file = project / "results/metrics.json"
    answer = json.loads(file.read_text())
    file.write_text(json.dumps(dict.fromkeys(answer, 0.125)))
    header, *lines = run(project, "dvc", "metrics", "diff").stdout.splitlines()
    assert {line.split()[1] for line in lines} == set(answer)
    assert all(line.split()[3] == "0.125" for line in lines)
    assert max(map(len, (header, *lines))) <= 100


def test_mlflow_holds_a_parent_and_every_cell(reproduced: Path) -> None:
    """SQLite has one parent, a child a stage and cell, and the cells' final accuracies as in the files."""
    with sqlite3.connect(reproduced / "mlflow.db") as store:
        children = store.execute("select count(*) from tags where key = 'mlflow.parentRunId'").fetchone()[0]
        finished = store.execute("select count(*) from runs where status = 'FINISHED'").fetchone()[0]
        accuracy = {
            round(value, 6) for (value,) in store.execute("select value from metrics where key = 'test_accuracy'")
        }
    assert children == 1 + 2 * (3 + 6)  # prepare; of each replicate GAN, synthetic set and assessment, and six cells
    assert finished == children + 1
    cells = [json.loads(file.read_text()) for file in (reproduced / "results/cells").iterdir()]
    assert accuracy == {cell["test_accuracy"] for cell in cells}


def test_planted_faults_of_a_dataset_are_found(project: Path) -> None:
    """`dataset verify` and `regenerate` pass what synthesize left; a flipped bit and another generator are refused."""
    dataset = ("python", "-m", "pipeline", "dataset")
    verify = (*dataset, "verify", "data/synthetic/1")
    redraw = (*dataset, "regenerate", "data/synthetic/1", "--rows", "5")
    sound, proved = run(project, *verify), run(project, *redraw)
    weights = load_file(project / "models/gan/1/generator.safetensors")
    shutil.copytree(project / "models/gan/1", project / "other")
    moved = {name: np.asarray(values * 1.01).astype(values.dtype) for name, values in weights.items()}
    (project / "other/generator.safetensors").unlink()
    save_file(moved, project / "other/generator.safetensors")
    refused = run(project, *redraw, "--generator", "other")
    shard = next((project / "data/synthetic/1/data").iterdir())
    content = bytearray(shard.read_bytes())
    content[5000] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(content)
    found = run(project, *verify)
    assert sound.returncode == proved.returncode == 0, sound.stdout + proved.stdout
    assert "5 rows drawn again: 0.0000 % of their pixel values differ" in proved.stdout
    assert refused.returncode == found.returncode == 2
    assert "error: other: is generator" in refused.stdout
    assert shard.name in found.stdout


def test_an_experiment_asks_the_classic_gan(project: Path) -> None:
    """`dvc exp run -S gan.recipe=dcgan` trains the baseline recipe, `exp show` lists it, `metrics diff` compares."""
    before = (project / "params.yaml").read_text()
    commit(project)
    asked = run(project, "dvc", "exp", "run", "-n", "classic", "-S", "gan.recipe=dcgan", "train_gan@0")
    recipe = json.loads((project / "models/gan/0/generator.json").read_text())["recipe"]
    shown = run(project, "dvc", "exp", "show", "--csv").stdout
    changed = run(project, "dvc", "params", "diff", "--json").stdout
    (project / "params.yaml").write_text(before)
    restored = run(project, "dvc", "repro")
    assert asked.returncode == 0, asked.stdout
    assert recipe == "dcgan"
    assert "classic" in shown
    assert json.loads(changed)["params.yaml"] == {"gan.recipe": {"old": "r3", "new": "dcgan"}}
    assert restored.returncode == 0, restored.stdout
    assert json.loads(run(project, "dvc", "metrics", "diff", "--json").stdout) == {}


EXPERIMENT = """# @package _global_
sweep:
  name: tried
  settings:
    few: {curation.keep_percent: 40, ablation.rivals: [mixup]}
    plain: {}
"""


def test_a_killed_experiment_goes_on_and_leaves_the_folder_alone(project: Path) -> None:
    """kill -9 amid the first setting, the same command again: what is done is not done twice, both are compared.

    params.yaml, dvc.lock and the results of the working folder are at no time others than before. What a setting has
    in common with any run comes from the cache: of the plain one all but nothing is run.
    """
    (project / "conf/experiment/tried.yaml").write_text(EXPERIMENT)
    commit(project)
    watched = [project / name for name in ("params.yaml", "dvc.lock", "results/ablation.json")]
    before = [file.read_bytes() for file in watched]
    experiment = [*FAN_OUT, *TINY, "experiment=tried"]
    with subprocess.Popen(
        experiment, cwd=project, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as killed:
        assert killed.stdout
        next(line for line in killed.stdout if line.startswith("train_classifier@"))  # the first of two has ended
        killed.kill()
    assert [file.read_bytes() for file in watched] == before
    again = run(project, *experiment)
    assert again.returncode == 0, again.stdout
    ran = re.findall(r"(?m)^ *((?:train|synth|assess)\w*) +([1-9])", again.stdout)
    assert [kind for kind, _ in ran] == ["train_classifier"]  # of few alone
    assert [file.read_bytes() for file in watched] == before
    tried = json.loads((project / "results/tried.json").read_text())
    assert [entry["name"] for entry in tried["settings"]] == ["few", "plain"]
    few, plain = (json.loads((project / f"results/tried/{name}.json").read_text()) for name in ("few", "plain"))
    assert plain == json.loads(before[2])
    assert few["fidelity"] != plain["fidelity"]
    assert few["baseline"] == plain["baseline"]
    assert run(project, "git", "worktree", "list").stdout.count("\n") == 1
    assert run(project, "dvc", "exp", "list", "--name-only").stdout.count("tried-") == 2


KILLED_STAGE = (
    "import os, runpy, signal, sys\n"
    "from pipeline.gan import state, training\n"
    "training.SECONDS_BETWEEN_SAVES = 0.0\n"
    "save, countdown = state.save_state, int(sys.argv.pop(1))\n"
    "def save_then_die(*arguments):\n"
    "    global countdown\n"
    "    save(*arguments)\n"
    "    countdown -= 1\n"
    "    if countdown == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
    "state.save_state = save_then_die\n"
    "runpy.run_module('stages.train_gan', run_name='__main__')\n"
)


def test_a_killed_generator_goes_on_to_equal_bytes(project: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of training, then the stage again: weights and history as if nothing had happened."""
    flags = ["--train", str(project / "data/prepared/1/train"), "--select", str(project / "data/prepared/1/select"),
             "--replicate", "1", "--out", str(tmp_path / "gan"),
             "--history", str(tmp_path / "history.csv"), "--samples", str(tmp_path / "samples.png"),
             "--evolution", str(tmp_path / "evolution.png")]  # fmt: skip
    killed = run(project, sys.executable, "-c", KILLED_STAGE, "4", *flags, DVC_ROOT=str(project))
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    left = list((project / ".resume/train_gan").glob("*/state.pt"))
    assert len(left) == 1
    assert not (tmp_path / "gan").exists()
    again = run(project, sys.executable, "-m", "stages.train_gan", *flags, DVC_ROOT=str(project))
    assert again.returncode == 0, again.stdout
    assert not left[0].exists()
    for name in ("generator.safetensors", "generator.json"):
        assert (tmp_path / "gan" / name).read_bytes() == (project / "models/gan/1" / name).read_bytes()
    assert (tmp_path / "evolution.png").read_bytes() == (project / "results/gan/evolution-1.png").read_bytes()
    assert (tmp_path / "history.csv").read_bytes() == (project / "results/history/train_gan-1.csv").read_bytes()
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["step"] for row in rows] == ["3", "6", "8"]


def test_no_stage_outlives_a_killed_dvc(project: Path) -> None:
    """kill -9 of dvc alone ends the stage that it runs, be it still loading torch; the next repro is not blocked.

    Under plain sh, which would stay between dvc and the stage as bash does not.
    """
    file, before = project / "params.yaml", (project / "params.yaml").read_text()
    file.write_text(before.replace("steps: 8\n", "steps: 800000\n"))
    dvc = subprocess.Popen(["dvc", "repro", "train_gan@0"], cwd=project, env=ENVIRONMENT | {"SHELL": "/bin/sh"},
                           stdout=subprocess.DEVNULL)  # fmt: skip
    stage = wait_for_child(dvc.pid, "stages.train_gan")
    dvc.kill()
    dvc.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{stage}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    orphan = Path(f"/proc/{stage}").exists()
    file.write_text(before)
    assert not orphan
    again = run(project, "dvc", "repro")
    assert again.returncode == 0, again.stdout
    assert "Running stage" not in again.stdout


def wait_for_child(parent: int, module: str) -> int:
    """Process id of the running `module` below `parent`, once Python itself is up."""
    for _ in range(300):
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it may end while we look
                words = (process / "cmdline").read_text().split("\0")
                ppid = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                if ppid == parent and module in words:
                    time.sleep(0.5)
                    return int(process.name)
        time.sleep(0.1)
    raise AssertionError(f"{module} did not start")
