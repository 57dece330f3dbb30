"""Is the stated uncertainty true? Coverage of intervals, and the factor that would repair it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
LEVELS = (0.5, 0.9, 0.95)
"""Probabilities of the central intervals that reports show."""


def _half_width(level: float) -> float:
    """Half width of the central interval of a standard normal variable."""
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def _fraction(inside: npt.NDArray[np.bool_], mask: Mask | None) -> float:
    values = inside.ravel() if mask is None else inside[np.broadcast_to(mask, inside.shape)]
    return float(values.mean()) if values.size else float("nan")


def coverage_gaussian(
    truth: Array, mean: Array, std: Array, levels: Sequence[float] = LEVELS, mask: Mask | None = None
) -> Mapping[float, float]:
    """How often the truth lies in the central interval ``mean +- z std``.

    Args:
        truth: any shape.
        mean: posterior mean, the same shape and unit.
        std: posterior standard deviation, broadcasts against it.
        levels: probabilities of the intervals, between 0 and 1.
        mask: bool, broadcasts against the truth: pixels that count; None for all.

    Returns:
        Fraction of covered pixels per level; equal to the level where the posterior is calibrated.

    Raises:
        ValueError: for a level outside 0 to 1.
    """
    error = np.abs(np.asarray(truth, np.float64) - mean)
    return {level: _fraction(np.asarray(error <= _half_width(level) * std), mask) for level in levels}


def coverage_samples(
    truth: Array, samples: Array, levels: Sequence[float] = LEVELS, mask: Mask | None = None
) -> Mapping[float, float]:
    """How often the truth lies in the central interval of posterior samples.

    The ends are order statistics at ranks ``(k + 1)(1 +- level)/2`` (interpolated), between which a further draw from
    the same distribution falls with exactly that probability, whatever ``k`` is (Hyndman and Fan 1996, definition 6,
    doi:10.2307/2684934). Plain quantiles of few samples would be too narrow.

    Args:
        truth: any shape.
        samples: (k, *shape of the truth).
        levels: probabilities of the intervals, between 0 and 1.
        mask: bool, broadcasts against the truth: pixels that count; None for all.

    Returns:
        Fraction of covered pixels per level; NaN for a level above ``(k - 1)/(k + 1)``, which ``k`` samples cannot
        express: 0.9 needs 19 samples, 0.95 needs 39.

    Raises:
        ValueError: for a level outside 0 to 1, or shapes that do not fit.
    """
    if samples.shape[1:] != truth.shape or samples.shape[0] < 1:
        raise ValueError(f"samples of shape {samples.shape} do not fit a truth of shape {truth.shape}")
    k = samples.shape[0]
    ordered = np.sort(np.asarray(samples, np.float64), axis=0)
    result = {}
    for level in levels:
        _half_width(level)  # refuses impossible levels
        if level > (k - 1) / (k + 1) + 1e-12:
            result[level] = float("nan")
            continue
        low, high = (_order_statistic(ordered, (k + 1) * (1 + sign * level) / 2) for sign in (-1, 1))
        result[level] = _fraction(np.asarray((truth >= low) & (truth <= high)), mask)
    return result


def _order_statistic(ordered: Array, rank: float) -> Array:
    """Interpolated order statistic of a 1-based rank along axis 0."""
    position = min(max(rank - 1, 0.0), len(ordered) - 1.0)
    first = min(int(position), max(len(ordered) - 2, 0))
    last = min(first + 1, len(ordered) - 1)
    return np.asarray(ordered[first] + (position - first) * (ordered[last] - ordered[first]))


def conformal_scale(errors: Array, std: Array, level: float = 0.9) -> float:
    """Factor on the standard deviation that gives held-out intervals their coverage: split conformal prediction.

    The quantile of ``|error| / std`` at rank ``ceil((n + 1) level)``, divided by the normal quantile of the level.
    Angelopoulos and Bates (2023), section 1 and 2.3, doi:10.1561/2200000101. Neighbouring pixels are dependent: the
    promise holds for exchangeable pixels, so calibrate on many images.

    Args:
        errors: truth minus mean on calibration data, any shape, not used for training.
        std: stated standard deviation, the same shape and unit, not negative.
        level: wanted coverage, between 0 and 1.

    Returns:
        1 for a calibrated Gaussian posterior, above 1 if it is overconfident; infinite if errors occur where the
        stated standard deviation is 0 too often.

    Raises:
        ValueError: for an impossible level, or too few data for it.
    """
    half_width = _half_width(level)
    size = np.abs(np.asarray(errors, np.float64)).ravel()
    spread = np.broadcast_to(np.asarray(std, np.float64), np.shape(errors)).ravel()
    rank = math.ceil((len(size) + 1) * level - 1e-9)
    if rank > len(size):
        raise ValueError(
            f"{len(size)} errors are too few for level {level}; give at least {math.ceil(level / (1 - level) - 1e-9)}"
        )
    ratios = np.divide(size, spread, out=np.where(size > 0, np.inf, 0.0), where=spread > 0)
    return float(np.partition(ratios, rank - 1)[rank - 1] / half_width)


def spread_correlation(errors: Array, std: Array, *, ranked: bool = False) -> float:
    """Correlation of the standard deviation with the absolute error: does it know where it errs?

    Args:
        errors: truth minus mean, any shape.
        std: stated standard deviation, the same shape.
        ranked: Spearman's instead of Pearson's coefficient (ties in order of appearance).

    Returns:
        -1 to 1; even a perfect Gaussian posterior stays well below 1, since an error is one draw. NaN if either is
        constant.
    """
    a = np.abs(np.asarray(errors, np.float64)).ravel()
    b = np.broadcast_to(np.asarray(std, np.float64), np.shape(errors)).ravel()
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    if ranked:
        a, b = (v.argsort(kind="stable").argsort().astype(np.float64) for v in (a, b))
    return float(np.corrcoef(a, b)[0, 1])
