"""Is flux conserved: total flux and aperture sums of the same sources in truth and estimate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter

SUBPIXELS = 5
SOURCES = 50
RADIUS = 4.0


def aperture_sum(image: npt.NDArray[np.floating], x: float, y: float, radius: float) -> float:
    """Sum inside a circle, NaN where it leaves the image or meets an invalid pixel.

    Args:
        image: (y, x).
        x: column of the centre, 0-based pixel centres.
        y: row of the centre.
        radius: in pixels; the edge is resolved to a fifth of a pixel.

    >>> round(aperture_sum(np.ones((9, 9)), 4.0, 4.0, 2.1), 2)
    13.96
    """
    top, left = int(np.floor(y - radius + 0.5)), int(np.floor(x - radius + 0.5))
    bottom, right = int(np.ceil(y + radius + 0.5)), int(np.ceil(x + radius + 0.5))
    if top < 0 or left < 0 or bottom > image.shape[0] or right > image.shape[1]:
        return float("nan")
    steps = (np.arange(SUBPIXELS) + 0.5) / SUBPIXELS - 0.5
    rows = (np.arange(top, bottom)[:, None] + steps).ravel() - y
    cols = (np.arange(left, right)[:, None] + steps).ravel() - x
    inside = rows[:, None] ** 2 + cols[None, :] ** 2 <= radius**2
    weight = inside.reshape(bottom - top, SUBPIXELS, right - left, SUBPIXELS).mean((1, 3))
    return float((image[top:bottom, left:right] * weight).sum())


def brightest(image: npt.NDArray[np.floating], count: int = SOURCES, separation: int = 5) -> list[tuple[int, int]]:
    """Local maxima 10 robust sigma above the median, brightest first, as (x, y)."""
    finite = np.where(np.isfinite(image), image, np.nanmin(image) if np.isfinite(image).any() else 0.0)
    level = float(np.median(finite))
    spread = 1.4826 * float(np.median(np.abs(finite - level)))
    peak = (finite == maximum_filter(finite, size=2 * separation + 1)) & (finite > level + 10 * spread)
    rows, cols = np.nonzero(peak)
    order = np.argsort(-finite[rows, cols], kind="stable")[:count]
    return [(int(cols[i]), int(rows[i])) for i in order]


def flux_scores(truth: npt.NDArray[np.floating], estimate: npt.NDArray[np.floating]) -> dict[str, float]:
    """Ratio of total flux, and bias and scatter (mag) of aperture sums of the brightest sources of the truth.

    Args:
        truth: (y, x).
        estimate: the same shape and unit.

    Returns:
        ``flux_ratio``; with sources also ``aperture_bias_mag``, ``aperture_scatter_mag`` and ``apertures``.
    """
    both = np.isfinite(truth) & np.isfinite(estimate)
    total = float(truth[both].sum(dtype=np.float64))
    scores = {"flux_ratio": float(estimate[both].sum(dtype=np.float64)) / total} if total else {}
    level = float(np.median(truth[both])) if both.any() else 0.0
    differences = []
    for x, y in brightest(truth) if both.any() else []:
        a = aperture_sum(truth - level, x, y, RADIUS)
        b = aperture_sum(estimate - level, x, y, RADIUS)
        if a > 0 and b > 0:
            differences.append(-2.5 * np.log10(b / a))
    if differences:
        scores["aperture_bias_mag"] = float(np.mean(differences))
        scores["aperture_scatter_mag"] = float(np.std(differences))
        scores["apertures"] = float(len(differences))
    return scores
