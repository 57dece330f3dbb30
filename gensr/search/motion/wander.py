"""Paths that turn as they like, as a hand does: headings at a few moments, found by the gradient of the evidence.

A path of even speed is its length and its heading at `MOMENTS` moments, linear between them; headings are a random walk
whose steps have the standard deviation `SWING`. The search begins with the best of a bank of random paths of all sizes
and directions, and of the lines and arcs that were found, and goes down the gradient (Adam, Kingma and Ba 2015,
arXiv:1412.6980) of the surprise through the path, its kernel and its power transfer, the sharp spectrum being fitted
all the while.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.operators.blurs import STEPS, trace
from gensr.search.motion.paths import LONGEST, SHORTEST, Path, likeness
from gensr.search.motion.spectrum import SIDE, Spectrum, half_plane, modes

FloatArray = npt.NDArray[np.float64]
MOMENTS, SWING = 8, 0.9
"""Moments of a path, and the standard deviation of a turn between two of them, radians."""
SHAPES, SIZES = 48, 14
"""Random paths of the bank, and sizes of each."""
FINEST = 0.25
"""Cycles per pixel below which every second mode of rows and columns ranks the bank."""
ROUGHLY, CLOSELY, RATE = (96, 60), (8, 60), 0.06
"""Paths that go down by the modes that rank the bank, and steps of each; the same by all; size of a step, radians."""
WALL = 100.0
"""Cost of a pixel of the extent beyond those that are looked for."""
POINTS = 96
"""Of a path while it moves."""
DIFFERENT, SAME = 4, 0.9
"""Paths that are handed out, and the correlation from which two are one."""


class Paths:
    """Several paths.

    Args:
        size: (n,) logarithm of the length, pixels.
        heading: (n, MOMENTS), radians counter-clockwise from the right.
    """

    def __init__(self, size: Tensor, heading: Tensor) -> None:
        self.size, self.heading = size, heading

    def chosen(self, index: Tensor | slice) -> Paths:
        """Some of them."""
        return Paths(self.size[index], self.heading[index])

    def points(self, count: int) -> Tensor:
        """Rows and columns of points about their centroid, (n, 2, count), pixels."""
        at = (torch.arange(count, dtype=self.size.dtype) + 0.5) / count * (MOMENTS - 1)
        before = at.floor().long().clamp(max=MOMENTS - 2)
        share = at - before
        heading = self.heading[:, before] * (1 - share) + self.heading[:, before + 1] * share
        step = (self.size.exp() / count)[:, None]
        way = torch.stack([-(heading.sin() * step).cumsum(1), (heading.cos() * step).cumsum(1)], 1)
        return way - way.mean(2, keepdim=True)

    def kernels(self, side: int = SIDE) -> Tensor:
        """Kernels (n, side, side), the centroid at the first pixel, each point shared out among four."""
        place = self.points(POINTS)
        low = place.detach().floor()
        part = place - low
        out = place.new_zeros(len(place), side * side)
        for down in (0, 1):
            for across in (0, 1):
                row, col = (low[:, 0].long() + down) % side, (low[:, 1].long() + across) % side
                share = (1 - down - part[:, 0]).abs() * (1 - across - part[:, 1]).abs()
                out = out.scatter_add(1, row * side + col, share / POINTS)
        return out.reshape(-1, side, side)

    def extent(self) -> Tensor:
        """The longer side of the smallest upright box about each, (n,), pixels."""
        place = self.points(POINTS)
        return (place.amax(2) - place.amin(2)).amax(1)

    def effort(self) -> Tensor:
        """Negative logarithm of the prior of their turns, (n,)."""
        return (self.heading.diff(dim=1) / SWING).square().sum(1) / 2


def wandering(spectra: Sequence[Spectrum], begins: Sequence[Path]) -> list[tuple[FloatArray, float]]:
    """Kernels of the best paths that regions share, best first, and their surprise with the cost of their turns.

    Args:
        spectra: of the regions.
        begins: paths to begin with beside those of the bank.
    """
    with torch.inference_mode(False):
        rough = [one.at(_coarse(), 4) for one in spectra]
        paths, total = _down(_ranked(rough, begins), rough, lambda one, p: _roughly(p).double(), ROUGHLY)
        chosen = total.argsort()[: CLOSELY[0]]
        paths, total = _down(
            paths.chosen(chosen), spectra, lambda one, p: one.smeared(half_plane(p.kernels())), CLOSELY
        )
        with torch.no_grad():
            total = torch.where(paths.extent() < SHORTEST, torch.inf, total)
            ways = paths.points(math.ceil(STEPS * float(paths.size.exp().max()))).numpy()
        found = [(trace(*way), value) for way, value in zip(ways, total.tolist(), strict=True) if math.isfinite(value)]
        kept: list[tuple[FloatArray, float]] = []
        for kernel, value in sorted(found, key=lambda f: f[1]):
            if len(kept) < DIFFERENT and all(max(likeness(kernel, k)) < SAME for k, _ in kept):
                kept.append((kernel, value))
        return kept


def _down(
    begin: Paths, spectra: Sequence[Spectrum], seen: Callable[[Spectrum, Paths], Tensor], effort: tuple[int, int]
) -> tuple[Paths, Tensor]:
    """Paths after so many steps down, and their surprise with the cost of their turns."""
    size, heading = (v.clone().requires_grad_() for v in (begin.size, begin.heading))
    paths = Paths(size, heading)
    adam = torch.optim.Adam([size, heading], RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, effort[1])
    theta: list[Tensor] = []
    with torch.enable_grad():
        for _ in range(effort[1]):
            extent = paths.extent()
            total = paths.effort() + WALL * ((SHORTEST - extent).clamp(min=0) + (extent - LONGEST).clamp(min=0))
            for i, one in enumerate(spectra):
                power = seen(one, paths)
                now = power.detach()
                first = i == len(theta)
                if first:
                    theta.append(one.begin(now))
                for _ in range(3 if first else 1):
                    trial = theta[i] + one.move(theta[i], now)
                    better = one.value(trial, now) < one.value(theta[i], now)
                    theta[i] = torch.where(better[:, None], trial, theta[i])
                total = total + one.value(theta[i], power)
            adam.zero_grad()
            total.sum().backward()
            adam.step()
            schedule.step()
    with torch.no_grad():
        paths = Paths(size.detach(), heading.detach())
        return paths, paths.effort() + sum(one.surprise(seen(one, paths)) for one in spectra)


def _ranked(rough: Sequence[Spectrum], begins: Sequence[Path]) -> Paths:
    """The best of the bank, and what is given."""
    bank, transfers = _bank()
    total = torch.zeros(len(transfers), dtype=torch.float64)
    for one in rough:
        for first in range(0, len(transfers), 1024):  # bounded memory
            total[first : first + 1024] += one.surprise(transfers[first : first + 1024].double(), 2)
    best = bank.chosen(total.argsort()[: ROUGHLY[0] - len(begins)])
    at = torch.arange(MOMENTS, dtype=torch.float64) / (MOMENTS - 1) - 0.5
    own = [(math.log(p.length), math.radians(p.angle) + p.turn * at) for p in begins]
    size = torch.cat([best.size, torch.tensor([s for s, _ in own], dtype=torch.float64)])
    return Paths(size, torch.cat([best.heading, *(h[None] for _, h in own)]))


@lru_cache(maxsize=1)
def _bank() -> tuple[Paths, Tensor]:
    """Random paths of all sizes and directions, and their transfer at the modes that rank them."""
    with torch.inference_mode(False):
        draw = np.random.default_rng(0)
        turns = np.cumsum(draw.normal(0, SWING, (SHAPES, MOMENTS)), 1)
        sizes, headings = [], []
        for turn in turns - turns.mean(1, keepdims=True):
            shape = Paths(torch.zeros(1, dtype=torch.float64), torch.from_numpy(turn[None]))
            reach = float(shape.extent()[0])
            for extent in np.geomspace(SHORTEST + 1, LONGEST, SIZES):
                count = max(8, math.ceil(math.pi * extent / 4))  # half a turn: the other half is the mirror image
                sizes += [math.log(extent / reach)] * count
                headings += [turn + math.pi * i / count for i in range(count)]
        paths = Paths(torch.tensor(sizes), torch.from_numpy(np.array(headings)))
        found = []
        for first in range(0, len(sizes), 256):
            found.append(_roughly(paths.chosen(slice(first, first + 256))).float())
        return paths, torch.cat(found)


def _coarse() -> Tensor:
    """Modes that rank the bank: those of kernels on half the side."""
    even = torch.zeros_like(modes().use)
    even[::2, ::2] = True
    return (even & (modes().radius < FINEST))[modes().use].nonzero()[:, 0]


def _roughly(paths: Paths) -> Tensor:
    """Power transfer of paths at the modes that rank the bank, (n, modes)."""
    rough = (modes().use & (modes().radius < FINEST))[::2, ::2]
    return half_plane(paths.kernels(SIDE // 2), SIDE // 2)[:, rough]
