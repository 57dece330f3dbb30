"""One cell of the benchmark: a set at a factor and a noise level, by every method, on the same observations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gensr import engine
from gensr.metrics import conformal_scale, coverage_gaussian, spread_correlation, ssim
from gensr.plan import Job, Request, prepare

from . import interpolation
from .astronomy import load_fields, photometry
from .datasets import Case, foreground
from .flux_lmmse import fit_flux_lmmse
from .lmmse import cached_statistics, patch_lmmse
from .protocol import mean_squared_error, observe, score
from .sets import BenchmarkDomain, BenchmarkScene, BenchmarkSet

Array = NDArray[np.float64]
Row = dict[str, str | int | float]
LEVELS = (0.5, 0.9, 0.95)
PIXELS = 2_000_000
"""Most pixels from which calibration figures are computed."""


@dataclass(frozen=True)
class How:
    """How gensr is asked.

    Attributes:
        search: preset.
        seed: of its random numbers.
        device: where it computes.
    """

    search: str = "balanced"
    seed: int = 0
    device: str = "auto"


Tick = Callable[[], None]
"""Called when one more picture is done."""


@dataclass(frozen=True)
class Answer:
    """What gensr says to one observation.

    Attributes:
        mean: (band, y, x).
        std: same shape, before conformal scaling.
        sample: one posterior sample, or None.
        residual: see `gensr.engine.TileResult`.
        seconds: from the array to the answer, with the scale and noise that the scene's evidence decides.
        unit: physical size of one generator unit.
    """

    mean: Array
    std: Array
    sample: Array | None
    residual: Mapping[str, float]
    seconds: float
    unit: float


def answer(
    item: BenchmarkSet, low: Array, factor: int, noise: float, peak: float, how: How, samples: int, name: str
) -> Answer:
    """Run the flow on one observation, as one tile."""
    scene = BenchmarkScene(low, name)
    word = item.noise_word(factor, noise, peak)
    started = time.perf_counter()
    request = Request(factor, None, None, word, how.search, samples, how.seed, how.device)
    job: Job = prepare(scene, BenchmarkDomain(item, peak), request)
    side = max(scene.grid.shape)
    (result,) = engine.reconstruct(scene, job, engine.tiles(scene, job, side))
    seconds = time.perf_counter() - started
    std = result.std.astype(np.float64) / job.conformal
    drawn = result.samples[0].astype(np.float64) if result.samples else None
    description = job.normaliser.describe()
    return Answer(result.mean.astype(np.float64), std, drawn, result.residual, seconds, float(description["gain"][0]))


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
        """Name to estimator: nearest, bicubic, lanczos and lmmse."""
        edge: interpolation.Edge = "repeat" if item.flux else "renormalise"
        divide = factor**2 if item.flux else 1
        found: dict[str, Callable[[Array], Array]] = {
            method: partial(_interpolated, method, factor, edge, divide) for method in interpolation.METHODS
        }
        if item.flux:
            training = load_fields(self.root / item.pack / "train.npz", 3000).flux
            found["lmmse"] = fit_flux_lmmse(training, factor, noisy=noise > 0).upscale
            return found
        train = lambda: [case.image for case in item.cases(self.root, "train", None)]  # noqa: E731
        fitted = cached_statistics(self.cache, f"benchmark_{item.name}", train, 16)
        found["lmmse"] = patch_lmmse(fitted, factor, noise * peak, blend="uniform").upscale
        return found


def _interpolated(method: str, factor: int, edge: interpolation.Edge, divide: int, low: Array) -> Array:
    return interpolation.upscale(low, factor, method, edge) / divide


def competitor_rows(
    fitted: Fitted, item: BenchmarkSet, cases: Sequence[Case], factor: int, noise: float
) -> Iterator[tuple[Row, list[Array]]]:
    """Rows of the competitors, each with its answers."""
    peak = cases[0].peak
    lows = observe(cases, factor, noise, flux=item.flux)
    for name, estimate in fitted.methods(item, factor, noise, peak).items():
        started = time.perf_counter()
        answers = [np.asarray(estimate(low), np.float64) for low in lows]
        seconds = time.perf_counter() - started
        yield {"method": name, **_scores(item, cases, answers), "s_per_Mpx": _rate(cases, seconds)}, answers


def gensr_row(
    item: BenchmarkSet, cases: Sequence[Case], factor: int, noise: float, how: How, scale: float, tick: Tick
) -> tuple[Row, list[Answer]]:
    """The row of gensr, with its answers.

    Args:
        item: the set.
        cases: test pictures.
        factor: refinement.
        noise: share of the peak; for astronomy any number above 0 means the camera's noise.
        how: how gensr is asked.
        scale: conformal factor on the standard deviation, from other pictures.
        tick: called after every picture.
    """
    answers = _answers(item, cases, factor, noise, how, tick)
    peak = cases[0].peak
    row: Row = {"method": f"gensr {how.search}", **_scores(item, cases, [a.mean for a in answers])}
    row["s_per_Mpx"] = _rate(cases, sum(a.seconds for a in answers))
    count = sum(a.residual["count"] for a in answers)
    code = cases[0].code or (peak / 255 if not item.flux else 1.0)
    row["consistency_rms_codes"] = (sum(a.residual["square"] for a in answers) / count) ** 0.5 / code
    row["consistency_max_codes"] = max(a.residual["largest"] for a in answers) / code
    if noise:
        row["chi2"] = sum(a.residual["chi2"] for a in answers) / count
    observed = sum(a.residual["observed"] for a in answers)
    row["flux_error"] = abs(sum(a.residual["explained"] for a in answers) / observed - 1) if observed else 0.0
    errors, std = errors_and_std(cases, answers)
    for level in LEVELS:
        row[f"cover{level * 100:.0f}"] = float(coverage_gaussian(errors, np.zeros_like(errors), std, (level,))[level])
        row[f"cover{level * 100:.0f}_conformal"] = float(
            coverage_gaussian(errors, np.zeros_like(errors), std * scale, (level,))[level]
        )
    row["conformal"] = scale
    row["std_error_correlation"] = float(spread_correlation(errors, std))
    return row, answers


def _answers(
    item: BenchmarkSet, cases: Sequence[Case], factor: int, noise: float, how: How, tick: Tick
) -> list[Answer]:
    found = []
    for low, case in zip(observe(cases, factor, noise, flux=item.flux), cases, strict=True):
        found.append(answer(item, low, factor, noise, case.peak, how, 0, case.name))
        tick()
    return found


def errors_and_std(cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Array, Array]:
    """Errors and standard deviations of evenly chosen pixels of all answers."""
    total = sum(case.image.size for case in cases)
    step = max(1, total // PIXELS)
    errors = [(case.image - a.mean).ravel()[::step] for case, a in zip(cases, answers, strict=True)]
    return np.concatenate(errors), np.concatenate([a.std.ravel()[::step] for a in answers])


def calibration(
    item: BenchmarkSet, root: Path, factor: int, noise: float, how: How, limit: int, tick: Tick
) -> tuple[float, float]:
    """Conformal factor on the validation split, and the noise level in generator units it belongs to."""
    cases = item.cases(root, item.validation, limit)
    peak = cases[0].peak
    answers = _answers(item, cases, factor, noise, how, tick)
    errors, std = errors_and_std(cases, answers)
    level = 0.0 if not noise else (1.0 if item.flux else float(np.median([noise * peak / a.unit for a in answers])))
    # Deviations are only ever widened: a few dozen pictures cannot prove that a posterior is too wide elsewhere.
    return max(1.0, float(conformal_scale(errors, std, 0.9))), level


def _rate(cases: Sequence[Case], seconds: float) -> float:
    return seconds / (sum(case.image.size for case in cases) / 1e6)


def _scores(item: BenchmarkSet, cases: Sequence[Case], answers: Sequence[Array]) -> Row:
    peak = cases[0].peak
    final = [np.clip(a, 0, peak) for a in answers] if item.clipped else list(answers)
    errors = [mean_squared_error(c.image, a, stretched=item.flux) for c, a in zip(cases, final, strict=True)]
    whole = score(errors, peak)
    row: Row = {"cases": whole.cases, "psnr_mean": whole.mean, "psnr_pooled": whole.pooled}
    if item.flux:
        truth = [case.image[0] for case in cases]
        columns = photometry(truth, [a[0] for a in final], [case.sources for case in cases])
        for name, (middle, spread, _) in columns.items():
            row |= {name: middle, f"{name}_mad": spread}
        return row
    row["ssim"] = float(np.mean([ssim(c.image, a, peak) for c, a in zip(cases, final, strict=True)]))
    if item.pack == "microscopy":
        inside = [mean_squared_error(c.image, a, foreground(c.image)) for c, a in zip(cases, final, strict=True)]
        row |= {"psnr_foreground": score(inside, peak).mean}
    return row
