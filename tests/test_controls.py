"""Controls of the ablation: cells like the mixed ones, with real images in the place of the synthetic ones."""

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifier.cell import select_real, select_stand_ins
from pipeline.classifier.curation import curate
from pipeline.classifier.mixture import Mixture, batch_rows
from pipeline.classifier.plan import CellPlan, plan_cell
from pipeline.images import ImageSet, Indices, LabelledImages
from pipeline.params.schema import Control, Params

MODES: list[Literal["add", "replace"]] = ["add", "replace"]
TRAIN_SIZE = 100


def numbered(first: int, count: int) -> LabelledImages:
    """Grey 2 x 2 images that hold their number; five classes take turns."""
    numbers = np.arange(first, first + count)
    images = np.tile(numbers.astype(np.uint8)[:, None, None, None], (1, 2, 2, 1))
    return LabelledImages(images, numbers % 5, tuple("abcde"))


TRAIN, RESERVE = numbered(0, TRAIN_SIZE), numbered(TRAIN_SIZE, 60)


def numbers(images: ImageSet) -> list[int]:
    """The numbers that they hold."""
    held: list[int] = images.images[:][:, 0, 0, 0].tolist()
    return held


def ask(tiny: Params, num_images: int = 50, *, recycle: bool = True, keep_percent: int = 50, **ablation: Any) -> Params:
    """The tiny values but for these."""
    blocks = {
        "ablation": tiny.ablation.model_copy(update=ablation),
        "curation": tiny.curation.model_copy(update={"recycle": recycle, "keep_percent": keep_percent}),
        "synthesize": tiny.synthesize.model_copy(update={"num_images": num_images}),
    }
    return tiny.model_copy(update=blocks)


def plan(params: Params, percent: int, control: Control | None = None) -> CellPlan:
    """The cell at this percent, or the baseline at 0."""
    return plan_cell(params, train_size=TRAIN_SIZE, replicate=3, synthetic_percent=percent, control=control)


@pytest.mark.parametrize("control", ["ceiling", "placebo"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("budget", ["steps", "real_epochs"])
def test_a_control_is_planned_as_the_mixed_cell(tiny: Params, control: Control, mode: str, budget: str) -> None:
    """Steps, real images, places of the others and the share in every batch are equal: only what fills them is not."""
    params = ask(tiny, mode=mode, budget=budget, mixing="pretrain_finetune")
    mixed, controlled = plan(params, 25), plan(params, 25, control)
    assert controlled.model_dump(exclude={"stage", "control"}) == mixed.model_dump(exclude={"stage", "control"})
    assert controlled.mixed_percent == mixed.mixed_percent == 25
    assert controlled.name == f"train_control-{control}-25-3"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("budget", "percent"), [("steps", 25), ("steps", 100), ("real_epochs", 75)])
def test_real_only_has_the_steps_of_the_mixed_cell(tiny: Params, mode: str, budget: str, percent: int) -> None:
    """And all of train, whatever the mode cuts, with nothing in the synthetic images' place."""
    params = ask(tiny, mode=mode, budget=budget)
    alone = plan(params, percent, "real_only")
    assert alone.steps == plan(params, percent).steps
    assert (alone.num_real, alone.real_percent, alone.num_synthetic, alone.mixed_percent) == (TRAIN_SIZE, 100, 0, 0)
    assert numbers(select_real(alone, TRAIN)) == list(range(TRAIN_SIZE))
    assert len(select_stand_ins(alone, params, TRAIN)) == 0


def count_visits(plan: CellPlan, real: ImageSet, others: ImageSet) -> Indices:
    """How often a training of this plan sees each image of train."""
    mixture = Mixture(plan.mixing or "batch", plan.mixed_percent, batch_size=32, num_steps=plan.steps)
    seen: list[int] = []
    for step in range(plan.steps):
        some, more = batch_rows(mixture, step, (len(real), len(others)), seed=plan.replicate)
        seen += numbers(real.select(some)) + numbers(others.select(more))
    return np.bincount(seen, minlength=TRAIN_SIZE)


@given(st.integers(1, 100), st.sampled_from(MODES), st.sampled_from(["batch", "pretrain_finetune"]))
def test_the_placebo_sees_what_the_baseline_sees(tiny: Params, percent: int, mode: str, mixing: str) -> None:
    """Every image of train as often, at any share, to a visit at the end of either source's passes."""
    params = ask(tiny, mode=mode, mixing=mixing, budget="steps")
    placebo = plan(params, percent, "placebo")
    real, copies = select_real(placebo, TRAIN), select_stand_ins(placebo, params, TRAIN)
    baseline = count_visits(plan(params, 0), TRAIN, TRAIN)
    assert np.abs(count_visits(placebo, real, copies) - baseline).max() <= 2


@pytest.mark.parametrize("percent", [1, 33, 100])
def test_the_placebo_holds_train_without_a_generator(tiny: Params, percent: int) -> None:
    """Mode `replace` gives back exactly the rows that it cut; mode `add` adds copies of all, at 100 % too."""
    params = ask(tiny, mode="replace")
    placebo = plan(params, percent, "placebo")
    real, copies = select_real(placebo, TRAIN), select_stand_ins(placebo, params, TRAIN)
    assert len(copies) == percent
    assert numbers(real) + numbers(copies) == numbers(TRAIN)
    params = ask(tiny, mode="add")
    assert numbers(select_stand_ins(plan(params, percent, "placebo"), params, TRAIN)) == numbers(TRAIN)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("recycle", [True, False])
@pytest.mark.parametrize(("num_images", "keep_percent"), [(50, 40), (100, 50), (50, 100)])
def test_the_ceiling_takes_as_many_of_the_reserve_as_curation_keeps(
    tiny: Params, mode: str, recycle: bool, num_images: int, keep_percent: int
) -> None:
    """The first of them, and no image of train; where the reserve has fewer, all there are."""
    params = ask(tiny, num_images, mode=mode, recycle=recycle, keep_percent=keep_percent)
    ceiling, drawn = plan(params, 25, "ceiling"), numbered(0, num_images)
    scores = {"near_copy": np.zeros(num_images, bool), params.curation.rank_by: np.arange(num_images)}
    kept = curate(params.curation, drawn.labels, scores, size=plan(params, 25).num_synthetic)
    fresh = numbers(select_stand_ins(ceiling, params, TRAIN, RESERVE))
    assert fresh == list(range(TRAIN_SIZE, TRAIN_SIZE + len(kept)))
    few = RESERVE.select(np.arange(7))
    assert numbers(select_stand_ins(ceiling, params, TRAIN, few)) == numbers(few)
