"""Whether the posterior of a latent search is true: coverage, chi2 and diversity of its samples on held-out faces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gensr.metrics import coverage_gaussian
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.search.posterior import answer, method_of
from gensr.search.presets import PRESETS
from gensr.values.random import Stream

SAMPLES = 16
LEVEL = 0.9


def figures(generator: Generator, data: Observation, truth: Tensor, stream: Stream) -> dict[str, float]:
    """Of one face, by the preset ``balanced`` with 16 samples.

    Args:
        generator: searched.
        data: of the face.
        truth: (1, band, rows, cols).
        stream: of random numbers.
    """
    preset = replace(PRESETS["balanced"], draws=SAMPLES)
    found = answer(
        generator, data, preset, method_of(generator, data.operator, preset), SAMPLES, lambda *_: data.y, [stream]
    )
    samples = torch.cat(found.samples)
    low = data.operator.forward(samples)
    mean = samples.mean(0, keepdim=True)
    between = (samples - mean).square().sum(0).mean() / (SAMPLES - 1)
    # The mean of 16 samples has a variance of its own, which the error of that mean holds too.
    error = (truth - mean).square().mean() - between / SAMPLES
    deviation = found.variance.sqrt()
    return {
        "coverage": coverage_gaussian(truth.numpy(), found.mean.numpy(), deviation.numpy(), [LEVEL])[LEVEL],
        "chi2": float(((low - data.y).square() / data.variance).mean()),
        "spread": float(between),
        "error": float(error),
        "psnr": -10 * math.log10(float((found.mean - truth).square().mean())),
    }


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The section of the page."""
    if not rows:
        return []

    def mean(key: str) -> float:
        return sum(float(row[key]) for row in rows) / len(rows)

    return [
        "",
        "## Posterior",
        "",
        f"`search=balanced`, {SAMPLES} samples of each of {len(rows)} held-out faces, noise 0.01, no conformal factor.",
        "",
        f"* coverage of {100 * LEVEL:.0f} % intervals: {100 * mean('coverage'):.1f} %",
        f"* chi2 of samples, in units of the noise: {mean('chi2'):.2f}",
        f"* spread of samples over the error of their mean (rms): {(mean('spread') / mean('error')) ** 0.5:.2f}",
        f"* PSNR of the mean: {mean('psnr'):.2f} dB",
    ]
