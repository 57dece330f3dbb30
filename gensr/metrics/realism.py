"""Texture: spectra, ring correlation and patch statistics.

None of these shows that detail is *true*; a generator can match them with invented structure. Ring correlation with
the truth can; never compute it between halves of a generated image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[np.floating[Any]]


def _windowed_spectrum(image: Array) -> npt.NDArray[np.complex128]:
    """Fourier transform of (..., y, x) after removing the mean and applying a Hann window."""
    values = np.asarray(image, np.float64)
    values = values - values.mean((-2, -1), keepdims=True)
    rows, cols = values.shape[-2:]
    taper = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (rows, cols)))
    return np.asarray(np.fft.fft2(values * taper))


def _rings(shape: tuple[int, int]) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Ring number of every frequency (-1 beyond Nyquist and at 0) and the middle frequency of each ring."""
    count = min(shape) // 2
    if count < 2:
        raise ValueError(
            f"image of {shape[0]} x {shape[1]} pixels is too small for a radial spectrum; give at least 4 x 4"
        )
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None, :])
    number = np.rint(radius * 2 * count).astype(np.int64) - 1
    number[(radius > 0.5) | (number >= count)] = -1
    return number, (np.arange(count) + 1) / (2 * count)


def _ring_sums(values: FloatArray, number: npt.NDArray[np.int64], count: int) -> FloatArray:
    """Sums (count,) of (..., y, x) over rings and leading axes."""
    planes = values.reshape(-1, *number.shape).sum(0)
    kept = number >= 0
    return np.asarray(np.bincount(number[kept], planes[kept], minlength=count), np.float64)


def radial_power(image: Array) -> tuple[FloatArray, FloatArray]:
    """Mean power on rings of equal frequency, after a Hann window.

    Args:
        image: (..., y, x), at least 4 x 4; leading axes are averaged.

    Returns:
        Frequencies in cycles per pixel up to 0.5, and power in unit squared, both (rings,).

    Raises:
        ValueError: if the image is too small.
    """
    number, frequency = _rings((image.shape[-2], image.shape[-1]))
    power = np.abs(_windowed_spectrum(image)) ** 2
    planes = power.size / number.size
    sums = _ring_sums(power, number, len(frequency))
    return frequency, sums / (_ring_sums(np.ones(number.shape), number, len(frequency)) * planes)


def spectrum_distance(truth: Array, estimate: Array, lowest: float = 0.0) -> float:
    """Root mean square difference of the radial power spectra, dB.

    Args:
        truth: (..., y, x), at least 4 x 4; any number of leading axes.
        estimate: (..., y, x) of the same image size and unit; need not show the same scene.
        lowest: only rings from this frequency on, cycles per pixel; for example 0.5/s: what the data did not hold.

    Returns:
        0 for equal spectra; a blurred image of half the amplitude everywhere has 6.02.

    Raises:
        ValueError: if the sizes differ, the image is too small or no ring is left.
    """
    if truth.shape[-2:] != estimate.shape[-2:]:
        raise ValueError(f"images of {truth.shape[-2:]} and {estimate.shape[-2:]} pixels differ in size")
    frequency, a = radial_power(truth)
    b = radial_power(estimate)[1]
    kept = frequency >= lowest
    if not kept.any():
        raise ValueError(f"no ring has a frequency of {lowest} or more; the highest is {frequency[-1]}")
    floor = 1e-12 * float(a.max()) or 1e-300  # 120 dB below the strongest ring counts as nothing
    ratio = 10 * np.log10(np.maximum(b[kept], floor) / np.maximum(a[kept], floor))
    return float(np.sqrt((ratio**2).mean()))


def ring_correlation(truth: Array, estimate: Array) -> tuple[FloatArray, FloatArray]:
    """Fourier ring correlation with the truth, after a Hann window.

    Saxton and Baumeister (1982), doi:10.1111/j.1365-2818.1982.tb00405.x.

    Args:
        truth: (..., y, x), at least 4 x 4; leading axes are pooled.
        estimate: the same shape; any affine scale.

    Returns:
        Frequencies in cycles per pixel up to 0.5, and correlation -1 to 1 (0 where a ring is empty), both (rings,).

    Raises:
        ValueError: if the shapes differ or the image is too small.
    """
    if truth.shape != estimate.shape:
        raise ValueError(f"truth of shape {truth.shape} and estimate of shape {estimate.shape} differ")
    number, frequency = _rings((truth.shape[-2], truth.shape[-1]))
    a, b = _windowed_spectrum(truth), _windowed_spectrum(estimate)
    cross, aa, bb = (
        _ring_sums(v, number, len(frequency)) for v in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
    )
    norm = np.sqrt(aa * bb)
    return frequency, np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0)


def frc_crossing(frequency: FloatArray, correlation: FloatArray, threshold: float = 1 / 7) -> float:
    """Frequency at which the ring correlation first falls below a threshold, by linear interpolation.

    Rosenthal and Henderson (2003), doi:10.1016/j.jmb.2003.07.013 for 1/7.

    Args:
        frequency: (rings,), rising, cycles per pixel.
        correlation: (rings,).
        threshold: 0 to 1.

    Returns:
        Cycles per pixel: the resolved detail is its inverse in pixels. The last frequency if it never falls below, the
        first if it starts below.
    """
    below = np.flatnonzero(correlation < threshold)
    if below.size == 0:
        return float(frequency[-1])
    i = int(below[0])
    if i == 0:
        return float(frequency[0])
    high, low = float(correlation[i - 1]), float(correlation[i])
    return float(frequency[i - 1] + (high - threshold) / (high - low) * (frequency[i] - frequency[i - 1]))


def sliced_wasserstein(
    truth: Array, estimate: Array, patches: int = 128, projections: int = 128, seed: int = 0
) -> tuple[float, ...]:
    """Distance of the patch distributions of two sets of images on each level of a Laplacian pyramid.

    Karras, Aila, Laine and Lehtinen (2018), section 5, arXiv:1710.10196: 7 x 7 patches, random directions, mean
    absolute difference of sorted projections. Departure: both sets are standardised with mean and standard deviation of
    the *truth* per band, so that lost contrast counts; each set by its own, as published, hides it. Levels are
    differences to the smoothed image before it is decimated, so any size will do.

    Args:
        truth: (n, band, y, x), at least 8 x 8 pixels.
        estimate: (m, band, y, x) of the same size and bands; any scenes. Patches of the larger set are subsampled.
        patches: per image and level.
        projections: random directions.
        seed: of positions and directions; the same positions are used in both sets.

    Returns:
        One distance per level, finest first, in standard deviations of the truth times 1000 (as published); the
        coarsest level is the low-pass image.

    Raises:
        ValueError: for shapes that do not fit.
    """
    if truth.ndim != 4 or estimate.ndim != 4 or truth.shape[1:] != estimate.shape[1:] or min(truth.shape[2:]) < 8:
        raise ValueError(
            f"images of shapes {truth.shape} and {estimate.shape}; expected (n, band, y, x) of one size from 8 x 8 on"
        )
    rng = np.random.default_rng(seed)
    distances = []
    for level_a, level_b in zip(_laplacian(truth), _laplacian(estimate), strict=True):
        state = rng.bit_generator.state
        a = _patches(level_a, patches, rng)
        rng.bit_generator.state = state
        b = _patches(level_b, patches, rng)
        mean, std = a.mean((0, 2, 3), keepdims=True), a.std((0, 2, 3), keepdims=True)
        scale = np.where(std > 0, std, 1.0)
        flat_a, flat_b = (((v - mean) / scale).reshape(len(v), -1) for v in (a, b))
        size = min(len(flat_a), len(flat_b))
        flat_a, flat_b = (v[rng.permutation(len(v))[:size]] if len(v) > size else v for v in (flat_a, flat_b))
        directions = rng.standard_normal((flat_a.shape[1], projections))
        directions /= np.linalg.norm(directions, axis=0)
        gap = np.abs(np.sort(flat_a @ directions, axis=0) - np.sort(flat_b @ directions, axis=0))
        distances.append(1000 * float(gap.mean()))
    return tuple(distances)


def _smooth(image: FloatArray) -> FloatArray:
    """Burt and Adelson's 5-tap filter (1983), doi:10.1109/TCOM.1983.1095851, with mirrored borders."""
    for axis in (-2, -1):
        width = [(0, 0)] * image.ndim
        width[axis] = (2, 2)
        padded = np.pad(image, width, mode="symmetric")
        size = image.shape[axis]
        parts = (w / 16 * padded.take(range(t, t + size), axis) for t, w in enumerate((1, 4, 6, 4, 1)))
        image = np.asarray(sum(parts, np.zeros(())))
    return image


def _laplacian(images: Array) -> list[FloatArray]:
    """Band-pass levels (n, band, y/2^l, x/2^l) down to less than 16 pixels, and the low-pass rest."""
    current = np.asarray(images, np.float64)
    levels = []
    while min(current.shape[-2:]) >= 16:
        smooth = _smooth(current)
        levels.append(current - smooth)
        current = smooth[..., ::2, ::2]
    return [*levels, current]


def _patches(images: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """(n * count, band, 7, 7) at random positions, the same for every image."""
    rows, cols = images.shape[-2] - 6, images.shape[-1] - 6
    at = zip(rng.integers(rows, size=count), rng.integers(cols, size=count), strict=True)
    return np.concatenate([images[:, :, r : r + 7, c : c + 7] for r, c in at])
