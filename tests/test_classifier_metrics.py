import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifier.corruptions import CORRUPTIONS, NOISE_STD, add_noise, blur, brighten, lower_contrast, pixelate
from pipeline.classifier.metrics import accuracy_per_class, calibration_error, negative_log_likelihood
from pipeline.images import LabelledImages, Pixels


def logits_of(confidence: list[float], right: list[bool]) -> tuple[np.ndarray, LabelledImages]:
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
    """Shape and type stay, the same call gives the same bytes, and images added behind change none before."""
    corrupt = CORRUPTIONS[name]
    corrupted = corrupt(photographs)
    assert corrupted.shape == photographs.shape
    assert corrupted.dtype == np.uint8
    assert not np.array_equal(corrupted, photographs)
    assert np.array_equal(corrupt(photographs[:7]), corrupted[:7])


def test_noise_has_its_standard_deviation() -> None:
    """Mean 0 and NOISE_STD levels, different in every image, and the tails of a normal distribution."""
    grey = np.full((40, 32, 32, 3), 128, np.uint8)
    noise = add_noise(grey).astype(float) - 128
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
