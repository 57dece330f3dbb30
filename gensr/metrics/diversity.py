"""How much answers differ, and what they have in common: needs no truth."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.metrics.distortion import rmse

Array = npt.NDArray[np.floating[Any]]
FloatArray = npt.NDArray[np.float64]
Distance = Callable[[Array, Array], float]


def _several(samples: Array, least: int = 2) -> FloatArray:
    if len(samples) < least:
        raise ValueError(f"{len(samples)} samples: expected {least} or more")
    return np.asarray(samples, np.float64)


def pairwise(samples: Array, distance: Distance = rmse) -> FloatArray:
    """Distances of all pairs.

    Args:
        samples: (k, ...) answers to the same data.
        distance: of two images; by itself the root mean square difference.

    Returns:
        (k (k - 1) / 2,), in the order of ``itertools.combinations``.

    Raises:
        ValueError: fewer than two samples.
    """
    found = _several(samples)
    return np.array([distance(a, b) for a, b in combinations(found, 2)])


def diversity(samples: Array, distance: Distance = rmse) -> float:
    """Mean distance of two answers to the same data; 0 for a method that has one answer only.

    For posterior samples the root mean square difference is ``sqrt(2)`` times the posterior deviation. Give it samples
    that explain the data: those that do not are diverse for the wrong reason.

    Args:
        samples: (k, ...).
        distance: see `pairwise`.

    Raises:
        ValueError: fewer than two samples.

    >>> diversity(np.array([[[0.0]], [[2.0]]]))
    2.0
    """
    return float(pairwise(samples, distance).mean())


def agreement(details: Array, width: float) -> FloatArray:
    """Share of the detail around a pixel that all answers have in common: what is outside it, the model invented.

    The intraclass correlation of K answers over a Gaussian neighbourhood (Shrout and Fleiss 1979, one-way model,
    doi:10.1037/0033-2909.86.2.420): with B the mean square of the mean detail and W the mean within-pixel variance,
    ``(B - W/K) / (B - W/K + W)``, clipped to 0 to 1.

    Args:
        details: (k, band, y, x), answers minus an interpolation of the data: what each of them added.
        width: standard deviation of the neighbourhood, pixels.

    Returns:
        (y, x), 1 where all answers add the same, 0 where they have nothing in common; 1 where nothing was added.

    Raises:
        ValueError: fewer than two samples.
    """
    from scipy.ndimage import gaussian_filter

    found = _several(details)
    common = gaussian_filter((found.mean(0) ** 2).mean(0), width, mode="reflect")
    within = gaussian_filter(found.var(0, ddof=1).mean(0), width, mode="reflect")
    signal = np.clip(common - within / len(found), 0, None)
    total = signal + within
    scale = float(total.max())
    shared = np.divide(signal, total, out=np.ones_like(total), where=total > 1e-12 * (scale or 1.0))
    return np.asarray(shared, np.float64)
