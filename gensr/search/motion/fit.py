"""The motion of one region: lines first, then arcs, then kernels of any shape; what the evidence prefers is it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.search.motion.free import free_kernel
from gensr.search.motion.paths import LONGEST, MOST, SHORTEST, Path, arcs, lines
from gensr.search.motion.spectrum import SIDE, SOME, Spectrum, half_plane, modes
from gensr.search.motion.wander import wandering

FloatArray = npt.NDArray[np.float64]
SOFT = (0.0, 0.5, 0.8, 1.2, 1.8)
"""Widths of a Gaussian, pixels, that pictures without motion may have."""
BEST, CLOSER, ROUNDS = 4, 4, 4
"""Places of the bank that are looked at closely, steps of the descent there, and rounds of scoring at each."""
NARROW = 12
"""Least half side of a free kernel."""
PLAUSIBLE = 0.3
"""Evidence for each datum that the best line may lose against stillness before curves are not looked for: nearly closed
arcs are not far from nothing at all, and explain what no line does in any sharp picture."""
DELTA = np.ones((1, 1))


@dataclass(frozen=True)
class Fit:
    """A motion and how well it explains a region.

    Attributes:
        kind: "line", "arc" or "free".
        kernel: (odd, odd), sum 1.
        surprise: negative log evidence, to be compared with others of the same data only.
        path: of a line or arc.
    """

    kind: str
    kernel: FloatArray = field(repr=False, compare=False)
    surprise: float
    path: Path | None = None


def stillness(spectra: Sequence[Spectrum]) -> float:
    """Surprise of regions without any motion, each as soft as it likes to be."""
    f = modes()
    soft = torch.stack([(-((2 * math.pi * s) ** 2) * (2 * f.logarithm).exp()).exp() for s in SOFT])
    return sum(float(s.surprise(soft.double()).min()) for s in spectra)


def straight(spectra: Sequence[Spectrum]) -> Fit:
    """The best line that regions share."""
    paths, bank = lines()
    return _closer(spectra, [paths[i] for i in _ranked(spectra, bank)[:BEST]], "line")


def curved(spectra: Sequence[Spectrum], begin: Path) -> Fit:
    """The best arc that regions share; of two mirror images one."""
    paths, bank = arcs()
    found = [paths[i] for i in _ranked(spectra, bank)[:BEST]]
    return _closer(spectra, [*found, Path(begin.length, begin.angle, 0.3)], "arc")


def surprise(spectra: Sequence[Spectrum], kernels: Sequence[FloatArray]) -> Tensor:
    """Surprise of kernels that regions share, (n,)."""
    found = torch.stack([half_plane(torch.from_numpy(kernel)) for kernel in kernels])
    return torch.stack([s.surprise(s.smeared(found)) for s in spectra]).sum(0)


def _ranked(spectra: Sequence[Spectrum], bank: Tensor) -> list[int]:
    total = torch.zeros(len(bank), dtype=torch.float64)
    for one in spectra:
        rough = one.some()
        for first in range(0, len(bank), 256):  # bounded memory
            total[first : first + 256] += rough.surprise(bank[first : first + 256, ::SOME].double(), 2)
    return [int(i) for i in total.argsort()]


def _closer(spectra: Sequence[Spectrum], begins: Sequence[Path], kind: str) -> Fit:
    """The best of several descents by halved steps in length, angle and turn."""
    best: tuple[float, Path] | None = None
    for begin in begins:
        at, least = begin, math.inf
        step = 1.0
        for _ in range(CLOSER):
            around = _around(at, step, kind)
            power = torch.stack([half_plane(torch.from_numpy(path.kernel())) for path in around])
            found = torch.stack([s.surprise(s.smeared(power), ROUNDS) for s in spectra]).sum(0)
            chosen = int(found.argmin())
            at, least = around[chosen], float(found[chosen])
            step /= 2 if chosen == 0 or step < 1 else 1.5
        if best is None or least < best[0]:
            best = (least, at)
    assert best is not None
    return Fit(kind, best[1].kernel(), best[0], best[1])


def _around(at: Path, step: float, kind: str) -> list[Path]:
    swing = min(12.0, 60.0 / at.length) * step
    turns = (0.0,) if kind == "line" else (0.0, -0.35 * step, 0.35 * step)
    found = [at]
    for turn in turns:
        for longer in (0.0, -0.05 * step, 0.05 * step):
            for angle in (0.0, -swing, swing):
                length = min(max(at.length * (1 + longer), SHORTEST), LONGEST)
                found.append(Path(length, at.angle + angle, min(max(at.turn + turn, -MOST), MOST)))
    return found


def candidates(spectra: Sequence[Spectrum], image: FloatArray, weight: FloatArray, thorough: bool = True) -> list[Fit]:
    """Motions that may have blurred a region, of each kind the best: lines, then arcs, paths and free kernels.

    Args:
        spectra: of the region.
        image: (rows, cols) cut about the region, contrast about 1.
        weight: same shape: the region.
        thorough: look for curves, and for kernels of any shape.
    """
    line = straight(spectra)
    data = sum(s.data for s in spectra)
    if not thorough or line.path is None or line.surprise > stillness(spectra) + PLAUSIBLE * data:
        return [line]
    arc = curved(spectra, line.path)
    begins = [f.path for f in (line, arc) if f.path is not None]
    found = [arc, *(Fit("path", *path) for path in wandering(spectra, begins))]
    longest = max(path.length for path in begins)
    side = 2 * min(max(math.ceil(0.7 * longest) + 2, NARROW), SIDE // 4) + 1
    kernel = free_kernel(image, weight, side)
    found.append(Fit("free", kernel, float(surprise(spectra, [kernel])[0])))
    return [line, *(f for one in found for f in (one, mirrored(one)))]


def mirrored(fit: Fit) -> Fit:
    """The same motion turned by half a turn, which has the same evidence."""
    path = None if fit.path is None else fit.path.mirrored()
    return Fit(fit.kind, np.ascontiguousarray(fit.kernel[::-1, ::-1]), fit.surprise, path)
