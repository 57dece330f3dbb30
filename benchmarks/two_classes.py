"""A generator of two kinds of picture in known shares, with everything in closed form: what fairness is measured on.

Pictures are draws from a mixture of two Gaussians, each fitted on one source of a corpus, 20 % and 80 %. Given data,
the share of either kind in the posterior is known exactly, so conditional proportional representation (Jalal et al.,
ICML 2021, arXiv:2106.12182) is a number that a sampler meets or misses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Stage
from gensr.priors.observation import Observation
from gensr.values.latent import Latents, LatentSpec, LatentTensor

FLOOR = 0.01
"""Deviation that is added in every direction, generator units: no picture is expressed exactly."""
GATE = 0.05
"""Width of the step between the two kinds in the first latent."""
_TOLD = "two sources of the face corpus"
CARD = GeneratorCard(
    name="two-classes",
    family="benchmark",
    domain="faces",
    bands=1,
    aligned=True,
    unit="1",
    value_range=(0.0, 1.0),
    pixel=_TOLD,
    licence=_TOLD,
    data=_TOLD,
    split="train",
    recipe="mean and covariance",
    bias="known: that is what it is for",
    audit="none",
    discrepancy=0.0,
)


@dataclass(frozen=True)
class Kind:
    """One Gaussian.

    Attributes:
        share: of the mixture.
        mean: (d,).
        basis: (d, d) orthonormal columns.
        variance: (d,) along them.
    """

    share: float
    mean: Tensor
    basis: Tensor
    variance: Tensor

    @classmethod
    def of(cls, share: float, pictures: npt.NDArray[np.float64]) -> Kind:
        """Fitted on pictures (n, y, x), values 0 to 1."""
        flat = pictures.reshape(len(pictures), -1)
        covariance = np.cov(flat.T) + FLOOR**2 * np.eye(flat.shape[1])
        variance, basis = np.linalg.eigh(covariance)
        tensors = (flat.mean(0), basis, variance)
        return cls(share, *(torch.from_numpy(np.ascontiguousarray(t)).float() for t in tensors))

    def evidence(self, x: Tensor, extra: float) -> Tensor:
        """Log of share times density of (n, d) with noise of a variance added, (n,) up to a constant."""
        spread = self.variance.double() + extra
        z = (x - self.mean).double() @ self.basis.double()
        return math.log(self.share) - 0.5 * (z.square() / spread).sum(1) - 0.5 * spread.log().sum()


class TwoClasses(Generator):
    """Two kinds of picture.

    Args:
        kinds: the rarer first.
        side: of a picture, pixels.
        decoder: offer nothing but latents and pictures, as a plain network would; otherwise also the exact denoiser.
    """

    def __init__(self, kinds: tuple[Kind, Kind], side: int, decoder: bool = False) -> None:
        self.card, self.kinds, self.side, self.decoder = CARD, kinds, side, decoder
        self.capabilities = frozenset() if decoder else frozenset({"denoise"})
        self._threshold = NormalDist().inv_cdf(kinds[0].share)

    def to(self, device: str) -> TwoClasses:
        """See `Generator.to`; it is small and stays on the CPU."""
        return self

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: which kind, and where in it."""
        return LatentSpec((LatentTensor("kind", (1,)), LatentTensor("place", (self.side**2,))))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`: a narrow step in the first latent goes from one kind to the other."""
        other = torch.sigmoid((latents["kind"] - self._threshold) / GATE)
        made = [kind.mean + (latents["place"] * kind.variance.sqrt()) @ kind.basis.mT for kind in self.kinds]
        return ((1 - other) * made[0] + other * made[1]).view(-1, 1, self.side, self.side)

    def denoise(self, x: Tensor, sigma: Tensor, at_end: tuple[bool, bool] = (True, True)) -> Tensor:
        """See `Generator.denoise`: the exact posterior mean."""
        flat, noise = x.flatten(1), float(sigma.flatten()[0]) ** 2
        weight = torch.softmax(torch.stack([kind.evidence(flat, noise) for kind in self.kinds], 1), 1).to(x)
        clean = []
        for kind in self.kinds:
            gain = kind.variance / (kind.variance + noise)
            clean.append(kind.mean + (((flat - kind.mean) @ kind.basis) * gain) @ kind.basis.mT)
        return (weight[:, :1] * clean[0] + weight[:, 1:] * clean[1]).view_as(x)

    def rare(self, pictures: Tensor) -> Tensor:
        """Whether pictures (n, 1, y, x) are of the rarer kind, by the mixture itself, bool (n,)."""
        flat = pictures.flatten(1)
        first, second = (kind.evidence(flat, 0.0) for kind in self.kinds)
        return first > second

    def share(self, data: Observation) -> Tensor:
        """Exact probability that data come from the rarer kind, (n,)."""
        eye = torch.eye(self.side**2).view(-1, 1, self.side, self.side)
        matrix = data.operator.forward(eye).flatten(1).T.double()  # (m, d)
        logs = []
        for kind in self.kinds:
            half = matrix @ (kind.basis * kind.variance.sqrt()).double()
            covariance = half @ half.T + torch.diag(data.variance[0].flatten().double())
            rest = data.y.flatten(1).double() - matrix @ kind.mean.double()
            solved = torch.linalg.solve(covariance, rest.T).T
            logs.append(math.log(kind.share) - 0.5 * (rest * solved).sum(1) - 0.5 * torch.logdet(covariance))
        return torch.softmax(torch.stack(logs, 1), 1)[:, 0]

    def pictures(self, noise: Tensor) -> Tensor:
        """Draws from the mixture for standard normal numbers (n, 1 + d): (n, 1, y, x)."""
        return self.synthesize({"kind": noise[:, :1], "place": noise[:, 1:]}, (self.side, self.side))


def grey(images: Sequence[npt.NDArray[Any]], side: int) -> npt.NDArray[np.float64]:
    """Pictures (band, y, x), 0 to 255, as grey means over blocks, (n, side, side), 0 to 1."""
    made = []
    for image in images:
        block = image.shape[-1] // side
        luma = (
            np.asarray(image, np.float64).mean(0)
            if image.shape[0] < 3
            else np.tensordot([0.299, 0.587, 0.114], np.asarray(image, np.float64), 1)
        )
        made.append(luma.reshape(side, block, side, block).mean((1, 3)) / 255)
    return np.stack(made)
