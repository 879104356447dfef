import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifier.corruptions import CORRUPTIONS, NOISE_STD, add_noise, blur, brighten, lower_contrast, pixelate
from pipeline.classifier.inference import Logits
from pipeline.classifier.metrics import (
    accuracy_per_class,
    calibration_error,
    confidence_gap,
    fit_temperature,
    negative_log_likelihood,
)
from pipeline.images import LabelledImages, Pixels

Predictions = tuple[Logits, LabelledImages]
Figures = tuple[float, float]


def logits_of(confidence: list[float], right: list[bool]) -> Predictions:
    """Two-class logits whose larger probability is `confidence`, on the label where `right`."""
    larger = np.log(np.array(confidence) / (1 - np.array(confidence)))
    logits = np.stack([larger, np.zeros(len(larger))], 1).astype(np.float32)
    labels = 1 - np.array(right).astype(np.int64)
    return logits, LabelledImages(np.zeros((len(right), 2, 2, 1), np.uint8), labels, ("a", "b"))


def test_metrics_have_their_hand_values(patches: LabelledImages) -> None:
    """NLL of uniform logits is ln(3); per-class accuracy counts within the class."""
    logits = np.zeros((60, 3), np.float32)
    assert negative_log_likelihood(logits, patches) == pytest.approx(np.log(3))
    logits[patches.labels == 1, 1] = 5
    assert accuracy_per_class(logits, patches) == {"top": 1.0, "middle": 1.0, "bottom": 0.0}


def test_calibration_error_has_its_hand_values() -> None:
    """Ten images at 0.8 of which seven are right are 0.1 off; a second bin weighs by its share of the images."""
    one = ([0.8] * 10, [True] * 7 + [False] * 3)
    assert calibration_error(*logits_of(*one)) == pytest.approx(0.1, abs=1e-6)
    both = (one[0] + [0.95] * 30, one[1] + [True] * 30)
    assert calibration_error(*logits_of(*both)) == pytest.approx(0.25 * 0.1 + 0.75 * 0.05, abs=1e-6)


def test_opposite_errors_cancel_within_a_bin_and_not_between_bins() -> None:
    """Over- and underconfidence count in full where they lie in different bins of 15."""
    apart = calibration_error(*logits_of([0.69, 0.71] * 10, [True, False] * 10))  # bins end at 0.667, 0.733
    assert apart == pytest.approx(0.2, abs=1e-6)
    assert calibration_error(*logits_of([0.6, 0.99] * 10, [True, False] * 10)) == pytest.approx(0.695, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0.501, 0.999), st.booleans()), min_size=1, max_size=40))
def test_calibration_error_is_the_mean_gap_of_the_bins(rows: list[tuple[float, bool]]) -> None:
    """Equation 3 of Guo et al. 2017, bin by bin."""
    confidence, right = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    shown = np.exp(np.float64(np.float32(np.log(confidence / (1 - confidence)))))
    shown = shown / (1 + shown)  # float32 logits may move an image over the edge of a bin
    expected = 0.0
    for k in range(15):
        inside = (shown > k / 15) & (shown <= (k + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - shown[inside].mean())
    assert calibration_error(*logits_of(list(confidence), list(right))) == pytest.approx(expected, abs=1e-9)


# ---- calibration after one temperature -------------------------------------------------------------------------


def calibrated(count: int, seed: int, classes: int = 5) -> Predictions:
    """Random logits, and labels that are drawn with the very probabilities they say."""
    random = np.random.Generator(np.random.Philox(seed))
    logits = random.normal(0, 2, (count, classes)).astype(np.float32)
    labels = (logits + random.gumbel(size=logits.shape)).argmax(1)  # Gumbel-max: p(k) = softmax(logits)[k]
    return logits, LabelledImages(np.zeros((count, 2, 2, 1), np.uint8), labels, tuple("abcde"[:classes]))


def after_temperature(factor: float, val: Predictions, test: Predictions) -> Figures:
    """Negative log-likelihood and calibration error of test, with the temperature of val; logits times `factor`."""
    times = np.float32(factor)
    scaled = test[0] * times / np.float32(fit_temperature(val[0] * times, val[1]))
    return negative_log_likelihood(scaled, test[1]), calibration_error(scaled, test[1])


@pytest.mark.parametrize("temperature", [0.2, 1, 7])
def test_a_planted_temperature_is_found(temperature: float) -> None:
    """Calibrated logits times T need T, to 2 %: above 1 for too confident a classifier, below for too cautious."""
    logits, data = calibrated(50_000, seed=3)
    assert fit_temperature(logits * np.float32(temperature), data) == pytest.approx(temperature, rel=0.02)


@given(st.floats(0.05, 20), st.integers(0, 2**32), st.sampled_from([2, 5]))
def test_a_factor_of_the_logits_changes_no_figure(factor: float, seed: int, classes: int) -> None:
    """What label smoothing or a scale of the last layer does to confidence is no miscalibration after temperature."""
    val, test = calibrated(100, seed, classes), calibrated(500, seed + 1, classes)
    (loss, error), (same_loss, same_error) = (after_temperature(times, val, test) for times in (1, factor))
    assert same_loss == pytest.approx(loss, rel=1e-4)
    assert same_error == pytest.approx(error, abs=0.01)  # rounding moves an image over the edge of a bin


@pytest.mark.parametrize("num_right", [10, 7])
def test_a_temperature_has_its_hand_value(num_right: int) -> None:
    """k of n alike right, and one more half right: p = (k + 1/2) / (n + 1), so all of ten right is no T of 0."""
    logits, data = logits_of([0.9] * 10, [True] * num_right + [False] * (10 - num_right))
    odds = (num_right + 0.5) / (10.5 - num_right)
    assert fit_temperature(logits, data) == pytest.approx(np.log(9) / np.log(odds), rel=1e-3)


def with_errors(logits: Logits, data: LabelledImages) -> Predictions:
    """The same where the logits of every fifth image have changed classes."""
    worse = logits.copy()
    for row in range(0, len(worse), 5):
        worse[row] = np.roll(worse[row], row % 4 + 1)
    return worse, data


def test_random_errors_improve_no_cautious_classifier() -> None:
    """They bring accuracy down to its confidence: good for the raw calibration error, bad for all after temperature."""
    half = np.float32(0.5)
    val, test = ((logits * half, data) for logits, data in (calibrated(4_000, 0), calibrated(20_000, 1)))
    assert calibration_error(*with_errors(*test)) < calibration_error(*test) - 0.05
    loss, error = after_temperature(1, val, test)
    worse_loss, worse_error = after_temperature(1, with_errors(*val), with_errors(*test))
    assert worse_loss > loss + 0.1
    assert worse_error > error + 0.01


def test_the_confidence_gap_is_above_0_for_too_confident_a_classifier() -> None:
    """Ten images at 0.8, of which seven are right, lie 0.1 above; thirty at 0.95, all right, 0.05 below."""
    assert confidence_gap(*logits_of([0.8] * 10, [True] * 7 + [False] * 3)) == pytest.approx(0.1, abs=1e-6)
    assert confidence_gap(*logits_of([0.95] * 30, [True] * 30)) == pytest.approx(-0.05, abs=1e-6)


# ---- corruptions -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs() -> Pixels:
    """Twenty smooth colour images."""
    rows, columns = np.mgrid[:16, :16]
    shift = np.arange(20)[:, None, None, None]
    levels = 100 + 5 * rows[..., None] + 2 * columns[..., None] + shift + 10 * np.arange(3)
    images: Pixels = levels.astype(np.uint8)
    return images


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_a_corrupted_image_depends_on_its_row_alone(photographs: Pixels, name: str) -> None:
    """Shape and type stay, the same call gives the same bytes, and other images change none."""
    corrupt = CORRUPTIONS[name]
    corrupted = corrupt(photographs, np.arange(20))
    assert corrupted.shape == photographs.shape
    assert corrupted.dtype == np.uint8
    assert not np.array_equal(corrupted, photographs)
    assert np.array_equal(corrupt(photographs[3:7], np.arange(3, 7)), corrupted[3:7])


def test_noise_has_its_standard_deviation() -> None:
    """Mean 0 and NOISE_STD levels, different in every image, and the tails of a normal distribution."""
    grey = np.full((40, 32, 32, 3), 128, np.uint8)
    noise = add_noise(grey, np.arange(40)).astype(float) - 128
    assert noise.mean() == pytest.approx(0, abs=0.3)
    assert noise.std() == pytest.approx(NOISE_STD, rel=0.02)
    assert (np.abs(noise) > 2 * NOISE_STD).mean() == pytest.approx(0.0455, abs=0.01)
    assert len({one.tobytes() for one in noise}) == 40


def test_corruptions_have_their_hand_values() -> None:
    """A single bright pixel spreads binomially; levels move and are cut off as declared; blocks share their mean."""
    dot = np.zeros((1, 8, 8, 1), np.uint8)
    dot[0, 4, 4] = 255
    blurred = blur(dot)[0, :, :, 0].astype(int)
    assert blurred[4, 2:7].tolist() == [6, 24, 36, 24, 6]  # 255 * 6 * (1, 4, 6, 4, 1) / 256, rounded
    assert blurred.sum() == pytest.approx(255, abs=12)
    halves = np.repeat(np.array([50, 250], np.uint8), 2).reshape(1, 2, 2, 1)
    assert brighten(halves).ravel().tolist() == [100, 100, 255, 255]
    assert lower_contrast(halves).ravel().tolist() == [110, 110, 190, 190]
    assert pixelate(halves).ravel().tolist() == [150] * 4
