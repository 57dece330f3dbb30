"""A task: everything that decides the pixels of a tile, small enough to travel to any process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor

from gensr.operators.base import Operator
from gensr.operators.scaled import unit_gain
from gensr.priors.device import choose_device, placed
from gensr.priors.generator import Generator
from gensr.priors.grey import Grey
from gensr.priors.mapped import Mapped
from gensr.priors.weights import Reference
from gensr.search.posterior import Method
from gensr.search.presets import Preset
from gensr.values.grid import Factor, Window
from gensr.values.noise import Noise
from gensr.values.normalise import Normaliser
from gensr.values.words import AUTO

QUANTISATION = 12**-0.5
"""Standard deviation of rounding, in code steps."""
LEAST = 2.0**-24
"""Deviation, generator units, below which noise is less than the rounding of float32, in which priors compute."""


@dataclass(frozen=True)
class Prior:
    """A generator and where another process finds it.

    Attributes:
        generator: on its device; left out when the prior travels.
        reference: of its weights; None for a generator that no file holds, which cannot travel.
        device: where it computes here.
        elsewhere: what another process is told of the device: "auto", or the user's word; "" is the same as here.
        grey: whether the generator is the luminance of what the file holds.
        precision: see `gensr.pipeline.request.Request`.
    """

    generator: Generator
    reference: Reference | None
    device: str = "cpu"
    elsewhere: str = ""
    grey: bool = False
    precision: str = AUTO

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        if self.reference is None:
            raise TypeError(f"{self.generator.card.name} was made in memory; save its weights to compute elsewhere")
        return load_prior, (self.reference, self.elsewhere or self.device, self.grey, self.precision)


@lru_cache(maxsize=4)
def load_prior(reference: Reference, device: str, grey: bool = False, precision: str = AUTO) -> Prior:
    """The prior of a reference on a device of this machine; a process builds it once.

    Raises:
        WeightsError: no such weights here, or others of that name.
        UsageError: no such device.
    """
    stored = reference.generator()
    generator = Grey(stored) if grey and isinstance(stored, Mapped) else stored
    return Prior(placed(generator, device, precision), reference, device, grey=grey, precision=precision)


@dataclass(frozen=True)
class Task:
    """Settled choices that decide every pixel.

    Attributes:
        operator: forward operator in physical units.
        prior: the generator.
        normaliser: physical values to generator units.
        noise_model: physical units.
        exact: whether data are explained exactly (noise-free).
        conformal: factor on the standard deviation, per band.
        preset: how hard to work.
        method: where moments and samples come from.
        samples: posterior samples to draw.
        seed: of all random numbers.
        quantum: physical size of a code step.
        repeated: see `gensr.scenes.scene.Scene.repeated`; these pixels are kept and have no deviation.
        unit: the operator with unit gain; the tile is computed on ``gain * x``.
    """

    operator: Operator
    prior: Prior
    normaliser: Normaliser
    noise_model: Noise
    exact: bool
    conformal: tuple[float, ...]
    preset: Preset
    method: Method
    samples: int
    seed: int
    quantum: float
    repeated: frozenset[tuple[int, int]] = frozenset()
    unit: Operator = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", unit_gain(self.operator))

    def within(self, window: Window) -> Task:
        """The task of one tile: the same, unless the operator differs from place to place."""
        return replace(self, operator=self.operator.within(window)) if self.operator.placed else self

    @property
    def factor(self) -> Factor:
        """Refinement (rows, cols)."""
        return self.operator.factor

    def select(self, first: int, end: int) -> Task | None:
        """The task of bands ``first`` to ``end - 1`` by themselves; None where bands belong together."""
        normaliser, noise = self.normaliser.select(first, end), self.noise_model.select(first, end)
        if self.generator.card.bands != 1 or normaliser is None or noise is None:
            return None
        repeated = frozenset((plane, band - first) for plane, band in self.repeated if first <= band < end)
        scales = self.conformal[first:end]
        return replace(self, normaliser=normaliser, noise_model=noise, conformal=scales, repeated=repeated)

    @property
    def generator(self) -> Generator:
        """The prior, on its device."""
        return self.prior.generator

    @property
    def device(self) -> str:
        """Where the generator lives."""
        return choose_device(self.prior.device)

    def deviation(self, observed: Tensor, stated: Tensor | None = None) -> Tensor:
        """Standard deviation of each datum; for exact data that of rounding, or 1 if the file is not rounded.

        Args:
            observed: (band, y, x) or (n, band, y, x), physical units.
            stated: variance that the file states, same shape; None if it states none.
        """
        if self.exact:
            return torch.full_like(observed, QUANTISATION * self.quantum or 1.0)
        return self.variance(observed, stated).sqrt()

    def variance(self, observed: Tensor, stated: Tensor | None = None) -> Tensor:
        """Variance of each datum, units squared: that of its noise, and never less than rounding by float32 makes.

        Args:
            observed: (band, y, x) or (n, band, y, x), physical units, float64.
            stated: variance that the file states, same shape; None if it states none.
        """
        u = self.normaliser.forward(observed if observed.ndim == 4 else observed[None])
        rounding = LEAST * u.abs().clamp(min=1) * self.normaliser.derivative(u)
        return torch.maximum(self.noise_model.variance(observed, stated), rounding.square().view_as(observed))
