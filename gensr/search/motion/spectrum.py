"""How well a blur explains a part of an image: the evidence of its spectrum, with the sharp image integrated out.

Gradients of a sharp image are taken for a stationary Gaussian field whose spectrum ``S`` is about a power law (that of
natural images is: Field 1987, doi:10.1364/JOSAA.4.002379), but bends with the frequency, as that of soft pictures does,
and leans to some directions. Data blurred by ``k`` with white noise have
the spectrum ``E = S |D|^2 |K|^2 + s^2 |D|^2``, and the likelihood of a periodogram ``P`` is Whittle's,
``sum log E + P / E`` (Whittle 1953, doi:10.1007/BF02590998). Only the modulus of ``K`` counts, so a kernel and its
mirror image at a point are alike here. Periodograms are means over tapered windows (Welch 1967,
doi:10.1109/TAU.1967.1161901).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

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
KNOTS = (0.02, 0.06, 0.12, 0.2, 0.3, 0.5)
"""Cycles per pixel between which the logarithm of a sharp spectrum is linear in that of the frequency."""
BEND, LEANING = 1.0, 0.5
"""Standard deviations of the change of slope at a knot, and of the logarithm of power by direction."""
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
        window: (SIDE, SIDE) autocorrelation of the windows by circular lag, 1 at lag 0.
        index: which modes are here; None for all.
    """

    power: Tensor
    noise: Tensor
    weight: Tensor
    window: Tensor
    index: Tensor | None = None

    def at(self, index: Tensor, every: int) -> Spectrum:
        """The same at some modes, which are one in so many."""
        return Spectrum(self.power[index], self.noise[index], every * self.weight[index], self.window, index)

    def some(self) -> Spectrum:
        """The same with one mode in `SOME`."""
        return self.at(torch.arange(0, len(self.power), SOME), SOME)

    @property
    def data(self) -> float:
        """Independent data of the region."""
        return float(self.weight.sum())

    def smeared(self, power: Tensor) -> Tensor:
        """Power transfer (n, modes) as windows show it: neighbours in frequency run into each other.

        Args:
            power: (n, SIDE, SIDE // 2 + 1) as `half_plane` makes it.
        """
        seen: Tensor = torch.fft.rfft2(torch.fft.irfft2(power, s=(SIDE, SIDE)) * self.window).real[:, modes().use]
        return seen if self.index is None else seen[:, self.index]

    def surprise(self, transfer: Tensor, rounds: int = 12) -> Tensor:
        """Negative log evidence (n,) of blurs with the power transfer (n, modes), the sharp spectrum fitted."""
        theta = self.begin(transfer)
        best = self.value(theta, transfer)
        step = torch.ones(len(transfer), dtype=transfer.dtype)
        for _ in range(rounds):
            trial = theta + step[:, None] * self.move(theta, transfer)
            found = self.value(trial, transfer)
            better = found < best
            theta = torch.where(better[:, None], trial, theta)
            best = torch.where(better, found, best)
            step = torch.where(better, 1.0, step / 3)
        return best

    def begin(self, transfer: Tensor) -> Tensor:
        """Sharp spectra (n, numbers) of slope 2 with the power of the data, to begin a fit with."""
        theta = transfer.new_zeros(len(transfer), len(self._basis))
        knots = torch.log(torch.tensor(KNOTS, dtype=transfer.dtype))
        theta[:, : len(KNOTS)] = -2.0 * knots
        signal = (self.power - self.noise).clamp(min=0).sum()
        theta[:, : len(KNOTS)] += (signal / self._sent(theta, transfer).sum(1) + 1e-30).log()[:, None]
        return theta

    def value(self, theta: Tensor, transfer: Tensor) -> Tensor:
        """Negative log evidence (n,) of sharp spectra (n, numbers) blurred with the power transfer (n, modes)."""
        expected = self._sent(theta, transfer) + self.noise
        return (self.weight * (expected.log() + self.power / expected)).sum(1) + ((theta @ _stiff()) * theta).sum(1) / 2

    def move(self, theta: Tensor, transfer: Tensor) -> Tensor:
        """A step of Fisher's scoring for sharp spectra, (n, numbers)."""
        sent = self._sent(theta, transfer)
        expected = sent + self.noise
        share = sent / expected
        first = (self.weight * (1 - self.power / expected) * share) @ self._basis.T + theta @ _stiff()
        second = ((self.weight * share.square()) @ self._pairs.T).reshape(len(theta), *_stiff().shape) + _stiff()
        second = second + 1e-9 * second.diagonal(dim1=1, dim2=2).amax(1)[:, None, None] * torch.eye(len(_stiff()))
        found: Tensor = torch.linalg.solve(second, first)
        return -found

    def _sent(self, theta: Tensor, transfer: Tensor) -> Tensor:
        gradient = modes().gradient if self.index is None else modes().gradient[self.index]
        return (theta @ self._basis).exp() * (transfer.clamp(min=SMALLEST) * gradient)

    @cached_property
    def _basis(self) -> Tensor:
        return _basis() if self.index is None else _basis()[:, self.index]

    @cached_property
    def _pairs(self) -> Tensor:
        return (self._basis[:, None] * self._basis).flatten(0, 1)


@lru_cache(maxsize=1)
def _basis() -> Tensor:
    """What the logarithm of a sharp spectrum is made of, (numbers, modes): hats by frequency, then the direction."""
    with torch.inference_mode(False):
        at, knots = modes().logarithm.numpy(), np.log(KNOTS)
        hats = [np.interp(at, knots, unit) for unit in np.eye(len(KNOTS))]
        turned = modes().direction
        directions = torch.stack([(2 * turned).cos(), (2 * turned).sin(), (4 * turned).cos()])
        return torch.cat([torch.from_numpy(np.array(hats)), directions])


@lru_cache(maxsize=1)
def _stiff() -> Tensor:
    """Inverse covariance of the numbers of a sharp spectrum, of rank two less: neither level nor slope costs."""
    with torch.inference_mode(False):
        gaps = np.diff(np.log(KNOTS))
        slopes = np.diff(np.eye(len(KNOTS)), axis=0) / gaps[:, None]
        bends = np.diff(slopes, axis=0)
        out = np.zeros((len(KNOTS) + 3,) * 2)
        out[: len(KNOTS), : len(KNOTS)] = bends.T @ bends / BEND**2
        out[len(KNOTS) :, len(KNOTS) :] = np.eye(3) / LEANING**2
        return torch.from_numpy(out)


@dataclass(frozen=True, eq=False)
class Modes:
    """Frequencies of a window that count, of half the plane.

    Attributes:
        use: bool, of the half plane (SIDE, SIDE // 2 + 1).
        radius: cycles per pixel, of the half plane.
        logarithm: of the frequency, (modes,).
        gradient: power transfer of both gradients together.
        direction: radians from the columns' frequency to the rows'.
        twice: how often each stands in the whole plane.
    """

    use: Tensor
    radius: Tensor
    logarithm: Tensor
    direction: Tensor
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
        direction = torch.atan2(rows.expand_as(radius), cols.expand_as(radius))
        return Modes(use, radius, radius[use].log(), direction[use], gradient[use], twice[use])


def transfer(kernel: npt.ArrayLike) -> Tensor:
    """Power transfer (modes,) of a kernel of at most `SIDE` pixels a side."""
    return half_plane(torch.as_tensor(np.asarray(kernel, np.float64)))[modes().use]


def half_plane(kernels: Tensor, side: int = SIDE) -> Tensor:
    """Power transfer (..., side, side // 2 + 1) of kernels of at most ``side`` pixels a side."""
    found: Tensor = torch.fft.rfft2(kernels, s=(side, side))
    return found.real.square() + found.imag.square()


def quietest(image: FloatArray) -> float:
    """Standard deviation of white noise, from the modes in which least is seen: a motion wipes out some of them.

    Args:
        image: (rows, cols), finite.
    """
    found = spectrum(image, taper(np.ones(image.shape, bool)), 0.0)
    if found is None:
        return 0.0
    fine = modes().logarithm > math.log(FINEST)
    shape = max(float(found.weight[fine].median()), 1.0)  # windows, about; a mode of one is an exponential variate
    chance = float(scipy.stats.gamma.ppf(QUIET, shape)) / shape  # of the mean that so many modes of noise are below
    return math.sqrt(float((found.power[fine] / modes().gradient[fine]).quantile(QUIET)) / chance)


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
    lags = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    for row in _places(values.shape[0]):
        for col in _places(values.shape[1]):
            place = np.s_[row : row + SIDE, col : col + SIDE]
            window = padded[place] * frames[0][:, None] * frames[1]
            own = float((window**2).sum())
            if own >= LEAST_ENERGY:
                power += _periodogram(values[place], window)
                lags += _lags(window)
                energy += own
    if not energy:
        return None
    share = float((weight**2).sum() ** 2 / (weight**4).sum()) / SIDE**2
    return Spectrum(power / energy, sigma**2 * grid.gradient, share * grid.twice, lags / lags[0, 0])


def _places(size: int) -> list[int]:
    """First pixels of windows that cover an axis, half a window apart at most."""
    count = -(-(size - SIDE) // (SIDE // 2))
    return [0] if count <= 0 else [round(i * (size - SIDE) / count) for i in range(count + 1)]


def _lags(window: FloatArray) -> Tensor:
    """Autocorrelation (SIDE, SIDE) of a window by circular lag, of lags below half its side."""
    wide = torch.fft.rfft2(torch.from_numpy(window), s=(2 * SIDE, 2 * SIDE)).abs().square()
    found: Tensor = torch.fft.irfft2(wide, s=(2 * SIDE, 2 * SIDE))
    near = (torch.fft.fftfreq(SIDE, 1 / SIDE).round().long()) % (2 * SIDE)
    return found[near][:, near]


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
