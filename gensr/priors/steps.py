"""Noise levels of a diffusion that was trained in steps, and the clean image that a network's output means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.schema import List, Number, Optional, Record, Text, Whole

Prediction = Literal["epsilon", "v_prediction", "sample"]
PREDICTIONS = "epsilon|v_prediction|sample"
SCHEDULE = Record(
    {"num_train_timesteps": Whole(2, 100_000)},
    {
        "beta_start": Number(1e-12, 1.0),
        "beta_end": Number(1e-12, 1.0),
        "beta_schedule": Text(30, "linear|scaled_linear|squaredcos_cap_v2|sigmoid"),
        "trained_betas": Optional(List(Number(0.0, 1.0), 2, 100_000)),
        "prediction_type": Text(20, PREDICTIONS),
    },
)
MOST_BETA = 0.999
"""Largest share of noise that one step adds (arXiv:2102.09672)."""
LEAST = 1e-10
"""Smallest share of the signal that is left in the end; schedules that end at none are cut there."""


def levels(said: Mapping[str, Any], place: str) -> Tensor:
    """Noise levels (steps,) of a schedule, in units of the clean image, rising; double precision.

    Args:
        said: the schedule in the words of diffusers.
        place: for messages.

    Raises:
        WeightsError: names the value that no schedule has.
    """
    SCHEDULE.check(said, place)
    count = said["num_train_timesteps"]
    start, end = float(said.get("beta_start", 0.0001)), float(said.get("beta_end", 0.02))
    kind, trained = said.get("beta_schedule", "linear"), said.get("trained_betas")
    if trained is not None:
        betas = torch.tensor(trained, dtype=torch.float64)
    elif kind == "linear":
        betas = torch.linspace(start, end, count, dtype=torch.float64)
    elif kind == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64).square()
    elif kind == "sigmoid":
        betas = torch.linspace(-6, 6, count, dtype=torch.float64).sigmoid() * (end - start) + start
    else:
        share = [math.cos((i / count + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(count + 1)]
        betas = torch.tensor([min(1 - b / a, MOST_BETA) for a, b in pairwise(share)]).double()
    kept = (1 - betas).cumprod(0).clamp(min=LEAST)
    sigmas = ((1 - kept) / kept).sqrt()
    if not bool(torch.isfinite(sigmas).all()) or float(sigmas[0]) <= 0 or bool((sigmas.diff() < 0).any()):
        raise WeightsError(f"{place}: noise levels that do not rise from above 0; get the schedule again")
    return sigmas


def step_of(sigma: Tensor, sigmas: Tensor) -> Tensor:
    """The step (n,) of a noise level (n,), between steps where the level is; its logarithm is interpolated."""
    log = sigmas.log()
    want = sigma.to(log).clamp(min=1e-12).log().clamp(float(log[0]), float(log[-1]))
    high = torch.searchsorted(log, want).clamp(1, len(log) - 1)
    below, above = log[high - 1], log[high]
    share = torch.where(above > below, (want - below) / (above - below).clamp(min=1e-30), torch.zeros_like(want))
    return (high - 1) + share


def clean(said: Tensor, x: Tensor, sigma: Tensor, kind: str) -> Tensor:
    """The clean image that an output means.

    Args:
        said: output (n, c, rows, cols) for ``x / sqrt(1 + sigma^2)``.
        x: clean image plus noise of deviation sigma.
        sigma: (n, 1, 1, 1).
        kind: what the network was trained to say.
    """
    if kind == "epsilon":
        return x - sigma * said
    if kind == "sample":
        return said
    square = 1 + sigma.square()
    return x / square - sigma * square.rsqrt() * said
