"""Which way a kernel points: a kernel and its point reflection have one power spectrum, and two sharp images.

Of two kernels with the same modulus the true one leaves the sharp image with the sparser gradients: the phases of the
other spread every edge. So the images are found that explain the data and have few gradients, ``sum |g|^1/2`` being the
price (Levin, Weiss, Durand and Freeman 2009, doi:10.1109/CVPR.2009.5206815, say why such a price does not tell a blur
from none: between kernels of one modulus that does not matter), and their prices are compared. Data outside a
region are not data: they are what the kernel says they would be, so nothing rings in from a border.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy

from gensr.search.motion.free import Differences, differences, response

Array = npt.NDArray[np.floating]
PRICE, PRICE_NOISE = 2e-3, 60.0
"""Of a gradient of 1, at a contrast of 1, at least, and in variances of the noise; chosen on true kernels of simulated
pictures for validation."""
POWER = 0.5
"""Of gradients in their price."""
FIRST, LAST, GROWTH = 2.0, 1e3, 2.0
"""Coupling of the substitute of gradients: the first in prices, the last, and the step between."""
FLAT = 1e-8
"""Squared gradient of no price."""
AROUND = 12
"""Pixels about a region, at least, in which the image is free."""


def backwards(image: Array, weight: Array, kernel: Array, sigma: float) -> float:
    """How much dearer the sharp image is under a kernel than under its point reflection, a logarithm.

    Below 0 the kernel points the right way; it is minus that of the reflection.

    Args:
        image: (rows, cols), contrast about 1.
        weight: same shape; data count where it is above 1/2.
        kernel: (odd, odd), sum 1.
        sigma: standard deviation of the noise.
    """
    turned = np.ascontiguousarray(kernel[::-1, ::-1])
    return dearness(image, weight, kernel, sigma) - dearness(image, weight, turned, sigma)


def dearness(image: Array, weight: Array, kernel: Array, sigma: float) -> float:
    """Logarithm of the least price of an image that explains a region: squares of what is left, and gradients.

    Args:
        image: (rows, cols), contrast about 1.
        weight: same shape; data count where it is above 1/2.
        kernel: (odd, odd), sum 1.
        sigma: standard deviation of the noise.
    """
    price = max(PRICE, PRICE_NOISE * sigma**2)
    y, known = _framed(image, weight > 0.5, max(AROUND, max(kernel.shape) // 2 + 4))
    made, blur = Differences.of((y.shape[0], y.shape[1])), response(kernel, y.shape)
    power, stiff = np.abs(blur) ** 2, np.abs(made.rows) ** 2 + np.abs(made.cols) ** 2
    seen, firm = y, FIRST * price
    for _ in range(3):  # from a smooth image, which fills the data that are missing
        sharp = blur.conj() * scipy.fft.rfft2(seen) / (power + 0.5 * firm * stiff + 1e-6)
        seen = np.where(known, y, scipy.fft.irfft2(blur * sharp, s=y.shape))
    x = np.asarray(scipy.fft.irfft2(sharp, s=y.shape))
    while firm < LAST:
        down, across = differences(x)
        size = np.sqrt(down**2 + across**2) + 1e-12
        kept = np.maximum(
            0, 1 - POWER * price / (2 * firm) * size ** (POWER - 2)
        )  # minimises the price of one gradient
        edges = made.rows.conj() * scipy.fft.rfft2(kept * down) + made.cols.conj() * scipy.fft.rfft2(kept * across)
        sharp = (blur.conj() * scipy.fft.rfft2(seen) + firm * edges) / (power + firm * stiff + 1e-9)
        x, told = (np.asarray(scipy.fft.irfft2(s, s=y.shape)) for s in (sharp, blur * sharp))
        seen = np.where(known, y, told)
        firm *= GROWTH
    down, across = differences(x)
    gradients = float(((down**2 + across**2 + FLAT) ** (POWER / 2)).sum())
    return math.log((float(((told - y)[known] ** 2).sum()) / price + gradients) / int(known.sum()))


def _framed(image: Array, known: npt.NDArray[np.bool_], margin: int) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The image with a margin and a size of small factors, its mean where nothing is known; and where it is known."""
    after = [scipy.fft.next_fast_len(n + 2 * margin, True) - n - margin for n in image.shape]
    frame = [(margin, a) for a in after]
    known = np.pad(known, frame)
    y = np.pad(np.asarray(image, np.float32), frame)
    return np.where(known, y, y[known].mean()), known
