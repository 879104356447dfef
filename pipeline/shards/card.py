"""The dataset card: README.md for people, with the header that Hugging Face datasets reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.files import escape_markdown, to_json
from pipeline.shards.manifest import CARD_FILE, DATA_FOLDER, Manifest, read_manifest, write_beside
from pipeline.shards.reader import read_file_column, read_header
from pipeline.shards.schema import FIELDS

TEXT = """
# {name}

{num_images} **synthetic** images of {num_classes} classes, {height}x{width} pixels, {colour}, {origin}

| class | {splits} |
|---|{rules}
{counts}

## How it was made

{made}
## Columns

| column | type | meaning |
|---|---|---|
| `image` | struct of `bytes` and `path` | a PNG{compression}; `path` is empty |
| `label` | int64 | {label}; names are in the metadata and above |
| `index` | int64 | {index} |
| `seed` | int64 | {seed} |
| `generator` | string | {generator} |

## How to load it

```python
import io, pandas
from PIL import Image
table = pandas.read_parquet("data")
Image.open(io.BytesIO(table.image[0]["bytes"]))

from datasets import load_dataset
dataset = load_dataset("parquet", data_files="data/{first_split}-*.parquet", split="train")

import duckdb
duckdb.sql("SELECT label, count(*) FROM 'data/*.parquet' GROUP BY label")

import polars
polars.scan_parquet("data/*.parquet").filter(polars.col("label") == 0).collect()

import torch
from pathlib import Path
from pipeline.shards.reader import read_images  # from the repository that made this; fastest
images = read_images(Path("data"))
pixels, labels = torch.from_numpy(images.images), torch.from_numpy(images.labels)  # uint8 NHWC, int64
```

In that repository, `synthmix dataset verify .` tells whether the folder is whole, `… export` turns it into
folders of images, a tar for webdataset or one file for torch.

## Limits

{limits}
- Whether these images help a classifier is a question for real test images. Never test on synthetic ones.
- The terms of the generator's training images may bind its images too.
"""

DRAWN = {
    "origin": "drawn from a\nclass-conditional generator. No image was taken with a camera or drawn by a person.",
    "made": """Generator {generators}, seed {seeds}, and:

```json
{recipe}```

Image i is a function of this recipe and i. `manifest.json` has the size and sha256 of every shard, one sha256
of the content (labels, index and pixels), and the environment in which the files come out the same to the
byte. The generator says of itself:

| | |
|---|---|
{about}

A small CAS is the accuracy on real validation images of a small classifier that was trained, for a short time,
on nothing but this generator's images.
""",
    "label": "class asked of the generator",
    "index": "i, the number of the draw",
    "seed": "seed of the draws",
    "generator": "names the generator",
    "limits": """- Labels are what the generator was asked for. Nobody looked at the images: some show another class.
- The generator knows only its training images: it repeats their gaps and biases, and may come close to some.""",
}
IMPORTED = {
    "origin": "taken from a\nset that another program made.",
    "made": """Taken from a set of images, as `manifest.json` says under `imported`:

```json
{recipe}```

Image i of the dataset is row i of `files.csv`, which names the file of the set that it was read from. Each was cut
to a square and resized. `copies` counts the images that show one on which classifiers are judged.
""",
    "label": "class that the set gives the image",
    "index": "i, the row of `files.csv`",
    "seed": "which draw from the set",
    "generator": "sha256 of the images that were taken",
    "limits": """- Labels are those of the set. Nobody looked at the images: some may show another class.
- The generator, if one made them, knows only its training images, and may come close to some.""",
}


def write_card(root: Path, *, name: str, licence: str, about: Mapping[str, object]) -> None:
    """Writes `root`/README.md from the manifest and the shards, as the last file of a dataset.

    Its header declares the number of rows, so that Hugging Face datasets refuses a folder that lacks a shard.

    Args:
        root: the dataset folder; its manifest is written.
        name: title.
        licence: as the Hugging Face Hub spells it, such as `cc-by-4.0` or `other`.
        about: what is known of the generator, such as how it was trained and how good it is; nothing of a set.

    Raises:
        UserError: the manifest or a shard is missing or unreadable, or the folder cannot be written.
    """
    manifest = read_manifest(root)
    header = yaml.safe_dump(_header(manifest, name, licence), sort_keys=False, allow_unicode=True)
    write_beside(root / CARD_FILE, f"---\n{header}---\n{_text(root, manifest, name, about)}".encode())


def _header(manifest: Manifest, name: str, licence: str) -> dict[str, Any]:
    """The YAML header in the words of Hugging Face datasets."""
    names = {str(label): class_name for label, class_name in enumerate(manifest.class_names)}
    features: list[dict[str, Any]] = [{"name": column, "dtype": str(kind)} for column, kind in FIELDS]
    features[0]["dtype"], features[1]["dtype"] = "image", {"class_label": {"names": names}}
    splits = [
        {
            "name": split,
            "num_bytes": sum(record.bytes for record in records),
            "num_examples": sum(record.rows for record in records),
        }
        for split, records in manifest.splits.items()
    ]
    files = [{"split": split, "path": f"{DATA_FOLDER}/{split}-*.parquet"} for split in manifest.splits]
    return {
        "license": licence,
        "pretty_name": name,
        "tags": ["synthetic"],
        "task_categories": ["image-classification"],
        "dataset_info": {"features": features, "splits": splits},
        "configs": [{"config_name": "default", "data_files": files}],
    }


def _text(root: Path, manifest: Manifest, name: str, about: Mapping[str, object]) -> str:
    """The card below its header."""
    height, width, channels = read_header(root / next(iter(manifest.splits.values()))[0].file).shape
    words = DRAWN if manifest.recipe else IMPORTED
    return TEXT.format(
        **words | {"made": _made(root, manifest, words["made"], about)},
        name=escape_markdown(name),
        num_images=manifest.num_images,
        num_classes=len(manifest.class_names),
        height=height,
        width=width,
        colour="grey" if channels == 1 else "RGB",
        splits=" | ".join(map(escape_markdown, manifest.splits)),
        rules="---|" * len(manifest.splits),
        counts=_count_rows(manifest),
        compression=" without compression" if manifest.environment.get("encoding") == "stored_png" else "",
        first_split=next(iter(manifest.splits)),
    )


def _made(root: Path, manifest: Manifest, template: str, about: Mapping[str, object]) -> str:
    """How the images came about, from the recipe or the set, in the words of `template`."""
    origin = manifest.recipe or manifest.imported
    assert origin
    return template.format(
        generators=", ".join(map(escape_markdown, _distinct(root, manifest, "generator"))),
        seeds=", ".join(_distinct(root, manifest, "seed")),
        recipe=to_json(origin.model_dump()).decode(),
        about="\n".join(
            f"| {escape_markdown(key)} | {escape_markdown(str(value))} |"
            for key, value in sorted(about.items())
            if key != "class_names"
        ),
    )


def _count_rows(manifest: Manifest) -> str:
    """Table rows: each class with its images in each split."""
    return "\n".join(
        f"| {escape_markdown(class_name)} | "
        f"{' | '.join(str(manifest.class_counts[split][label]) for split in manifest.splits)} |"
        for label, class_name in enumerate(manifest.class_names)
    )


def _distinct(root: Path, manifest: Manifest, name: str) -> list[str]:
    """Values of a column in the whole dataset, sorted; one shard at a time in memory."""
    files = [root / record.file for records in manifest.splits.values() for record in records]
    return sorted({str(value) for file in files for value in np.unique(read_file_column(file, name))})
