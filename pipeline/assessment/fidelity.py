"""Fidelity and diversity of synthetic images in the features of a classifier: float arrays (N, D)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]


class Fidelity(NamedTuple):
    """How synthetic images compare with unseen real ones, `num_images` of each; keys as in `AssessRecord`."""

    num_images: int
    frechet_distance: float
    frechet_distance_floor: float
    precision: float
    recall: float
    density: float
    coverage: float


class Manifold(NamedTuple):
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

    precision: float
    recall: float
    density: float
    coverage: float


def measure_fidelity(synthetic: Features, train: Features, unseen: Features, num_neighbours: int) -> Fidelity:
    """Features of as many images each: the sizes must agree, because Fréchet distance and coverage depend on them."""
    assert len(synthetic) == len(train) == len(unseen)
    return Fidelity(
        len(synthetic),
        frechet_distance(synthetic, unseen),
        frechet_distance(train, unseen),
        *measure_manifold(unseen, synthetic, num_neighbours),
    )


def frechet_distance(first: Features, second: Features) -> float:
    """Squared Fréchet distance of two Gaussians fitted to the features (Heusel et al. 2017, eq. 6).

    The trace of the matrix square root comes from eigenvalues of symmetric matrices, which stay real where
    fewer images than dimensions make a covariance singular.
    """
    mean1, mean2 = first.mean(0, dtype=np.float64), second.mean(0, dtype=np.float64)
    cov1, cov2 = (np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False)) for x in (first, second))
    root = _symmetric_root(cov1)
    eigenvalues = np.linalg.eigvalsh(root @ cov2 @ root).clip(min=0)
    distance = ((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * np.sqrt(eigenvalues).sum()
    return max(float(distance), 0.0)


def measure_manifold(real: Features, synthetic: Features, num_neighbours: int) -> Manifold:
    """How far the k-nearest-neighbour balls of either set cover the other (k = `num_neighbours`).

    Precision: synthetic images inside a real ball. Recall: real images inside a synthetic ball. Density: real
    balls around a synthetic image, over k. Coverage: real balls that hold a synthetic image.
    """
    real_radius = _ball_radii(real, num_neighbours)
    synthetic_radius = _ball_radii(synthetic, num_neighbours)
    between = squared_distances(real, synthetic)
    in_real_ball = between <= real_radius[:, None]
    return Manifold(
        precision=float(in_real_ball.any(0).mean()),
        recall=float((between <= synthetic_radius[None, :]).any(1).mean()),
        density=float(in_real_ball.sum(0).mean() / num_neighbours),
        coverage=float((between.min(1) <= real_radius).mean()),
    )


def squared_distances(first: Features, second: Features) -> Features:
    """Squared Euclidean distances, (N, M)."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None, :]
    distances: Features = (squares - 2 * first @ second.T).clip(min=0)
    return distances


def _ball_radii(features: Features, num_neighbours: int) -> Features:
    """Squared distance of each row to its k-th nearest other row."""
    k = min(num_neighbours, len(features) - 1)
    distances = squared_distances(features, features)
    np.fill_diagonal(distances, 0)  # itself is the nearest, exactly
    radii: Features = np.partition(distances, k, axis=1)[:, k]
    return radii


def _symmetric_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root
