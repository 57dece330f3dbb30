"""Do answers leave noise at every scale, and do samples spread as truths do? ``python -m gensr.benchmarks.scales``.

The whole pipeline on test pictures with noise that it is told. A right sample leaves residuals that are noise: averaged
over blocks of data, their squares in units of averaged noise are 1; those of the mean are at most 1. That alone could
be had by force, so the same blocks of the image are ranked: truths must fall evenly among samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gensr.priors import weights

from . import astronomy
from .answers import Answer, How, ask
from .datasets import Case
from .protocol import block_mean, block_sum, observe
from .scores import Row
from .script import words, write
from .sets import SETS, BenchmarkSet

Array = NDArray[np.float64]
FACTORS = (2, 4, 8)
NOISE = 0.02
"""Share of the peak; astronomy has its camera's noise."""
SAMPLES = 8
SIDES = (1, 2, 4, 8, 16)
"""Of blocks, data."""
RANKED = (1, 4)
"""Of blocks whose ranks are counted, data."""
LARGEST = 128
COLUMNS = (
    "domain", "factor", "generator", "cases", *(f"sample_{s}" for s in SIDES), *(f"mean_{s}" for s in SIDES),
    "spread", "rank_pixel", *(f"rank_{s}" for s in RANKED), "cover90", "draws_less_head", "sky", "bright",
)  # fmt: skip
PREFACE = (
    f"Test pictures, noise {NOISE:g} of the range (astronomy: the camera's), known; {SAMPLES} samples each. sample_N, "
    "mean_N: squared residual of blocks of N x N data in units of their noise (1 for noise; empty where fewer than "
    "four blocks fit a picture). spread: variance of samples over the squared error of their mean, corrected for their "
    "number. rank_...: largest departure from flat of the histogram of the truth's rank among samples, lowest, highest "
    "and those between (pixels; block means of N x N data). cover90: of 90 % intervals, conformal factor included. "
    "draws_less_head: dB of the mean of samples above the mean that is written, the share of their number taken off. "
    "sky, bright: mean residual of the mean in units of the noise, below the median of the truth and above its 95th "
    "percentile."
)


@dataclass(frozen=True)
class Told:
    """One picture, its data and what gensr says.

    Attributes:
        truth: (band, y, x).
        low: data.
        deviation: of the noise, shape of ``low``.
        answer: of the pipeline.
    """

    truth: Array
    low: Array
    deviation: Array
    answer: Answer


def cut(case: Case) -> Case:
    """The middle of a picture, whole blocks of the largest factor."""
    rows, cols = (min(LARGEST, n) // 16 * 16 for n in case.image.shape[1:])
    top, left = (case.image.shape[1] - rows) // 2, (case.image.shape[2] - cols) // 2
    return replace(case, image=case.image[:, top : top + rows, left : left + cols])


def told(item: BenchmarkSet, cases: Sequence[Case], factor: int, how: How) -> Iterator[Told]:
    """Answers to pictures, one after the other."""
    gather = block_sum if item.flux else block_mean
    for case, low in zip(cases, observe(cases, factor, NOISE, flux=item.flux), strict=True):
        clean = gather(case.image, factor)
        deviation = astronomy.sigma(clean, factor**2) if item.flux else np.full_like(clean, NOISE * case.peak)
        answer = ask(item, low, factor, NOISE, case.peak, how, SAMPLES, name=case.name)
        yield Told(case.image.astype(np.float64), low, deviation, answer)


def chi_squares(one: Told, image: Array, side: int, flux: bool) -> Array:
    """Squared residual of blocks of ``side`` x ``side`` data in units of noise; empty where fewer than four fit."""
    factor = one.truth.shape[-1] // one.low.shape[-1]
    rest = one.low - (block_sum if flux else block_mean)(image, factor)
    rows, cols = (n // side * side for n in rest.shape[-2:])
    if min(rows, cols) < 2 * side:
        return np.empty(0)
    rest, variance = rest[..., :rows, :cols], one.deviation[..., :rows, :cols] ** 2
    return np.asarray(block_mean(rest, side) ** 2 / (block_mean(variance, side) / side**2)).ravel()


def ranks(truth: Array, samples: Sequence[Array]) -> Array:
    """Share of truths below, amid and above each pair of neighbours of samples: (samples + 1,), 1 where flat."""
    below = np.sum([sample < truth for sample in samples], 0)
    count = np.bincount(below.ravel(), minlength=len(samples) + 1)
    return np.asarray(count / below.size * (len(samples) + 1))


def departure(shares: Array) -> float:
    """Largest departure from flat, of the lowest and the highest rank and of those between together."""
    return float(np.abs(np.array([shares[0], shares[-1], shares[1:-1].mean()]) - 1).max())


def row(item: BenchmarkSet, found: Sequence[Told], how: How, factor: int) -> Row:
    """Figures of all answers together."""
    out: Row = {"domain": item.name, "factor": factor, "generator": how.generator, "cases": len(found)}
    for side in SIDES:
        drawn = [chi_squares(one, x, side, item.flux) for one in found for x in one.answer.samples]
        meant = [chi_squares(one, one.answer.mean, side, item.flux) for one in found]
        if all(values.size for values in meant):
            out[f"sample_{side}"] = float(np.concatenate(drawn).mean())
            out[f"mean_{side}"] = float(np.concatenate(meant).mean())
    middles = [np.mean(one.answer.samples, 0) for one in found]
    spread = [np.var(one.answer.samples, 0, ddof=1).mean() for one in found]
    error = [np.square(middle - one.truth).mean() for middle, one in zip(middles, found, strict=True)]
    fair = np.mean(error) - np.mean(spread) / SAMPLES
    head = np.mean([np.square(one.answer.mean - one.truth).mean() for one in found])
    out["spread"] = float(np.mean(spread) / fair)
    out["draws_less_head"] = float(10 * np.log10(head / fair))
    out["rank_pixel"] = departure(np.mean([ranks(one.truth, one.answer.samples) for one in found], 0))
    for side in RANKED:
        size = side * factor
        kept = [one for one in found if min(one.truth.shape[-2:]) >= 2 * size]
        shares = [ranks(_blocks(one.truth, size), [_blocks(x, size) for x in one.answer.samples]) for one in kept]
        out[f"rank_{side}"] = departure(np.mean(shares, 0))
    inside = [np.abs(one.answer.mean - one.truth) <= 1.6449 * one.answer.std * one.answer.conformal for one in found]
    out["cover90"] = float(np.mean([part.mean() for part in inside]))
    return out | (_levels(found, factor) if item.flux else {})


def _blocks(image: Array, size: int) -> Array:
    rows, cols = (n // size * size for n in image.shape[-2:])
    return block_mean(image[..., :rows, :cols], size)


def _levels(found: Sequence[Told], factor: int) -> Row:
    """Mean residual of the mean in faint and in bright places, units of the noise."""
    rest = np.concatenate([((one.low - block_sum(one.answer.mean, factor)) / one.deviation).ravel() for one in found])
    true = np.concatenate([block_sum(one.truth, factor).ravel() for one in found])
    faint, bright = true <= np.median(true), true >= np.percentile(true, 95)
    return {"sky": float(rest[faint].mean()), "bright": float(rest[bright].mean())}


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``scales.csv`` and ``scales.md``; sets whose generators are not installed are left out.

    Raises:
        UsageError: an unknown argument.
    """
    usual = {"data": "../shared/data", "output": "benchmarks/results", "cases": "40", "split": "test", "sets": ""}
    given = words(argv, usual)
    chosen, installed = [name for name in given["sets"].split(",") if name], weights.available()
    rows: list[Row] = []
    text = ["# Residuals and spread at every scale", "", PREFACE]
    for item in SETS:
        how = How(item.generators[0])
        if how.generator not in installed or (chosen and item.name not in chosen):
            continue
        split = item.validation if given["split"] == "val" else given["split"]
        cases = [cut(case) for case in item.cases(Path(given["data"]), split, int(given["cases"]))]
        for factor in FACTORS:
            rows.append(row(item, list(told(item, cases, factor, how)), how, factor))
            print(rows[-1], flush=True)
            write(Path(given["output"]), "scales", text, COLUMNS, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
