"""Learning curves as power laws: error = scale * num_real ** -exponent + floor (Hestness et al. 2017, eq. 1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_SIZES = 4  # three parameters and one point to show a misfit
EXPONENTS = np.geomspace(0.02, 3.0, 48)  # from all but logarithmic to steeper than any classifier's
ZOOM, ZOOMS = np.linspace(-1, 1, 9), 6  # each round narrows the search fourfold: the exponent is good to 1e-4


@dataclass(frozen=True)
class PowerLaws:
    """One law a row; all arrays have shape (D,). scale >= 0 and 0 <= floor."""

    scale: Floats
    exponent: Floats
    floor: Floats

    def errors(self, num_real: Floats) -> Floats:
        """Errors (D, K), as fractions, at K sizes."""
        return self.scale[:, None] * num_real ** -self.exponent[:, None] + self.floor[:, None]

    def num_real(self, errors: Floats) -> Floats:
        """Size (D,) at which each law has come down to its row of `errors`; inf where it never does."""
        above = errors - self.floor
        with np.errstate(over="ignore"):  # inf is the answer then
            sizes = (self.scale / np.where(above > 0, above, 1.0)) ** (1 / self.exponent)
        return np.where(above > 0, sizes, np.inf)


def fit_power_laws(num_real: Floats, errors: Floats) -> PowerLaws:
    """Least squares under scale >= 0 and floor >= 0, each row of `errors` for itself.

    For a given exponent the other two have a closed form, so that the search is over one number (variable
    projection, Golub & Pereyra 1973) and finds the same optimum from any data: there is no start to choose.

    Args:
        num_real: K sizes, all different.
        errors: mean errors (D, K), fractions.
    """
    laws = _best(num_real, errors, np.broadcast_to(EXPONENTS, (len(errors), len(EXPONENTS))))
    step = EXPONENTS[1] / EXPONENTS[0]
    for _ in range(ZOOMS):
        exponents = laws.exponent[:, None] * step**ZOOM
        laws = _best(num_real, errors, exponents.clip(EXPONENTS[0], EXPONENTS[-1]))
        step **= ZOOM[1] - ZOOM[0]
    return laws


def _best(num_real: Floats, errors: Floats, exponents: Floats) -> PowerLaws:
    """Of each row's `exponents` (D, E), the law with the least squared error."""
    x = num_real ** -exponents[:, :, None]  # (D, E, K)
    y = errors[:, None, :]
    centred = x - x.mean(2, keepdims=True)
    scale = (centred * y).sum(2) / (centred**2).sum(2)
    floor = y.mean(2) - scale * x.mean(2)
    through_zero = (x * y).sum(2) / (x**2).sum(2)
    scale, floor = np.where(floor < 0, through_zero, scale), np.maximum(floor, 0)
    flat = scale < 0  # more images did worse: the best law that may not rise is level
    scale, floor = np.where(flat, 0, scale), np.where(flat, y.mean(2), floor)
    squares = ((scale[:, :, None] * x + floor[:, :, None] - y) ** 2).sum(2)
    rows, best = np.arange(len(errors)), squares.argmin(1)
    return PowerLaws(scale[rows, best], exponents[rows, best], floor[rows, best])
