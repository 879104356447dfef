import numpy as np
import pytest
import torch
from scipy import linalg
from scipy.ndimage import gaussian_filter
from scipy.special import softmax

from pipeline.assessment.assess import Assessment, Drawn, assess, flag_planted_copies, neighbours_picture
from pipeline.assessment.contamination import find_copies
from pipeline.assessment.fidelity import Features, frechet_distance, measure_manifold, squared_distances
from pipeline.assessment.judge import Judge
from pipeline.assessment.memorisation import EXPECTED_PERCENT, find_near_copies, find_nearest
from pipeline.assessment.planted import plant_copies, shift
from pipeline.assessment.probe import GeneratorProbe, overfitting
from pipeline.images import LabelledImages, Pixels, concatenate
from pipeline.params.schema import AssessParams, CurationParams, Params

CPU = torch.device("cpu")
KEEP_ALL = CurationParams(drop_near_copies=False, rank_by="confidence", keep_percent=100, recycle=True)


def normal(count: int, dim: int, seed: int) -> Features:
    """Standard normal rows."""
    return np.random.Generator(np.random.Philox(seed)).standard_normal((count, dim)).astype(np.float32)


def test_frechet_distance_has_its_closed_form() -> None:
    """Between N(0, I) and N(m, 4 I) in d dimensions it is |m|² + d, and it agrees with scipy's matrix root."""
    first, second = normal(200_000, 3, 1), 2 * normal(200_000, 3, 2) + np.array([1, 0, -2], np.float32)
    assert frechet_distance(first, second) == pytest.approx(5 + 3, rel=0.02)
    small, other = normal(50, 6, 3), normal(60, 6, 4) @ normal(6, 6, 5)
    cov1, cov2 = np.cov(small, rowvar=False), np.cov(other, rowvar=False)
    root = linalg.sqrtm(cov1 @ cov2).real
    means = ((small.mean(0) - other.mean(0)) ** 2).sum()
    assert frechet_distance(small, other) == pytest.approx(means + np.trace(cov1 + cov2 - 2 * root), rel=1e-4)


def test_frechet_distance_of_equal_sets_is_zero_even_where_covariance_is_singular() -> None:
    """Fewer images than dimensions leave no NaN and no negative value."""
    few = normal(5, 40, 1)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-4)


def test_manifold_metrics_have_their_hand_values() -> None:
    """On a line with k = 1, every ball and who is in it can be read off."""
    real = np.array([[0.0], [1.0], [10.0], [12.0]], np.float32)  # radii 1, 1, 2, 2
    synthetic = np.array([[0.5], [0.9], [30.0]], np.float32)  # radii 0.4, 0.4, 29.1
    found = measure_manifold(real, synthetic, 1)
    assert found.precision == pytest.approx(2 / 3)  # 30 lies in no real ball
    assert found.recall == pytest.approx(3 / 4)  # 1 is near 0.9; 10 and 12 are within 29.1 of 30
    assert found.density == pytest.approx((2 + 2 + 0) / 3)
    assert found.coverage == pytest.approx(2 / 4)


def test_collapse_lowers_coverage_and_not_precision() -> None:
    """One perfect image repeated is precise and covers next to nothing: that is why both are reported."""
    real = normal(300, 4, 1)
    found = measure_manifold(real, np.repeat(real[:1], 300, 0) + np.float32(1e-3) * normal(300, 4, 2), 5)
    assert found.precision == 1
    assert found.coverage < 0.1


def test_distances_agree_with_the_definition() -> None:
    """The expanded square equals the sum of squared differences."""
    first, second = normal(7, 5, 1), normal(9, 5, 2)
    expected = ((first[:, None] - second[None]) ** 2).sum(2)
    assert np.allclose(squared_distances(first, second), expected, atol=1e-4)


def scenes(count: int, seed: int) -> Pixels:
    """Grey 32x32 pictures as natural ones are: smooth, of any light and contrast, no two alike."""
    noise = np.random.Generator(np.random.Philox(seed)).standard_normal((count, 32, 32, 1))
    smooth = gaussian_filter(noise, (0, 3, 3, 0), mode="nearest")
    light, contrast = (np.linspace(*ends, count)[:, None, None, None] for ends in ((60, 190), (100, 500)))
    levels: Pixels = (light + smooth * contrast).clip(0, 255).astype(np.uint8)
    return levels


def test_a_copying_generator_is_found_out() -> None:
    """Copies are found with their row, mirrored, shifted, bright or blurred; new images at about the expected 1 %."""
    train, unseen, fresh = scenes(1000, 1), scenes(1000, 2), scenes(1000, 3)
    reference = find_nearest(unseen, train, CPU)
    assert find_near_copies(reference, reference).mean() == pytest.approx(EXPECTED_PERCENT / 100)
    assert find_near_copies(find_nearest(fresh, train, CPU), reference).mean() < 0.03
    copies = find_nearest(shift(train[500:600, :, ::-1], 2), train, CPU)
    assert (copies.row == np.arange(500, 600)).mean() > 0.98
    found = flag_planted_copies(train, reference, CPU)
    assert found["exact"] == 100
    assert min(found[kind] for kind in ("mirrored", "brightened", "blurred")) >= 95
    assert found["shifted"] >= 80
    assert found["shifted_far"] < 80  # said, not hidden


def test_copies_of_judged_images_are_found_exact_and_near() -> None:
    """Copies that were placed among new images are told apart from those at about the expected 1 %."""
    judged, others, fresh = scenes(1000, 1), scenes(1000, 2), scenes(400, 3)
    changed = shift(judged[10:30, :, ::-1], 2)
    found = find_copies(np.concatenate([judged[:10], changed, fresh]), judged, others, CPU)
    assert found.exact.tolist() == [True] * 10 + [False] * 420
    assert not found.near[:10].any()
    assert found.near[10:30].sum() >= 18
    assert found.near[30:].sum() <= 12
    assert found.counted().exact == 10
    assert found.counted().near == found.near.sum()


def test_a_planted_copy_is_what_its_name_says() -> None:
    """Each kind on images whose pixels can be counted; none but the exact one equals its image."""
    images = scenes(16, 4)
    copies = plant_copies(images)
    assert [kind for kind, copy in copies.items() if np.array_equal(copy, images)] == ["exact"]
    assert {copy.shape for copy in copies.values()} == {images.shape}
    assert np.array_equal(copies["shifted"][0, 2:], images[0, :-2])
    assert np.array_equal(copies["shifted_far"][7, :-4, :-4], images[7, 4:, 4:])
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[:, None], (1, 32, 32, 1))
    assert np.ptp(plant_copies(ramp)["enlarged"].astype(int)) == pytest.approx(248 * 7 / 8, abs=1)


@pytest.fixture
def judge() -> Judge:
    """Judges by the mean brightness of three bands, in which the classes differ."""

    def bands(data: LabelledImages) -> Features:
        return np.stack([data.images[:, 5 * k : 5 * k + 5].mean((1, 2, 3)) for k in range(3)], 1).astype(np.float32)

    return Judge("bands", bands, lambda data: softmax(bands(data) / np.float32(10), axis=1))


def measure(
    tiny: Params,
    judge: Judge,
    drawn: LabelledImages,
    train: LabelledImages,
    unseen: LabelledImages,
    *,
    realness: Features | None = None,
    curation: CurationParams = KEEP_ALL,
) -> Assessment:
    """Assesses what a discriminator calls `realness`, all alike by default."""
    values = {"assess": AssessParams(num_images=60, num_neighbours=3), "curation": curation}
    made = Drawn(drawn, np.zeros(len(drawn), np.float32) if realness is None else realness, generator="0" * 64)
    return assess(tiny.model_copy(update=values), made, train, unseen, judge, device=CPU)


def test_images_of_no_gan_have_no_realness(patches: LabelledImages, tiny: Params, judge: Judge) -> None:
    """A set that another program made is scored by all but a discriminator."""
    values = {"assess": AssessParams(num_images=60, num_neighbours=3), "curation": KEEP_ALL}
    made = Drawn(patches, None, generator="0" * 64)
    scores = assess(tiny.model_copy(update=values), made, patches, patches, judge, device=CPU).scores
    assert "discriminator" not in scores
    assert len(scores["confidence"]) == len(patches)


def test_assessment_counts_wrong_labels(patches: LabelledImages, tiny: Params, judge: Judge) -> None:
    """A third of one class mislabelled shows in the accuracy of that class alone, and in the scores row by row."""
    labels = patches.labels.copy()
    wrong = np.flatnonzero(labels == 1)[:5]
    labels[wrong] = 2
    synthetic = LabelledImages(patches.images, labels, patches.class_names)
    record, scores, _ = measure(tiny, judge, synthetic, patches, patches)
    assert record.gan_test_accuracy == pytest.approx(55 / 60)
    assert record.gan_test_accuracy_per_class == {"top": 1.0, "middle": 1.0, "bottom": 0.8}
    assert np.array_equal(np.flatnonzero(scores["predicted"] != labels), wrong)
    assert scores["confidence"].astype(float)[wrong].max() < 0.5
    assert record.frechet_distance == pytest.approx(0, abs=1e-2)


def test_near_copies_are_marked_row_by_row(patches: LabelledImages, tiny: Params, judge: Judge) -> None:
    """Of images half copied from train and half new, the copies are marked, and dropping them leaves the others."""
    train, unseen, new = (
        LabelledImages(scenes(60 * k, seed), np.tile(patches.labels, k), patches.class_names)
        for seed, k in ((1, 1), (2, 5), (3, 1))
    )
    drawn = concatenate(train.select(np.arange(30)), new.select(np.arange(30)))
    record, scores, _ = measure(tiny, judge, drawn, train, unseen)
    assert np.array_equal(np.flatnonzero(scores["near_copy"]), np.arange(30))
    assert (record.memorised_percent, record.kept_memorised_percent) == (50, 50)
    assert (record.num_planted, record.copies_flagged_percent["mirrored"]) == (60, 100)
    dropping = KEEP_ALL.model_copy(update={"drop_near_copies": True})
    record, _, _ = measure(tiny, judge, drawn, train, unseen, curation=dropping)
    assert (record.memorised_percent, record.kept_memorised_percent, record.num_kept) == (50, 0, 30)


def test_fidelity_is_that_of_the_images_that_cells_use(patches: LabelledImages, tiny: Params, judge: Judge) -> None:
    """A pool half of which is one black image: kept by realness, the real half alone is measured."""
    black = LabelledImages(np.zeros_like(patches.images), patches.labels, patches.class_names)
    pool, realness = concatenate(black, patches), np.repeat(np.array([0, 1], np.float32), 60)
    keep_half = KEEP_ALL.model_copy(update={"rank_by": "discriminator", "keep_percent": 50})
    good, bad = (
        measure(tiny, judge, pool, patches, patches, realness=realness, curation=curation).record
        for curation in (keep_half, KEEP_ALL)
    )
    assert (good.num_kept, bad.num_kept) == (60, 120)
    assert good.frechet_distance == pytest.approx(good.frechet_distance_floor, abs=1e-2)
    assert (good.precision, good.coverage, good.kept_gan_test_accuracy) == (1, 1, 1)
    assert bad.frechet_distance > 100
    assert bad.coverage == 0
    assert good.gan_test_accuracy == bad.gan_test_accuracy == bad.kept_gan_test_accuracy == pytest.approx(2 / 3)
    fixed = KEEP_ALL.model_copy(update={"recycle": False})
    assert measure(tiny, judge, pool, patches, patches, curation=fixed).record.num_kept == len(patches)


def test_the_picture_pairs_each_image_with_its_nearest(patches: LabelledImages, tiny: Params, judge: Judge) -> None:
    """Where synthetic images are training images, both rows of each pair are the same."""
    _, _, nearest = measure(tiny, judge, patches, patches, patches)
    picture = neighbours_picture(patches, patches, nearest)
    assert picture.shape == (3 * 2 * 16 + 2 * 4, 8 * 16, 1)
    assert np.array_equal(picture[:16], picture[16:32])


def brightness(data: LabelledImages) -> Features:
    """A discriminator that takes bright images for real."""
    levels: Features = data.images.mean((1, 2, 3), dtype=np.float32)
    return levels


def test_overfitting_is_where_unseen_images_lie() -> None:
    """Halfway from training images to generated ones is 0.5, at the training images 0, and no order at all is 0."""
    train, generated = np.array([3.0, 5.0], np.float32), np.array([0.0, 0.0], np.float32)
    assert overfitting(train, np.array([2.0], np.float32), generated) == pytest.approx(0.5)
    assert overfitting(train, train, generated) == 0
    assert overfitting(generated, train, train) == 0


def test_a_probe_sees_a_discriminator_that_knows_its_images(
    patches: LabelledImages, tiny: Params, judge: Judge
) -> None:
    """Bright training images, unseen ones in the middle, dark generated ones: the probe gives the share of the way."""
    sets = [
        LabelledImages(np.full_like(patches.images, level), patches.labels, patches.class_names)
        for level in (200, 150, 100)
    ]
    look = GeneratorProbe(tiny.gan.health, sets[0], sets[1], judge, measure_cas=lambda drawn: 0.5)
    numbers = look(lambda count: sets[2].select(np.arange(count)), brightness, with_cas=False)
    assert numbers["overfitting"] == pytest.approx(0.5)


def test_a_probe_sees_classes_variety_and_coverage(patches: LabelledImages, tiny: Params, judge: Judge) -> None:
    """Real images are fine in every respect; one image a class, or one class for all, is not."""
    copies = LabelledImages(patches.images[patches.labels % 3], patches.labels, patches.class_names)
    one_class = LabelledImages(patches.images[patches.labels * 0], patches.labels, patches.class_names)
    health = tiny.gan.health.model_copy(update={"num_images": 60})
    look = GeneratorProbe(health, patches, patches, judge, measure_cas=lambda drawn: len(drawn) / 10_000)
    numbers = look(lambda count: patches.select(np.arange(count)), brightness, with_cas=False)
    assert numbers["gan_test"] == numbers["gan_test_weakest"] == numbers["coverage"] == 1
    assert numbers["diversity_weakest"] == pytest.approx(1)
    collapsed = look(lambda count: copies.select(np.arange(count)), brightness, with_cas=False)
    assert (collapsed["gan_test"], collapsed["diversity_weakest"]) == (1, 0)
    assert collapsed["coverage"] < 0.5
    wrong = look(lambda count: one_class.select(np.arange(min(count, 60))), brightness, with_cas=True)
    assert wrong["gan_test"] == pytest.approx(1 / 3)
    assert wrong["gan_test_weakest"] == 0
    assert wrong["cas"] == 60 / 10_000
