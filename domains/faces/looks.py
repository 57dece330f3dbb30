"""Previews and scores of portraits."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def preview(values: FloatArray, peak: int) -> npt.NDArray[np.uint8]:
    """Codes as they are displayed, uint8 RGB (y, x, 3); NaN is mid grey.

    Args:
        values: (1 or 3, y, x), codes.
        peak: largest code.
    """
    finite = np.isfinite(values)
    level = np.clip(np.where(finite, values, 0.0) * (255.0 / peak), 0, 255)
    shown = np.where(finite, np.rint(level), 128).astype(np.uint8)
    rgb = np.repeat(shown, 3, axis=0) if len(shown) == 1 else shown
    return np.ascontiguousarray(np.moveaxis(rgb, 0, -1))


def scores(truth: FloatArray, estimate: FloatArray) -> dict[str, float]:
    """Root mean square error in codes, and a multi-scale gradient distance.

    The gradient distance is the mean absolute difference of image gradients over up to four halvings, divided by the
    mean absolute gradient of the truth: an offline stand-in for a perceptual distance, 0 for equal pictures, 1 for a
    flat estimate.

    Args:
        truth: (band, y, x), codes.
        estimate: same shape.
    """
    t, e = truth.astype(np.float64), estimate.astype(np.float64)
    good = np.isfinite(t) & np.isfinite(e)
    if not good.any():
        return {}
    t, e = np.where(good, t, 0.0), np.where(good, e, 0.0)
    found = {"rmse": math.sqrt(float(((t - e)[good] ** 2).mean()))}
    difference, total = _gradients(t, e)
    if total > 0:
        found["gradient_distance"] = difference / total
    return found


def _gradients(t: npt.NDArray[np.float64], e: npt.NDArray[np.float64]) -> tuple[float, float]:
    difference = total = 0.0
    for _ in range(4):
        if min(t.shape[1:]) < 2:
            break
        for axis in (1, 2):
            dt, de = np.diff(t, axis=axis), np.diff(e, axis=axis)
            difference += float(np.abs(dt - de).mean())
            total += float(np.abs(dt).mean())
        t, e = _halved(t), _halved(e)
    return difference, total


def _halved(a: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rows, cols = a.shape[1] // 2 * 2, a.shape[2] // 2 * 2
    mean: npt.NDArray[np.float64] = a[:, :rows, :cols].reshape(len(a), rows // 2, 2, cols // 2, 2).mean((2, 4))
    return mean
