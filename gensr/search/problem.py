"""The inverse problem that a search solves: how badly latents explain the data, and how unlikely they are.

For latents ``z`` with image ``G(z)`` the objective is ``|A G(z) - y|^2_C + |z - a|^2``, minus twice the log posterior,
with ``C = noise + A S A^T``: what the detector adds, and what the generator cannot express (standard deviation
``discrepancy``, white on the high-resolution grid). The anchor ``a`` is 0; randomised samples move it. Rows are
independent: candidates of one image are rows with equal data.

An operator with latents of its own (a PSF of unknown width) adds them to those of the generator: one whitened vector
with named parts, ``A(theta) G(z)``, and no solver knows the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.priors.generator import Generator, Stage
from gensr.priors.observation import Observation
from gensr.search.apart import apart, inner
from gensr.values.latent import Latents, LatentSpec, LatentTensor

OPERATOR = "operator."
"""What the names of the operator's latents begin with."""
PIXELS = 1 << 22
"""Pixels of images that are made together where nothing is differentiated: four of 1024 x 1024."""
FLOOR = 1e-4
"""Smallest noise deviation assumed, generator units: exact data would make the prior vanish beside them."""


@dataclass(frozen=True)
class Problem:
    """Data, generator and prior of ``n`` independent candidates.

    Attributes:
        generator: the prior over images.
        data: what was observed, one row per candidate.
        fixed: latents that are not searched, one row per candidate.
        anchor: (n, d) centre of the latents' prior, or None for 0.
        discrepancy: deviation of what the generator cannot express, generator units.
        unknown_variance: whether the noise level is integrated out under the Jeffreys prior; ``variance`` then only
            says how noise levels of pixels compare.
    """

    generator: Generator
    data: Observation
    fixed: Latents
    anchor: Tensor | None = None
    discrepancy: float = 0.0
    unknown_variance: bool = False

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.data.variance[self.data.usable]).all()):
            raise SearchError("the noise variance of usable data is not finite; mask those pixels")
        if not bool(torch.isfinite(self.data.y[self.data.usable]).all()):
            raise SearchError("usable data are not finite; mask those pixels")

    @cached_property
    def spec(self) -> LatentSpec:
        """Latents of one candidate: those of the generator, then those of the operator, each under its own name."""
        own = self.generator.latents(self.data.shape).tensors
        return LatentSpec((*own, *(replace(t, name=f"{OPERATOR}{t.name}") for t in self._movable)))

    @cached_property
    def _movable(self) -> tuple[LatentTensor, ...]:
        found = self.data.operator.latents()
        return () if found is None else found.tensors

    @cached_property
    def count(self) -> Tensor:
        """Usable data per candidate, (n,), at least 1."""
        return self.data.usable.flatten(1).sum(1).clamp(min=1).to(self.data.y.dtype)

    @cached_property
    def variance(self) -> Tensor:
        """Variance of every datum, noise and discrepancy together, shape of y; 1 where the datum is not usable."""
        total = self.data.variance + self.discrepancy**2 * self.data.operator.row_energy(self.data.y)
        return torch.where(self.data.usable, total.clamp(min=FLOOR**2), 1.0)

    @cached_property
    def scale(self) -> Tensor:
        """Factor from residual to whitened residual, shape of y; 0 where the datum is not usable."""
        return torch.where(self.data.usable, self.variance.rsqrt(), 0.0)

    @cached_property
    def observed(self) -> Tensor:
        """The data, 0 where they are not usable (there they may be NaN)."""
        return torch.where(self.data.usable, self.data.y, 0.0)

    def complete(self, flat: Tensor) -> Tensor:
        """All unknowns (n, d) from those of the generator; the operator begins at the centre of its prior."""
        missing = self.spec.dimension - flat.shape[1]
        return torch.cat([flat, flat.new_zeros(len(flat), missing)], 1) if missing else flat

    def start(self, flat: Tensor | None = None) -> Tensor:
        """A start (n, d): the one given, or the centre of the prior."""
        if flat is not None:
            return flat.to(self.data.y)
        zero = self.data.y.new_zeros(len(self.data.y), self.spec.dimension)
        return zero if self.anchor is None else zero + self.anchor

    def images(self, flat: Tensor) -> Tensor:
        """Images (n, band, rows, cols) of searched latents (n, d); differentiable, or in parts that fit the memory."""
        latents = self.spec.unflatten(flat, self.fixed)
        together = max(1, PIXELS // (self.data.shape[0] * self.data.shape[1]))
        if together >= len(flat) or (torch.is_grad_enabled() and flat.requires_grad):
            return self.made(latents)
        parts = range(0, len(flat), together)
        return torch.cat([self.made({k: t[i : i + together] for k, t in latents.items()}) for i in parts])

    def made(self, latents: Latents, stage: Stage | None = None) -> Tensor:
        """Pictures (n, band, rows, cols) of latents, or coarse ones; no row depends on how many there are."""
        with apart(next(iter(latents.values()))):
            if stage is None:
                return self.generator.synthesize(latents, self.data.shape)
            return self.generator.synthesize(latents, self.data.shape, stage)

    def operator(self, flat: Tensor) -> Operator:
        """The operator at searched latents (n, d); the known one where nothing of it may move."""
        if not self._movable:
            return self.data.operator
        latents = self.spec.unflatten(flat, self.fixed)
        return self.data.operator.at({t.name: latents[f"{OPERATOR}{t.name}"] for t in self._movable})

    def low(self, flat: Tensor, images: Tensor) -> Tensor:
        """``A(theta) x`` of images that belong to latents (n, d), shape of y."""
        with apart(images):
            return self.operator(flat).forward(images)

    def predict(self, flat: Tensor) -> Tensor:
        """``A(theta) G(z)``, shape of y: what the data should be; differentiable in every unknown."""
        return self.low(flat, self.images(flat))

    def residual(self, low: Tensor) -> Tensor:
        """``A x - y`` of a prediction, shape of y, 0 where the datum is not usable."""
        return (low - self.observed) * self.data.usable

    def whitened(self, low: Tensor) -> Tensor:
        """Residual (n, m) in units of its standard deviation; with an unknown variance up to a common factor."""
        return ((low - self.observed) * self.scale).flatten(1)

    def misfit(self, low: Tensor) -> Tensor:
        """Minus twice the log likelihood (n,) up to a constant: ``|r|^2_C``, or ``m log |r|^2`` (Jeffreys)."""
        white = self.whitened(low)
        square = inner(white, white)
        return self.count * square.clamp(min=torch.finfo(square.dtype).tiny).log() if self.unknown_variance else square

    def distance(self, flat: Tensor) -> Tensor:
        """``|z - a|^2`` per candidate, (n,)."""
        away = flat if self.anchor is None else flat - self.anchor
        return inner(away, away)

    def objective(self, flat: Tensor, low: Tensor | None = None) -> Tensor:
        """Minus twice the log posterior per candidate, (n,); ``low`` is its prediction if that is known already."""
        return self.misfit(self.predict(flat) if low is None else low) + self.distance(flat)

    def chi2(self, low: Tensor) -> Tensor:
        """Mean squared whitened residual per usable datum, (n,): 1 where the data are explained to their noise."""
        white = self.whitened(low)
        return inner(white, white) / self.count

    def correction(self, flat: Tensor, images: Tensor) -> Tensor:
        """What the data say about the discrepancy: ``S A^T (A S A^T + N)^-1 (y - A x)``; zeros if there is none.

        Together with the latents' optimum this is the joint optimum over latents and discrepancy.
        """
        if self.discrepancy == 0:
            return torch.zeros_like(images)
        operator = self.operator(flat)
        weighted = -self.residual(operator.forward(images)) / self.variance
        return self.discrepancy**2 * operator.adjoint(weighted)

    def rows(self, chosen: Tensor) -> Problem:
        """Some of the candidates, by number."""
        return replace(
            self,
            data=replace(
                self.data, y=self.data.y[chosen], variance=self.data.variance[chosen], usable=self.data.usable[chosen]
            ),
            fixed={name: t[chosen] for name, t in self.fixed.items()},
            anchor=None if self.anchor is None else self.anchor[chosen],
        )

    def with_data(self, y: Tensor, anchor: Tensor) -> Problem:
        """The same problem with other data and another centre of the prior."""
        return replace(self, data=replace(self.data, y=y), anchor=anchor)


def repeat(data: Observation, copies: int) -> Observation:
    """Every image ``copies`` times in a row: the rows of its candidates."""
    tensors = (t.repeat_interleave(copies, 0) for t in (data.y, data.variance, data.usable))
    y, variance, usable = tensors
    return replace(data, y=y, variance=variance, usable=usable)
