"""Pictures of a generator in training: a grid of samples, and the same latents at every probe."""

from pathlib import Path

import numpy as np

from pipeline.files import write_array, write_picture
from pipeline.gan.sampling import Sampler
from pipeline.gan.state import Row
from pipeline.images import Pixels, tile

GRID_COLUMNS = 10
EVOLUTION_COLUMNS = 12  # at most


def write_grid(file: Path, sampler: Sampler, seed: int) -> Pixels:
    """Writes samples of every class, a row a class; returns the first image of each (uint8 NHWC)."""
    grid = sampler.grid(GRID_COLUMNS, seed=seed)
    write_picture(file, tile(grid, GRID_COLUMNS))
    return grid[::GRID_COLUMNS]


def keep_strip(folder: Path, strip: Pixels, row: Row) -> None:
    """Keeps a probe's first images beside the training's state, so that a run that was killed shows all its probes."""
    write_array(folder / f"strip-{int(row['restarts'])}-{int(row['step']):09d}.npy", strip)


def write_evolution(file: Path, folder: Path) -> None:
    """Writes the strips in `folder` from left to right, a row a class."""
    files = sorted(folder.glob("strip-*.npy"))
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, EVOLUTION_COLUMNS).round().astype(int))]
    strips = np.stack([np.load(file) for file in chosen], axis=1)
    write_picture(file, tile(strips.reshape(-1, *strips.shape[2:]), len(chosen)))
