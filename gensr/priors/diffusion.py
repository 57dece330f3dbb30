"""From noise to an image along the flow of a denoiser: the schedule of noise levels and the integrator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from gensr.errors import SearchError

RHO = 7.0
"""Curvature of the noise schedule (Karras et al., arXiv:2206.00364, eq. 5)."""


def karras(first: float, last: float, count: int) -> list[float]:
    """``count`` noise levels that fall from ``first`` to ``last``, most of them small.

    >>> [round(s, 3) for s in karras(3.0, 0.03, 3)]
    [3.0, 0.435, 0.03]
    """
    high, low = first ** (1 / RHO), last ** (1 / RHO)
    return [float((high + i / max(1, count - 1) * (low - high)) ** RHO) for i in range(count)]


def integrate(
    denoise: Callable[[Tensor, float], Tensor],
    x: Tensor,
    sigmas: Sequence[float],
    noise: Callable[[int], Tensor],
    renoise: float,
) -> Tensor:
    """Carry ``x`` from noise level ``sigmas[0]`` to the denoised image of the last one, DPM-Solver++(2M).

    Args:
        denoise: from noisy image and noise level to the clean one.
        x: (n, band, rows, cols).
        sigmas: falling noise levels.
        noise: standard normal numbers of the image by number; 1 is asked for after the first level, and so on.
        renoise: 0 follows the deterministic flow, 1 renews the noise fully; between and beyond also work.
    """
    previous: tuple[Tensor, float] | None = None
    for i, sigma in enumerate(sigmas):
        clean = denoise(x, sigma)
        if i == len(sigmas) - 1:
            return clean
        after = sigmas[i + 1]
        h = math.log(sigma / after)
        kept, fresh = math.exp(-h * renoise), -math.expm1(-h * (1 + renoise))
        step = after / sigma * kept * x + fresh * clean
        if previous is not None:
            step = step + 0.5 * fresh * (h / previous[1]) * (clean - previous[0])
        if renoise > 0:
            step = step + after * math.sqrt(-math.expm1(-2 * h * renoise)) * noise(i + 1).to(x)
        x, previous = step, (clean, h)
    raise SearchError("no noise level to integrate over; give at least one")
