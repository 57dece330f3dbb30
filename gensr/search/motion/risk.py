"""Is it safe to undo a motion? What the picture is expected to gain, whichever motion it really was.

Scores of motions, stillness among them, are taken for logarithms of what speaks for each, in units of `DOUBT`. If the
truth was motion ``j``, its sharp picture is about the Wiener estimate ``x_j``, so undoing motion ``a`` leaves
``|x_a - x_j|^2``, and doing nothing ``|y - x_j|^2``. The means of both over all motions are compared: where a wrong
motion would cost more than the right one gains, the data are better left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy

from gensr.search.motion.free import response

FloatArray = npt.NDArray[np.float64]
DOUBT = 0.03
"""Difference of scores that makes a motion ``e`` times as likely; chosen on simulated pictures for validation."""
CAUTION = 16.0
"""Variance of the noise that estimates reckon with, in that of the data: kernels and borders are never exact."""
LOW = 1e-4
"""Squared frequency below which the power of sharp pictures, about its inverse, grows no more."""
UNLIKELY = 1e-3
"""Share below which a motion is left out."""


def expected_gain(
    image: FloatArray, weight: FloatArray, sigma: float, motions: Sequence[tuple[FloatArray, float]], chosen: FloatArray
) -> float:
    """Decibels by which undoing a motion is expected to bring a region nearer to the sharp picture.

    Args:
        image: (rows, cols), contrast about 1.
        weight: same shape: the region.
        sigma: standard deviation of the noise.
        motions: kernel and score of each that may be the true one; one pixel is stillness.
        chosen: kernel that would be undone.
    """
    best = max(score for _, score in motions)
    shares = np.array([math.exp((score - best) / DOUBT) for _, score in motions])
    shares /= shares.sum()
    estimates = Estimates(image, sigma)
    undone = estimates.of(chosen)
    gone = left = 0.0
    for (kernel, _), share in zip(motions, shares.tolist(), strict=True):
        if share >= UNLIKELY:
            true = estimates.of(kernel)
            gone += share * float((weight * (undone - true) ** 2).sum())
            left += share * float((weight * (image - true) ** 2).sum())
    return 10 * math.log10(max(left, 1e-30) / max(gone, 1e-30))


class Estimates:
    """Wiener estimates of a sharp picture, mirrored at its borders.

    Args:
        image: (rows, cols).
        sigma: standard deviation of its noise.
    """

    def __init__(self, image: FloatArray, sigma: float) -> None:
        self._margin = [min(24, n) for n in image.shape]
        wide = np.pad(image, [(m, m) for m in self._margin], mode="symmetric")
        rows, cols = np.fft.fftfreq(wide.shape[0])[:, None], np.fft.rfftfreq(wide.shape[1])[None]
        power = 1 / (rows**2 + cols**2 + LOW)
        whole = 1 / (rows**2 + np.fft.fftfreq(wide.shape[1])[None] ** 2 + LOW)
        self._power = power / whole.mean() * max(float(image.var()), 1e-12)
        self._noise, self._mean, self._shape = CAUTION * sigma**2, float(wide.mean()), wide.shape
        self._seen = scipy.fft.rfft2(wide - self._mean)

    def of(self, kernel: FloatArray) -> FloatArray:
        """The picture that a kernel blurred, about."""
        blur = response(kernel, self._shape)
        filtered = blur.conj() * self._power / (np.abs(blur) ** 2 * self._power + self._noise)
        found = np.asarray(scipy.fft.irfft2(filtered * self._seen, s=self._shape), np.float64) + self._mean
        (top, left), (rows, cols) = self._margin, self._shape
        return found[top : rows - top, left : cols - left]
