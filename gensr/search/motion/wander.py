"""Paths that turn as they like, as a hand does: headings at a few moments, found by the gradient of the evidence.

A path of even speed is its length and its heading at some moments, linear between them; headings are a random walk
whose steps between `MOMENTS` moments have the standard deviation `SWING`. The search begins with the best of a bank of
random paths of all sizes and directions, and of the lines and arcs that were found, and goes down the gradient (Adam,
Kingma and Ba 2015, arXiv:1412.6980) of the surprise through the path, its kernel and its power transfer, the sharp
spectrum being fitted all the while. There are many dead ends: the best paths are bent at random and go down once more,
each against itself, so that they stay different. In the end moments are added between the moments.
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
ROUGHLY, CLOSELY, FINELY, RATE = (288, 30), (12, 40), 40, 0.06
"""Paths that go down by the modes that rank the bank, and steps of each; the same by all modes; steps with twice the
moments; size of a step, radians. On regions of validation whose paths 96 beginnings missed, these found 6 of 8."""
BENT, BENDINGS, BENDING = 32, 2, 30
"""Paths that are bent, how often, and their steps down."""
KICKED, SHIFTED, STRETCHED = 0.4, 0.2, 0.15
"""Share of the turns of a path that are bent, by `SWING`; what its direction, radians, and the logarithm of its length
change by."""
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
        heading: (n, moments), radians counter-clockwise from the right.
    """

    def __init__(self, size: Tensor, heading: Tensor) -> None:
        self.size, self.heading = size, heading

    def chosen(self, index: Tensor | slice) -> Paths:
        """Some of them."""
        return Paths(self.size[index], self.heading[index])

    def finer(self) -> Paths:
        """The same with a moment more between any two."""
        middle = (self.heading[:, 1:] + self.heading[:, :-1]) / 2
        both = torch.stack([self.heading[:, :-1], middle], 2).flatten(1)
        return Paths(self.size, torch.cat([both, self.heading[:, -1:]], 1))

    def bent(self, draw: np.random.Generator) -> Paths:
        """Others near to them."""
        turns = self.heading.diff(dim=1)
        kicked = torch.from_numpy(draw.random(turns.shape) < KICKED)
        turns = turns + SWING * kicked * torch.from_numpy(draw.normal(size=turns.shape))
        first = self.heading[:, :1] + SHIFTED * torch.from_numpy(draw.normal(size=(len(turns), 1)))
        size = self.size + STRETCHED * torch.from_numpy(draw.normal(size=len(turns)))
        return Paths(size, torch.cat([first, turns], 1).cumsum(1))

    def points(self, count: int) -> Tensor:
        """Rows and columns of points about their centroid, (n, 2, count), pixels."""
        last = self.heading.shape[1] - 1
        at = (torch.arange(count, dtype=self.size.dtype) + 0.5) / count * last
        before = at.floor().long().clamp(max=last - 1)
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
        turns = self.heading.diff(dim=1)
        return turns.square().sum(1) * turns.shape[1] / (MOMENTS - 1) / SWING**2 / 2


def wandering(spectra: Sequence[Spectrum], begins: Sequence[Path]) -> list[tuple[FloatArray, float]]:
    """Kernels of the best paths that regions share, best first, and their surprise with the cost of their turns.

    Args:
        spectra: of the regions.
        begins: paths to begin with beside those of the bank.
    """
    with torch.inference_mode(False):
        paths = _many([one.at(_coarse(), 4) for one in spectra], begins)
        for begin, steps in ((lambda p: p, CLOSELY[1]), (Paths.finer, FINELY)):
            paths, total = _down(begin(paths), spectra, lambda one, p: one.smeared(half_plane(p.kernels())), steps)
        with torch.no_grad():
            total = torch.where(paths.extent() < SHORTEST, torch.inf, total)
            ways = paths.points(math.ceil(STEPS * float(paths.size.exp().max()))).numpy()
        found = [(trace(*way), value) for way, value in zip(ways, total.tolist(), strict=True) if math.isfinite(value)]
        kept: list[tuple[FloatArray, float]] = []
        for kernel, value in sorted(found, key=lambda f: f[1]):
            if len(kept) < DIFFERENT and all(max(likeness(kernel, k)) < SAME for k, _ in kept):
                kept.append((kernel, value))
        return kept


def _many(rough: Sequence[Spectrum], begins: Sequence[Path]) -> Paths:
    """The best of many paths by the modes that rank the bank."""
    draw = np.random.default_rng(0)
    paths, total = _down(_ranked(rough, begins), rough, lambda one, p: _roughly(p).double(), ROUGHLY[1])
    best = total.argsort()[:BENT]
    paths, total = paths.chosen(best), total[best]
    for _ in range(BENDINGS):
        bent = paths.bent(draw)
        both = Paths(torch.cat([paths.size, bent.size]), torch.cat([paths.heading, bent.heading]))
        both, found = _down(both, rough, lambda one, p: _roughly(p).double(), BENDING)
        choice, place = torch.stack([total, *found.reshape(2, -1)]).min(0)
        every = Paths(torch.cat([paths.size, both.size]), torch.cat([paths.heading, both.heading]))
        paths, total = every.chosen(place * len(total) + torch.arange(len(total))), choice
    return paths.chosen(total.argsort()[: CLOSELY[0]])


def _down(
    begin: Paths, spectra: Sequence[Spectrum], seen: Callable[[Spectrum, Paths], Tensor], steps: int
) -> tuple[Paths, Tensor]:
    """Paths after so many steps down, and their surprise with the cost of their turns."""
    size, heading = (v.clone().requires_grad_() for v in (begin.size, begin.heading))
    paths = Paths(size, heading)
    adam = torch.optim.Adam([size, heading], RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    theta: list[Tensor] = []
    with torch.enable_grad():
        for _ in range(steps):
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
