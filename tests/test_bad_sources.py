"""Real images that are none, or not what they say: CIFAR-10's batches and folders of pictures."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.params.load import load_all_params
from pipeline.runtime.errors import UserError
from pipeline.sources import cifar10, image_folder
from pipeline.sources.load import load
from pipeline.sources.splits import split
from tests.bad_files import Check, Spoil, link_to_itself, make_folder, set_param
from tests.test_sources import Trap, ask, png_header

ROOT = Path(__file__).resolve().parent.parent
BATCH = f"raw/{cifar10.FOLDER}/data_batch_3"
NOISE = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)


def picture(file: str, mode: str = "RGB", **options: object) -> Path:
    """Writes a picture and the folders above it."""
    path = Path("pictures", file)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(NOISE).convert(mode).save(path, **options)  # type: ignore[arg-type]
    return path


def pictures() -> None:
    """Two classes of two pictures each, as params.yaml then asks for."""
    for name in ("ant/a.png", "ant/b.png", "bee/a.png", "bee/b.png"):
        picture(name)
    set_param("dataset.title", "mine")
    set_param("dataset.name", "image_folder")
    set_param("dataset.path", "pictures")


def batches() -> None:
    """Batches named as CIFAR-10's, each of them wrong, as params.yaml then asks for."""
    set_param("dataset.title", "mine")
    set_param("dataset.name", "cifar10")
    Path(BATCH).parent.mkdir(parents=True)
    for name in (cifar10.META, *cifar10.POOL_MD5, *cifar10.TEST_MD5):
        (Path(BATCH).parent / name).write_bytes(b"\x80\x04N.")


@pytest.fixture
def real_batches(workdir: Path) -> Path:
    """Links to the real batches in the working folder; skips the test where there are none."""
    root = Path(os.environ.get("CIFAR10_ROOT") or ROOT / "data/raw")
    if not (root / cifar10.FOLDER).is_dir():
        pytest.skip("needs the real CIFAR-10: set CIFAR10_ROOT to the folder that holds cifar-10-batches-py")
    set_param("dataset.title", "mine")
    set_param("dataset.name", "cifar10")
    Path(BATCH).parent.mkdir(parents=True)
    for name in (cifar10.META, *cifar10.POOL_MD5, *cifar10.TEST_MD5):
        Path(BATCH).with_name(name).symlink_to(root.resolve() / cifar10.FOLDER / name)
    return Path(BATCH).with_name("data_batch_1")


def in_bee(name: str, data: bytes) -> Path:
    """A file among the pictures of bees."""
    path = Path("pictures", "bee", name)
    path.write_bytes(data)
    return path


def half(file: Path) -> bytes:
    """The first half of a file."""
    data = file.read_bytes()
    return data[: len(data) // 2]


def wide_float() -> None:
    """Levels between nobody knows what."""
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save("pictures/bee/float.tif")


def raw_loop() -> None:
    """CIFAR10_ROOT is a link that leads to itself."""
    shutil.rmtree("raw")
    Path("raw").symlink_to("raw")


def path_loop() -> None:
    """So is dataset.path."""
    Path("loop").symlink_to("loop")
    set_param("dataset.path", "loop")


def not_utf8() -> None:
    """A class whose name is Latin-1."""
    os.rename(b"pictures/bee", b"pictures/b\xe9b\xe9")  # noqa: PTH104 - bytes


def read_source() -> None:
    """As prepare does."""
    dataset = load_all_params().dataset
    split(load(dataset), dataset, replicate=0)


CASES: dict[str, tuple[Spoil, Spoil, tuple[str, ...]]] = {
    "cifar10: other bytes": (batches, lambda: None, (cifar10.META, "corrupt", "CIFAR10_ROOT")),
    "cifar10: a trap": (
        batches, lambda: (Path(BATCH).parent / cifar10.META).write_bytes(pickle.dumps(Trap(Path("sprung")))),
        (cifar10.META, "corrupt")),
    "cifar10: empty": (batches, lambda: (Path(BATCH).parent / cifar10.META).write_bytes(b""), ("corrupt",)),
    "cifar10: missing": (batches, Path(BATCH).with_name(cifar10.META).unlink, (cifar10.META, "No such file")),
    "cifar10: a link to itself": (
        batches, lambda: link_to_itself(str(Path(BATCH).parent / cifar10.META)), (cifar10.META, "symbolic links")),
    "cifar10: a folder": (batches, lambda: make_folder(str(Path(BATCH).parent / cifar10.META)), (cifar10.META,)),
    "cifar10: no such folder": (batches, lambda: shutil.rmtree("raw"), ("CIFAR10_ROOT is", "set it")),
    "cifar10: the folder is a link to itself": (batches, raw_loop, ("CIFAR10_ROOT is", "set it")),
    "folder: no path": (pictures, lambda: set_param("dataset.path", ""), ("path is empty",)),
    "folder: not there": (pictures, lambda: set_param("dataset.path", "none"), ("none is not a folder",)),
    "folder: a file": (pictures, lambda: set_param("dataset.path", "params.yaml"), ("is not a folder",)),
    "folder: nobody's home": (pictures, lambda: set_param("dataset.path", "~no-such-user/x"), ("name it in full",)),
    "folder: a zero byte": (pictures, lambda: set_param("dataset.path", "a\0b"), ("is not a folder", "\\x00")),
    "folder: a name without end": (pictures, lambda: set_param("dataset.path", "x" * 5000), ("is not a folder",)),
    "folder: a link to itself": (pictures, path_loop, ("is not a folder",)),
    "folder: one class": (pictures, lambda: shutil.rmtree("pictures/bee"), ("one sub-folder only", "two classes")),
    "folder: no class": (pictures, lambda: set_param("dataset.path", "pictures/bee"), ("no sub-folders",)),
    "folder: a class without pictures": (pictures, lambda: Path("pictures/cow").mkdir(), ("no images in cow",)),
    "folder: a class that is not UTF-8": (pictures, not_utf8, ("b\\udce9b\\udce9", "not UTF-8", "rename")),
    "folder: a class of too few pictures": (pictures, lambda: None, ("' has 2 images", "lower dataset")),
    "picture: empty": (pictures, lambda: in_bee("c.png", b""), ("bee/c.png (not an image)", "repair or remove")),
    "picture: text": (pictures, lambda: in_bee("c.jpg", b"<html>"), ("bee/c.jpg (not an image)",)),
    "picture: cut off": (pictures, lambda: in_bee("c.png", half(Path("pictures/bee/a.png"))), ("bee/c.png (",)),
    "picture: a pickle": (pictures, lambda: in_bee("c.png", pickle.dumps(Trap(Path("sprung")))), ("bee/c.png",)),
    "picture: starts a program": (
        pictures, lambda: in_bee("c.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"), ("bee/c.png",)),
    "picture: 60,000 x 60,000": (
        pictures, lambda: in_bee("c.png", png_header(60_000, 60_000)), ("bee/c.png", "1 of 5 files")),
    "picture: 9,000 x 9,000": (pictures, lambda: in_bee("c.png", png_header(9_000, 9_000)), ("bee/c.png",)),
    "picture: unknown levels": (pictures, wide_float, ("bee/float.tif (its levels",)),
    "picture: its name steers the terminal": (
        pictures, lambda: in_bee("\x1b[2J\n.png", b""), ("\\x1b[2J\\n.png", "not an image")),
    "picture: its name is not UTF-8": (
        pictures, lambda: Path(os.fsdecode(b"pictures/bee/\xff.png")).write_bytes(b""), ("\\udcff.png",)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_sources_are_one_line(
    case: str, workdir: Path, monkeypatch: pytest.MonkeyPatch, check_refusal: Check
) -> None:
    """Wrong batches, loops, bombs, broken pictures, odd names: one line that names the file, nothing changed."""
    make, damage, told = CASES[case]
    monkeypatch.setenv("CIFAR10_ROOT", "raw")
    make()
    damage()
    check_refusal(read_source, *told)
    assert not Path("sprung").exists()


@pytest.mark.parametrize("damage", ["cut off", "one bit", "another batch", "a pickle of the same size"])
def test_a_damaged_batch_is_one_line(
    damage: str, real_batches: Path, monkeypatch: pytest.MonkeyPatch, check_refusal: Check
) -> None:
    """One real batch that lacks its end, has one bit flipped, or is whole but not the one of its name."""
    data = bytearray(real_batches.read_bytes())
    if damage == "cut off":
        del data[20_000_000:]
    elif damage == "one bit":
        data[12_345_678] ^= 1
    elif damage == "another batch":
        data[:] = real_batches.with_name("data_batch_2").read_bytes()
    else:
        trap = pickle.dumps(Trap(Path("sprung")))
        data[: len(trap)] = trap
    real_batches.unlink()
    real_batches.write_bytes(data)
    monkeypatch.setenv("CIFAR10_ROOT", "raw")
    check_refusal(read_source, "data_batch_1: corrupt (MD5", "not the official", "CIFAR10_ROOT")
    assert not Path("sprung").exists()


def test_odd_pictures_that_are_whole_are_read(workdir: Path) -> None:
    """16 bits, CMYK, animated, in nested folders, behind links, with names of other bytes: pictures like others."""
    pictures()
    picture("bee/cmyk.jpg", "CMYK")
    picture("bee/deep.png", "I;16")
    picture("bee/nested/in/folders.png")
    frames = [Image.fromarray(NOISE)] * 2
    frames[0].save("pictures/bee/moving.gif", save_all=True, append_images=frames[1:])
    Path(os.fsdecode(b"pictures/bee/\xff.png")).write_bytes(Path("pictures/bee/a.png").read_bytes())
    Path("pictures/bee/loop").symlink_to("loop")
    Path("pictures/bee/up").symlink_to("..")
    pool, _ = image_folder.load(ask("image_folder", path="pictures"))
    assert np.bincount(pool.labels).tolist() == [2, 7]
    assert pool.images.shape == (9, 32, 32, 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]), data=st.data())
def test_any_damage_to_a_picture_is_told_or_harmless(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    """Bytes changed, cut out or put in anywhere: a picture or one line that names the file."""
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(NOISE).save(tmp_path / name / "a.png", kind)
    file = tmp_path / "bee" / "a.png"
    bad = bytearray(file.read_bytes())
    place, size = data.draw(st.integers(0, len(bad) - 1)), data.draw(st.integers(0, 40))
    bad[place : place + size] = data.draw(st.binary(max_size=40))
    file.write_bytes(bad)
    try:
        pool, _ = image_folder.load(ask("image_folder", path=tmp_path))
        assert pool.images.shape == (2, 32, 32, 3)
    except UserError as error:
        assert f"{file} (" in str(error)  # noqa: PT017 (pictures are an answer too)


@settings(max_examples=60, deadline=None)
@given(junk=st.binary(max_size=200))
def test_no_other_bytes_are_ever_unpickled(junk: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever a batch holds, what is not the official file to the byte is refused before it is looked into."""
    folder = tmp_path_factory.getbasetemp() / "cifar" / cifar10.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in (cifar10.META, *cifar10.POOL_MD5, *cifar10.TEST_MD5):
        (folder / name).write_bytes(junk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIFAR10_ROOT", str(folder.parent))
        patch.setattr(pickle, "loads", pytest.fail)
        with pytest.raises(UserError, match="corrupt"):
            cifar10.load(ask("cifar10"))
