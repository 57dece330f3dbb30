"""Scores of satellite super-resolution against a truth: SAM, ERGAS, PSNR per band.

All take (band, y, x) arrays in physical units and skip pixels that are not finite in both.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[npt.NBitBase]] | npt.NDArray[np.float32] | npt.NDArray[np.float64]


def _pixels(truth: Array, estimate: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pixels that are finite in all bands of both, each (band, n)."""
    if truth.shape != estimate.shape or truth.ndim != 3:
        raise ValueError(
            f"truth {truth.shape} and estimate {estimate.shape} are not two (band, y, x) arrays of one shape"
        )
    good = np.isfinite(truth).all(0) & np.isfinite(estimate).all(0)
    return truth[:, good].astype(np.float64), estimate[:, good].astype(np.float64)


def spectral_angle(truth: Array, estimate: Array) -> float:
    """Mean angle between band vectors in degrees (SAM; Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N).

    Zero vectors have no direction and are skipped; NaN if none is left.

    >>> float(round(spectral_angle(np.array([[[1.0]], [[0.0]]]), np.array([[[1.0]], [[1.0]]])), 6))
    45.0
    """
    t, e = _pixels(truth, estimate)
    length = np.linalg.norm(t, axis=0), np.linalg.norm(e, axis=0)
    keep = (length[0] > 0) & (length[1] > 0)
    if not keep.any():
        return float("nan")
    # atan2 of difference and sum of unit vectors stays accurate where arccos of the cosine loses all digits.
    a, b = t[:, keep] / length[0][keep], e[:, keep] / length[1][keep]
    angle = 2 * np.arctan2(np.linalg.norm(a - b, axis=0), np.linalg.norm(a + b, axis=0))
    return float(np.degrees(angle).mean())


def ergas(truth: Array, estimate: Array, factor: float = 1.0) -> float:
    """Relative global error ``100 (1/s) sqrt(mean_b (RMSE_b / mean_b)^2)`` (Wald 2000), s the refinement.

    Some libraries multiply by s instead. A band of mean 0 makes it infinite; NaN without pixels.

    >>> float(ergas(np.full((1, 2, 2), 10.0), np.full((1, 2, 2), 11.0), factor=4))
    2.5
    """
    t, e = _pixels(truth, estimate)
    if t.shape[1] == 0:
        return float("nan")
    rmse, mean = np.sqrt(((t - e) ** 2).mean(1)), np.abs(t.mean(1))
    if (mean == 0).any():
        return float("inf") if rmse.any() else 0.0
    return float(100.0 / factor * np.sqrt(((rmse / mean) ** 2).mean()))


def peak_signal_to_noise(truth: Array, estimate: Array, peak: float | None = None) -> list[float]:
    """PSNR per band in dB.

    Args:
        truth: (band, y, x).
        estimate: (band, y, x).
        peak: the largest possible signal (1 for reflectance, 255 for bytes); None takes each band's range in the truth.

    Returns:
        One number per band: infinite where the bands agree, NaN without pixels or signal.
    """
    t, e = _pixels(truth, estimate)
    if t.shape[1] == 0:
        return [float("nan")] * truth.shape[0]
    error = ((t - e) ** 2).mean(1)
    signal = np.full(len(t), peak) if peak is not None else t.max(1) - t.min(1)
    result = []
    for s, m in zip(signal, error, strict=True):
        if m == 0:
            result.append(float("inf"))
        else:
            result.append(float(10 * np.log10(s * s / m)) if s > 0 else float("nan"))
    return result
