"""Learning curves as power laws: error = scale * num_real ** -exponent + floor (Hestness et al. 2017, eq. 1)."""

from math import inf

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.result import PowerLaw

Floats = NDArray[np.float64]

MIN_SIZES = 4  # three parameters and one point to show a misfit
EXPONENTS = np.geomspace(0.02, 3.0, 48)  # from all but logarithmic to steeper than any classifier's
ZOOM, ZOOMS = np.linspace(-1, 1, 9), 6  # each round narrows the search fourfold: the exponent is good to 1e-4


def law_errors(law: PowerLaw, num_real: Floats) -> Floats:
    """Errors at K sizes, as fractions."""
    return law.scale * num_real**-law.exponent + law.floor


def law_num_real(law: PowerLaw, error: float) -> float:
    """Size at which the law has come down to `error`; inf where it never does."""
    if error <= law.floor:
        return inf
    with np.errstate(over="ignore"):  # inf is the answer then
        return float(np.float64(law.scale / (error - law.floor)) ** (1 / law.exponent))


def fit_power_law(num_real: Floats, errors: Floats) -> PowerLaw:
    """Least squares under scale >= 0 and floor >= 0.

    For a given exponent the other two have a closed form, so that the search is over one number (variable
    projection, Golub & Pereyra 1973) and finds the same optimum from any data: there is no start to choose.

    Args:
        num_real: K sizes, all different.
        errors: their mean errors, fractions.
    """
    law = _best(num_real, errors, EXPONENTS)
    step = EXPONENTS[1] / EXPONENTS[0]
    for _ in range(ZOOMS):
        exponents = law.exponent * step**ZOOM
        law = _best(num_real, errors, exponents.clip(EXPONENTS[0], EXPONENTS[-1]))
        step **= ZOOM[1] - ZOOM[0]
    return law


def _best(num_real: Floats, errors: Floats, exponents: Floats) -> PowerLaw:
    """The law with the least squared error at one of E exponents."""
    x = num_real ** -exponents[:, None]  # (E, K)
    centred = x - x.mean(1, keepdims=True)
    scale = centred @ errors / (centred**2).sum(1)
    floor = errors.mean() - scale * x.mean(1)
    through_zero = x @ errors / (x**2).sum(1)
    scale, floor = np.where(floor < 0, through_zero, scale), np.maximum(floor, 0)
    flat = scale < 0  # more images did worse: the best law that may not rise is level
    scale, floor = np.where(flat, 0, scale), np.where(flat, errors.mean(), floor)
    squares = ((scale[:, None] * x + floor[:, None] - errors) ** 2).sum(1)
    best = squares.argmin()
    return PowerLaw(scale=float(scale[best]), exponent=float(exponents[best]), floor=float(floor[best]))
