"""Inverse problems with a known answer: small Gaussian mixtures, some operators, noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gensr.generators.gaussian.mixture import Mixture
from gensr.generators.gaussian.parameters import MixtureParameters
from gensr.operators import Area, GaussianPSF, Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.observation import Observation

SIDE = 8
OPERATORS: Mapping[str, Operator] = {
    "area x2": Area(2),
    "area x4": Area(4),
    "gaussian psf x2": GaussianPSF(2, 0.5),
}


def toy(components: int = 1, seed: int = 0) -> Mixture:
    """A mixture on 8 x 8 windows: smooth random directions; two components differ mostly where data see little."""
    numbers = torch.Generator().manual_seed(seed)
    i = torch.arange(SIDE)
    frequency = torch.add(i[:, None], i[None]).flatten().sort().values[1:].float()  # order of `cosine_matrix`
    scale = 0.3 * SIDE / (1 + frequency) ** 2
    d = SIDE * SIDE - 1
    directions = torch.randn(components, d, 4, generator=numbers) * scale[None, :, None] * 0.5
    mean = torch.randn(components, d, generator=numbers) * scale * 0.5
    if components > 1:
        mean = mean * 0.1 + torch.linspace(-1, 1, components)[:, None] * torch.where(frequency == 4, 0.5, 0.0)
        directions = directions[:1].expand(components, -1, -1)
    remainder = (0.3 * scale.square()).expand(components, d).clamp(min=1e-4)
    weight = torch.arange(1.0, components + 1)
    card = GeneratorCard("toy", "gaussian", "truth", 1, False, "-", (0.0, 1.0), "-", "-", "-", "-", "-", "-", "-", 0.0)
    return Mixture(MixtureParameters.with_level(SIDE, weight, mean, directions, remainder, level=0.3), card)


@dataclass(frozen=True)
class Truth:
    """The exact posterior of one image, by the textbook: see `gensr.generators.gaussian.closed` for the formulas.

    Attributes:
        weight: (k,) posterior weight of the components.
        means: (k, pixels).
        covariances: (k, pixels, pixels).
    """

    weight: Tensor
    means: Tensor
    covariances: Tensor

    @property
    def mean(self) -> Tensor:
        """(pixels,)."""
        return self.weight @ self.means

    @property
    def std(self) -> Tensor:
        """(pixels,)."""
        second = self.covariances.diagonal(dim1=1, dim2=2) + self.means.square()
        return (self.weight @ second - self.mean.square()).sqrt()


@dataclass(frozen=True)
class Case:
    """One inverse problem with a known answer.

    Attributes:
        name: operator and noise.
        generator: the prior.
        operator: the instrument.
        sigma: noise deviation.
    """

    name: str
    generator: Mixture
    operator: Operator
    sigma: float
    matrix: Tensor = field(init=False)

    def __post_init__(self) -> None:
        eye = torch.eye(SIDE * SIDE, dtype=torch.float64).view(-1, SIDE, SIDE)
        object.__setattr__(self, "matrix", self.operator.forward(eye).flatten(1).T.contiguous())

    def observe(self, y: Tensor, usable: Tensor | None = None) -> Observation:
        """An observation from data (n, 1, h, w)."""
        mask = torch.ones_like(y, dtype=torch.bool) if usable is None else usable
        return Observation(y, self.operator, torch.full_like(y, self.sigma**2), mask)

    def truth(self, y: Tensor, usable: Tensor | None = None) -> Truth:
        """The exact posterior for one image's data (1, h, w); rows that are not usable are removed."""
        prior = self.generator.prior(SIDE)
        keep = slice(None) if usable is None else usable.flatten()
        a, data = self.matrix[keep], y.flatten()[keep]
        cross = a @ prior.covariance  # (k, m, pixels)
        spread = cross @ a.T + self.sigma**2 * torch.eye(len(a), dtype=torch.float64)
        residual = data - prior.mean @ a.T  # (k, m)
        gain = torch.linalg.solve(spread, cross)  # (k, m, pixels)
        means = prior.mean + (gain.mT @ residual[..., None])[..., 0]
        score = prior.weight.log() - 0.5 * torch.linalg.slogdet(spread)[1]
        score = score - 0.5 * (residual * torch.linalg.solve(spread, residual[..., None])[..., 0]).sum(1)
        return Truth(torch.softmax(score, 0), means, prior.covariance - gain.mT @ cross)

    def modes(self, x: Tensor) -> Tensor:
        """Which component each image (n, 1, rows, cols) belongs to, by prior density."""
        prior = self.generator.prior(SIDE)
        centred = x.double().flatten(1)[None] - prior.mean[:, None]  # (k, n, pixels)
        root = torch.linalg.cholesky(prior.covariance)
        white = torch.linalg.solve_triangular(root, centred.mT, upper=False)  # (k, pixels, n)
        constant = prior.weight.log() - root.diagonal(dim1=1, dim2=2).log().sum(1)
        score: Tensor = constant[:, None] - 0.5 * white.square().sum(1)
        return score.argmax(0)


def cases(components: int = 1) -> list[Case]:
    """Every operator with little and much noise."""
    generator = toy(components)
    return [
        Case(f"{name}, noise {sigma}", generator, operator, sigma)
        for name, operator in OPERATORS.items()
        for sigma in (0.02, 0.1)
    ]


def simulate(case: Case, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (count, 1, rows, cols) from the prior, and noisy data, float64."""
    numbers = torch.Generator().manual_seed(seed)
    prior = case.generator.prior(SIDE)
    which = torch.multinomial(prior.weight, count, replacement=True, generator=numbers)
    root = torch.linalg.cholesky(prior.covariance)
    z = torch.randn(count, SIDE * SIDE, generator=numbers, dtype=torch.float64)
    x = (prior.mean[which] + (root[which] @ z[..., None])[..., 0]).view(-1, 1, SIDE, SIDE)
    clean = case.operator.forward(x)
    return x, clean + case.sigma * torch.randn(clean.shape, generator=numbers, dtype=torch.float64)


# Methods
