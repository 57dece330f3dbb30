"""A program as a prior: standard normal numbers, through the distribution it was trained on, to an image in 0..1.

Nothing is known of its inside: no stages, no starts. Where it has derivatives it is searched like any other generator;
where it has none (ONNX) only a search that needs none serves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Stage
from gensr.priors.quantile import as_trained, from_range
from gensr.values.latent import Latents, LatentSpec, LatentTensor

from .running import Program, Run, started


@dataclass(frozen=True)
class Parts:
    """What is known of a program.

    Attributes:
        program: the program.
        run: it, started.
        latent: shape of its input.
        size: (rows, cols) of its images.
        distribution: of its input.
        range: values of black and white.
        single: whether it takes one image at a time.
        differentiable: whether it has derivatives.
    """

    program: Program
    run: Run
    latent: tuple[int, ...]
    size: tuple[int, int]
    distribution: Mapping[str, Any]
    range: tuple[float, float]
    single: bool
    differentiable: bool


class BlackBox(Generator):
    """See the module text.

    Args:
        parts: program and what is known of it.
        card: its card.
        device: where it computes.
    """

    def __init__(self, parts: Parts, card: GeneratorCard, device: str = "cpu") -> None:
        self.parts, self.card, self.device = parts, card, device
        self.differentiable = parts.differentiable

    def to(self, device: str) -> BlackBox:
        """See `Generator.to`."""
        if device == self.device:
            return self
        return BlackBox(replace(self.parts, run=started(self.parts.program, device, self.card.name)), self.card, device)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: one tensor ``z``."""
        if tuple(shape) != self.parts.size:
            rows, cols = self.parts.size
            raise SearchError(
                f"{self.card.name} makes images of {cols} x {rows} pixels only, not {shape[1]} x {shape[0]}; crop the "
                f"content as it was aligned for it, and choose the factor that leads to {cols}"
            )
        return LatentSpec((LatentTensor("z", self.parts.latent),))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`; without derivatives where the program has none."""
        white = latents["z"]
        z = as_trained(white.float(), self.parts.distribution)
        made = torch.cat([self.parts.run(row) for row in z.split(1)]) if self.parts.single else self.parts.run(z)
        want = (len(white), self.card.bands, *self.parts.size)
        if tuple(made.shape) != want:
            raise SearchError(f"{self.card.name}: the program made {tuple(made.shape)}, expected {want}")
        return from_range(made.to(white), self.parts.range)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`; it is never tiled."""
        return 0
