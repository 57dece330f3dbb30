"""Distance to the truth, pixel by pixel. These scores favour blur: a posterior mean wins over any of its samples."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def _pair(truth: Array, estimate: Array) -> tuple[FloatArray, FloatArray]:
    if truth.shape != estimate.shape:
        raise ValueError(f"truth of shape {truth.shape} and estimate of shape {estimate.shape} differ")
    return np.asarray(truth, np.float64), np.asarray(estimate, np.float64)


def _selected(values: FloatArray, mask: Mask | None) -> FloatArray:
    """Values (n,) where the mask, broadcast against them, is True."""
    return values.ravel() if mask is None else values[np.broadcast_to(mask, values.shape)]


def rmse(truth: Array, estimate: Array, mask: Mask | None = None) -> float:
    """Root mean square error.

    Args:
        truth: (..., y, x).
        estimate: the same shape and unit.
        mask: bool, broadcasts against the images: pixels that count; None for all. Others may be NaN.

    Returns:
        In the unit of the images; NaN if no pixel counts.

    Raises:
        ValueError: if the shapes differ.
    """
    a, b = _pair(truth, estimate)
    errors = _selected(a - b, mask)
    return float(np.sqrt((errors**2).mean())) if errors.size else float("nan")


def psnr(truth: Array, estimate: Array, peak: float, mask: Mask | None = None) -> float:
    """Peak signal-to-noise ratio ``20 log10(peak / rmse)``, dB.

    Args:
        truth: (..., y, x).
        estimate: the same shape and unit.
        peak: data range in that unit, above 0; never taken from the images.
        mask: see `rmse`.

    Returns:
        dB; infinite for equal images, NaN if no pixel counts.

    Raises:
        ValueError: if the shapes differ or the peak is not positive.

    >>> psnr(np.zeros((2, 2)), np.full((2, 2), 0.1), 1.0)
    20.0
    """
    if not peak > 0:
        raise ValueError(f"peak {peak} is not positive")
    error = rmse(truth, estimate, mask)
    return float("inf") if error == 0 else float(20 * np.log10(peak / error))


def _filtered(image: FloatArray, taps: FloatArray) -> FloatArray:
    """Correlation of the last two axes with a separable window, where it lies inside."""
    for axis in (-2, -1):
        size = image.shape[axis] - len(taps) + 1
        parts = (w * image.take(range(t, t + size), axis) for t, w in enumerate(taps))
        image = np.asarray(sum(parts, np.zeros(())))
    return image


def ssim_map(
    truth: Array, estimate: Array, peak: float, window: Literal["gaussian", "uniform"] = "gaussian"
) -> FloatArray:
    """Local structural similarity where the window lies inside the image.

    Wang, Bovik, Sheikh and Simoncelli (2004), eq. 13, doi:10.1109/TIP.2003.819861, K1 = 0.01, K2 = 0.03.

    Args:
        truth: (..., y, x), at least one window wide.
        estimate: the same shape and unit.
        peak: data range in that unit.
        window: ``gaussian``, 11 taps of sigma 1.5 and population covariance, as published; ``uniform``, 7 x 7 and
            sample covariance, the default of scikit-image.

    Returns:
        (..., y - w + 1, x - w + 1), w = 11 or 7; between -1 and 1.

    Raises:
        ValueError: if the shapes differ or the image is smaller than the window.
    """
    luminance, structure = ssim_parts(truth, estimate, peak, window)
    return luminance * structure


def ssim_parts(
    truth: Array, estimate: Array, peak: float, window: Literal["gaussian", "uniform"] = "gaussian"
) -> tuple[FloatArray, FloatArray]:
    """Both factors of `ssim_map`: luminance, and contrast with structure.

    Args:
        truth: see `ssim_map`.
        estimate: see `ssim_map`.
        peak: see `ssim_map`.
        window: see `ssim_map`.

    Raises:
        ValueError: see `ssim_map`.
    """
    a, b = _pair(truth, estimate)
    if window == "gaussian":
        taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        correction = 1.0
    else:
        taps = np.ones(7)
        correction = 49 / 48
    if a.ndim < 2 or min(a.shape[-2:]) < len(taps):
        raise ValueError(f"image of shape {a.shape} is smaller than the SSIM window of {len(taps)} x {len(taps)}")
    taps = taps / taps.sum()
    mean_a, mean_b = _filtered(a, taps), _filtered(b, taps)
    var_a = correction * (_filtered(a * a, taps) - mean_a**2)
    var_b = correction * (_filtered(b * b, taps) - mean_b**2)
    covariance = correction * (_filtered(a * b, taps) - mean_a * mean_b)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return np.asarray(luminance), np.asarray((2 * covariance + c2) / (var_a + var_b + c2))


def ssim(
    truth: Array,
    estimate: Array,
    peak: float,
    window: Literal["gaussian", "uniform"] = "gaussian",
    mask: Mask | None = None,
) -> float:
    """Mean structural similarity, over bands too. See `ssim_map`.

    Args:
        truth: (..., y, x).
        estimate: the same shape and unit.
        peak: data range in that unit.
        window: see `ssim_map`.
        mask: bool, broadcasts against the images: window centres that count; None for all.

    Returns:
        1 for equal images; NaN if no window counts.

    Raises:
        ValueError: see `ssim_map`.
    """
    local = ssim_map(truth, estimate, peak, window)
    if mask is not None:
        margin = (truth.shape[-1] - local.shape[-1]) // 2
        mask = np.broadcast_to(mask, truth.shape)[
            ..., margin : truth.shape[-2] - margin, margin : truth.shape[-1] - margin
        ]
    values = _selected(local, mask)
    return float(values.mean()) if values.size else float("nan")


def affine_fit(truth: Array, estimate: Array, mask: Mask | None = None) -> tuple[float, float]:
    """Slope and offset of the least squares fit ``truth = slope * estimate + offset``.

    Args:
        truth: any shape.
        estimate: the same shape.
        mask: see `rmse`.

    Returns:
        Slope ``cov / var`` and offset; slope 0 for a constant estimate.
    """
    a, b = (_selected(v, mask) for v in _pair(truth, estimate))
    variance = float(b.var())
    slope = float(((a - a.mean()) * (b - b.mean())).mean()) / variance if variance > 0 else 0.0
    return slope, float(a.mean()) - slope * float(b.mean())


def nrmse_affine(truth: Array, estimate: Array, mask: Mask | None = None) -> float:
    """Root mean square error after the best affine fit, divided by the range of the truth.

    Microscopes have no absolute scale; this is the score of CARE (Weigert et al. 2018,
    doi:10.1038/s41592-018-0216-7).

    Args:
        truth: any shape.
        estimate: the same shape, any affine scale.
        mask: see `rmse`.

    Returns:
        0 for a perfect estimate, without unit; NaN for a constant truth.
    """
    slope, offset = affine_fit(truth, estimate, mask)
    values = _selected(np.asarray(truth, np.float64), mask)
    span = float(np.ptp(values))
    return rmse(truth, slope * np.asarray(estimate, np.float64) + offset, mask) / span if span > 0 else float("nan")


def spectral_angle(truth: Array, estimate: Array) -> float:
    """Mean angle between band vectors (SAM), degrees; pixels where either vector is zero are left out.

    Kruse et al. (1993), doi:10.1016/0034-4257(93)90013-N.

    Args:
        truth: (band, y, x).
        estimate: the same shape and unit.

    Returns:
        0 to 180; NaN if no pixel has two vectors.
    """
    a, b = _pair(truth, estimate)
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    counted = lengths > 0
    if not counted.any():
        return float("nan")
    cosine = (a * b).sum(0)[counted] / lengths[counted]
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())


def ergas(truth: Array, estimate: Array, factor: float) -> float:
    """Relative global error ``100 / factor * sqrt(mean_b (rmse_b / mean_b)^2)`` (ERGAS).

    Wald (2000), "Quality of high resolution synthesised images": ``1/factor`` is the ratio of the fine to the coarse
    pixel size. Some libraries multiply by the factor instead.

    Args:
        truth: (band, y, x), bands of positive mean.
        estimate: the same shape and unit.
        factor: refinement s.

    Returns:
        0 for a perfect estimate; infinite if a band of the truth has mean 0.
    """
    a, b = _pair(truth, estimate)
    squares = ((a - b) ** 2).mean((1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(squares > 0, squares / a.mean((1, 2)) ** 2, 0.0)
    return float(100 / factor * np.sqrt(ratios.mean()))


def foreground(image: Array, bins: int = 256) -> Mask:
    """Pixels above Otsu's threshold.

    Otsu (1979), doi:10.1109/TSMC.1979.4310076: the threshold that maximises the variance between the two classes.

    Args:
        image: any shape, finite.
        bins: of the histogram.

    Returns:
        bool of the same shape; all False for a constant image.
    """
    values = np.asarray(image, np.float64)
    if values.size == 0 or np.ptp(values) == 0:
        return np.zeros(values.shape, np.bool_)
    counts, edges = np.histogram(values, bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / np.maximum(below, 1)
    mean_above = (np.cumsum((counts * centres)[::-1])[::-1]) / np.maximum(above, 1)
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return np.asarray(values > centres[int(between.argmax())])
