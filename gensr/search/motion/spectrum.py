"""How well a blur explains a part of an image: the evidence of its spectrum, with the sharp image integrated out.

Gradients of a sharp image are taken for a stationary Gaussian field with a power-law spectrum of unknown level and
slope (natural images have one: Field 1987, doi:10.1364/JOSAA.4.002379), so data blurred by ``k`` with white noise have
the spectrum ``E = e^a f^-b |D|^2 |K|^2 + s^2 |D|^2``, and the likelihood of a periodogram ``P`` is Whittle's,
``sum log E + P / E`` (Whittle 1953, doi:10.1007/BF02590998). Only the modulus of ``K`` counts, so a kernel and its
mirror image at a point are alike here. Periodograms are means over tapered windows (Welch 1967,
doi:10.1109/TAU.1967.1161901).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]
SIDE = 128
"""Of a window, pixels."""
LEAST_ENERGY = 200.0
"""Of the taper of a window, pixels: less says nothing."""
LOWEST = 0.02
"""Cycles per pixel below which spectra are those of single objects."""
SLOPES = (0.5, 4.0)
FINEST, QUIET = 0.4, 0.25
"""Cycles per pixel from which modes tell the noise, and the share of them that may be below it by chance."""
SOME = 3
"""One mode in so many is looked at where thousands of blurs are ranked."""
SMALLEST = 1e-6
"""Least transfer of power: what a blur wipes out leaves noise only, whatever else."""
DEEPEST, FRAME = 0.7, 40.0
"""Width of a region's taper: a share of its depth, and pixels at most."""


def taper(region: npt.NDArray[np.bool_]) -> FloatArray:
    """Weight (rows, cols) that rises smoothly from the border of a region, and of the image, to 1 inside it."""
    depth = np.asarray(scipy.ndimage.distance_transform_edt(np.pad(region, 1)), np.float64)[1:-1, 1:-1]
    width = min(DEEPEST * float(depth.max(initial=0.0)), FRAME)
    return np.sin(np.pi / 2 * np.minimum(depth / max(width, 1.0), 1.0)) ** 2


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Periodogram of the gradients of a region.

    Attributes:
        power: (modes,) mean square of both gradients.
        noise: (modes,) that of the noise.
        weight: (modes,) independent data behind a mode; their sum is that of the region.
        every: one mode in so many is here.
    """

    power: Tensor
    noise: Tensor
    weight: Tensor
    every: int = 1

    def some(self) -> Spectrum:
        """The same with one mode in `SOME`."""
        return Spectrum(self.power[::SOME], self.noise[::SOME], SOME * self.weight[::SOME], SOME)

    @property
    def data(self) -> float:
        """Independent data of the region."""
        return float(self.weight.sum())

    def surprise(self, transfer: Tensor, rounds: int = 8) -> Tensor:
        """Negative log evidence (n,) of blurs with the power transfer (n, modes), level and slope fitted by scoring."""
        return self.fitted(transfer, rounds)[0]

    def fitted(self, transfer: Tensor, rounds: int = 8) -> tuple[Tensor, Tensor]:
        """The same, and level and slope (n, 2)."""
        gradient, logarithm = modes().gradient[:: self.every], modes().logarithm[:: self.every]
        shape = transfer.clamp(min=SMALLEST) * gradient
        signal = (self.power - self.noise).clamp(min=0).sum()
        theta = transfer.new_zeros(len(transfer), 2)
        theta[:, 1] = 2.0
        theta[:, 0] = (signal / (shape * (-2.0 * logarithm).exp()).sum(1) + 1e-30).log()
        best = self._surprise(theta, shape)
        step = torch.ones(len(transfer), dtype=transfer.dtype)
        for _ in range(rounds):
            sent = (theta[:, :1] - theta[:, 1:] * logarithm).exp() * shape
            expected = sent + self.noise
            share = sent / expected
            slope = self.weight * (1 - self.power / expected) * share
            first = slope.sum(1)
            second = -(slope * logarithm).sum(1)
            square = self.weight * share.square()
            aa, ab, bb = (s.sum(1) for s in (square, -square * logarithm, square * logarithm.square()))
            det = (aa * bb - ab.square()).clamp(min=1e-9 * float((aa * bb).max()) + 1e-30)
            move = torch.stack([-(bb * first - ab * second) / det, -(aa * second - ab * first) / det], 1)
            trial = theta + step[:, None] * move
            trial[:, 1] = trial[:, 1].clamp(*SLOPES)
            found = self._surprise(trial, shape)
            better = found < best
            theta = torch.where(better[:, None], trial, theta)
            best = torch.where(better, found, best)
            step = torch.where(better, 1.0, step / 3)
        return best, theta

    def _surprise(self, theta: Tensor, shape: Tensor) -> Tensor:
        logarithm = modes().logarithm[:: self.every]
        expected = (theta[:, :1] - theta[:, 1:] * logarithm).exp() * shape + self.noise
        return (self.weight * (expected.log() + self.power / expected)).sum(1)


@dataclass(frozen=True, eq=False)
class Modes:
    """Frequencies of a window that count, of half the plane.

    Attributes:
        use: bool, of the half plane (SIDE, SIDE // 2 + 1).
        logarithm: of the frequency, (modes,).
        gradient: power transfer of both gradients together.
        twice: how often each stands in the whole plane.
    """

    use: Tensor
    logarithm: Tensor
    gradient: Tensor
    twice: Tensor


@lru_cache(maxsize=1)
def modes() -> Modes:
    """See `Modes`."""
    with torch.inference_mode(False):
        rows = torch.fft.fftfreq(SIDE, dtype=torch.float64)[:, None]
        cols = torch.fft.rfftfreq(SIDE, dtype=torch.float64)[None]
        radius = (rows.square() + cols.square()).sqrt()
        use = (radius > LOWEST) & (radius < 0.5)
        gradient = 4 - 2 * (2 * torch.pi * rows).cos() - 2 * (2 * torch.pi * cols).cos()
        twice = torch.full_like(radius, 2.0)
        twice[:, 0] = 1.0
        return Modes(use, radius[use].log(), gradient[use], twice[use])


def transfer(kernel: npt.ArrayLike) -> Tensor:
    """Power transfer (modes,) of a kernel of at most `SIDE` pixels a side."""
    found = torch.as_tensor(np.asarray(kernel, np.float64))
    power: Tensor = torch.fft.rfft2(found, s=(SIDE, SIDE)).abs().square()
    return power[modes().use]


def quietest(image: FloatArray) -> float:
    """Standard deviation of white noise, from the modes in which least is seen: a motion wipes out some of them.

    Args:
        image: (rows, cols), finite.
    """
    found = spectrum(image, taper(np.ones(image.shape, bool)), 0.0)
    if found is None:
        return 0.0
    fine = modes().logarithm > math.log(FINEST)
    return math.sqrt(float((found.power[fine] / modes().gradient[fine]).quantile(QUIET)))


def spectrum(image: FloatArray, weight: FloatArray, sigma: float) -> Spectrum | None:
    """The spectrum of a region; None where it is too small to say anything.

    Args:
        image: (rows, cols), finite.
        weight: same shape, see `taper`.
        sigma: standard deviation of its white noise, same unit, above 0.
    """
    inside = [np.flatnonzero(weight.max(axis) > 0) for axis in (1, 0)]
    if any(not len(i) for i in inside):
        return None
    cut = tuple(slice(int(i[0]), int(i[-1]) + 1) for i in inside)
    values, weight = image[cut], weight[cut]
    short = [(0, max(SIDE - n, 0)) for n in values.shape]
    values, padded = np.pad(values, short), np.pad(weight, short)
    hann = np.sin(np.pi * (np.arange(SIDE) + 0.5) / SIDE)
    frames = [hann if n > SIDE else np.ones(SIDE) for n in values.shape]
    grid = modes()
    power, energy = torch.zeros(len(grid.logarithm), dtype=torch.float64), 0.0
    for row in _places(values.shape[0]):
        for col in _places(values.shape[1]):
            place = np.s_[row : row + SIDE, col : col + SIDE]
            window = padded[place] * frames[0][:, None] * frames[1]
            own = float((window**2).sum())
            if own >= LEAST_ENERGY:
                power += _periodogram(values[place], window)
                energy += own
    if not energy:
        return None
    share = float((weight**2).sum() ** 2 / (weight**4).sum()) / SIDE**2
    return Spectrum(power / energy, sigma**2 * grid.gradient, share * grid.twice)


def _places(size: int) -> list[int]:
    """First pixels of windows that cover an axis, half a window apart at most."""
    count = -(-(size - SIDE) // (SIDE // 2))
    return [0] if count <= 0 else [round(i * (size - SIDE) / count) for i in range(count + 1)]


def _periodogram(values: FloatArray, window: FloatArray) -> Tensor:
    """Sum over both gradients, times the energy of the window."""
    total = torch.zeros(len(modes().logarithm), dtype=torch.float64)
    square = window**2
    for axis in (0, 1):
        gradient = np.diff(values, axis=axis, append=np.take(values, [-1], axis))
        gradient = gradient - float((gradient * square).sum() / square.sum())
        found: Tensor = torch.fft.rfft2(torch.from_numpy(gradient * window)).abs().square()
        total += found[modes().use]
    return total
