"""PULSE as published (Menon et al., CVPR 2020, arXiv:2003.03808), kept as a baseline.

Adam at rate 0.4 under the schedule ``linear1cycledrop``; after every step each latent tensor (each layer of a layered
one) is rescaled to its length at the start. The loss is ``100 L2 + 0.05 GEOCROSS`` with the mean squared error of the
low-resolution image on a 0..1 scale, clamped from below at ``eps``.

Of a generator with a mapping network the published space is searched (`gensr.search.published`) and GEOCROSS compares
the styles after their activation. Of others every searched tensor has its sphere, and GEOCROSS, the spread between the
vectors of layers, is that of layered latents, 0 where there are none.

Nothing is added: the picture is ``G(z)`` of the best iterate, without data consistency and without a deviation. Two
things differ on purpose. The clamp and the gate ``L2 <= eps`` hold per candidate, not for the sum over a batch, and a
missed gate is a verdict that says how far the data are missed, not a reason to return nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.priors.generator import Generator
from gensr.search.apart import inner, wide
from gensr.search.first_order import AdamState, adam_moments
from gensr.search.loop import Solver, Start
from gensr.search.problem import Problem
from gensr.search.published import PublishedSpace, published
from gensr.search.solution import StopReason
from gensr.values.latent import LatentSpec

BETAS = (0.9, 0.999)
DISTANCE = "squared error of the data, in units of what was asked for"


def linear1cycledrop(step: int, steps: int) -> float:
    """Factor on the rate: 0.1 up to 1 at 45 % of the steps, down to 0.1 at 90 %, then down to 0.001."""
    main = 0.9 * steps
    if step < main:
        return (9 * (1 - abs(step / main - 0.5) * 2) + 1) / 10
    return 0.1 + (step - main) / (0.1 * steps) * (0.001 - 0.1)


def spheres(spec: LatentSpec) -> Tensor:
    """For every element of the flat latents the index of its sphere, (d,): one per tensor, or per layer of one."""
    parts, first = [], 0
    for t in spec.searched:
        layers = t.shape[0] if t.layered else 1
        parts.append(first + torch.arange(layers).repeat_interleave(t.size // layers))
        first += layers
    return torch.cat(parts)


def radii(flat: Tensor, index: Tensor) -> Tensor:
    """Length of the latents on every sphere, (n, spheres)."""
    count = int(index[-1]) + 1
    return flat.new_zeros(len(flat), count).index_add(1, index, flat.square()).sqrt()


def geocross(w: Tensor) -> Tensor:
    """Squared geodesic distances between the layers' vectors, (n,).

    The mean over all pairs of ``(2 atan2(|x - y|, |x + y|))^2``, times ``dimension / 8``.

    Args:
        w: (n, layers, dimension).
    """
    layers, dim = w.shape[1:]
    i, j = torch.triu_indices(layers, layers, 1, device=w.device)
    apart, together = _length(w[:, i] - w[:, j]), _length(w[:, i] + w[:, j])
    angle = 2 * torch.atan2(apart, together)
    return angle.square().sum(1).to(w.dtype) * (2 / layers**2 * dim / 8)


def spread(problem: Problem, flat: Tensor) -> Tensor:
    """GEOCROSS of searched latents, (n,); see the module text for which vectors are compared."""
    spec = problem.spec
    latents = spec.unflatten(flat, problem.fixed)
    if isinstance(problem.generator, PublishedSpace):
        return geocross(problem.generator.styles(latents))
    total = flat.new_zeros(len(flat))
    for t in spec.searched:
        if t.layered:
            total = total + geocross(latents[t.name].flatten(2))
    return total


def _length(v: Tensor) -> Tensor:
    return (wide(v * v).sum(-1) + 1e-18).sqrt()


@dataclass(frozen=True)
class Pulse(Solver[AdamState]):
    """See the module text.

    Attributes:
        steps: steps.
        rate: peak learning rate.
        eps: mean squared error of the low-resolution image, 0..1 scale, that is good enough; 2e-3 is 27 dB.
        fidelity: weight of L2.
        cross: weight of GEOCROSS.
    """

    steps: int = 100
    rate: float = 0.4
    eps: float = 2e-3
    fidelity: float = 100.0
    cross: float = 0.05
    name: str = "pulse"
    start: ClassVar[Start] = "prior"
    independent: ClassVar[bool] = True
    bare: ClassVar[bool] = True

    def space(self, generator: Generator) -> Generator:
        """See `Solver.space`."""
        return published(generator)

    def error(self, problem: Problem, predicted: Tensor) -> Tensor:
        """Mean squared error of the low-resolution image on a 0..1 scale, (n,)."""
        low, high = problem.generator.card.value_range
        rest = (problem.residual(predicted) / (high - low)).flatten(1)
        return inner(rest, rest) / problem.count

    def loss(self, problem: Problem, flat: Tensor, predicted: Tensor) -> Tensor:
        """The published loss per candidate, (n,)."""
        clamped = self.error(problem, predicted).clamp(min=self.eps)
        return self.fidelity * clamped + self.cross * spread(problem, flat)

    def init(self, problem: Problem, flat: Tensor) -> AdamState:
        """See `Solver.init`.

        Raises:
            SearchError: a start of length 0 is on no sphere.
        """
        index = spheres(problem.spec).to(flat.device)
        radius = radii(flat, index)
        if not bool((radius > 0).all()):
            raise SearchError("PULSE searches a sphere and needs starts that are not zero; give search.start=prior")
        loss, chi2, grad = self._evaluate(problem, flat)
        zero = torch.zeros_like(flat)
        return AdamState(flat, loss, chi2, grad, zero, zero, radius)

    def step(self, problem: Problem, state: AdamState, step: int) -> AdamState:
        """See `Solver.step`."""
        index = spheres(problem.spec).to(state.flat.device)
        first, second, direction = adam_moments(state, BETAS, step)
        flat = state.flat - self.rate * linear1cycledrop(step, self.steps) * direction
        flat = flat * (state.radius / radii(flat, index))[:, index]
        loss, chi2, grad = self._evaluate(problem, flat)
        return AdamState(flat, loss, chi2, grad, first, second, state.radius)

    def verdict(self, problem: Problem, low: Tensor, reason: tuple[StopReason, ...]) -> tuple[StopReason, ...]:
        """The published gate as a verdict on the images that are returned."""
        passed = (self.error(problem, low) <= self.eps).tolist()
        gate = [StopReason.GATE if ok else StopReason.GATE_MISSED for ok in passed]
        return tuple(g if r is StopReason.STEPS else r for g, r in zip(gate, reason, strict=True))

    def figures(self, problem: Problem, low: Tensor) -> dict[str, Tensor]:
        """How far the data are missed: 1 and less passes the gate."""
        return {DISTANCE: self.error(problem, low) / self.eps}

    def _evaluate(self, problem: Problem, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            z = flat.detach().requires_grad_()
            low = problem.predict(z)
            loss = self.loss(problem, z, low)
            (grad,) = torch.autograd.grad(loss.sum(), z)
        with torch.no_grad():
            return loss.detach(), problem.chi2(low.detach()), grad
