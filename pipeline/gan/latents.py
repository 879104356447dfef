"""Latents z as a pure function of (seed, index), the same on every machine and device."""

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LATENT_STREAM = 3  # keeps latents apart from the other draws of the same seed
WORDS_PER_BLOCK = 4  # Philox4x64 gives four 64-bit words per counter value: sixteen 16-bit indices


@lru_cache(maxsize=1)
def normal_table() -> NDArray[np.float32]:
    """The 65,536 quantiles of the normal distribution, rounded to 1/4096 so that every libm agrees."""
    inverse = NormalDist().inv_cdf
    quantiles = [round(inverse((k + 0.5) / 65536) * 4096) / 4096 for k in range(65536)]
    return np.array(quantiles, np.float32)


def latents(start: int, count: int, dim: int, *, seed: int, stream: int) -> NDArray[np.float32]:
    """z of the samples start ... start + count: float32, (count, dim), standard normal.

    Philox4x64-10 (Salmon et al. 2011) in counter mode: sample i owns counters i * b ... (i + 1) * b.
    """
    blocks = -(-dim // 16)
    first = start * blocks
    counter = [first & (2**64 - 1), first >> 64, 0, 2]
    words = np.random.Philox(key=[seed, stream], counter=counter).random_raw(count * blocks * WORDS_PER_BLOCK)
    index = words.astype("<u8").view("<u2").reshape(count, blocks * 16)[:, :dim]
    z: NDArray[np.float32] = normal_table()[index]
    return z
