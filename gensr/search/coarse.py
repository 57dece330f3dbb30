"""A problem as a coarse output of the generator sees it, with what that misses added back.

The data of latents near ``z0`` are predicted as ``A up(G_c(z)) + (A G(z0) - A up(G_c(z0)))``: exact at ``z0``, at a
fraction of the cost. Renewed a few times, the search ends where the full output explains the data, though it never
differentiated it (output correction, as in space mapping: Bandler et al. 2004, doi:10.1109/TMTT.2003.820904).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gensr.priors.generator import Stage
from gensr.search.problem import Problem


@dataclass(frozen=True)
class CoarseProblem(Problem):
    """See the module text; pictures that are returned are the full ones.

    Attributes:
        stage: coarse output; None predicts by the full one.
        shift: what is added to predictions, shape of y; None for nothing.
    """

    stage: Stage | None = None
    shift: Tensor | None = None

    def predict(self, flat: Tensor) -> Tensor:
        """See `Problem.predict`."""
        if self.stage is None:
            return super().predict(flat)
        latents = self.spec.unflatten(flat, self.fixed)
        image = self.made(latents, self.stage)
        low = self.low(flat, enlarged(image, self.data.shape, bool(self.data.operator.reach)))
        return low if self.shift is None else low + self.shift

    @torch.no_grad()
    def renewed(self, flat: Tensor) -> CoarseProblem:
        """The same about other latents: exact at each row of ``flat`` (n, d)."""
        if self.stage is None:
            return self
        bare = replace(self, shift=None)
        return replace(self, shift=self.low(flat, self.images(flat)) - bare.predict(flat))

    def rows(self, chosen: Tensor) -> CoarseProblem:
        """Some of the candidates, by number."""
        fewer = super().rows(chosen)
        assert isinstance(fewer, CoarseProblem)
        return replace(fewer, shift=None if self.shift is None else self.shift[chosen])


def enlarged(image: Tensor, shape: tuple[int, int], smooth: bool) -> Tensor:
    """A coarse picture on the full grid: repeated pixels, or interpolated where an operator looks beyond its datum."""
    if tuple(image.shape[-2:]) == tuple(shape):
        return image
    if smooth:
        return interpolate(image, size=shape, mode="bilinear", align_corners=False)
    return interpolate(image, size=shape, mode="nearest")
