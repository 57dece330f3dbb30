"""Structure over several scales, and a distance of sets of pictures that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.metrics.distortion import ssim_parts

Array = npt.NDArray[np.floating[Any]]
FloatArray = npt.NDArray[np.float64]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, from the finest, as published; they sum to 1."""
LEVELS = 4
"""Levels of a picture that `frechet_pyramid` looks at."""


def ms_ssim(truth: Array, estimate: Array, peak: float, weights: Sequence[float] = WEIGHTS) -> float:
    """Multi-scale structural similarity, mean over bands: SSIM that looks at coarse structure too.

    Wang, Simoncelli and Bovik (2003), eq. 7, doi:10.1109/ACSSC.2003.1292216: contrast and structure at every scale,
    luminance at the coarsest; halved by means over 2 x 2 pixels. A negative term counts as 0.

    Args:
        truth: (..., y, x), at least 11 times 2^(scales - 1) pixels a side: 176 for five scales.
        estimate: the same shape and unit.
        peak: data range in that unit.
        weights: of the scales; leave out the last for smaller pictures, and say so.

    Returns:
        0 to 1, 1 for equal pictures.

    Raises:
        ValueError: the shapes differ, or the picture is too small for so many scales.
    """
    a, b = np.asarray(truth, np.float64), np.asarray(estimate, np.float64)
    least = 11 * 2 ** (len(weights) - 1)
    if a.ndim < 2 or min(a.shape[-2:]) < least:
        raise ValueError(
            f"image of shape {a.shape} is smaller than {least} x {least}, which {len(weights)} scales need"
        )
    found = np.ones(a.shape[:-2])
    for level, weight in enumerate(weights):
        luminance, structure = ssim_parts(a, b, peak)
        last = level == len(weights) - 1
        term = (luminance * structure if last else structure).mean((-2, -1))
        found = found * np.clip(term, 0, None) ** weight
        a, b = _halved(a), _halved(b)
    return float(found.mean())


def _halved(image: FloatArray) -> FloatArray:
    """Means over 2 x 2 pixels; an odd row or column at the end is left out."""
    rows, cols = (n // 2 * 2 for n in image.shape[-2:])
    cut = image[..., :rows, :cols].reshape(*image.shape[:-2], rows // 2, 2, cols // 2, 2)
    return np.asarray(cut.mean((-3, -1)))


def frechet(first: Array, second: Array) -> float:
    """Fréchet distance of two Gaussians that have the moments of two sets of features.

    Dowson and Landau (1982), doi:10.1016/0047-259X(82)90077-X:
    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``. It is called FID only with features of Inception, which gensr does
    not have: say which features were used.

    Args:
        first: (n, d) features of one set, n above 1.
        second: (m, d) of the other.

    Returns:
        0 for equal moments, in squared units of the features.

    Raises:
        ValueError: the sets have different features, or one picture only.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features of shapes {a.shape} and {b.shape}: expected (n, d) and (m, d), two rows or more")
    gap = float(np.square(a.mean(0) - b.mean(0)).sum())
    root = _root(np.atleast_2d(np.cov(a.T)))
    other = np.atleast_2d(np.cov(b.T))
    middle = np.linalg.eigvalsh(root @ other @ root)
    return max(gap + float(np.trace(root @ root) + np.trace(other) - 2 * np.sqrt(middle.clip(0)).sum()), 0.0)


def _root(covariance: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def frechet_pyramid(first: Array, second: Array, peak: float) -> float:
    """Fréchet distance of what two sets of pictures look like at every scale: FD-pyramid, no FID.

    Features of a picture are, per band and level of a pyramid of 2 x 2 means: logarithms of the mean absolute and of
    the root mean square detail, and its correlation with the detail two pixels on; then mean and deviation of what is
    left. It sees blur, ringing, noise and checkers, and knows nothing of faces or cells.

    Args:
        first: (n, band, y, x), at least 16 pixels a side.
        second: (m, band, y, x) of the same bands and size.
        peak: data range.

    Raises:
        ValueError: too small, or too few pictures.
    """
    return frechet(_looks(first, peak), _looks(second, peak))


def _looks(pictures: Array, peak: float) -> FloatArray:
    current = np.asarray(pictures, np.float64) / peak
    if current.ndim != 4 or min(current.shape[-2:]) < 16:
        raise ValueError(
            f"pictures of shape {np.shape(pictures)}: expected (n, band, y, x) of 16 pixels a side or more"
        )
    features = []
    for _ in range(LEVELS):
        if min(current.shape[-2:]) < 8:
            break
        coarse = _halved(current)
        rows, cols = coarse.shape[-2] * 2, coarse.shape[-1] * 2
        detail = current[..., :rows, :cols] - coarse.repeat(2, -2).repeat(2, -1)
        size = np.abs(detail).mean((-2, -1)) + 1e-4
        spread = np.sqrt(np.square(detail).mean((-2, -1)) + 1e-8)
        along = [(detail * np.roll(detail, 2, axis)).mean((-2, -1)) / spread**2 for axis in (-2, -1)]
        features += [np.log(size), np.log(spread), *along]
        current = coarse
    features += [current.mean((-2, -1)), current.std((-2, -1))]
    return np.concatenate(features, 1)
