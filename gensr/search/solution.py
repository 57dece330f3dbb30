"""What a search returns: the best candidates found, how well they explain the data, and why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from gensr.values.latent import Latents


class StopReason(Enum):
    """Why a candidate is no longer moved; the value is the sentence of the report."""

    CLOSED_FORM = "solved in closed form"
    CONVERGED = "converged: further steps no longer lower the objective"
    DISCREPANCY = "explains the data to their noise (chi2 per datum is 1 or less)"
    GATE = "the low-resolution image is matched within the error that was asked for"
    GATE_MISSED = "all steps were used; the low-resolution image is not matched within the error that was asked for"
    BEYOND = "explains the data, but only beyond what the generator expects (its prior was relaxed): foreign content?"
    STEPS = "all steps were used; the objective may still be falling"
    NOT_FINITE = "stopped at a value that is not finite; the best candidate before it is returned"
    NEVER_FINITE = "no finite value was ever seen; the start is returned"

    @property
    def sentence(self) -> str:
        """For people."""
        return self.value

    @property
    def success(self) -> bool:
        """Whether the search did what it set out to do."""
        return self in (
            StopReason.CLOSED_FORM,
            StopReason.CONVERGED,
            StopReason.DISCREPANCY,
            StopReason.GATE,
            StopReason.BEYOND,
        )


@dataclass(frozen=True)
class Solution:
    """The best of every candidate; all fields belong to one iterate: ``low`` is the operator applied to ``images``.

    Attributes:
        latents: named latents, (n, ...).
        images: (n, band, rows, cols), generator units, with the correction for the generator's discrepancy.
        low: (n, band, rows, cols) of the low-resolution grid, ``A images``.
        loss: (n,) what the solver minimised, at the best iterate.
        objective: (n,) minus twice the log posterior, whatever the solver minimised.
        chi2: (n,) mean squared residual of the generator's image per usable datum, in units of noise and discrepancy.
        norm: (n,) length of the latents divided by its expectation; far above 1 is an image the prior does not expect.
        correction: (n,) rms of the correction, generator units.
        reason: why each candidate stopped.
        steps: (n,) steps that moved the candidate.
        seconds: wall time of the whole search.
        solver: name of the solver.
        seed: of the starts, None for a fixed start.
        figures: more about every candidate, (n,) each, by what they are called in a report.
    """

    latents: Latents
    images: Tensor
    low: Tensor
    loss: Tensor
    objective: Tensor
    chi2: Tensor
    norm: Tensor
    correction: Tensor
    reason: tuple[StopReason, ...]
    steps: Tensor
    seconds: float
    solver: str
    seed: int | None = None
    figures: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """Row of the candidate with the lowest objective."""
        return int(self.objective.nan_to_num(nan=float("inf")).argmin())

    def report(self) -> Mapping[str, Any]:
        """JSON-able summary, one entry per candidate in the lists."""
        return {
            "solver": self.solver,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "objective": self.objective.tolist(),
            "chi2": self.chi2.tolist(),
            "norm": self.norm.tolist(),
            "correction": self.correction.tolist(),
            "steps": self.steps.tolist(),
            "verdict": [reason.sentence for reason in self.reason],
            **{name: values.tolist() for name, values in self.figures.items()},
        }


def merged(first: Solution, others: Solution, count: int, seconds: float) -> Solution:
    """One solution of two: of every image a row of ``first``, then ``count - 1`` rows of ``others``."""
    images = len(first.reason)

    def joined(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a[:, None], b.view(images, count - 1, *b.shape[1:])], 1).flatten(0, 1)

    tensors: dict[str, Any] = {
        f.name: joined(getattr(first, f.name), getattr(others, f.name))
        for f in fields(Solution)
        if isinstance(getattr(first, f.name), Tensor)
    }
    shared = set(first.latents) & set(others.latents)
    reasons = [
        reason
        for k, begun in enumerate(first.reason)
        for reason in (begun, *others.reason[k * (count - 1) : (k + 1) * (count - 1)])
    ]
    return replace(
        first,
        **tensors,
        latents={name: joined(first.latents[name], others.latents[name]) for name in shared},
        reason=tuple(reasons),
        seconds=seconds,
        figures={
            name: joined(first.figures[name], others.figures.get(name, torch.full_like(others.loss, torch.nan)))
            for name in first.figures
        },
    )
