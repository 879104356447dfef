"""What the program trusts: no code from data, no markup from names, no secret disclosed, no open port."""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.report.write import to_markdown
from pipeline.files import escape_markdown
from pipeline.images import LabelledImages
from pipeline.runtime.errors import UserError
from pipeline.shards.card import write_card
from pipeline.tracking import commands as tracking
from tests.evaluation_files import evaluate_and_write, write_inputs
from tests.evaluation_inputs import make_params
from tests.shard_inputs import dataset
from tests.test_report import Page
from tests.tracking_inputs import CELL, child, track, wait_for

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "stages").glob("*.py")])
TREES = {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in SOURCES}

# ---- no code from data --------------------------------------------------------------------------------------

UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
RUN_CODE = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "importlib.import_module",
    "import_module",
    "runpy.run_module",
    "runpy.run_path",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "pd.read_pickle",
    "pandas.read_pickle",
    "torch.hub.load",
    "torch.jit.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}
ALLOWED = {
    ("pipeline/sources/cifar10.py", "pickle.loads"): "of bytes whose MD5 is the official one",
    ("pipeline/runtime/own_code.py", "importlib.import_module"): "of a module that the user names in params.yaml",
    ("pipeline/runtime/entry.py", "import_module"): "of the stage that its own script names",
    ("pipeline/orchestration/workers.py", "runpy.run_module"): "of the commands in dvc.yaml",
}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """File, dotted name and node of every call in pipeline and stages."""
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield file, ast.unparse(node.func), node


def keyword(node: ast.Call, name: str) -> str | None:
    """The source of a keyword argument."""
    return next((ast.unparse(word.value) for word in node.keywords if word.arg == name), None)


def test_nothing_unpickles_or_runs_what_a_file_says() -> None:
    """Of all calls that load pickles, code or modules by name, these four are left, once each, with their reasons."""

    def unpickles(name: str) -> bool:
        return name.split(".")[0] in UNPICKLERS and name.split(".")[-1].startswith("load")

    found = [(file, name) for file, name, _ in calls() if name in RUN_CODE or unpickles(name)]
    assert sorted(found) == sorted(ALLOWED)


def test_unpicklers_are_not_hidden_by_their_import() -> None:
    """Nothing imports a single function of such a module, or one of those libraries."""
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in {*UNPICKLERS, "runpy", "importlib.util"}, file
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & (UNPICKLERS - {"pickle"}), file


def test_loaders_are_asked_for_data_alone() -> None:
    """torch.load has weights_only, np.load no pickles, YAML a safe loader."""
    for file, name, node in calls():
        if name == "torch.load":
            assert keyword(node, "weights_only") == "True", file
        if name.split(".")[-1] == "load" and name.split(".")[0] in ("np", "numpy"):
            assert keyword(node, "allow_pickle") in (None, "False"), file
        if name == "yaml.load":
            loader = keyword(node, "Loader") or ""
            assert loader == "_Loader" or loader == "loader" or "SafeLoader" in loader, file
        assert keyword(node, "trust_remote_code") in (None, "False"), file


def test_no_shell_is_built() -> None:
    """No subprocess goes through a shell, and none is given one string."""
    for file, name, node in calls():
        assert keyword(node, "shell") in (None, "False"), file
        if name in ("subprocess.run", "subprocess.Popen", "subprocess.check_output"):
            assert isinstance(node.args[0], ast.List), f"{file}: {ast.unparse(node.args[0])}"


def test_the_workflow_puts_no_text_of_others_into_a_shell() -> None:
    """Names of branches and requests reach CI's scripts as variables, never as text of the script."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert steps
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []
    assert any(step.get("run") == "make audit" for step in workflow["jobs"]["audit"]["steps"])
    assert workflow["permissions"] == {"contents": "read"}


# ---- no markup from names -----------------------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script>",
    "a|b `c` **d**",
    "</td><img src=x onerror=alert(1)>",
    "two\nlines\n| x |",
    "[link](javascript:alert(1))",
    "\x1b[31m{{ 7 * 7 }} ${x}",
)


class Attributes(Page):
    """Collects the names of attributes too."""

    def __init__(self, text: str) -> None:
        self.attributes: set[str] = set()
        super().__init__(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the tag's attributes."""
        self.attributes |= {name for name, _ in attrs}
        super().handle_starttag(tag, attrs)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report about classes of hostile names."""
    folder = tmp_path_factory.mktemp("hostile")
    params = make_params("ablation.replicates=[0,1]")
    write_inputs(folder, params, lambda percent: 0.0, HOSTILE)
    result = evaluate_and_write(folder, params, folder / "out")
    assert to_markdown(result, HOSTILE) == (folder / "out/report.md").read_text(encoding="utf-8")
    return folder / "out"


def test_names_are_text_in_the_page(reported: Path) -> None:
    """report.html holds no element, attribute or address of a class name's; each name is there as text."""
    text = (reported / "report.html").read_text(encoding="utf-8")
    page = Attributes(text)
    assert page.attributes
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.loads)
    assert not [name for name in page.attributes if name.startswith("on")]
    shown = " ".join(page.text.split())
    assert all(" ".join(name.split()) in shown for name in HOSTILE)


def test_names_are_text_in_markdown(reported: Path) -> None:
    """report.md has one row a class, with as many cells as the head, and no tag but its own."""
    text = (reported / "report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"<(/?\w+)", text)) <= {"details", "summary", "/summary", "/details"}
    assert not re.search(r"(?<!\\)\[[^\]]*\]\(javascript", text)
    tables = re.findall(r"(?m)^\|.*\|$(?:\n\|.*\|$)*", text)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
    assert any(len(table.splitlines()) == 2 + len(HOSTILE) for table in tables)


def test_names_are_text_on_the_card(tmp_path: Path) -> None:
    """The dataset card: a table row a class, the header one YAML mapping that holds each name as it is."""
    labels = np.arange(12) % len(HOSTILE)
    images = LabelledImages(np.zeros((12, 8, 8, 1), np.uint8), labels, HOSTILE)
    root = dataset(tmp_path / "set", images)
    write_card(root, name="<b>x</b>\n# y", licence="x\n---\nz: 1", about={"a|b": "<i>\n|", "class_names": HOSTILE})
    _, header, text = re.split(r"(?m)^---\n", (root / "README.md").read_text(encoding="utf-8"), maxsplit=2)
    content = yaml.safe_load(header)
    assert list(content["dataset_info"]["features"][1]["dtype"]["class_label"]["names"].values()) == list(HOSTILE)
    assert content["license"] == "x\n---\nz: 1"
    assert "z" not in content
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert not re.search(r"<\w", prose)
    rows = [line for line in prose.splitlines() if line.startswith("|") and line.endswith("| 2 |")]
    assert len(rows) == len(HOSTILE)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)


@given(st.text())
def test_any_text_is_one_literal_line_of_markdown(text: str) -> None:
    """No line break, no tag, no mark without its backslash; what one reads is the text."""
    shown = escape_markdown(text)
    assert len(shown.splitlines()) <= 1
    assert "<" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|#~]", shown)
    read = re.sub(r"\\(.)", r"\1", shown).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert read == " ".join(text.split())


@given(st.text())
def test_an_error_is_one_line_that_steers_no_terminal(text: str) -> None:
    """Whatever stands in an error, it prints as one line of visible characters."""
    assert str(UserError(text)).isprintable()


# ---- no secret disclosed, no open port -----------------------------------------------------------------------------


def test_ui_binds_to_this_machine_and_hides_the_address_of_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server listens on 127.0.0.1, and no argument, which every user could read, holds the password."""
    command: list[str] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: command.extend(arguments))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:Zq7secret@db/runs")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "")
    tracking._become_server(Path("/somewhere"), 5000)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "Zq7secret" not in " ".join(command)
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:Zq7secret@db/runs"


def test_nothing_else_listens() -> None:
    """No address of all machines is there, no server but the one of `ui`, and Ray in its engine alone."""
    assert [file for file, _, node in calls() if '"server"' in ast.unparse(node).replace("'", '"')] == [
        "pipeline/tracking/commands.py"
    ]
    for file, tree in TREES.items():
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not [text for text in texts if text in ("0.0.0.0", "::")], file  # noqa: S104 - what must not be there
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {"socketserver", "http.server"} & (names | modules), file
        assert "ray" not in names | modules or file == "pipeline/orchestration/ray_engine.py", file


def listening(parent: int) -> set[str]:
    """Addresses, in /proc's hexadecimal, on which processes of the session `parent` listen."""
    inodes = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) == parent:
                inodes |= {
                    str(link.readlink())[8:-1]
                    for link in (process / "fd").iterdir()
                    if str(link.readlink()).startswith("socket:")
                }
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].split(":")[0])
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ui_listens_on_loopback_alone(repo: Path) -> None:
    """A real `synthmix track ui`: all its processes listen on 127.0.0.1 and nowhere else."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "track", "ui", "--port", str(port)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        wait_for(lambda: process.poll() is not None or listening(process.pid))
        time.sleep(1)  # a second server would be up by then
        assert listening(process.pid) == {"0100007F"}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_secret_in_the_address_is_neither_printed_nor_logged(
    repo: Path, server: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Runs go to http://user:secret@server, and the secret is in no output, param, tag, metric or file of theirs."""
    address = os.environ["MLFLOW_TRACKING_URI"].replace("//", "//Zq7user:Zq7secret@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with track(CELL) as run:
        run.publish()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("Zq7user:Zq7secret@", ""))
    assert child(CELL).info.status == "FINISHED"
    printed = capfd.readouterr()
    assert "Zq7" not in printed.out + printed.err
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    holding = [file for file in repo.rglob("*") if file.is_file() and b"Zq7" in file.read_bytes()]
    assert holding == []
