"""Random instruments for training: optics of many kinds, factors of 1 to 16, noise from none to 10 %, gaps.

One instrument serves a batch; noise and gaps are drawn for every image. All choices come from one generator, so that a
step can be repeated. Shapes of optics: Moffat 1969 (A&A 3, 455); Airy 1835; trajectories of motion after Boracchi and
Foi 2012 (doi:10.1109/TIP.2012.2192126), simplified to arcs with a kink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import j1
from torch import Tensor

from gensr.operators import Area, Bicubic, GaussianPSF, KSpaceCrop, Lanczos, MeasuredPSF, Operator
from gensr.operators.kspace import WINDOWS
from gensr.priors.observation import Observation
from gensr.values.grid import Factor

FloatArray = npt.NDArray[np.float64]
FACTORS = {1: 0.12, 2: 0.2, 3: 0.07, 4: 0.24, 5: 0.03, 6: 0.06, 8: 0.18, 10: 0.02, 12: 0.03, 16: 0.05}
KINDS = {
    "area": 0.38, "gaussian": 0.18, "mtf": 0.05, "moffat": 0.07, "airy": 0.06, "line": 0.05, "curve": 0.05,
    "bicubic": 0.05, "lanczos": 0.04, "kspace": 0.07,
}  # fmt: skip
PHOTONS = 0.9
"""Share of noisy images of fluxes with photon noise."""
LARGEST_RADIUS = 40
"""Of a kernel, pixels."""


@dataclass(frozen=True)
class Recipe:
    """How often what happens.

    Attributes:
        unequal: share of instruments with another factor for rows than for columns.
        noisy: share of images with noise.
        quiet, loud: range of its deviation, generator units; even in the logarithm.
        uneven: share of batches in which images may have photon noise, noise maps and gaps.
        free: share of images without data.
        flux: whether pixels are fluxes: instruments sum them, and their noise is a camera's.
    """

    unequal: float = 0.15
    noisy: float = 0.65
    quiet: float = 0.001
    loud: float = 0.1
    uneven: float = 0.2
    free: float = 0.1
    flux: bool = False


def uniform(draw: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """One number."""
    return low + (high - low) * float(torch.rand((), generator=draw))


def chosen(weights: dict[str, float] | dict[int, float], draw: torch.Generator) -> int:
    """Index of a key, by weight."""
    return int(torch.multinomial(torch.tensor(list(weights.values())), 1, generator=draw))


def instrument(recipe: Recipe, draw: torch.Generator) -> Operator:
    """A random instrument of unit gain. With factor 1 and no optics only the noise is left to remove."""
    fy = fx = list(FACTORS)[chosen(FACTORS, draw)]
    if uniform(draw) < recipe.unequal:
        fx = list(FACTORS)[chosen(FACTORS, draw)]
    factor = (fy, fx)
    if recipe.flux:
        return Area(factor if max(factor) > 1 else 2)
    kind = list(KINDS)[chosen(KINDS, draw)]
    if kind == "area":
        return Area(factor)
    if kind == "gaussian":
        widest = 2.5 if max(factor) == 1 else 1.2
        return GaussianPSF(factor, math.exp(uniform(draw, math.log(0.25), math.log(widest))))
    if kind == "mtf":
        return GaussianPSF.from_mtf(factor, uniform(draw, 0.08, 0.6))
    if kind == "bicubic":
        return Bicubic(factor)
    if kind == "lanczos":
        return Lanczos(factor)
    if kind == "kspace":
        return KSpaceCrop(factor, WINDOWS[int(uniform(draw, 0, len(WINDOWS)))])
    return MeasuredPSF(factor, kernel(kind, factor, draw))


def kernel(kind: str, factor: Factor, draw: torch.Generator) -> FloatArray:
    """Optics on the high-resolution grid, (odd, odd), not normalised.

    Args:
        kind: "moffat", "airy", "line" or "curve".
        factor: widths grow with it.
        draw: all choices.
    """
    scale = math.sqrt(factor[0] * factor[1])
    finest = max(scale, 1.5)  # where data are as fine as the image, optics are what is left to undo
    if kind in ("line", "curve"):
        return track(finest * uniform(draw, 1.0, 4.0), kind == "curve", draw)
    width = finest * uniform(draw, 0.8, 2.5)
    radius = min(LARGEST_RADIUS, math.ceil(3 * width))
    across = np.arange(-radius, radius + 1, dtype=np.float64)
    squeeze = uniform(draw, 0.8, 1.25)
    r = np.hypot(across[:, None] * squeeze, across[None] / squeeze)
    if kind == "moffat":
        beta = uniform(draw, 2.0, 5.0)
        core = width / (2 * math.sqrt(2 ** (1 / beta) - 1))
        return np.asarray((1 + (r / core) ** 2) ** -beta)
    reach = 3.8317 * np.maximum(r, 1e-6) / width
    return np.asarray((2 * j1(reach) / reach) ** 2)


def track(length: float, bent: bool, draw: torch.Generator) -> FloatArray:
    """Kernel of a motion of ``length`` pixels: a line, or two arcs; half a pixel wide."""
    steps = 16 * math.ceil(length)
    turn = np.full(steps, 0.0)
    if bent:
        kink = int(uniform(draw, 0.2, 0.8) * steps)
        turn[:kink], turn[kink:] = (uniform(draw, -2.0, 2.0) * 2 / steps for _ in range(2))
        turn[kink] += uniform(draw, -1.2, 1.2)
    angle = uniform(draw, 0, math.pi) + np.cumsum(turn)
    y, x = (np.cumsum(f(angle)) * length / steps for f in (np.sin, np.cos))
    y, x = y - y.mean(), x - x.mean()
    radius = min(LARGEST_RADIUS, math.ceil(length / 2) + 1)
    out = np.zeros((2 * radius + 1, 2 * radius + 1))
    row, col = np.floor(y).astype(int), np.floor(x).astype(int)
    dy, dx = y - row, x - col
    for down, share in ((0, 1 - dy), (1, dy)):
        for across, part in ((0, 1 - dx), (1, dx)):
            at = ((v + radius).clip(0, 2 * radius) for v in (row + down, col + across))
            np.add.at(out, tuple(at), share * part)
    return out


def observe(x: Tensor, operator: Operator, recipe: Recipe, draw: torch.Generator) -> Observation:
    """Data of images (n, band, rows, cols), generator units; sides are multiples of the factor."""
    y, n = operator.forward(x), len(x)
    loud = torch.rand(n, 1, 1, 1, generator=draw) < (1.0 if trivial(operator) else recipe.noisy)
    level = torch.rand(n, 1, 1, 1, generator=draw)
    deviation = torch.where(loud, recipe.quiet * (recipe.loud / recipe.quiet) ** level, 0.0)
    variance = (deviation.square()).expand_as(y).clone()
    usable = torch.ones_like(y, dtype=torch.bool)
    if recipe.flux:  # sources have noise of their own beside the sky's
        u = torch.rand(2, n, 1, 1, 1, generator=draw)
        variance = variance + torch.where(loud & (u[0] < PHOTONS), 10 ** (-4 + 1.7 * u[1]), 0.0) * y.clamp(min=0)
    if uniform(draw) < recipe.uneven:
        u = torch.rand(4, n, 1, 1, 1, generator=draw)
        photons = torch.where(loud & (u[0] < 0.5), 10 ** (-4 + 2 * u[1]), 0.0) * y.clamp(min=0)
        ramp = (3 * (u[2] - 0.5) * torch.linspace(-1, 1, y.shape[-1])).exp().square()
        variance = variance * torch.where(u[3] < 0.3, ramp, 1.0) + photons
        usable &= gaps(usable.shape, draw)
    y = y + variance.sqrt() * torch.randn(y.shape, generator=draw)
    return Observation(y, operator, variance, usable)


def trivial(operator: Operator) -> bool:
    """Whether data without noise would be the image itself."""
    return operator.factor == (1, 1) and isinstance(operator, (Area, Bicubic, Lanczos, KSpaceCrop))


def gaps(shape: torch.Size, draw: torch.Generator) -> Tensor:
    """Where data (n, band, h, w) are usable: of most images all, of others not in rectangles, at borders, in specks."""
    out = torch.ones(shape, dtype=torch.bool)
    rows, cols = shape[-2:]
    for plane in out:
        kind = uniform(draw)
        top, left = int(uniform(draw, 0, rows)), int(uniform(draw, 0, cols))
        high, wide = 1 + int(uniform(draw, 0, rows / 2)), 1 + int(uniform(draw, 0, cols / 2))
        if kind < 0.2:
            plane[:, top : top + high, left : left + wide] = False
        elif kind < 0.35:
            plane &= torch.rand(rows, cols, generator=draw) > uniform(draw, 0.01, 0.3)
        elif kind < 0.45:
            axis = int(uniform(draw, 0, 2))
            lines = plane.movedim(1 + axis, 0)
            wide = max(1, int(uniform(draw, 0, len(lines) / 4)))
            lines[slice(None, wide) if uniform(draw) < 0.5 else slice(-wide, None)] = False
    return out
