"""What one cell of the ablation trains on and for how long, decided from percents and sizes alone."""

from typing import Literal

from pipeline.classifier.record import CellSettings, Count, Positive
from pipeline.classifier.rival import with_rival
from pipeline.params.schema import Control, Params, Rival
from pipeline.runtime.errors import UserError


class CellPlan(CellSettings):
    """The settings of a cell, and the sizes of what it must select."""

    num_synthetic: Count
    """Synthetic images beside the real ones, where these are not recycled."""
    num_corrupted: Positive
    """Test images, the first ones, on which each corruption is measured; all where there are fewer."""

    @property
    def is_baseline(self) -> bool:
        """Whether all other cells of its replicate are compared with this one."""
        return self.stage == "train_baseline" and self.real_percent == 100

    @property
    def mixed_percent(self) -> int:
        """Percent of the images of all steps that do not come from the real set."""
        return 0 if self.control == "real_only" else self.synthetic_percent


def plan_cell(
    params: Params,
    *,
    train_size: int,
    replicate: int,
    real_percent: int = 100,
    synthetic_percent: int = 0,
    control: Control | None = None,
    rival: Rival | None = None,
) -> CellPlan:
    """The real-only cell at `real_percent`, or where `synthetic_percent` is above 0 the mixed cell or control at that.

    Mode `add` keeps all real images and takes as many synthetic ones; `replace` cuts the real ones to
    (100 - percent) % and fills up to train_size. At 100 % there is no real image in either. A control is planned as
    the mixed cell of its percent, so that only what stands for the synthetic images differs; `real_only` has that
    cell's steps, and all real images.

    Args:
        params: `classifier.steps`, `ablation.budget` and `.num_corrupted`, of a mixed cell `.mode` and `.mixing`, of a
            rival `rivals`.
        train_size: images in train.
        replicate: of the cell.
        real_percent: size of a real-only set, in percent of train_size.
        synthetic_percent: percent of the images of all steps that are synthetic.
        control: which one it is, if it is one.
        rival: likewise; a rival is a real-only cell.

    Raises:
        UserError: so small a percent leaves no real image.
    """
    ablation = params.ablation
    mode, mixing = (ablation.mode, ablation.mixing) if synthetic_percent else (None, None)
    if synthetic_percent == 100:
        real_percent = 0
    elif mode == "replace":
        real_percent -= synthetic_percent
    num_real = train_size * real_percent // 100
    if num_real < 1 and synthetic_percent < 100:
        raise UserError(f"params.yaml: ablation: {real_percent} % of {train_size} real images is none; raise the share")
    steps = _num_steps(with_rival(params, rival).steps, ablation.budget, num_real / train_size, synthetic_percent)
    num_synthetic = _num_synthetic(mode, train_size, num_real)
    if control == "real_only":
        real_percent, num_real, num_synthetic = 100, train_size, 0
    return CellPlan(
        stage=_stage(synthetic_percent, control, rival),
        control=control,
        rival=rival,
        real_percent=real_percent,
        synthetic_percent=synthetic_percent,
        replicate=replicate,
        mode=mode,
        mixing=mixing,
        budget=ablation.budget,
        num_real=num_real,
        num_synthetic=num_synthetic,
        num_corrupted=ablation.num_corrupted,
        steps=steps,
    )


def _stage(
    synthetic_percent: int, control: Control | None, rival: Rival | None
) -> Literal["train_baseline", "train_rival", "train_control", "train_classifier"]:
    if control or rival:
        return "train_control" if control else "train_rival"
    return "train_classifier" if synthetic_percent else "train_baseline"


def _num_synthetic(mode: Literal["add", "replace"] | None, train_size: int, num_real: int) -> int:
    return {"add": train_size, "replace": train_size - num_real, None: 0}[mode]


def _num_steps(steps: int, budget: str, real_share: float, synthetic_percent: int) -> int:
    """As many for all with budget `steps`.

    With `real_epochs` as many passes over the cell's real images as the baseline makes over its own, so that
    synthetic images come on top.
    """
    if budget == "steps":
        return steps
    return max(1, round(steps * real_share * 100 / (100 - synthetic_percent)))
