"""`synthmix plan`: what an ablation costs and can see, before it is run."""

from pathlib import Path

import pytest

from pipeline.evaluation.power import paired_power
from pipeline.orchestration.plan import measure_costs, power_sentence
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.runtime.errors import UserError
from tests.project import TINY


@pytest.mark.slow
def test_costs_count_every_declared_training() -> None:
    """A GAN a replicate, a cell a percent and replicate, a control and a rival each; more steps cost more."""
    params = parse_params(compose_params([*TINY, "ablation.rivals=[longer]"]))
    costs = {cost.stage: cost for cost in measure_costs(params)}
    counts = {stage: cost.count for stage, cost in costs.items()}
    grid = params.ablation
    n, percents = len(grid.replicates), len(grid.synthetic_percent)
    assert counts == {
        "train_gan": n,
        "train_baseline": n * len(grid.real_percent),
        "train_control": n * percents * len(grid.controls),
        "train_classifier": n * percents,
        "train_rival": n,
    }
    assert costs["train_rival"].seconds > costs["train_baseline"].seconds > 0


def test_power_is_that_of_the_declared_grid() -> None:
    """What the sentence says is detected in 80 % of runs is detected in 80 % of them, at Holm's first step."""
    params = parse_params(compose_params(TINY))
    sentence = power_sentence(params, 0.5)
    points = float(sentence.split("(as given): ")[1].split(" points")[0])
    n, percents = len(params.ablation.replicates), len(params.ablation.synthetic_percent)
    assert paired_power(points, 0.5, n, 0.05 / percents) == pytest.approx(0.8, abs=0.01)


def test_without_a_result_the_standard_deviation_must_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what is missing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--std"):
        power_sentence(parse_params(compose_params(TINY)), None)
