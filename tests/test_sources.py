"""Sources: verified CIFAR-10, bundled digits, and folders of whatever images people have."""

import os
import pickle
import struct
import subprocess
import sys
import urllib.request
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError
from pipeline.sources import cifar10, digits, image_folder
from pipeline.sources.near_duplicates import count_near_duplicates

FILES = [cifar10.META, *cifar10.POOL_MD5, *cifar10.TEST_MD5]


def ask(
    name: Literal["cifar10", "digits", "image_folder", "parquet", "csv"],
    image_size: int = 32,
    path: Path | str = "",
) -> DatasetParams:
    """Params that name a source."""
    return DatasetParams(
        name=name,
        title="mine",
        path=str(path),
        image_size=image_size,
        train_size=10,
        val_size=10,
        select_size=10,
        test_size=10,
        balance="balanced",
        class_shares=[],
        imbalance_factor=1,
        seed=0,
        held_out=[],
    )


def test_sources_start_without_torch() -> None:
    """Digits and folders of images cost no import of torch, torchvision or (before use) scikit-learn."""
    code = (
        "import sys; from pipeline.sources import cifar10, digits, image_folder, splits; "
        "print([name for name in ('torch', 'torchvision', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# CIFAR-10 ---------------------------------------------------------------------------------------------------


@pytest.fixture
def real_root() -> Path:
    """The folder that holds the real CIFAR-10; skips the test where there is none."""
    root = Path(os.environ.get("CIFAR10_ROOT") or "data/raw")
    if not (root / cifar10.FOLDER).is_dir():
        pytest.skip("needs the real CIFAR-10: set CIFAR10_ROOT to the folder that holds cifar-10-batches-py")
    return root.resolve()


def test_cifar10_is_whole(real_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """50,000 + 10,000 RGB images, as many of each class, upright and in the channel order of the original."""
    monkeypatch.setenv("CIFAR10_ROOT", str(real_root))
    pool, test = cifar10.load(ask("cifar10"))
    assert test is not None
    assert pool.images.shape == (50_000, 32, 32, 3)
    assert np.bincount(pool.labels).tolist() == [5_000] * 10
    assert np.bincount(test.labels).tolist() == [1_000] * 10
    assert pool.class_names[:4] == ("airplane", "automobile", "bird", "cat")
    ships = pool.images[pool.labels == 8].mean(axis=(0, 2))  # rows x channels
    assert ships[:16, 2].mean() > ships[16:, 2].mean() + 10  # the sky is above the sea
    assert ships[:, 2].mean() > ships[:, 0].mean() + 10  # and blue


def test_near_duplicates_of_cifar10_are_those_that_people_see(real_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Barz & Denzler's judgements: one shot twice is found, two very similar ones are not.

    Neither are the most alike of those that show two scenes; mirrored ones, which their list leaves out, are found.
    """
    monkeypatch.setenv("CIFAR10_ROOT", str(real_root))
    pool, test = cifar10.load(ask("cifar10"))
    assert test is not None
    one_shot, mirrored = {159: 25768, 6080: 9148, 673: 34116, 7029: 19059}, {4838: 29986, 3187: 13237, 4602: 42341}
    other_shot = {8754: 4033, 8894: 34938, 8630: 40247, 803: 31738, 4886: 48063, 235: 28866, 6119: 46237}
    other_scene = {9356: 23016, 482: 32861, 2790: 48462, 4126: 13627, 4256: 8248}
    pairs = {"one shot": one_shot, "mirrored": mirrored, "other shot": other_shot, "other scene": other_scene}
    queries = {name: test.images[list(rows)] for name, rows in pairs.items()}
    partners = [row for rows in pairs.values() for row in rows.values()]
    found = count_near_duplicates(queries, pool.images[partners])
    assert found == {"one shot": 4, "mirrored": 3, "other shot": 0, "other scene": 0}


class Trap:
    """A pickle that makes a folder as soon as it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_cifar10_unpickles_nothing_unverified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are not the official ones run no code, though they lie where ours are downloaded to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR10_ROOT", raising=False)
    (cifar10.RAW / cifar10.FOLDER).mkdir(parents=True)
    for name in FILES:
        (cifar10.RAW / cifar10.FOLDER / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(UserError, match="corrupt"):
        cifar10.load(ask("cifar10"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("root", ["", "nothing-here", "empty"])
def test_cifar10_root_without_the_files_is_an_error(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CIFAR10_ROOT that is set leads to no download, not even if it is empty text."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIFAR10_ROOT", root)
    with pytest.raises(UserError, match=f"^CIFAR10_ROOT is '{root}', where there is no cifar-10-batches-py; set"):
        cifar10.load(ask("cifar10"))
    assert not (tmp_path / "data").exists()


def test_cifar10_offline_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No files and no network: the ways out, and nothing under the final name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib keeps the first proxies for later tests
    for name in ("CIFAR10_ROOT", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: refused at once
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    with pytest.raises(UserError) as error:
        cifar10.load(ask("cifar10"))
    assert str(error.value).startswith("CIFAR-10 could not be downloaded (")
    assert str(error.value).endswith(cifar10.WAYS_OUT)
    assert "\n" not in str(error.value)
    assert not (cifar10.RAW / cifar10.FOLDER).exists()


def test_cifar10_md5s_are_the_official_ones() -> None:
    """The table equals torchvision's, so a correct copy is never refused."""
    from torchvision.datasets import CIFAR10

    assert list(cifar10.POOL_MD5.items()) == [tuple(entry) for entry in CIFAR10.train_list]
    assert list(cifar10.TEST_MD5.items()) == [tuple(entry) for entry in CIFAR10.test_list]
    assert (CIFAR10.meta["filename"], CIFAR10.meta["md5"]) == (cifar10.META, cifar10.META_MD5)
    assert CIFAR10.base_folder == cifar10.FOLDER


# Digits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 32, 64])
def test_digits_are_whole(size: int) -> None:
    """1,797 grey digits over the whole range of levels, ink bright, in ten classes named by their digit."""
    pool, test = digits.load(ask("digits", size))
    assert test is None
    assert pool.images.shape == (1797, size, size, 1)
    assert np.bincount(pool.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert pool.class_names == tuple("0123456789")
    assert (pool.images.min(), pool.images.max()) == (0, 255)
    middle = slice(size * 3 // 8, size * 5 // 8)
    zeros, ones = (pool.images[pool.labels == label][:, middle, middle].mean() for label in (0, 1))
    assert ones > zeros + 100  # a zero is hollow, a one is not


# Folders of images ------------------------------------------------------------------------------------------


def save(file: Path, image: Image.Image, **options: object) -> Path:
    """Writes an image and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, **options)  # type: ignore[arg-type]
    return file


def one_of_each(tmp_path: Path) -> Path:
    """Two classes, one plain image each."""
    save(tmp_path / "ant" / "a.png", Image.new("RGB", (40, 40), (10, 20, 30)))
    save(tmp_path / "bee" / "b.png", Image.new("RGB", (40, 40), (40, 50, 60)))
    return tmp_path


def load_one(tmp_path: Path, file: str, image: Image.Image, **options: object) -> np.ndarray:
    """What becomes of `image`, saved as the only `file` of a class."""
    save(one_of_each(tmp_path) / "zoo" / file, image, **options)
    pool, _ = image_folder.load(ask("image_folder", path=tmp_path))
    assert pool.class_names == ("ant", "bee", "zoo")
    return np.asarray(pool.images[-1])


def grey16(level: int) -> Image.Image:
    """16 bits a pixel."""
    return Image.fromarray(np.full((40, 50), level, np.uint16))


def palette(image: Image.Image) -> Image.Image:
    """Pixels that are numbers of colours."""
    return image.convert("P", palette=Image.Palette.ADAPTIVE)


RED, MIDDLE = (255, 0, 0), (128, 128, 128)
MODES = {
    "grey.png": (Image.new("L", (50, 40), 128), MIDDLE),
    "bilevel.png": (Image.new("1", (50, 40), 1), (255, 255, 255)),
    "palette.png": (palette(Image.new("RGB", (50, 40), RED)), RED),
    "palette.gif": (palette(Image.new("RGB", (50, 40), RED)), RED),
    "opaque.png": (Image.new("RGBA", (50, 40), (*RED, 255)), RED),
    "transparent.png": (Image.new("RGBA", (50, 40), (*RED, 0)), (255, 255, 255)),
    "half.png": (Image.new("RGBA", (50, 40), (0, 0, 0, 127)), MIDDLE),
    "grey-alpha.png": (Image.new("LA", (50, 40), (128, 255)), MIDDLE),
    "cmyk.tiff": (Image.new("CMYK", (50, 40), (0, 255, 255, 0)), RED),
    "cmyk.jpg": (Image.new("CMYK", (50, 40), (0, 255, 255, 0)), RED),
    "deep.png": (grey16(128 * 257), MIDDLE),
    "deep.tif": (grey16(128 * 257), MIDDLE),
    "deep.pgm": (grey16(128 * 257), MIDDLE),
    "UPPER.PNG": (Image.new("RGB", (50, 40), RED), RED),
    "tiny.bmp": (Image.new("RGB", (1, 1), RED), RED),
    "wide.webp": (Image.new("RGB", (500, 3), MIDDLE), MIDDLE),
    "large.jpg": (Image.new("RGB", (3000, 2000), MIDDLE), MIDDLE),
}


@pytest.mark.parametrize("file", MODES)
def test_any_mode_and_size_becomes_rgb(file: str, tmp_path: Path) -> None:
    """Grey, palette, alpha, CMYK, 16 bits; one pixel or six million: 32 x 32 RGB of the colour one sees."""
    image, colour = MODES[file]
    pixels = load_one(tmp_path, file, image)
    assert pixels.shape == (32, 32, 3)
    assert np.abs(pixels.astype(int) - colour).max() <= 2  # JPEG and WebP lose a level or two


@pytest.mark.parametrize("file", ["moving.gif", "moving.webp", "moving.png"])
def test_an_animation_gives_its_first_frame(file: str, tmp_path: Path) -> None:
    """Red, then green: red."""
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, (0, 255, 0))]
    pixels = load_one(tmp_path, file, frames[0], save_all=True, append_images=frames[1:], lossless=True)
    assert np.abs(pixels.astype(int) - RED).max() <= 1


def test_the_centre_is_kept_undistorted(tmp_path: Path) -> None:
    """A wide image loses its sides, not its proportions."""
    image = Image.new("RGB", (96, 32), RED)
    image.paste((0, 0, 255), (32, 0, 64, 32))
    assert np.all(load_one(tmp_path, "wide.png", image) == (0, 0, 255))


def test_a_photograph_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    """Orientation 3 (upside down): the dark half, stored below, comes out on top."""
    image = Image.new("RGB", (64, 64), (255, 255, 255))
    image.paste((0, 0, 0), (0, 32, 64, 64))
    exif = Image.Exif()
    exif[0x0112] = 3
    pixels = load_one(tmp_path, "phone.jpg", image, exif=exif, quality=95)
    assert pixels[:14].max() < 60
    assert pixels[18:].min() > 200


def test_order_is_by_class_then_relative_path(tmp_path: Path) -> None:
    """Files in nested folders belong to the class above; hidden files and other suffixes do not count."""
    files = ["bee/b/1.png", "bee/a.png", "ant/z.png", "bee/b/0.png", "ant/.hidden.png", "bee/.cache/c.png"]
    for level, file in enumerate(files):
        save(tmp_path / file, Image.new("RGB", (32, 32), (level, level, level)))
    (tmp_path / "bee" / "notes.txt").write_text("no image")
    (tmp_path / ".git").mkdir()
    pool, test = image_folder.load(ask("image_folder", path=tmp_path))
    assert test is None
    assert pool.class_names == ("ant", "bee")
    assert pool.images[:, 0, 0, 0].tolist() == [2, 1, 3, 0]
    assert pool.labels.tolist() == [0, 1, 1, 1]


def test_what_is_left_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files of other suffixes are counted in a warning: nobody loses half a class without a word."""
    one_of_each(tmp_path)
    for name in ("1.heic", "2.heic", "README"):
        (tmp_path / "bee" / name).write_bytes(b"?")
    image_folder.load(ask("image_folder", path=tmp_path))
    assert caplog.messages == [f"{tmp_path / 'bee'}: left out 2 .heic, 1 without suffix"]


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces its size and holds one byte of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_unreadable_files_are_named_in_one_line(tmp_path: Path) -> None:
    """The first ten with their reasons, a picture of 100 megapixels among them; the others are counted."""
    folder = one_of_each(tmp_path) / "bee"
    (folder / "a-large.png").write_bytes(png_header(10_000, 10_000))
    for number in range(12):
        (folder / f"broken-{number:02d}.png").write_bytes(b"")
    with pytest.raises(UserError) as error:
        image_folder.load(ask("image_folder", path=tmp_path))
    message = str(error.value)
    assert message.startswith(f"{tmp_path}: 13 of 15 files cannot be read: ")
    assert "a-large.png (10000 x 10000 pixels" in message
    assert message.endswith("broken-08.png (not an image) and 3 more; repair or remove them")
    assert "\n" not in message
