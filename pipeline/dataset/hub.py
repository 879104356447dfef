"""A dataset to share: a copy whose card says what the images turned out to be worth, and what they are like."""

import shutil
from pathlib import Path

import yaml

from pipeline.assessment.record import AssessRecord, read_assess_record
from pipeline.evaluation import wording
from pipeline.evaluation.report import tables
from pipeline.evaluation.report.write import md_table
from pipeline.evaluation.result import Result, read_result
from pipeline.files import escape_markdown
from pipeline.runtime.atomic import creating
from pipeline.runtime.errors import UserError
from pipeline.shards.manifest import CARD_FILE, Manifest, read_manifest

LARGEST = 10**12  # images for which the Hub has a name
HOW_MADE = "## How it was made\n"


def export_for_hub(root: Path, results: Path, out: Path) -> str:
    """Copies the dataset folder `root` to `out`, its card with the answer that `results` holds; says how to push it.

    Raises:
        UserError: `results` has no answer, or one for other images; a file is missing or corrupted; or `out` is there.
    """
    manifest, result = read_manifest(root), read_result(results / "ablation.json")
    replicate, record = _find_record(root, manifest, result, results)
    card = complete_card((root / CARD_FILE).read_text(encoding="utf-8"), manifest, result, replicate, record)
    with creating(out) as part:
        shutil.copytree(root, part)
        (part / CARD_FILE).write_text(card, encoding="utf-8")
    push = f"hf upload YOUR_NAME/{result.dataset.replace(' ', '-')}-synthetic {out} . --repo-type dataset"
    return f"{out}: {manifest.num_images} images; push them with: {push}"


def complete_card(card: str, manifest: Manifest, result: Result, replicate: int, record: AssessRecord) -> str:
    """The card of a dataset with its size in the header, and verdict, fidelity and memorisation in the text.

    Args:
        card: as `write_card` left it.
        manifest: of the dataset.
        result: the answer to which the dataset belongs.
        replicate: which of its replicates' sets it is.
        record: what was measured on it.
    """
    _, header, text = card.split("---\n", 2)
    values = {"size_categories": [size_category(manifest.num_images)]} | yaml.safe_load(header)
    dumped = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    before, _, after = text.partition(HOW_MADE)
    return f"---\n{dumped}---\n{before}{_worth(result, replicate, record)}\n\n{HOW_MADE}{after}"


def size_category(num_images: int) -> str:
    """What the Hub calls a dataset of this many rows, as in `1K<n<10K`."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    if num_images >= LARGEST:
        return "n>1T"
    above = len(str(num_images)) - 4  # powers of ten above a thousand
    return "n<1K" if above < 0 else f"{bounds[above]}<n<{bounds[above + 1]}"


def _find_record(root: Path, manifest: Manifest, result: Result, results: Path) -> tuple[int, AssessRecord]:
    """The replicate whose set this is, and what was measured on it."""
    drawn, taken = manifest.recipe, manifest.imported
    origin = drawn.generator_sha256 if drawn else taken.images_sha256 if taken else ""
    for summary in result.replicates:
        record = read_assess_record(results / "assess" / f"{summary.replicate}.json")
        if record.generator == origin:
            return summary.replicate, record
    raise UserError(f"{root}: no set that {results / 'ablation.json'} speaks of; run: synthmix run")


def _worth(result: Result, replicate: int, record: AssessRecord) -> str:
    """The sections on what the images are worth and what they are like."""
    sentences = [result.verdict_text, result.controls_text, result.power_text]
    take = "best" if replicate == result.dataset_replicate else f"not best; replicate {result.dataset_replicate} is"
    parts = [
        "## What they are worth to a classifier",
        f"**{wording.headline(result.verdict, result.mode)}** (data set {escape_markdown(result.dataset)}, profile "
        f"{escape_markdown(result.profile)}, {result.baseline.n} replicates of the whole experiment, each with a set "
        f"of its own: this is that of replicate {replicate}, whose classifier is {take} on val).",
        *(escape_markdown(text) for text in sentences if text),
        *(f"> {escape_markdown(warning)}" for warning in result.warnings),
        "## What they are like",
        escape_markdown(wording.fidelity_note(result)),
        md_table(tables.FIDELITY, tables.fidelity_rows(result.model_copy(update={"fidelity": record}))),
    ]
    return "\n\n".join(parts)
