"""Can this prior be trusted on this image? What windows lay side by side, in figures.

`gensr.pipeline.coarsened` makes the windows. Per band and over all: the gain over Lanczos, how often the data lie in
their 90 % intervals, bias and spread, and the factor on the deviation that ``calibrate=self`` uses. Errors of
neighbouring pixels go together, so standard errors leave out one cell of pixels at a time (jackknife), and what
``calibrate=self`` promises is measured on cells that its factor was not fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.pipeline.coarsened import Compared
from gensr.pipeline.verdict import LEVEL, NAN, Checked, Figures, blank

Array = npt.NDArray[np.float64]
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
CELL = 32
"""Side of the cells that standard errors and halves are made of, pixels."""
FITTED = 400
"""Pixels of a band from which a factor on its deviation is fitted."""
SHRUNK = 10
"""Cells from which a factor may be below that of the card: fewer do not prove intervals too wide."""
HIDDEN = 0.25
"""Stated variance over that of the noise below which errors do not show, and no factor is fitted."""
SCALES = (0.05, 20.0)
"""Factors on the deviation that a check may give."""


def figures(found: Sequence[Compared], names: Sequence[str], card: Sequence[float]) -> Checked:
    """Everything that windows say.

    Args:
        found: windows that were tried.
        names: of the bands.
        card: factor on the deviation of every band that the card gives.
    """
    if not found:
        return blank(names)
    every = [_band(found, band, card[band]) for band in range(len(names))]
    factors = tuple(factor for _, _, factor in every)
    sums = [cells for _, cells, _ in every]
    bands = tuple(own for own, _, _ in every)
    return Checked(_over_all(bands, sums), bands, tuple(names), factors, len(found))


SUMS = ("pixels", "lanczos", "prior", "inside", "stated", "error", "noise")
_PIXELS, _LANCZOS, _PRIOR, _INSIDE, _STATED, _ERROR, _NOISE = range(len(SUMS))
"""Columns of the sums of a cell: pixels, squared errors less those of the noise, covered pixels, stated variance,
error, and variance of the noise of the data."""


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Compared pixels of a band, all (count,)."""

    cell: npt.NDArray[np.int64]
    lanczos: Array
    error: Array
    std: Array
    noise: Array
    data: Array

    def part(self, which: npt.NDArray[np.bool_]) -> _Pixels:
        return _Pixels(*(getattr(self, name)[which] for name in ("cell", "lanczos", "error", "std", "noise", "data")))

    def inside(self, scale: float) -> npt.NDArray[np.bool_]:
        """Whether a datum lies in its interval, to which its own noise belongs."""
        return np.abs(self.error) <= Z * np.sqrt((scale * self.std) ** 2 + self.noise)

    def factor(self) -> float:
        """The least factor on the deviation with which `LEVEL` of the data lie in their intervals."""
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = np.sqrt(np.maximum((self.error / Z) ** 2 - self.noise, 0)) / self.std
        needed = np.where(np.isnan(needed), 0.0, needed)  # no error where none is stated
        return float(np.quantile(needed, LEVEL, method="higher"))


def _band(found: Sequence[Compared], band: int, card: float) -> tuple[Figures, Array, float | None]:
    """Figures of a band, the sums of its cells, and its factor."""
    pixels = _gather(found, band)
    count = len(pixels.error)
    if not count:
        return Figures(), np.zeros((0, len(SUMS))), None
    sums = _cells(pixels, card)
    factor, promise = _calibration(pixels, card)
    total, data = sums.sum(0), math.sqrt(sums[:, _NOISE].sum() / count)
    bias = total[_ERROR] / count
    return (
        Figures(
            _gain([total]),
            _jackknife([sums], _gain),
            total[_INSIDE] / count,
            _jackknife([sums], lambda totals: float(totals[0][_INSIDE] / totals[0][_PIXELS])),
            promise,
            bias,
            bias / data if data > 0 else NAN,
            total[_STATED] / total[_PRIOR] if total[_PRIOR] > 0 else NAN,
            _spread(found, band),
            count,
        ),
        sums,
        factor,
    )


def _gather(found: Sequence[Compared], band: int) -> _Pixels:
    parts: list[list[npt.NDArray[Any]]] = [[] for _ in range(6)]
    first = 0
    for one in found:
        use = one.use[band]
        rows, cols = use.shape
        across = -(-cols // CELL)
        cell = first + (np.arange(rows) // CELL)[:, None] * across + (np.arange(cols) // CELL)[None, :]
        first += -(-rows // CELL) * across
        truth = one.truth[band]
        arrays = (
            cell,
            one.lanczos[band] - truth,
            one.mean[band] - truth,
            one.std[band],
            one.noise[band],
            one.data[band],
        )
        for part, array in zip(parts, arrays, strict=True):
            part.append(array[use])
    return _Pixels(*(np.concatenate(part) for part in parts))


def _cells(pixels: _Pixels, scale: float) -> Array:
    """(cells, columns) of the cells that hold pixels; see `SUMS`."""
    number, place = np.unique(pixels.cell, return_inverse=True)
    columns = (
        np.ones_like(pixels.error),
        pixels.lanczos**2 - pixels.noise,
        pixels.error**2 - pixels.noise,
        pixels.inside(scale).astype(np.float64),
        (scale * pixels.std) ** 2,
        pixels.error,
        pixels.data,
    )
    return np.stack([np.bincount(place, column, len(number)) for column in columns], -1)


def _gain(totals: Sequence[Array]) -> float:
    """Mean gain in dB of bands whose sums are given, as far as noise does not hide it."""
    good = [10 * math.log10(t[_LANCZOS] / t[_PRIOR]) for t in totals if t[_LANCZOS] > 0 and t[_PRIOR] > 0]
    return float(np.mean(good)) if good else NAN


def _jackknife(bands: Sequence[Array], statistic: Callable[[Sequence[Array]], float]) -> float:
    """Standard error of a statistic of sums, one cell left out at a time; NaN for fewer than four cells."""
    count = min((len(sums) for sums in bands), default=0)
    if count < 4 or len({len(sums) for sums in bands}) > 1:
        return NAN
    totals = [sums.sum(0) for sums in bands]
    values = [statistic([t - sums[i] for t, sums in zip(totals, bands, strict=True)]) for i in range(count)]
    return float(np.sqrt((count - 1) * np.var(values)))


def _calibration(pixels: _Pixels, card: float) -> tuple[float | None, float]:
    """The factor on the deviation of a band, None where it cannot be told, and the coverage that it promises."""
    known = np.isfinite(pixels.std).all() and len(pixels.error) >= FITTED
    if not known or np.mean((card * pixels.std) ** 2) < HIDDEN * np.mean(pixels.noise):
        return None, NAN
    _, order = np.unique(pixels.cell, return_inverse=True)
    cells = int(order.max()) + 1

    def fitted(part: _Pixels) -> float:
        factor = part.factor()
        return factor if cells >= SHRUNK else max(factor, card)

    factor = fitted(pixels)
    if not SCALES[0] <= factor <= SCALES[1]:
        return None, NAN
    first = order % 2 == 0
    if cells < 2 or not first.any() or first.all():
        return factor, NAN
    one, other = pixels.part(first), pixels.part(~first)
    inside = one.inside(fitted(other)).sum() + other.inside(fitted(one)).sum()
    return factor, float(inside) / len(pixels.error)


def _spread(found: Sequence[Compared], band: int) -> float:
    """Variance of draws over the squared error of the mean, where there are draws."""
    drawn = square = 0.0
    for one in found:
        if one.draws is not None:
            use = one.use[band]
            drawn += float(one.draws[band][use].sum())
            square += float(((one.mean[band] - one.truth[band]) ** 2 - one.noise[band])[use].sum())
    return drawn / square if drawn > 0 and square > 0 else NAN


def _over_all(bands: Sequence[Figures], sums: Sequence[Array]) -> Figures:
    """Gain, bias in units of the noise and ratios are means of the bands, whatever their scales; coverage is of all."""
    kept = [(band, cells) for band, cells in zip(bands, sums, strict=True) if band.pixels]
    if not kept:
        return Figures()
    figures, cells = [band for band, _ in kept], [own for _, own in kept]
    pixels = sum(band.pixels for band in figures)

    def share(totals: Sequence[Array]) -> float:
        return float(sum(t[_INSIDE] for t in totals) / sum(t[_PIXELS] for t in totals))

    def mean(name: str) -> float:
        values = [getattr(band, name) for band in figures if math.isfinite(getattr(band, name))]
        return float(np.mean(values)) if values else NAN

    return Figures(
        _gain([own.sum(0) for own in cells]),
        _jackknife(cells, _gain),
        share([own.sum(0) for own in cells]),
        _jackknife(cells, share),
        mean("calibrated"),
        mean("bias"),
        mean("shift"),
        mean("stated"),
        mean("spread"),
        pixels,
    )
