"""How a network is told the noise level, and what its output means (table 1 of arXiv:2206.00364)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gensr.priors.schema import Number, Record, Text, Whole
from gensr.priors.steps import clean, step_of

TINY = 1e-12
"""Smallest noise level whose logarithm is taken."""
RULE = Record(
    {"kind": Text(10, "edm|vp|ve")},
    {
        **dict.fromkeys(("data", "distance", "least"), Number(1e-6, 1e6)),
        "steps": Whole(2, 100_000),
        "most": Number(1e-3, 1e6),
    },
)

KEYS = {"edm": ("data", "most"), "vp": ("distance", "least", "steps"), "ve": ("most",)}
"""What each kind may be told."""


class Rule(ABC):
    """All levels are deviations of noise in units of the network's clean images, (n, 1, 1, 1)."""

    @abstractmethod
    def highest(self) -> float:
        """The largest level that it was trained on."""

    def inward(self, level: Tensor) -> Tensor:
        """Factor on the noisy image before the network sees it."""
        return (1 + level.square()).rsqrt()

    @abstractmethod
    def told(self, level: Tensor) -> Tensor:
        """What the network is told of levels (n,)."""

    def clean(self, said: Tensor, x: Tensor, level: Tensor) -> Tensor:
        """The clean image that an output for the noisy image ``x`` means."""
        return x - level * said

    def to(self, device: str) -> Rule:
        """The same with its tensors on a device."""
        return self


@dataclass(frozen=True)
class Steps(Rule):
    """Trained in steps, whose levels are listed.

    Attributes:
        sigmas: levels (steps,), rising.
        kind: see `gensr.priors.steps.clean`.
    """

    sigmas: Tensor
    kind: str

    def highest(self) -> float:
        """See `Rule.highest`."""
        return float(self.sigmas[-1])

    def told(self, level: Tensor) -> Tensor:
        """See `Rule.told`: a step, between two where need be."""
        return step_of(level, self.sigmas)

    def clean(self, said: Tensor, x: Tensor, level: Tensor) -> Tensor:
        """See `Rule.clean`."""
        return clean(said, x, level, self.kind)

    def to(self, device: str) -> Steps:
        """See `Rule.to`."""
        return replace(self, sigmas=self.sigmas.to(device))


@dataclass(frozen=True)
class Edm(Rule):
    """Inputs and targets of unit variance at every level.

    Attributes:
        data: deviation of clean images.
        most: see `Rule.highest`.
    """

    data: float = 0.5
    most: float = math.inf

    def highest(self) -> float:
        """See `Rule.highest`."""
        return self.most

    def inward(self, level: Tensor) -> Tensor:
        """See `Rule.inward`."""
        return (self.data**2 + level.square()).rsqrt()

    def told(self, level: Tensor) -> Tensor:
        """See `Rule.told`."""
        return level.clamp(min=TINY).log() / 4

    def clean(self, said: Tensor, x: Tensor, level: Tensor) -> Tensor:
        """See `Rule.clean`."""
        square = self.data**2 + level.square()
        return (self.data**2 * x / square) + level * self.data * square.rsqrt() * said


@dataclass(frozen=True)
class Vp(Rule):
    """Variance preserving: level ``sqrt(exp(distance t^2 / 2 + least t) - 1)`` at time t in 0..1.

    Attributes:
        distance: slope of the rate of noise.
        least: that rate at the beginning.
        steps: in which the network is told the time.
    """

    distance: float = 19.9
    least: float = 0.1
    steps: int = 1000

    def highest(self) -> float:
        """See `Rule.highest`."""
        return math.sqrt(math.expm1(0.5 * self.distance + self.least))

    def told(self, level: Tensor) -> Tensor:
        """See `Rule.told`."""
        logarithm = level.square().log1p()
        root = (self.least**2 + 2 * self.distance * logarithm).sqrt()
        return (self.steps - 1) * 2 * logarithm / (root + self.least)


@dataclass(frozen=True)
class Ve(Rule):
    """Variance exploding: the image as it is, and noise with the other sign.

    Attributes:
        most: see `Rule.highest`.
    """

    most: float = 100.0

    def highest(self) -> float:
        """See `Rule.highest`."""
        return self.most

    def inward(self, level: Tensor) -> Tensor:
        """See `Rule.inward`."""
        return level.new_ones(())

    def told(self, level: Tensor) -> Tensor:
        """See `Rule.told`."""
        return (0.5 * level).clamp(min=TINY).log()

    def clean(self, said: Tensor, x: Tensor, level: Tensor) -> Tensor:
        """See `Rule.clean`."""
        return x + level * said


def of_config(said: Mapping[str, Any]) -> Rule:
    """The rule of a header, checked by `RULE`; what it leaves out is as in the paper."""
    kinds: dict[str, type[Edm | Vp | Ve]] = {"edm": Edm, "vp": Vp, "ve": Ve}
    return kinds[said["kind"]](**{k: said[k] for k in KEYS[said["kind"]] if k in said})
