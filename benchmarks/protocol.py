"""What every estimator is given and how its answer is scored: block averages, seeded noise, PSNR.

Estimators are compared on the same observations, so they are made in one place: noise comes from one generator
(seed 7) that runs through the pictures in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .astronomy import add_noise, stretch
from .datasets import Case

__all__ = ["Score", "block_mean", "block_sum", "mean_squared_error", "observe", "score"]

SEED = 7


@dataclass(frozen=True)
class Score:
    """PSNR of a set of pictures, dB.

    Attributes:
        mean: mean of the PSNR of each picture.
        pooled: PSNR of the mean squared error over all pictures, each with the same weight.
        cases: number of pictures.
    """

    mean: float
    pooled: float
    cases: int


def block_mean(image: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Mean over ``factor`` x ``factor`` blocks of the last two axes.

    Args:
        image: (..., y, x); y and x are multiples of ``factor``.
        factor: s.

    Returns:
        (..., y / s, x / s), float64, not rounded.

    Raises:
        ValueError: the sides are not multiples of ``factor``.
    """
    *lead, height, width = image.shape
    if height % factor or width % factor:
        raise ValueError(f"a picture of {height} x {width} has no whole {factor} x {factor} blocks; crop it first")
    blocks = np.asarray(image, np.float64).reshape(*lead, height // factor, factor, width // factor, factor)
    return np.asarray(blocks.mean((-3, -1)))


def block_sum(image: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Sum over blocks, for flux. See `block_mean`.

    Args:
        image: (..., y, x), flux per pixel.
        factor: s.

    Returns:
        (..., y / s, x / s), flux per coarse pixel.
    """
    return block_mean(image, factor) * factor**2


def observe(cases: Sequence[Case], factor: int, noise: float = 0.0, *, flux: bool = False) -> list[NDArray[np.float64]]:
    """The low-resolution observation of each picture.

    Args:
        cases: pictures (band, y, x).
        factor: s, the side of the block that becomes one pixel.
        noise: standard deviation of white Gaussian noise as a fraction of the peak; for flux any value above 0 means
            the camera's own noise model.
        flux: sum instead of average, camera noise instead of white noise.

    Returns:
        Per picture (band, y / s, x / s), in its own unit, not rounded or clipped.
    """
    rng = np.random.default_rng(SEED)
    observations = []
    for case in cases:
        if flux:
            low = block_sum(case.image, factor)
            observations.append(add_noise(low, rng, factor**2).astype(np.float64) if noise > 0 else low)
        else:
            low = block_mean(case.image, factor)
            observations.append(low + rng.normal(0, noise * case.peak, low.shape) if noise > 0 else low)
    return observations


def mean_squared_error(
    truth: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_] | None = None,
    *,
    stretched: bool = False,
) -> float:
    """Mean squared error of one picture.

    Args:
        truth: (band, y, x).
        estimate: the same shape and unit.
        mask: (y, x), the pixels that count; None for all.
        stretched: compare the stretched values of flux.

    Returns:
        The mean over bands and counted pixels.
    """
    a, b = (stretch(truth), stretch(estimate)) if stretched else (np.asarray(truth, np.float64), estimate)
    squares = (a - b) ** 2
    return float(squares.mean() if mask is None else squares[..., mask].mean())


def score(errors: Sequence[float], peak: float) -> Score:
    """PSNR from the mean squared error of each picture.

    Args:
        errors: one mean squared error per picture, above 0.
        peak: data range in the unit of the pictures.

    Returns:
        Mean and pooled PSNR.

    Example:
        >>> score([1.0, 0.01], 10.0)
        Score(mean=30.0, pooled=22.967086218813385, cases=2)
    """
    values = np.asarray(errors, np.float64)
    with np.errstate(divide="ignore"):  # a perfect picture has infinite PSNR
        each = 20 * np.log10(peak) - 10 * np.log10(values)
        pooled = 20 * np.log10(peak) - 10 * np.log10(values.mean())
    return Score(float(each.mean()), float(pooled), len(values))
