"""Scores and previews of microscopy: errors after an affine fit, and on the foreground."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def otsu(values: Doubles) -> float:
    """Threshold that splits a histogram of 256 bins with the largest between-class variance.

    Otsu, doi:10.1109/TSMC.1979.4310076.
    """
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return low
    counts, edges = np.histogram(values, 256, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * centres)
    above = total - below
    inside = (below > 0) & (above > 0)
    between = np.zeros(256)
    a, b = below[inside], above[inside]
    between[inside] = a * b * (sums[inside] / a - (sums[-1] - sums[inside]) / b) ** 2
    return float(centres[int(between.argmax())])


def affine_fit(estimate: Doubles, truth: Doubles) -> Doubles:
    """``a * estimate + b`` closest to the truth in the mean square (a = 0 for a constant estimate)."""
    variance = float(estimate.var())
    a = float(((estimate - estimate.mean()) * (truth - truth.mean())).mean()) / variance if variance > 0 else 0.0
    fitted: Doubles = a * (estimate - estimate.mean()) + float(truth.mean())
    return fitted


def scores(truth: FloatArray, estimate: FloatArray) -> dict[str, float]:
    """NRMSE and PSNR after an affine fit, and PSNR on the foreground of the truth.

    The range is that between the percentiles 0.1 and 99.9 of the truth. A constant truth has no range: no scores.

    Args:
        truth: (band, y, x), physical units, NaN where invalid.
        estimate: same shape and units.
    """
    good = np.isfinite(truth) & np.isfinite(estimate)
    t, e = truth[good].astype(np.float64), estimate[good].astype(np.float64)
    if t.size == 0:
        return {}
    low, high = (float(q) for q in np.percentile(t, [0.1, 99.9]))
    if high <= low:
        return {}
    error = (affine_fit(e, t) - t) ** 2
    found = {"nrmse_affine": math.sqrt(float(error.mean())) / (high - low), "psnr_affine": _psnr(error, high - low)}
    foreground = t > otsu(t)
    if foreground.any():
        found["psnr_foreground"] = _psnr(error[foreground], high - low)
    return found


def _psnr(squared: Doubles, peak: float) -> float:
    mean = float(squared.mean())
    return 10.0 * math.log10(peak**2 / mean) if mean > 0 else math.inf


def grey(values: FloatArray, reference: FloatArray) -> npt.NDArray[np.uint8]:
    """Preview (y, x, 3): percentiles 1 to 99.9 of the reference, invalid pixels flat grey.

    Args:
        values: (1, y, x).
        reference: values that set the limits.
    """
    plane, known = values[0].astype(np.float64), reference[np.isfinite(reference)]
    low, high = (float(q) for q in np.percentile(known, [1.0, 99.9])) if known.size else (0.0, 1.0)
    if high <= low:
        low, high = low - 0.5, low + 0.5
    level = np.clip((np.nan_to_num(plane, nan=low, posinf=high, neginf=low) - low) / (high - low), 0, 1)
    shown = np.where(np.isfinite(plane), np.rint(level * 255), 128).astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=2)
