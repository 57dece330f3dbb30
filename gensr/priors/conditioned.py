"""The mapping of StyleGAN2 and StyleGAN3: latents on a sphere, a class beside them, dense layers by NVIDIA's names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gensr.priors.frozen import Dense, activated, unit
from gensr.priors.styled import StyledNetwork


class ConditionedNetwork(StyledNetwork):
    """A styled network with that mapping; synthesis is its heir's.

    Args:
        tensors: by NVIDIA's names.
        depth: layers of the mapping.
        classes: that it is told, 0 for none.
        rate: multiplier on the rate of learning of the mapping.
    """

    def __init__(self, tensors: Mapping[str, Tensor], depth: int, classes: int, rate: float) -> None:
        super().__init__()
        self.classes = classes
        names = [f"mapping.fc{i}" for i in range(depth)]
        self.dense = nn.ModuleList(Dense(tensors[f"{n}.weight"], tensors[f"{n}.bias"], rate) for n in names)
        embed = "mapping.embed"
        self.embed = Dense(tensors[f"{embed}.weight"], tensors[f"{embed}.bias"]) if classes else None

    def mapping(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """See `StyledNetwork.mapping`; without a class the mean of all is taken."""
        x = unit(z)
        if self.embed is not None:
            told = z.new_full((len(z), self.classes), 1 / self.classes) if label is None else label.to(z)
            x = torch.cat([x, unit(self.embed(told))], 1)
        for dense in self.dense[:-1]:
            x = activated(dense(x))
        v: Tensor = self.dense[-1](x)
        return v

    def style_of(self, v: Tensor) -> Tensor:
        """See `StyledNetwork.style_of`."""
        return activated(v)
