"""How many evaluations does a sample need? ``python -m gensr.benchmarks.steps data=DIR output=DIR``.

Samples of the flows from noise-free data at x4, in 1 to 16 evaluations, on the validation split: texture of one sample,
its spread against the error of the mean, error of the mean of two, and time. One evaluation gives the mean itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gensr.metrics import sliced_wasserstein, spectrum_distance
from gensr.operators import Area
from gensr.priors import weights
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.values.random import Stream

from .scores import Row
from .script import words, write
from .sets import SETS, BenchmarkSet

SUBJECTS = ("microscopy", "satellite", "chest-xray")
STEPS = (1, 2, 3, 4, 6, 8, 16)
FACTOR = 4
LARGEST = 128
CASES = 24
COLUMNS = ("domain", "steps", "swd", "spectrum", "spread", "psnr_sample", "psnr_mean_of_2", "ms_per_tile")
PREFACE = (
    "x4, noise-free data, validation split, one thread. swd: sliced Wasserstein distance of the finest level of one "
    "sample; spectrum: distance of radial power spectra; spread: variance of two samples over the squared error of the "
    "mean (1 is right); PSNR in dB of the range; ms for 64 x 64 pixels."
)


def pictures(item: BenchmarkSet, root: Path, limit: int, split: str = "") -> Tensor:
    """Centres of validation pictures, or of another split, in generator units, (n, band, side, side)."""
    found = []
    for case in item.cases(root, split or item.validation, limit):
        image = case.image.astype(np.float32)
        if item.percentiles is None:
            image = image / np.float32(case.peak)
        else:
            low, high = np.percentile(image, item.percentiles)
            image = (image - np.float32(low)) / np.float32(high - low)
        side = min(LARGEST, *image.shape[1:]) // 16 * 16
        top, left = ((n - side) // 2 for n in image.shape[1:])
        found.append(torch.from_numpy(np.ascontiguousarray(image[:, top : top + side, left : left + side])))
    side = min(image.shape[-1] for image in found)
    return torch.stack([image[:, :side, :side] for image in found])


def rows_of(item: BenchmarkSet, generator: Generator, x: Tensor) -> list[Row]:
    """One row per number of evaluations."""
    y = Area((FACTOR, FACTOR)).forward(x)
    data = Observation(y, Area((FACTOR, FACTOR)), torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), exact=True)
    truth = x.numpy()
    with torch.no_grad():
        error = float((generator.posterior(data).mean - x).square().mean())
        rows: list[Row] = []
        for steps in STEPS:
            started = time.perf_counter()
            drawn = [_sample(generator, data, k, steps) for k in range(2)]
            seconds = (time.perf_counter() - started) / 2
            rows.append(
                {
                    "domain": item.name,
                    "steps": steps,
                    "swd": float(sliced_wasserstein(truth, drawn[0].numpy())[0]),
                    "spectrum": float(spectrum_distance(truth, drawn[0].numpy())),
                    "spread": float((drawn[0] - drawn[1]).square().mean()) / 2 / error,
                    "psnr_sample": _psnr(drawn[0] - x),
                    "psnr_mean_of_2": _psnr((drawn[0] + drawn[1]) / 2 - x),
                    "ms_per_tile": 1e3 * seconds * 64 * 64 / (x[:, 0].numel()),
                }
            )
    return rows


def _sample(generator: Generator, data: Observation, index: int, steps: int) -> Tensor:
    shape = (*data.y.shape[:2], *data.shape)
    stream = Stream(index).child("steps")
    return generator.draw(data, lambda step: stream.child(step).normal(shape), {"network_steps": steps})


def _psnr(error: Tensor) -> float:
    return float(-10 * error.square().mean((1, 2, 3)).log10().mean())


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``steps.csv`` and ``steps.md``.

    Raises:
        UsageError: an unknown argument.
    """
    given = words(argv, {"data": "../shared/data", "output": "benchmarks/results", "cases": str(CASES)})
    torch.set_num_threads(1)
    installed = weights.available()
    rows: list[Row] = []
    for item in SETS:
        name = item.generators[0]
        if item.name in SUBJECTS and name in installed:
            rows += rows_of(item, weights.load(name)[0], pictures(item, Path(given["data"]), int(given["cases"])))
    write(Path(given["output"]), "steps", ["# Evaluations per sample", "", PREFACE], COLUMNS, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
