"""Interpolating upscalers as separable dense matrices: nearest, bicubic (Keys), Lanczos-3.

An upscaled pixel ``i`` sits at ``(i + 0.5) / s - 0.5`` in old pixels: the field of view does not move. At the borders
the kernel is either cut and renormalised, which is what Pillow's ``resize`` does, or edge pixels are repeated.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["METHODS", "Edge", "interpolation_matrix", "upscale"]

Edge = Literal["renormalise", "repeat"]


def _box(t: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((t >= -0.5) & (t < 0.5), 1.0, 0.0)


def _keys(t: NDArray[np.float64], a: float = -0.5) -> NDArray[np.float64]:
    """Keys (1981), eq. 15, doi:10.1109/TASSP.1981.1163711."""
    t = np.abs(t)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def _lanczos(t: NDArray[np.float64], lobes: int = 3) -> NDArray[np.float64]:
    """Duchon (1979), doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2."""
    return np.where(np.abs(t) < lobes, np.sinc(t) * np.sinc(t / lobes), 0.0)


METHODS: Mapping[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]] = {
    "nearest": (_box, 1),
    "bicubic": (_keys, 2),
    "lanczos": (_lanczos, 3),
}


@lru_cache(maxsize=64)
def interpolation_matrix(
    size: int, factor: int, method: str = "bicubic", edge: Edge = "renormalise"
) -> NDArray[np.float64]:
    """The matrix that upscales one axis.

    Args:
        size: number of old pixels.
        factor: upscaling s, at least 1.
        method: nearest, bicubic (Keys, a = -0.5) or lanczos (3 lobes).
        edge: "renormalise" cuts the kernel at the border and scales it to sum to one, as Pillow does; "repeat" lets
            edge pixels go on beyond it.

    Returns:
        (size * factor, size), float64, read-only. Rows sum to one.

    Raises:
        ValueError: the method does not exist.

    Example:
        >>> interpolation_matrix(2, 2, "nearest").tolist()
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    if method not in METHODS:
        raise ValueError(f"unknown interpolation {method!r}; there are {', '.join(METHODS)}")
    kernel, reach = METHODS[method]
    centres = (np.arange(size * factor) + 0.5) / factor - 0.5
    pixels = np.arange(-reach, size + reach)  # those outside only matter where edges are repeated
    weights = kernel(pixels[None, :] - centres[:, None])  # (size * factor, size + 2 reach)
    matrix = weights[:, reach : reach + size].copy()
    if edge == "repeat":
        matrix[:, 0] += weights[:, :reach].sum(1)
        matrix[:, -1] += weights[:, reach + size :].sum(1)
    matrix /= matrix.sum(1, keepdims=True)
    matrix.setflags(write=False)
    return matrix


def upscale(
    image: NDArray[np.floating], factor: int, method: str = "bicubic", edge: Edge = "renormalise"
) -> NDArray[np.float64]:
    """Upscale the last two axes by an integer factor.

    Values are intensities: for flux per pixel divide the result by ``factor**2``.

    Args:
        image: (..., y, x), any unit.
        factor: s.
        method: nearest, bicubic or lanczos.
        edge: border rule, see `interpolation_matrix`.

    Returns:
        (..., y * s, x * s), float64, not clipped.

    Example:
        >>> upscale(np.ones((1, 3, 5)), 4, "lanczos").shape
        (1, 12, 20)
    """
    height, width = image.shape[-2:]
    rows = interpolation_matrix(height, factor, method, edge)
    columns = interpolation_matrix(width, factor, method, edge)
    return np.asarray(rows @ np.asarray(image, np.float64) @ columns.T)
