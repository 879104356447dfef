"""The words that depend on where the synthetic images come from: a GAN a replicate, or a set that another program made.

What is said over replicates holds for what they vary: with GANs of their own for another training of the generator,
with a set only for other images of it, or where all take the same ones, for this very set.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from pipeline.evaluation.result import Result
from pipeline.shards.imported import ImportedSet
from pipeline.sources.screened import Judged

Origin = Literal["gan", "disjoint", "one_set"]
JUDGED: tuple[Judged, ...] = ("test", "val", "select")
SUSPICIOUS = 3  # so many times as many near-copies as unseen real images would have


class Words(NamedTuple):
    """Sentences, and parts of them; `{}` stands for a replicate, a percent or the name of the set."""

    question: str
    maker: str
    each: str
    replicates: str
    fixed_split: str
    lost: str
    unlearned: str
    samples: str
    rows: str
    longer: str


SET = Words(
    question="Are these synthetic training images worth it?",
    maker="another program made",
    each="each with images of its own from this set",
    replicates="A replicate has its own draw of the real training images, images of this set that no other has, and "
    "its own classifiers, so the intervals cover other images from where these came, but not another training of what "
    "made them; test is the same in all.",
    fixed_split="A replicate has images of this set that no other has, and its own classifiers, so the intervals cover "
    "other images from where these came; another draw of the real images, or another training of what made these, "
    "would move all rows.",
    lost="the set's images of replicate {} lack",
    unlearned="Real means select; what the maker of the set has learned from, nobody here knows.",
    samples="of the set {}",
    rows="Images of the set and the classifiers at {} % each; * the synthetic set to take, best on val.",
    longer="what the set has cost to make is not known here.",
)
WORDS: dict[Origin, Words] = {
    "gan": Words(
        question="Are GAN-made training images worth it?",
        maker="a GAN made",
        each="each with a GAN of its own",
        replicates="A replicate has its own draw of the real training images, its own GAN, synthetic images and "
        "classifiers, so the intervals cover another training of the generator on other images of the kind; test is "
        "the same in all.",
        fixed_split="A replicate has its own GAN, synthetic images and classifiers, so the intervals cover another "
        "training of the generator on these very images; another draw of them would move all rows.",
        lost="the GAN of replicate {} has lost",
        unlearned="Real means select, from which the GAN never learned.",
        samples="drawn at random from the GAN of replicate {}",
        rows="A GAN, a synthetic set and the classifiers at {} % each; * the synthetic set to take, best on val. How "
        "far the rows lie apart is what another training of the GAN would change.",
        longer="a GAN costs far more than that.",
    ),
    "disjoint": SET,
    "one_set": SET._replace(
        each="all with images of this one set",
        replicates="A replicate has its own draw of the real training images and its own classifiers; all take their "
        "images from this one set, so all is said of this set: another one of the same maker may do better or worse. "
        "Test is the same in all.",
        fixed_split="A replicate has its own classifiers; all train on the same real images and take the others from "
        "this one set, so all is said of this set and these real images: others may do better or worse.",
    ),
}


def words(sets: Sequence[ImportedSet]) -> Words:
    """Those for the sets of the replicates; for GANs where there are none."""
    if not sets:
        return WORDS["gan"]
    return WORDS["disjoint" if all(entry.subset == "disjoint" for entry in sets) else "one_set"]


def set_sentences(result: Result) -> Iterator[str]:
    """What was taken from the set, and its copies of judged images; nothing for GANs."""
    if result.sets:
        first = result.sets[0]
        yield (
            f"From the set {first.name} ({first.num_found:,} images of these classes) every replicate takes "
            f"{first.num_images:,}. {_copies(result.sets)}"
        )


def leak_warnings(sets: Sequence[ImportedSet]) -> Iterator[str]:
    """What a reader must know where a set holds copies of judged images, or more near ones than chance would make."""
    exact, near, expected = 0, 0, 0.0
    for entry in sets:
        for counts in entry.copies.values():
            exact, near = exact + counts.exact, near + counts.near
            expected += entry.num_images * counts.near_expected_percent / 100
    if exact or near > SUSPICIOUS * expected:
        yield f"Warning: the set holds copies of real images on which the classifiers are judged. {_copies(sets)}"


def _copies(sets: Sequence[ImportedSet]) -> str:
    """How many, over all replicates, and what became of them."""
    found = {
        split: [sum(getattr(entry.copies[split], kind) for entry in sets) for kind in ("exact", "near")]
        for split in JUDGED
    }
    parts = ", ".join(f"{split} {exact:,} and {near:,}" for split, (exact, near) in found.items())
    expected = sets[0].copies["test"].near_expected_percent
    dropped = sum(entry.num_dropped for entry in sets)
    outcome = f"{dropped:,} are left out of training."
    if not any(map(sum, found.values())):
        outcome = "There is none to leave out."
    elif not dropped:
        outcome = "None is left out of training (synthesize.drop_copies is off), so a leak can look like a gain."
    images = sum(entry.num_images for entry in sets)
    return (
        f"Of all {images:,} taken, so many copy an image of a split exactly and nearly: "
        f"{parts} (about {expected:g} % of a set without copies count as near to each split). "
        f"{outcome}"
    )
