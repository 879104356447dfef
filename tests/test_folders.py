"""Folders of pictures: every one is read once or named, through links, splits and names of any coding."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.runtime.errors import UserError
from pipeline.sources import image_folder
from pipeline.sources.listing import list_files
from pipeline.sources.splits import RealImages
from tests.test_sources import ask


def picture(file: Path, level: int = 0) -> Path:
    """A flat grey picture of this level, and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (level, level, level)).save(file)
    return file


def pictures(root: Path, *files: str) -> Path:
    """Pictures of the levels 0, 1, 2 ..."""
    for level, file in enumerate(files):
        picture(root / file, level)
    return root


def load(root: Path) -> RealImages:
    """What prepare would read, at 16 pixels."""
    return image_folder.load(ask("image_folder", 16, root))


def counts(root: Path) -> list[int]:
    """Pictures of each class."""
    found: list[int] = np.bincount(load(root).pool.labels).tolist()
    return found


# Links and what else lies there -----------------------------------------------------------------------------


def test_linked_folders_are_searched_and_loops_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Beside, outside, of a class, back to the class, to the folder of all, to the root of the disk, to itself."""
    root = pictures(tmp_path / "set", "ant/0.png", "ant/1.png", "bee/2.png", "bee/in/3.png")
    pictures(tmp_path / "outside", "4.png", "deep/5.png")
    links = {"beside": "in", "out": "../../outside", "again": "../../outside", "here": ".", "up": "..", "top": "/"}
    for name, target in {**links, "loop": "loop"}.items():
        (root / "bee" / name).symlink_to(target)
    (root / "cow").symlink_to(tmp_path / "outside")
    assert counts(root) == [2, 4, 2]
    said = "left out 1 link that leads nowhere, 2 link to a folder that holds it"
    unseen = "DVC does not look behind linked folders: after a change there, run this stage with dvc repro --force"
    assert caplog.messages == [f"{root / 'bee'}: {said}", *(f"{root / name}: {unseen}" for name in ("bee", "cow"))]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_any_links_between_folders_end_and_lose_no_picture(
    tmp_path_factory: pytest.TempPathFactory, links: list[tuple[int, int]]
) -> None:
    """Six nested folders with a picture each: whatever links lead where, each picture is found once."""
    root = tmp_path_factory.mktemp("links")
    folders = [root / "/".join("abcdef"[: depth + 1]) for depth in range(6)]
    for level, folder in enumerate(folders):
        picture(folder / f"{level}.png", level)
    for number, (start, end) in enumerate(links):
        (folders[start] / f"{number}").symlink_to(folders[end])
    assert sorted(path.name for path in list_files(folders[0], {".png"})) == [f"{level}.png" for level in range(6)]


def test_whatever_is_not_read_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Hidden pictures and folders, pipes, sockets, other suffixes, and pictures beside the classes."""
    root = pictures(tmp_path, "ant/0.png", "bee/1.png", "bee/.hidden.png", "bee/.cache/3.png", "bee/odd.png/4.png")
    picture(root / "beside.png")
    os.mkfifo(root / "bee" / "pipe.png")
    (root / "bee" / "link.png").symlink_to("pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "bee" / "socket"))
    (root / "bee" / ".DS_Store").touch()
    (root / "bee" / "raw.cr2").touch()
    assert counts(root) == [1, 2]
    assert caplog.messages == [
        f"{root}: left out 1 images that lie in no class's folder",
        f"{root / 'bee'}: left out 1 .cr2, 1 hidden file, 1 hidden folder, 3 that is no file",
    ]


@pytest.mark.parametrize("link", ["bee/lost.png", "cow"])
def test_a_link_that_leads_nowhere_is_named(link: str, tmp_path: Path) -> None:
    """A picture or a whole class on a disk that is not there must not be left out."""
    root = pictures(tmp_path, "ant/0.png", "bee/1.png")
    (root / link).symlink_to("/nowhere")
    with pytest.raises(UserError, match=rf"{link}.*(No such file|leads nowhere).*repair or remove"):
        load(root)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pictures would be missing without a word: here the path to it is too long for the system, even for root."""
    root = pictures(tmp_path, "ant/0.png", "bee/2.png")
    monkeypatch.chdir(root / "bee")
    for _ in range(20):
        os.mkdir("x" * 250)  # noqa: PTH102 - relative to where no path leads
        monkeypatch.chdir("x" * 250)
    with pytest.raises(UserError, match=r"bee/x.*: cannot be read \(File name too long\)"):
        load(root)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JIF", "jfi", "jpeg", "dib", "apng", "pbm", "pnm"])
def test_other_suffixes_of_known_formats_are_read(suffix: str, tmp_path: Path) -> None:
    """What Windows calls a saved JPEG, and the like."""
    formats = {"dib": "DIB", "apng": "PNG", "pbm": "PPM", "pnm": "PPM"}
    root = pictures(tmp_path, "ant/0.png", "bee/1.png")
    Image.new("L", (16, 16), 255).save(root / "bee" / f"a.{suffix}", formats.get(suffix, "JPEG"))
    assert counts(root) == [1, 2]


# Splits -----------------------------------------------------------------------------------------------------


def test_an_official_test_split_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """train and val are the pool, test is the official test set, and the choice is said."""
    files = [f"{split}/{name}/{split}.png" for split in ("Train", "val", "test") for name in ("ant", "bee")]
    pool, test = load(pictures(tmp_path, *files))
    assert test is not None
    assert pool.class_names == test.class_names == ("ant", "bee")
    assert pool.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert pool.labels.tolist() == [0, 1, 0, 1]
    assert test.images[:, 0, 0, 0].tolist() == [4, 5]
    assert caplog.messages == [f"{tmp_path}: official splits: test, train, val"]


def test_without_test_val_is_the_official_test_set(tmp_path: Path) -> None:
    """train and val, as PyTorch's tutorials have them: nobody's held-out images are trained on."""
    pool, test = load(pictures(tmp_path, "train/ant/0.png", "train/bee/1.png", "val/ant/2.png", "val/bee/3.png"))
    assert test is not None
    assert pool.images[:, 0, 0, 0].tolist() == [0, 1]
    assert test.images[:, 0, 0, 0].tolist() == [2, 3]


def test_train_alone_is_the_pool(tmp_path: Path) -> None:
    """A set whose test images are elsewhere."""
    pool, test = load(pictures(tmp_path, "train/ant/0.png", "train/bee/1.png"))
    assert (pool.class_names, test) == (("ant", "bee"), None)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """As in COCO."""
    assert load(pictures(tmp_path, "plane/0.png", "train/old/1.png")).pool.class_names == ("plane", "train")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["train/0.png", "test/1.png"], "test has no sub-folders"),
        (["val/ant/0.png", "test/ant/1.png"], "look like splits"),
        (["train/ant/0.png", "test/ant/1.png", "ant/2.png"], "folders ant, test, train, which look like splits"),
        (["ant/0.png", "bee/1.png", "val/ant/2.png"], "folders ant, bee, val, which look like splits"),
        (["train/ant/0.png", "val/ant/1.png", "valid/ant/2.png"], "look like splits"),
        (["train/ant/0.png", "train/bee/0.png", "test/ant/1.png", "test/cow/1.png"], r"same classes \(bee, cow in"),
        (["train/ant/0.png", "train/bee/0.png", "test/ant/1.png", "test/bee/1.txt"], "no images in bee"),
    ],
)
def test_a_layout_taken_for_classes_is_refused(files: list[str], said: str, tmp_path: Path) -> None:
    """Folders named as splits never become classes without a word."""
    for file in files:
        picture(tmp_path / file) if file.endswith("png") else (tmp_path / file).parent.mkdir(parents=True)
    with pytest.raises(UserError, match=said):
        load(tmp_path)


# Names ------------------------------------------------------------------------------------------------------


def test_names_of_classes_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    """UTF-8 on the disk is UTF-8 in class names, also where Python takes file names for ASCII."""
    root = pictures(tmp_path, "ant/0.png", "\u00e9t\u00e9/1.png", "\U0001f41d/2.png", "\uffee/3.png")
    code = (
        "import sys; from pipeline.sources import image_folder; from tests.test_sources import ask; "
        "pool, _ = image_folder.load(ask('image_folder', 16, sys.argv[1])); "
        "print(sys.getfilesystemencoding(), ascii(pool.class_names), pool.digest())"
    )
    found = [
        subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True, env=env).stdout
        for env in (
            os.environ | {"PYTHONUTF8": "1"},
            os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        )
    ]
    assert [line.split()[0] for line in found] == ["utf-8", "ascii"]
    assert found[0].split(maxsplit=1)[1] == found[1].split(maxsplit=1)[1]
    assert r"('ant', '\xe9t\xe9', '\uffee', '\U0001f41d')" in found[0]


def test_names_of_classes_are_composed(tmp_path: Path) -> None:
    """macOS writes an accent as a letter of its own; the class is the same. Both in one folder are two."""
    pictures(tmp_path, "ant/0.png", "e\u0301te\u0301/1.png")
    assert load(tmp_path).pool.class_names == ("ant", "\u00e9t\u00e9")
    picture(tmp_path / "\u00e9t\u00e9" / "2.png")
    with pytest.raises(UserError, match="two folders have this name"):
        load(tmp_path)
