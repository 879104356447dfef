"""The manifest of a dataset folder: what it must hold."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.files import Record, read_record, to_json
from pipeline.runtime.atomic import remove_tmp, write_bytes
from pipeline.runtime.errors import disk_errors
from pipeline.shards.digest import ContentDigest
from pipeline.shards.imported import ImportedSet
from pipeline.shards.plan import Count, ShardRecord
from pipeline.shards.reader import read_header
from pipeline.shards.schema import SHARD_NAME

DATA_FOLDER = "data"  # Hugging Face datasets finds any split's name there, and only there
MANIFEST_FILE = "manifest.json"
CARD_FILE = "README.md"
TMP_FOLDER = ".tmp"
AGAIN = "dvc checkout, or write the dataset again (dvc repro synthesize)"

Splits = dict[str, Annotated[tuple[ShardRecord, ...], Field(min_length=1)]]
RealCount = Annotated[int, Field(ge=0, le=10**9)]


class DatasetRecipe(Record):
    """What the images are a function of, beside their index."""

    num_images: Annotated[int, Field(gt=0)]
    """`synthesize.num_images`."""
    class_balance: Literal["balanced", "fill", "shares"]
    """`synthesize.class_balance`."""
    class_shares: tuple[Annotated[int, Field(ge=1, le=10**6)], ...]
    """`synthesize.class_shares`."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """The replicate: it drew the latents."""
    latent_std: Annotated[float, Field(gt=0, le=10)]
    """`synthesize.latent_std`."""
    generator_sha256: str
    """sha256 of the generator's weights."""
    real_counts: tuple[RealCount, ...]
    """Images of every class in train, which `fill` evens out."""


class Manifest(Record):
    """manifest.json: what a dataset folder holds."""

    class_names: Annotated[tuple[str, ...], Field(min_length=1)]
    """One name a class, in the order of the labels."""
    num_images: Count
    """Images in all splits together."""
    splits: Annotated[Splits, Field(min_length=1)]
    """Shards of each split in order; `file` is relative to the folder."""
    class_counts: dict[str, tuple[Count, ...]]
    """Images of each class, for each split."""
    content_sha256: str
    """See `ContentDigest.sha256`."""
    recipe: DatasetRecipe | None = None
    """What the images are a function of, where a generator drew them."""
    imported: ImportedSet | None = None
    """Where they come from, where none did."""
    environment: dict[str, str | int]
    """With which the files' bytes, not only their content, come out the same."""

    @field_validator("splits")
    @classmethod
    def _shards_lie_in_the_folder(cls, splits: Splits) -> Splits:
        for record in all_records(splits):
            folder, _, name = record.file.rpartition("/")
            if folder != DATA_FOLDER or not SHARD_NAME.fullmatch(name):
                raise ValueError(f"{record.file!r} is no shard in {DATA_FOLDER}")
        return splits

    @model_validator(mode="after")
    def _every_class_is_counted(self) -> Self:
        if set(self.class_counts) != set(self.splits):
            raise ValueError("class_counts are not those of the splits")
        counted = [*self.class_counts.values(), *([self.recipe.real_counts] if self.recipe else [])]
        if any(len(counts) != len(self.class_names) for counts in counted):
            raise ValueError("class_counts or real_counts have not one count a class")
        return self

    @model_validator(mode="after")
    def _images_have_one_origin(self) -> Self:
        if (self.recipe is None) == (self.imported is None):
            raise ValueError("recipe and imported: one of them must be there")
        return self

    @property
    def row_constants(self) -> dict[str, int | str]:
        """What the columns `seed` and `generator` hold in every row."""
        if self.recipe:
            return {"seed": self.recipe.seed, "generator": self.recipe.generator_sha256}
        assert self.imported
        return {"seed": self.imported.seed, "generator": self.imported.images_sha256}


def write_manifest(
    root: Path,
    splits: dict[str, list[ShardRecord]],
    digest: ContentDigest,
    *,
    recipe: DatasetRecipe | ImportedSet,
    environment: dict[str, str | int],
) -> Manifest:
    """Writes `root`/manifest.json about the finished shards in `root`/data.

    Args:
        root: the dataset folder.
        splits: what `write_shards` returned for each split.
        digest: what it gathered, split by split in the order of their names.
        recipe: what the images are a function of, or the set that they were taken from.
        environment: versions and device; no host, path or time.

    Raises:
        UserError: a shard is not readable, or the folder cannot be written.
    """
    placed = {
        split: tuple(record.model_copy(update={"file": f"{DATA_FOLDER}/{record.file}"}) for record in records)
        for split, records in splits.items()
    }
    manifest = Manifest(
        class_names=read_header(root / all_records(placed)[0].file).class_names,
        num_images=sum(record.rows for record in all_records(placed)),
        splits=placed,
        class_counts={split: tuple(counts) for split, counts in digest.class_counts.items()},
        content_sha256=digest.sha256(),
        recipe=recipe if isinstance(recipe, DatasetRecipe) else None,
        imported=recipe if isinstance(recipe, ImportedSet) else None,
        environment=environment,
    )
    write_beside(root / MANIFEST_FILE, to_json(manifest.model_dump(exclude_none=True)))
    return manifest


def read_manifest(root: Path) -> Manifest:
    """The manifest of a dataset folder.

    Raises:
        UserError: there is none, so that the dataset is not finished, or it is corrupted.
    """
    return read_record(root / MANIFEST_FILE, Manifest, again=AGAIN)


def write_beside(path: Path, data: bytes) -> None:
    """Writes a file of the dataset folder at once, through a temporary folder that does not stay."""
    tmp = path.parent / TMP_FOLDER / path.name
    with disk_errors(path):
        tmp.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data, tmp)
    with disk_errors(path):
        remove_tmp(tmp)


def all_records(splits: Splits) -> list[ShardRecord]:
    """Shards in the order of the content digest: splits by name, then by number."""
    return [record for split in sorted(splits) for record in splits[split]]
