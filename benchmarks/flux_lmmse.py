"""Patch LMMSE for flux: one linear estimator per class of brightness, because faint sky and bright stars share none.

A window of 9 x 9 observed pixels gives the s x s block of its middle. Two spaces: "flux" (window and target divided by
the window's gain, no offset: any multiple of a scene is estimated alike) and "stretched" (the metric's asinh scale and
a constant: a better PSNR that loses flux, as a mean of u is not the u of a mean).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .astronomy import add_noise, sigma, stretch, unstretch
from .lmmse import windows
from .protocol import block_sum

__all__ = ["FluxLMMSE", "Space", "fit_flux_lmmse"]

Space = Literal["flux", "stretched"]

CLASS_EDGES = (0.3, 0.5, 0.7, 0.9, 1.1, 1.35, 1.6, 1.9, 2.2, 2.6, 3.0)  # of log10(gain / sky sigma)
WINDOW = 9
RIDGE = 1e-9  # of the mean diagonal of the normal matrix


@dataclass(frozen=True)
class FluxLMMSE:
    """A fitted estimator; make one with `fit_flux_lmmse`.

    Attributes:
        weights: (classes, features, s * s); features are the 81 window pixels, and a constant in the stretched space.
        factor: s.
        space: flux or stretched.
    """

    weights: NDArray[np.float64]
    factor: int
    space: Space

    def upscale(self, low: NDArray[np.floating]) -> NDArray[np.float64]:
        """Estimate fine pixels from coarse ones.

        Args:
            low: (1, y, x), electron/s per coarse pixel (sums over s x s).

        Returns:
            (1, y * s, x * s), electron/s per fine pixel, not clipped.
        """
        s = self.factor
        _, height, width = low.shape
        features, gain, group = _features(np.asarray(low, np.float64), s, self.space)
        blocks = np.empty((len(features), s * s))
        for index in np.unique(group):
            blocks[group == index] = features[group == index] @ self.weights[index]
        blocks = blocks * gain[:, None] if self.space == "flux" else unstretch(blocks)
        return blocks.reshape(height, width, s, s).transpose(0, 2, 1, 3).reshape(1, height * s, width * s)


def _features(
    low: NDArray[np.float64], factor: int, space: Space
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Per coarse pixel: features (n, f), gain (n,) in electron/s and class (n,)."""
    area = factor**2
    sky = float(sigma(0.0, area))
    every = windows(low, WINDOW, mode="edge").reshape(-1, WINDOW**2)
    gain = np.sqrt((every**2).mean(1) + sky**2)
    group = np.digitize(np.log10(gain / sky), CLASS_EDGES)
    if space == "flux":
        return every / gain[:, None], gain, group
    return np.hstack([stretch(every / area), np.ones((len(every), 1))]), gain, group


def fit_flux_lmmse(
    flux: NDArray[np.floating], factor: int, *, noisy: bool, space: Space = "flux", seed: int = 11
) -> FluxLMMSE:
    """Least squares in each class of brightness.

    Args:
        flux: noise-free training fields (n, y, x), electron/s per pixel.
        factor: s.
        noisy: observe them through the camera's noise.
        space: what is linear in what, see the module.
        seed: of the noise.

    Returns:
        The estimator. A class without training windows estimates zero.

    Example:
        ``fit_flux_lmmse(load_fields(path, 3000).flux, 4, noisy=True).upscale(low)``
    """
    rng = np.random.default_rng(seed)
    classes, size = len(CLASS_EDGES) + 1, WINDOW**2 + (space == "stretched")
    normal = np.zeros((classes, size, size))
    right = np.zeros((classes, size, factor**2))
    for field in flux:
        low = block_sum(field[None], factor)
        seen = add_noise(low, rng, factor**2).astype(np.float64) if noisy else low
        features, gain, group = _features(seen, factor, space)
        height, width = low.shape[-2:]
        blocks = field.reshape(height, factor, width, factor).transpose(0, 2, 1, 3).reshape(-1, factor**2)
        target = blocks / gain[:, None] if space == "flux" else stretch(blocks)
        for index in np.unique(group):
            chosen = features[group == index]
            normal[index] += chosen.T @ chosen
            right[index] += chosen.T @ target[group == index]
    weights = np.zeros((classes, size, factor**2))
    for index in range(classes):
        diagonal = float(np.trace(normal[index])) / size
        if diagonal > 0:
            weights[index] = np.linalg.solve(normal[index] + RIDGE * diagonal * np.eye(size), right[index])
    return FluxLMMSE(weights, factor, space)
