"""The competitor: linear minimum mean squared error estimation of patches with their full covariance.

High-resolution patches ``x`` of one training set have a mean m and a covariance C; a low-resolution window is
``y = A x + n`` with A the block mean (or sum) and white noise n. The best linear estimate is

    x^ = m + C A^T (A C A^T + sigma^2 I)^-1 (y - A m)

(S. M. Kay, "Fundamentals of Statistical Signal Processing: Estimation Theory", 1993, eq. 12.20). Windows at every
low-resolution offset are estimated and averaged, all with equal weight or only those that see a pixel in their middle.
As all of it is linear and the same everywhere, the windows collapse exactly into one filter per output phase, which is
what is applied. Beyond the border the picture is mirrored with its edge pixel repeated, which commutes with the block
mean: every pixel lies in the same number of windows, and mirroring without the repeat costs 0.13 dB on 64 px pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Blend",
    "PatchLMMSE",
    "PatchStatistics",
    "Reduce",
    "cached_statistics",
    "fit_statistics",
    "patch_lmmse",
    "windows",
]

Reduce = Literal["mean", "sum"]
Blend = Literal["uniform", "centre"]


@dataclass(frozen=True)
class PatchStatistics:
    """First and second moments of high-resolution patches, all that a fit needs for every factor and noise.

    Attributes:
        mean: (d,) float64 with d = bands * patch * patch, in (band, y, x) order, unit of the pictures.
        covariance: (d, d) float64, unit squared.
        bands: number of bands, estimated jointly.
        patch: side in pixels.
        count: patches behind the moments.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    bands: int
    patch: int
    count: int


def fit_statistics(
    images: Sequence[NDArray[np.floating]],
    patch: int = 16,
    patches: int = 200_000,
    seed: int = 0,
    *,
    flips: bool = False,
) -> PatchStatistics:
    """Mean and covariance of random patches, every picture with the same number of them.

    Args:
        images: (band, y, x) each, at least ``patch`` pixels high and wide; one unit, one number of bands.
        patch: side in pixels.
        patches: at least so many are drawn.
        seed: of the positions.
        flips: mirror half of the patches along each axis and transpose half of them.

    Returns:
        The moments in float64; patches are streamed, never all in memory.

    Raises:
        ValueError: no pictures, or one smaller than a patch.
    """
    if len(images) == 0:
        raise ValueError("patch statistics need at least one picture, got none")
    rng = np.random.default_rng(seed)
    bands = images[0].shape[0]
    each = -(-patches // len(images))
    origin = float(images[0].mean())  # moments about a typical value keep the subtraction below harmless
    size = bands * patch**2
    total, products, count = np.zeros(size), np.zeros((size, size)), 0
    for chunk in range(0, len(images), max(1, 4096 // each)):
        rows = []
        for image in images[chunk : chunk + max(1, 4096 // each)]:
            if min(image.shape[-2:]) < patch:
                raise ValueError(f"a picture of {image.shape[-2:]} is smaller than the {patch} pixel patch")
            top = rng.integers(0, image.shape[-2] - patch + 1, each)
            left = rng.integers(0, image.shape[-1] - patch + 1, each)
            every = np.lib.stride_tricks.sliding_window_view(image, (patch, patch), (-2, -1))  # (b, y', x', p, p)
            drawn = np.moveaxis(every[:, top, left], 0, 1)  # (n, b, p, p)
            rows.append(_flipped(drawn, rng) if flips else drawn)
        x = np.concatenate(rows).reshape(-1, size).astype(np.float64) - origin
        total += x.sum(0)
        products += x.T @ x
        count += len(x)
    mean = total / count
    return PatchStatistics(mean + origin, products / count - np.outer(mean, mean), bands, patch, count)


def _flipped(drawn: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    turned = drawn.copy()
    for axis in (-2, -1):
        chosen = rng.random(len(drawn)) < 0.5
        turned[chosen] = np.flip(turned[chosen], axis)
    chosen = rng.random(len(drawn)) < 0.5
    turned[chosen] = np.swapaxes(turned[chosen], -2, -1)
    return turned


def cached_statistics(
    cache: Path,
    name: str,
    images: Callable[[], Sequence[NDArray[np.floating]]],
    patch: int = 16,
    patches: int = 200_000,
    seed: int = 0,
) -> PatchStatistics:
    """`fit_statistics`, kept in a npz file under ``cache``.

    Args:
        cache: folder, made if missing.
        name: what the pictures are, part of the file name: ``faces_train``.
        images: called only when there is no file yet.
        patch: side in pixels.
        patches: at least so many are drawn.
        seed: of the positions.

    Returns:
        The moments.
    """
    path = cache / f"{name}_patch{patch}_n{patches}_seed{seed}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return PatchStatistics(
                kept["mean"], kept["covariance"], int(kept["bands"]), int(kept["patch"]), int(kept["count"])
            )
    fitted = fit_statistics(images(), patch, patches, seed)
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        mean=fitted.mean,
        covariance=fitted.covariance,
        bands=fitted.bands,
        patch=fitted.patch,
        count=fitted.count,
    )
    return fitted


@dataclass(frozen=True)
class PatchLMMSE:
    """A fitted estimator; make one with `patch_lmmse`.

    Attributes:
        filters: (bands * s * s, bands * r * r): output phases (band, y, x) from the low-resolution neighbourhood
            (band, y, x) of r pixels a side; r = 2 patch / s - 1 where all windows are blended.
        offset: (bands * s * s,), added to every block.
        bands: number of bands.
        factor: s.
        window: (d, k): the estimate of one window before blending, from its k = bands * (patch / s)^2 pixels.
        expected_error: mean squared error of one window's estimate under the fitted moments, mean over its pixels.
    """

    filters: NDArray[np.float64]
    offset: NDArray[np.float64]
    bands: int
    factor: int
    window: NDArray[np.float64]
    expected_error: float

    def upscale(self, low: NDArray[np.floating]) -> NDArray[np.float64]:
        """Estimate the high-resolution picture.

        Args:
            low: (band, y, x), block means (or sums) of the fitted unit; any size from 1 x 1 on.

        Returns:
            (band, y * s, x * s), not clipped.

        Raises:
            ValueError: another number of bands.
        """
        bands, height, width = low.shape
        if bands != self.bands:
            raise ValueError(f"fitted on {self.bands} bands, got {bands}")
        reach = round((self.filters.shape[1] / bands) ** 0.5)
        blocks = windows(low, reach, mode="symmetric", product=self.filters) + self.offset
        planes = blocks.reshape(height, width, bands, self.factor, self.factor)
        return planes.transpose(2, 0, 3, 1, 4).reshape(bands, height * self.factor, width * self.factor)


def windows(
    low: NDArray[np.floating],
    side: int,
    *,
    mode: Literal["symmetric", "reflect", "edge"] = "symmetric",
    product: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The neighbourhood of every pixel, or its product with a matrix.

    Args:
        low: (band, y, x).
        side: odd side of the neighbourhood in pixels.
        mode: how the picture goes on beyond its border (``numpy.pad``).
        product: (m, band * side * side), applied row by row to save memory.

    Returns:
        (y, x, band * side * side) in (band, y, x) order, or (y, x, m).
    """
    bands, height, width = low.shape
    padded = np.pad(np.asarray(low, np.float64), ((0, 0), (side // 2, side // 2), (side // 2, side // 2)), mode=mode)
    every = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (-2, -1))  # (b, y, x, side, side)
    every = np.moveaxis(every, 0, 2)  # (y, x, b, side, side)
    if product is None:
        return every.reshape(height, width, bands * side**2)
    rows = [row.reshape(width, bands * side**2) @ product.T for row in every]
    return np.stack(rows)


def patch_lmmse(
    statistics: PatchStatistics,
    factor: int,
    noise: float = 0.0,
    *,
    reduce: Reduce = "mean",
    ridge: float = 1e-7,
    free_level: bool = False,
    blend: Blend = "uniform",
) -> PatchLMMSE:
    """The linear estimator of fitted patches for one factor and noise.

    Args:
        statistics: moments of the high-resolution patches.
        factor: s, divides the side of the patch.
        noise: standard deviation of the white noise of one low-resolution pixel, unit of the observation.
        reduce: "mean" for intensities, "sum" for flux per pixel.
        ridge: added to the diagonal of A C A^T, as a fraction of its mean.
        free_level: give the level of each band no prior (ordinary kriging): constants are kept exactly, whatever the
            mean of the training set.
        blend: "uniform" averages all windows that hold a pixel; "centre" only those in whose middle block it lies (the
            middle 2 x 2 blocks of an even number), which see most of its surroundings.

    Returns:
        The estimator.

    Raises:
        ValueError: the patch has no whole number of blocks.
    """
    s, p, bands = factor, statistics.patch // factor, statistics.bands
    if statistics.patch % factor:
        raise ValueError(f"a patch of {statistics.patch} pixels has no whole blocks of {factor}")
    covariance, mean = statistics.covariance, statistics.mean
    if free_level:
        level = np.kron(np.eye(bands), np.ones((statistics.patch**2, 1)))  # (d, bands)
        covariance = covariance + 1e4 * float(np.diag(covariance).mean()) * level @ level.T
    weight = 1 / s**2 if reduce == "mean" else 1.0
    side = np.kron(np.eye(p), np.ones((1, s)))  # (p, patch)
    forward = weight * np.kron(np.eye(bands), np.kron(side, side))  # A: (k, d)
    cross = covariance @ forward.T  # (d, k)
    observed = forward @ cross
    small = ridge * float(np.diag(forward @ statistics.covariance @ forward.T).mean())
    observed[np.diag_indices_from(observed)] += noise**2 + small
    gain = np.linalg.solve(observed, cross.T).T  # (d, k), C_xy C_yy^-1
    error = float(np.mean(np.diag(statistics.covariance) - np.einsum("ij,ij->i", gain, cross)))
    constant = mean - gain @ (forward @ mean)
    blocks = range((p - 1) // 2, p // 2 + 1) if blend == "centre" else range(p)
    filters, offset = _collapse(gain, constant, bands, p, s, blocks)
    return PatchLMMSE(filters, offset, bands, s, gain, error)


def _collapse(
    gain: NDArray[np.float64], constant: NDArray[np.float64], bands: int, p: int, s: int, blocks: range
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average the windows that hold a block at these rows and columns, as one filter over their neighbourhood."""
    reach = blocks[-1]  # blocks are symmetric about the middle, so the farthest pixel is this far on either side
    side = 2 * reach + 1
    inner = gain.reshape(bands, p, s, p, s, bands, p, p)
    filters = np.zeros((bands, s, s, bands, side, side))
    for i in blocks:  # the block is the i-th row and j-th column of its window
        for j in blocks:
            top, left = reach - i, reach - j
            filters[..., top : top + p, left : left + p] += inner[:, i, :, j] / len(blocks) ** 2
    offset = constant.reshape(bands, p, s, p, s)[:, blocks][:, :, :, blocks].mean((1, 3))
    return filters.reshape(bands * s * s, bands * side**2), offset.reshape(-1)
