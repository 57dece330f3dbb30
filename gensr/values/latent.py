"""LatentSpec: what a generator is searched over, as named whitened tensors with their priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gensr.values.random import Stream

Latents = Mapping[str, Tensor]
"""Named latent tensors, each (n, *shape) for a batch of n."""


@dataclass(frozen=True)
class LatentTensor:
    """One latent tensor.

    Attributes:
        name: key in `Latents`.
        shape: shape without the batch axis.
        searched: whether solvers move it; a discrete choice (a mixture component) is set by ``encode`` and kept.
        layered: whether the first axis counts layers of a network that may differ (StyleGAN's W+).
    """

    name: str
    shape: tuple[int, ...]
    searched: bool = True
    layered: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(torch.Size(self.shape).numel())


@dataclass(frozen=True)
class LatentSpec:
    """All latent tensors of one output size; the prior of every element is N(0, 1), independent."""

    tensors: tuple[LatentTensor, ...]

    def sample(self, streams: list[Stream]) -> dict[str, Tensor]:
        """Draw one latent per stream, (n, *shape) float32 on the CPU."""
        return {
            t.name: torch.stack([s.child(f"latent/{t.name}").normal(t.shape) for s in streams]) for t in self.tensors
        }

    @property
    def searched(self) -> tuple[LatentTensor, ...]:
        """The tensors that solvers move."""
        return tuple(t for t in self.tensors if t.searched)

    @property
    def dimension(self) -> int:
        """Number of searched elements per sample."""
        return sum(t.size for t in self.searched)

    def flatten(self, latents: Latents) -> Tensor:
        """Searched tensors as one (n, d) matrix."""
        return torch.cat([latents[t.name].reshape(len(latents[t.name]), -1) for t in self.searched], 1)

    def unflatten(self, flat: Tensor, fixed: Latents) -> dict[str, Tensor]:
        """Inverse of `flatten`; the other tensors are taken from ``fixed``."""
        out = {t.name: fixed[t.name] for t in self.tensors if not t.searched}
        start = 0
        for t in self.searched:
            out[t.name] = flat[:, start : start + t.size].reshape(-1, *t.shape)
            start += t.size
        return out
