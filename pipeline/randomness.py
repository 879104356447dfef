"""Every draw as a function of (seed, stream, position): nothing depends on what was drawn before."""

from enum import IntEnum, unique
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipeline.images import Indices

RESTART = 16  # added to the streams of GAN_* at every restart of its training: fresh draws, apart from all others
WORDS_PER_BLOCK = 4  # Philox4x64 gives four 64-bit words per counter value: sixteen 16-bit indices


@unique
class Stream(IntEnum):
    """Purposes of one seed's draws, so that none repeats another's.

    The split (`sources/splits.py`) is the exception: it numbers its streams by class, under a seed of its own.
    """

    GAN_ROWS = 0  # real images of a step of the GAN
    GAN_AUGMENTATION = 1  # flips and shifts of a step of the GAN
    GAN_LATENTS = 2  # z of a step of the GAN
    SYNTHETIC_LATENTS = 3  # z of the synthetic dataset
    CALIBRATION_LATENTS = 4  # z from which batch normalisation's statistics are computed anew
    GRID_LATENTS = 5  # z of the sample grid
    SET_ROWS = 6  # which images of a set a replicate takes; an epoch a class
    CELL_DROPOUT = 8  # what a network of somebody else's draws itself in a step of a classifier
    CELL_ATTACK = 9  # where the attack on a batch of adversarial training starts
    CELL_REAL_ROWS = 10  # real images of a step of a classifier
    CELL_SYNTHETIC_ROWS = 11  # synthetic images of a step of a classifier
    CELL_AUGMENTATION = 12  # flips, shifts and squares of a step of a classifier
    CELL_TRIVIAL_AUGMENT = 14  # operations of a step of a classifier
    CELL_BLEND = 15  # pairs and weights of mixup and CutMix in a step of a classifier
    CORRUPTION_NOISE = 13  # noise added to test images
    DATASET_GROUPS = 20  # order of the row groups that a torch dataset streams
    DATASET_ROWS = 21  # order of the rows within a window of them
    REGENERATED_ROWS = 22  # images that `dataset verify` draws anew
    BOOTSTRAP = 30  # resampled replicates and test images


@lru_cache(maxsize=16)  # a window of batches asks for the same few epochs again and again
def permutation(size: int, *, seed: int, stream: int, epoch: int) -> Indices:
    """A shuffle of range(size), read-only.

    Sorts raw Philox words (Salmon et al. 2011) instead of calling a `Generator` method, whose stream numpy
    may change between versions.
    """
    words = np.random.Philox(key=[seed, stream], counter=[0, 0, epoch, 0]).random_raw(size)
    rows = np.argsort(words, kind="stable").astype(np.int64)
    rows.flags.writeable = False  # the cache hands the same array to every caller
    return rows


def shuffled_rows(size: int, start: int, count: int, *, seed: int, stream: int) -> Indices:
    """Rows start ... start + count of the endless sequence "every row once an epoch, in a fresh order".

    Any window can be asked for without the ones before it, so training resumes by its step number alone.
    """
    rows = []
    while count > 0:
        epoch, offset = divmod(start, size)
        part = permutation(size, seed=seed, stream=stream, epoch=epoch)[offset : offset + count]
        rows.append(part)
        start, count = start + len(part), count - len(part)
    return np.concatenate(rows) if rows else np.empty(0, np.int64)


def random_words(count: int, *, seed: int, stream: int, position: int) -> NDArray[np.uint64]:
    """`count` uniform 64-bit words."""
    return np.random.Philox(key=[seed, stream], counter=[0, 0, position, 1]).random_raw(count)


def latents(start: int, count: int, dim: int, *, seed: int, stream: int) -> NDArray[np.float32]:
    """z of the samples start ... start + count: float32, (count, dim), standard normal.

    Philox4x64-10 (Salmon et al. 2011) in counter mode: sample i owns counters i * b ... (i + 1) * b.
    """
    blocks = -(-dim // 16)
    first = start * blocks
    counter = [first & (2**64 - 1), first >> 64, 0, 2]
    words = np.random.Philox(key=[seed, stream], counter=counter).random_raw(count * blocks * WORDS_PER_BLOCK)
    index = words.astype("<u8").view("<u2").reshape(count, blocks * 16)[:, :dim]
    z: NDArray[np.float32] = normal_quantiles()[index]
    return z


@lru_cache(maxsize=1)
def normal_quantiles() -> NDArray[np.float32]:
    """65,536 quantiles of the normal distribution, rounded to 1/4096 so that every libm agrees."""
    inverse = NormalDist().inv_cdf
    quantiles = [round(inverse((k + 0.5) / 65536) * 4096) / 4096 for k in range(65536)]
    return np.array(quantiles, np.float32)
