"""A kernel of any shape, found together with a sharp image of few edges: coarse to fine, in turns.

The image is the one of fewest gradients that explains the data (Xu, Lu, Xu and Jia 2011, doi:10.1145/2070781.2024208;
for deblurring Xu, Zheng and Jia 2013, doi:10.1109/CVPR.2013.147), the kernel the one of least squares between
gradients, with no negative part and sum 1. The step of the kernel looks at the weighted region only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

Array = npt.NDArray[np.floating]
EDGES, FIRMEST, GROWTH = 4e-3, 1e5, 2.0
"""Cost of a gradient that is not zero, at a contrast of 1; last coupling of its substitute, and the step to it."""
RIDGE = 2.0
"""Weight of the squares of the kernel."""
ROUNDS, COOLING = 5, 1.1
"""Turns at each scale, and what the cost of edges is divided by after each."""
FAINT, LONELY = 0.05, 0.1
"""Of the largest value, and of the sum: less of a kernel, or in a piece of it, is noise."""
ITERATIONS = 20
"""Conjugate gradients for a kernel."""
ROUGH, ROUGH_NOISE, FLAT = 1e-3, 30.0, 1e-6
"""Cost of an edge where a kernel is judged, at least, and in variances of the noise; squared gradient of an edge."""
COARSEST = 5
"""Side of the kernel at the coarsest scale, about."""


@dataclass(frozen=True, eq=False)
class Differences:
    """Circular forward differences of images of one size, as transfer functions."""

    shape: tuple[int, int]
    rows: Array
    cols: Array

    @staticmethod
    def of(shape: tuple[int, int]) -> Differences:
        """Those of images (rows, cols)."""
        made = []
        for axis in (0, 1):
            unit = np.zeros(shape, np.float32)
            unit[0, 0] = -1.0
            unit[(-1, 0) if axis == 0 else (0, -1)] = 1.0
            made.append(scipy.fft.rfft2(unit))
        return Differences(shape, *made)


def differences(x: Array) -> tuple[Array, Array]:
    """Circular forward differences along rows and columns."""
    return np.roll(x, -1, 0) - x, np.roll(x, -1, 1) - x


def roughness(image: Array, weight: Array, kernel: Array, sigma: float) -> float:
    """What the sharp image of fewest edges costs that explains a region with a kernel, per pixel and edge.

    A kernel that is not the blur makes edges everywhere, where the sharp image has none. The modulus of the spectrum
    says nothing of that, so this tells a kernel from its mirror image, and from one that explains mere texture.

    Args:
        image: (rows, cols), contrast about 1.
        weight: same shape, 0 to 1: which data count.
        kernel: sum 1.
        sigma: standard deviation of the noise.
    """
    side = max(kernel.shape) | 1
    square = np.zeros((side, side), np.float32)
    top, left = ((side - n) // 2 for n in kernel.shape)
    square[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel
    framed, margin = _wrapped(np.asarray(image, np.float32), side)
    cost = max(ROUGH, ROUGH_NOISE * sigma**2)
    x = fewest_edges(framed, square, cost, Differences.of((framed.shape[0], framed.shape[1])))
    rest = scipy.fft.irfft2(response(square, framed.shape) * scipy.fft.rfft2(x), s=framed.shape) - framed
    down, across = differences(x)
    price = (rest**2 / cost + (down**2 + across**2 > FLAT))[margin:, margin:]
    return float((weight * price[: weight.shape[0], : weight.shape[1]]).sum() / weight.sum())


def telling(sigma: float) -> float:
    """How much roughness tells beside noise of a standard deviation, 0 to 1: faint edges drown in it."""
    return min(1.0, math.sqrt(ROUGH / ROUGH_NOISE) / sigma)


def free_kernel(image: Array, weight: Array, side: int) -> npt.NDArray[np.float64]:
    """The kernel (side, side) that blurred a region, centroid in its middle, sum 1.

    Args:
        image: (rows, cols), contrast about 1, values about 0 to 1.
        weight: same shape, 0 to 1: which data count.
        side: odd, at least as large as the blur.
    """
    scales = [1.0]
    while side * scales[-1] / math.sqrt(2) >= COARSEST:
        scales.append(scales[-1] / math.sqrt(2))
    kernel, cost = None, EDGES
    for scale in reversed(scales):
        own = max(3, 2 * (round(side * scale) // 2) + 1)
        y, w = _scaled(image, scale), np.clip(_scaled(weight, scale), 0, 1)
        kernel = _begin(own) if kernel is None else _grown(kernel, own)
        framed, margin = _wrapped(y, own)
        place = np.zeros_like(framed)
        place[margin : margin + y.shape[0], margin : margin + y.shape[1]] = w
        made = Differences.of((framed.shape[0], framed.shape[1]))
        for _ in range(ROUNDS):
            sharp = fewest_edges(framed, kernel, cost, made)
            kernel = _centred(_cleaned(_least_squares(sharp, framed, place, kernel)))
            cost = max(cost / COOLING, 1e-4)
    assert kernel is not None
    return kernel.astype(np.float64) / float(kernel.sum())


def fewest_edges(y: Array, kernel: Array, cost: float, made: Differences) -> Array:
    """``argmin |k * x - y|^2 + cost |gradient x|_0`` by half-quadratic splitting, periodic."""
    blur = response(kernel, y.shape)
    power, right = np.abs(blur) ** 2, blur.conj() * scipy.fft.rfft2(y)
    stiff = np.abs(made.rows) ** 2 + np.abs(made.cols) ** 2
    x, firm = y, 2 * cost
    while firm < FIRMEST:
        down, across = differences(x)
        small = down**2 + across**2 < cost / firm
        edges = made.rows.conj() * scipy.fft.rfft2(np.where(small, 0, down))
        edges += made.cols.conj() * scipy.fft.rfft2(np.where(small, 0, across))
        x = np.asarray(scipy.fft.irfft2((right + firm * edges) / (power + firm * stiff), s=y.shape))
        firm *= GROWTH
    return x


def _least_squares(sharp: Array, y: Array, weight: Array, begin: Array) -> Array:
    """The kernel of least weighted squares between gradients, by conjugate gradients from ``begin``."""
    side, shape = len(begin), y.shape
    half = side // 2
    known, wanted = [scipy.fft.rfft2(g) for g in differences(sharp)], differences(y)

    def cut(spectrum: Array) -> Array:
        return np.asarray(np.roll(scipy.fft.irfft2(spectrum, s=shape), (half, half), (0, 1))[:side, :side])

    def normal(k: Array) -> Array:
        own = response(k, shape)
        seen = sum(g.conj() * scipy.fft.rfft2(weight * scipy.fft.irfft2(g * own, s=shape)) for g in known)
        return cut(np.asarray(seen)) + RIDGE * k

    right = cut(np.asarray(sum(g.conj() * scipy.fft.rfft2(weight * w) for g, w in zip(known, wanted, strict=True))))
    k = begin.astype(np.float64)
    rest = right - normal(k)
    p, size = rest.copy(), float((rest**2).sum())
    least = 1e-10 * float((right**2).sum())
    for _ in range(ITERATIONS):
        if size <= least:
            break
        seen = normal(p)
        share = size / float((p * seen).sum())
        k, rest = k + share * p, rest - share * seen
        new = float((rest**2).sum())
        p, size = rest + new / size * p, new
    return k


def response(kernel: Array, shape: tuple[int, ...]) -> Array:
    """Transfer function of a kernel about its middle for images of a shape."""
    frame = np.zeros(shape, np.float32)
    rows, cols = kernel.shape
    frame[:rows, :cols] = kernel
    return np.asarray(scipy.fft.rfft2(np.roll(frame, (-(rows // 2), -(cols // 2)), (0, 1))))


def _cleaned(kernel: Array) -> Array:
    """Without what is negative, faint, or in small pieces of its own; sum 1."""
    kernel = np.maximum(kernel, 0)
    kernel[kernel < FAINT * kernel.max()] = 0
    pieces, count = scipy.ndimage.label(kernel > 0, np.ones((3, 3)))
    total = kernel.sum()
    if total <= 0:
        return _begin(len(kernel))
    for piece in range(1, count + 1):
        if kernel[pieces == piece].sum() < LONELY * total:
            kernel[pieces == piece] = 0
    return np.asarray(kernel / kernel.sum(), np.float32)


def _centred(kernel: Array) -> Array:
    """Moved by whole pixels so that the centroid lies in the middle."""
    middle = scipy.ndimage.center_of_mass(kernel)
    return np.roll(kernel, [round(n // 2 - c) for n, c in zip(kernel.shape, middle, strict=True)], (0, 1))


def _begin(side: int) -> Array:
    kernel = np.zeros((side, side), np.float32)
    kernel[side // 2, side // 2 - 1 : side // 2 + 2] = 1 / 3
    return kernel


def _grown(kernel: Array, side: int) -> Array:
    larger = scipy.ndimage.zoom(kernel, side / len(kernel), order=1, grid_mode=True, mode="grid-constant")
    out = np.zeros((side, side), np.float32)
    n = min(side, len(larger))
    out[:n, :n] = larger[:n, :n]
    return _cleaned(out)


def _scaled(x: Array, scale: float) -> Array:
    if scale == 1.0:
        return x.astype(np.float32)
    smooth = scipy.ndimage.gaussian_filter(x, 0.4 / scale, mode="nearest")
    return np.asarray(scipy.ndimage.zoom(smooth, scale, order=3, mode="nearest", grid_mode=True), np.float32)


def _wrapped(y: Array, side: int) -> tuple[Array, int]:
    """The image in a frame that goes on smoothly on the other side, and the width of the frame."""
    margin = side + 2
    far = [scipy.fft.next_fast_len(n + 2 * margin) - n - margin for n in y.shape]
    framed = np.pad(y, [(margin, f) for f in far], mode="symmetric")
    blurred = scipy.ndimage.gaussian_filter(framed, side / 3, mode="wrap")
    weight: Array = np.ones((1, 1))
    for axis, n in enumerate(framed.shape):
        ramp = np.minimum(1, (np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5) / margin)
        weight = weight * (ramp[:, None] if axis == 0 else ramp)
    return np.asarray(framed * weight + blurred * (1 - weight), np.float32), margin
