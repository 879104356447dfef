"""dvc.yaml and the code agree."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DESCRIBED = {"collect": {"models", "data/scores"}}  # where files lie for which records among the deps stand
GRAPH: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CANNOT_CHANGE_AN_OUTPUT = {  # and so need not re-run a stage when edited
    "pipeline/params",  # checks values, and holds none
    "pipeline/runtime",  # where a stage runs, and how it stops
    "pipeline/tracking",  # a view of the files
    "pipeline/dataset",  # what people do with finished shards
    "pipeline/orchestration",  # which stage runs when
}


def unit_of(module: str) -> str:
    """What dvc.yaml names for a module of ours: its folder, or the file of the ground floor."""
    parts = module.split(".")
    return f"pipeline/{parts[1]}" if (ROOT / "pipeline" / parts[1]).is_dir() else f"pipeline/{parts[1]}.py"


def imported_by(file: Path) -> set[str]:
    """Modules of pipeline that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("pipeline.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "pipeline":
            found |= {f"pipeline.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipeline."):
            inner = ROOT.joinpath(*node.module.split("."))
            names = {f"{node.module}.{a.name}" for a in node.names if (inner / f"{a.name}.py").exists()}
            found |= names or {node.module}
    return found


def files_of(unit: str) -> list[Path]:
    """The modules of a folder, or the one of the ground floor."""
    return sorted((ROOT / unit).rglob("*.py")) if (ROOT / unit).is_dir() else [ROOT / unit]


def reached_from(file: Path) -> set[str]:
    """Units that decide bytes and that running `file` can execute, through any chain of imports."""
    units: set[str] = set()
    waiting = [unit_of(module) for module in imported_by(file)]
    while waiting:
        unit = waiting.pop()
        if unit in units or unit in CANNOT_CHANGE_AN_OUTPUT:
            continue
        units.add(unit)
        waiting += [unit_of(module) for source in files_of(unit) for module in imported_by(source)]
    return units


def params_read_by(file: Path) -> set[str]:
    """The keys that a stage hands to `load_params`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_params":
            return {ast.literal_eval(argument) for argument in node.args}
    return set()


def test_every_stage_has_its_script_and_every_script_its_stage() -> None:
    """Stage = script."""
    assert {file.stem for file in (ROOT / "stages").glob("[!_]*.py")} == set(GRAPH)
    for name, stage in GRAPH.items():
        assert stage["cmd"].split()[:4] == ["exec", "python", "-m", f"stages.{name}"]


@pytest.mark.parametrize("stage", sorted(GRAPH))
def test_code_deps_are_exactly_what_a_stage_imports(stage: str) -> None:
    """An edit re-runs a stage if and only if the stage can execute the edited code."""
    declared = {dep for dep in GRAPH[stage]["deps"] if dep.startswith("pipeline/")}
    assert declared == reached_from(ROOT / "stages" / f"{stage}.py")
    assert f"stages/{stage}.py" in GRAPH[stage]["deps"]


@pytest.mark.parametrize("stage", sorted(GRAPH))
def test_params_are_exactly_what_a_stage_reads(stage: str) -> None:
    """`load_params` hands out no other value, so these are all that can change the stage's result."""
    assert set(GRAPH[stage]["params"]) == params_read_by(ROOT / "stages" / f"{stage}.py")


@pytest.mark.parametrize("stage", sorted(GRAPH))
def test_data_deps_and_outs_are_exactly_the_paths_of_the_command(stage: str) -> None:
    """Every path that the command names is under a dep or above an out, and every data dep is in the command.

    But for the user's own set, whose path the stage reads from the params: a shell would split it.
    """
    entry, described = GRAPH[stage], DESCRIBED.get(stage, set())
    words = [word for word in entry["cmd"].split() if word.split("/")[0] in ("data", "models", "results")]
    words = [word for word in words if word not in described]
    deps = [dep for dep in entry["deps"] if not dep.startswith(("pipeline/", "stages/", "${synthesize."))]
    outs = [
        next(iter(o)) if isinstance(o, dict) else o
        for kind in ("outs", "metrics", "plots")
        for o in entry.get(kind, [])
    ]
    for word in words:
        assert any(word == p or word.startswith(f"{p}/") or p.startswith(f"{word}/") for p in [*deps, *outs]), word
    for path in [*deps, *outs]:
        assert any(path == w or path.startswith(f"{w}/") or w.startswith(f"{path}/") for w in words), path


def test_every_dep_is_code_in_git_or_of_one_stage() -> None:
    """None is a folder above cached outs of several stages: DVC can pull no such folder, so a clone lacks it."""
    cached = {out for entry in GRAPH.values() for out in entry["outs"] if isinstance(out, str)}
    for name, entry in GRAPH.items():
        above = [dep for dep in entry["deps"] if any(out.startswith(f"{dep}/") for out in cached)]
        assert not above, (name, above)


LEVELS = [  # imports run downwards only, and within a level only where ALLOWED says so
    {"orchestration", "__main__"},
    {"dataset", "tracking"},
    {"evaluation", "collection", "gan", "classifier", "assessment", "sources", "extend"},
    {"shards", "params"},
    {"randomness", "files", "device"},
    {"images", "runtime"},
]
ALLOWED = {
    ("__main__", "orchestration"),
    ("assessment", "classifier"),
    ("collection", "classifier"),  # the records of files that it copies
    ("collection", "assessment"),
    ("collection", "gan"),
    ("evaluation", "classifier"),  # the records of files that it reads
    ("evaluation", "assessment"),
    ("evaluation", "sources"),
    ("evaluation", "gan"),
    ("evaluation", "extend"),
    ("extend", "classifier"),
    ("extend", "gan"),
}


@pytest.mark.parametrize("unit", sorted(set().union(*LEVELS)))
def test_imports_run_downwards_only(unit: str) -> None:
    """A file imports what stands below it: gan, classifier and sources know nothing of each other."""
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    for file in files_of(f"pipeline/{unit}" if (ROOT / "pipeline" / unit).is_dir() else f"pipeline/{unit}.py"):
        for module in imported_by(file):
            other = module.split(".")[1]
            below = level[other] > level[unit] or other == unit or (unit, other) in ALLOWED
            assert below, f"{file.relative_to(ROOT)} imports {module}"


def test_every_module_has_its_level() -> None:
    """No file stands beside the layout."""
    there = {
        path.stem for path in (ROOT / "pipeline").iterdir() if path.name != "__pycache__" and path.stem != "__init__"
    }
    assert there - {"py"} == set().union(*LEVELS)


LIBRARIES = {
    "mlflow": {"pipeline/tracking"},
    "pyarrow": {"pipeline/shards", "pipeline/dataset", "pipeline/sources/encoded.py"},
    "dvc": {"pipeline/orchestration/dvc_graph.py"},
    "hydra": {"pipeline/params/compose.py"},
    "omegaconf": {"pipeline/params/compose.py"},
    "sklearn": {"pipeline/sources", "pipeline/evaluation/class_metrics.py"},
}


def test_each_library_has_its_one_place() -> None:
    """A change of DVC, MLflow, pyarrow or Hydra touches one folder."""
    for file in [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        place = file.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                allowed = LIBRARIES.get(name.split(".")[0])
                assert allowed is None or any(place.startswith(p) for p in allowed), f"{place} imports {name}"


def test_the_graph_reads_no_test_image_before_the_end() -> None:
    """No leak: the generator and every scorer see train and val alone."""
    assert [d for d in GRAPH["train_gan"]["deps"] if d.startswith("data/")] == [
        "data/prepared/${item.replicate}/train",
        "data/prepared/${item.replicate}/select",
    ]
    assert all("test" not in dep for dep in GRAPH["assess"]["deps"])
    assert not any(dep.rstrip("/") == "data/prepared" for dep in GRAPH["assess"]["deps"])
