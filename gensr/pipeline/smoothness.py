"""How smooth an image is at the scale of its pixels, and the blur that leaves its coarsened self as smooth.

Many images are finer than what they show: an optics wider than a pixel, an upsampled file. Block means of such an image
are sharper at their own scale than it is, and interpolation, which is nearly right for it, looks bad on them. Tried on
itself such an image must first be blurred, until its coarse data are as smooth at the scale of their pixels as it is.

Smoothness is ``D(2) / D(1)``, of mean squared differences over two pixels and over one, noise taken off: 1 for white
detail, about 2 where detail looks alike on all scales, 4 for an image without any at its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from gensr.operators.base import Operator
from gensr.values.grid import Factor

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
WIDTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Standard deviations of the blurs that are looked at, coarse pixels."""
FAINT = 0.1
"""Differences of detail over those of noise below which nothing is said."""
ALIKE = 0.05
"""Smoothness may lack so much of that of the data before anything is blurred."""
LAGS = (1, 2)


def blurred(values: Array, width: float, factor: Factor) -> Array:
    """Values (..., rows, cols) after a Gaussian of a width in coarse pixels, along axes that are coarsened."""
    if width == 0:
        return values
    from scipy.ndimage import gaussian_filter

    own = [width * f if f > 1 else 0.0 for f in factor]
    return np.asarray(gaussian_filter(values, (*[0.0] * (values.ndim - 2), *own), mode="nearest"), np.float64)


def width_of(values: Sequence[Array], usable: Sequence[Mask], variance: float, operator: Operator) -> float:
    """The blur, in coarse pixels, with which the coarse data of a band are as smooth as its data; 0 for none.

    Args:
        values: windows (rows, cols) of a band without gaps, sides multiples of the factor.
        usable: where they say something.
        variance: of their noise.
        operator: that coarsens them.
    """
    factor = operator.factor
    own = _smoothness(values, usable, factor, {lag: 2 * variance for lag in LAGS})
    if not np.isfinite(own):
        return 0.0
    kept = [_coarse_mask(mask, factor) for mask in usable]
    last = 0.0
    for i, width in enumerate(WIDTHS):
        coarse = [operator.forward(torch.from_numpy(blurred(v, width, factor))).numpy() / operator.gain for v in values]
        noise = {lag: variance * share for lag, share in _passed(operator, width).items()}
        found = _smoothness(coarse, kept, factor, noise)
        if not np.isfinite(found):
            return WIDTHS[max(0, i - 1)]
        if found >= own - (ALIKE if i == 0 else 0.0):
            step = width - WIDTHS[max(0, i - 1)]
            return width - step * min(1.0, (found - own) / (found - last)) if i else 0.0
        last = found
    return WIDTHS[-1]


def energy(operator: Operator, width: float, shape: tuple[int, int]) -> float:
    """Variance of a coarse datum, of unit gain, for white noise of variance 1 that is blurred and coarsened."""
    return float(np.square(_response(operator, width, shape, 0, 0)).sum())


def own_energy(width: float, factor: Factor) -> float:
    """Variance of a fine pixel for white noise of variance 1 that is blurred."""
    if width == 0:
        return 1.0
    one = np.zeros([int(10 * width * f) * 2 + 1 for f in factor])
    one[tuple(n // 2 for n in one.shape)] = 1.0
    return float(np.square(blurred(one, width, factor)).sum())


def _passed(operator: Operator, width: float) -> dict[int, float]:
    """Mean squared differences of coarse data, over so many of them, for white noise of variance 1."""
    side = 4 * (2 + max(LAGS) + int(8 * width))
    shape = (side, side)
    here = _response(operator, width, shape, 0, 0)
    power = float(np.square(here).sum())
    axes = [axis for axis, f in enumerate(operator.factor) if f > 1]
    return {
        lag: float(
            np.mean([2 * (power - (here * _response(operator, width, shape, axis, lag)).sum()) for axis in axes])
        )
        for lag in LAGS
    }


def _response(operator: Operator, width: float, shape: tuple[int, int], axis: int, lag: int) -> Array:
    """Weights of fine pixels in a coarse datum, ``lag`` from the middle along an axis."""
    one = np.zeros(shape)
    place = [n // 2 for n in shape]
    place[axis] += lag
    one[tuple(place)] = 1.0
    return blurred(operator.adjoint(torch.from_numpy(one)).numpy() / operator.gain, width, operator.factor)


def _smoothness(values: Sequence[Array], usable: Sequence[Mask], factor: Factor, noise: dict[int, float]) -> float:
    """``D(2) / D(1)`` along axes that are coarsened; NaN where there is nothing but noise."""
    found = {lag: _differences(values, usable, factor, lag) - noise[lag] for lag in LAGS}
    first = found[LAGS[0]]
    if not (first > 0 and first > FAINT * noise[LAGS[0]]):
        return float("nan")
    return found[LAGS[1]] / first


def _differences(values: Sequence[Array], usable: Sequence[Mask], factor: Factor, lag: int) -> float:
    """Mean squared difference over ``lag`` pixels, NaN for none."""
    total, count = 0.0, 0
    for field, mask in zip(values, usable, strict=True):
        for axis, f in enumerate(factor):
            if f > 1 and field.shape[axis] > lag:
                a, b = np.moveaxis(field, axis, 0)[lag:], np.moveaxis(field, axis, 0)[:-lag]
                both = np.moveaxis(mask, axis, 0)[lag:] & np.moveaxis(mask, axis, 0)[:-lag]
                total += float(np.square(a - b)[both].sum())
                count += int(both.sum())
    return total / count if count else float("nan")


def _coarse_mask(usable: Mask, factor: Factor) -> Mask:
    rows, cols = (n // f for n, f in zip(usable.shape, factor, strict=True))
    return np.asarray(usable.reshape(rows, factor[0], cols, factor[1]).all((1, 3)))
