"""One cell of the benchmark: a set at a factor and a noise level, by every method, on the same observations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from gensr.metrics import conformal_scale, coverage_gaussian, spread_correlation

from . import interpolation, real_esrgan
from .answers import Answer, Array, How, ask
from .astronomy import load_fields
from .crops import Crop, spread
from .datasets import Case
from .flux_lmmse import fit_flux_lmmse
from .lmmse import cached_statistics, patch_lmmse
from .protocol import block_mean, block_sum, observe
from .scores import Row, distortion, texture, texture_of_crops
from .sets import NETWORKS, BenchmarkSet, family_of

LEVELS = (0.5, 0.9, 0.95)
PIXELS = 2_000_000
"""Most pixels from which calibration figures are computed."""
MANY = dict.fromkeys(NETWORKS, 8)
"""Samples behind the row "mean of n" of a family; the others have one sample per picture."""
MANY_ON = 12
"""Pictures of that row; the rest of those that are drawn have one sample."""
ENOUGH = 20
"""Validation pictures from which a flow's deviations may also be narrowed."""
Tick = Callable[[], None]
"""Called when one more picture is done."""


@dataclass(frozen=True)
class Cell:
    """A set at a factor and a noise level, with pictures and observations that are made when they are needed.

    Attributes:
        item: the set.
        root: folder of the data packs.
        factor: refinement.
        noise: share of the peak; for astronomy any number above 0 means the camera's noise.
        limit: most test pictures.
        draws: most pictures on which samples are drawn and texture is compared.
    """

    item: BenchmarkSet
    root: Path
    factor: int
    noise: float
    limit: int
    draws: int

    @cached_property
    def cases(self) -> list[Case]:
        """Test pictures."""
        return self.item.cases(self.root, "test", self.limit)

    @cached_property
    def lows(self) -> list[Array]:
        """Their observations."""
        return observe(self.cases, self.factor, self.noise, flux=self.item.flux)

    @cached_property
    def crops(self) -> list[Crop]:
        """The parts of pictures on which samples are drawn."""
        return spread(self.cases, self.draws)

    @property
    def peak(self) -> float:
        """Range of the pictures."""
        return self.cases[0].peak

    @property
    def code(self) -> float:
        """Size of a code step: that of the file, 1/255 of the peak for floats, 1 for flux."""
        return self.cases[0].code or (1.0 if self.item.flux else self.peak / 255)


@dataclass(frozen=True)
class Fitted:
    """Competitors of one set, fitted on its training split.

    Attributes:
        root: folder of the data packs.
        cache: folder of fitted moments.
    """

    root: Path
    cache: Path

    def methods(
        self, item: BenchmarkSet, factor: int, noise: float, peak: float
    ) -> dict[str, Callable[[Array], Array]]:
        """Name to estimator: nearest, bicubic, lanczos, lmmse, and Real-ESRGAN of pictures where it is installed."""
        edge: interpolation.Edge = "repeat" if item.flux else "renormalise"
        divide = factor**2 if item.flux else 1
        found: dict[str, Callable[[Array], Array]] = {
            method: partial(_interpolated, method, factor, edge, divide) for method in interpolation.METHODS
        }
        found["lmmse"] = self.lmmse(item, factor, noise, peak)
        model = real_esrgan.weights()
        if model is not None and not item.flux:
            found["real-esrgan"] = partial(real_esrgan.upscale, model, peak, factor)
        return found

    def lmmse(self, item: BenchmarkSet, factor: int, noise: float, peak: float) -> Callable[[Array], Array]:
        """The best linear estimator: of patches, or for flux in classes of brightness."""
        if item.flux:
            training = load_fields(self.root / item.pack / "train.npz", 3000).flux
            return fit_flux_lmmse(training, factor, noisy=noise > 0).upscale
        train = lambda: [case.image for case in item.cases(self.root, "train", None)]  # noqa: E731
        fitted = cached_statistics(self.cache, f"benchmark_{item.name}", train, 16)
        return patch_lmmse(fitted, factor, noise * peak, blend="uniform").upscale


def _interpolated(method: str, factor: int, edge: interpolation.Edge, divide: int, low: Array) -> Array:
    return interpolation.upscale(low, factor, method, edge) / divide


def competitor_rows(fitted: Fitted, cell: Cell) -> Iterator[Row]:
    """Rows of the competitors."""
    for name, estimate in fitted.methods(cell.item, cell.factor, cell.noise, cell.peak).items():
        started = time.perf_counter()
        answers = [np.asarray(estimate(low), np.float64) for low in cell.lows]
        seconds = time.perf_counter() - started
        row: Row = {"method": name, **distortion(cell.item, cell.cases, answers), "s_per_Mpx": _rate(cell, seconds)}
        row["consistency_rms_codes"] = _unexplained(cell, answers)
        yield row | texture_of_crops(cell.item, cell.cases, answers, cell.crops, cell.factor)


def _unexplained(cell: Cell, answers: Sequence[Array]) -> float:
    """Root mean square of what the instrument sees of answers, less the data, in steps of the file."""
    gather = block_sum if cell.item.flux else block_mean
    rest = [gather(answer, cell.factor) - low for answer, low in zip(answers, cell.lows, strict=True)]
    return float(np.sqrt(np.concatenate([r.ravel() ** 2 for r in rest]).mean())) / cell.code


def mean_row(cell: Cell, how: How, scale: float, tick: Tick) -> Row:
    """The row of gensr's mean and standard deviation.

    Args:
        cell: what is asked.
        how: how gensr is asked.
        scale: conformal factor on the standard deviation, from other pictures.
        tick: called after every picture.
    """
    answers = _answers(cell.item, cell.cases, cell.lows, cell.factor, cell.noise, how, tick)
    means = [a.mean for a in answers]
    row: Row = {"method": how.method, **distortion(cell.item, cell.cases, means)}
    row |= texture_of_crops(cell.item, cell.cases, means, cell.crops, cell.factor)
    row["s_per_Mpx"] = _rate(cell, sum(a.seconds for a in answers))
    count = sum(a.residual["count"] for a in answers)
    row["consistency_rms_codes"] = (sum(a.residual["square"] for a in answers) / count) ** 0.5 / cell.code
    row["consistency_max_codes"] = max(a.residual["largest"] for a in answers) / cell.code
    if cell.noise:
        row["chi2"] = sum(a.residual["chi2"] for a in answers) / count
    observed = sum(a.residual["observed"] for a in answers)
    row["flux_error"] = abs(sum(a.residual["explained"] for a in answers) / observed - 1) if observed else 0.0
    errors, std = errors_and_std(cell.cases, answers)
    zero = np.zeros_like(errors)
    for level in LEVELS:
        name = f"cover{level * 100:.0f}"
        row[name] = float(coverage_gaussian(errors, zero, std, (level,))[level])
        row[f"{name}_conformal"] = float(coverage_gaussian(errors, zero, std * scale, (level,))[level])
    row["conformal"] = scale
    row["std_error_correlation"] = float(spread_correlation(errors, std))
    return row


def drawn(cell: Cell, how: How, tick: Tick) -> list[Answer]:
    """Answers with samples to the crops of a cell: several on some, one on the rest; every picture has its own seed."""
    many, total = MANY.get(family_of(how.generator), 1), len(cell.crops)
    chosen = set(np.linspace(0, total - 1, min(MANY_ON, total)).round().astype(int).tolist())
    found = []
    for place, crop in enumerate(cell.crops):
        own = replace(how, seed=how.seed + crop.index)
        low, name = cell.lows[crop.index], cell.cases[crop.index].name
        count, window = many if place in chosen else 1, crop.coarse(cell.factor)
        found.append(ask(cell.item, low, cell.factor, cell.noise, cell.peak, own, count, window, name))
        tick()
    return found


def draw_rows(cell: Cell, how: How, answers: Sequence[Answer]) -> Iterator[Row]:
    """The row of one sample per picture, and that of the mean of several where the family has them."""
    cases = [crop.case(cell.cases) for crop in cell.crops]
    family, first = family_of(how.generator), [a.samples[0] for a in answers]
    row: Row = {"method": f"{family} sample", **distortion(cell.item, cases, first)}
    row |= texture(cell.item, cases, first, cell.factor)
    count = sum(a.misfits[0]["count"] for a in answers)
    row["consistency_rms_codes"] = (sum(a.misfits[0]["square"] for a in answers) / count) ** 0.5 / cell.code
    if cell.noise:
        row["chi2"] = sum(a.misfits[0]["chi2"] for a in answers) / count
    yield row
    many = max(len(a.samples) for a in answers)
    if many == 1:
        return
    cases = [case for case, a in zip(cases, answers, strict=True) if len(a.samples) == many]
    answers = [a for a in answers if len(a.samples) == many]
    means = [np.mean(a.samples, 0) for a in answers]
    row = {"method": f"{family} mean of {many}", **distortion(cell.item, cases, means)}
    row |= texture(cell.item, cases, means, cell.factor)
    own = distortion(cell.item, cases, [a.mean for a in answers])
    row["psnr_over_mean"] = float(row["psnr_mean"]) - float(own["psnr_mean"])
    errors = np.concatenate([(case.image - mean).ravel() for case, mean in zip(cases, means, strict=True)])
    std = np.concatenate([np.std(a.samples, 0, ddof=1).ravel() for a in answers])
    row["std_error_correlation"] = float(spread_correlation(errors, std))
    yield row


def _answers(
    item: BenchmarkSet,
    cases: Sequence[Case],
    lows: Sequence[Array],
    factor: int,
    noise: float,
    how: How,
    tick: Tick,
) -> list[Answer]:
    found = []
    for low, case in zip(lows, cases, strict=True):
        found.append(ask(item, low, factor, noise, case.peak, how, name=case.name))
        tick()
    return found


def errors_and_std(cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Array, Array]:
    """Errors and standard deviations of evenly chosen pixels of all answers."""
    total = sum(case.image.size for case in cases)
    step = max(1, total // PIXELS)
    errors = [(case.image - a.mean).ravel()[::step] for case, a in zip(cases, answers, strict=True)]
    return np.concatenate(errors), np.concatenate([a.std.ravel()[::step] for a in answers])


def calibration(cell: Cell, how: How, limit: int, tick: Tick) -> tuple[float, float]:
    """Conformal factor on the validation split, and the noise level in generator units it belongs to.

    A few dozen pictures cannot prove that a closed form is too wide elsewhere, so those of the gaussian family are only
    ever widened. A network's variance is itself an estimate and errs on both sides: from 20 pictures on it is scaled
    freely.
    """
    item = cell.item
    cases = item.cases(cell.root, item.validation, limit)
    lows = observe(cases, cell.factor, cell.noise, flux=item.flux)
    answers = _answers(item, cases, lows, cell.factor, cell.noise, how, tick)
    scale = float(conformal_scale(*errors_and_std(cases, answers), 0.9))
    free = family_of(how.generator) in NETWORKS and len(cases) >= ENOUGH
    level = 0.0
    if cell.noise:
        own = [cell.noise * cases[0].peak / a.unit for a in answers]
        level = 1.0 if item.flux else float(np.median(own))
    return (scale if free else max(1.0, scale)), level


def _rate(cell: Cell, seconds: float) -> float:
    return seconds / (sum(case.image.size for case in cell.cases) / 1e6)
