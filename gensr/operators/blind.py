"""A Gaussian point spread function whose width is not known: a search finds it together with the image."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.operators.base import Operator
from gensr.operators.boundary import reflect
from gensr.operators.psf import WIDTHS, GaussianPSF
from gensr.values.grid import Factor, as_factor
from gensr.values.latent import Latents, LatentSpec, LatentTensor

WIDTH = "log_width"
"""Name of the operator's only latent."""


class BlindGaussianPSF(GaussianPSF):
    """Gaussian optics of about the width ``sigma``, then pixel integration.

    The width has a log-normal prior, ``sigma exp(spread t)`` with ``t`` standard normal: the latent ``log_width``. By
    itself it is the operator at its median.

    Args:
        factor: refinement, an integer or (rows, cols).
        sigma: median of the standard deviation, low-resolution pixels, above 0, at most 8.
        spread: standard deviation of the logarithm of the width: 0.3 says about 30 %. Above 0, at most 2.
        total: sum over the block instead of the mean (flux per pixel).

    Raises:
        UsageError: for a width or a spread outside those ranges.
    """

    def __init__(self, factor: int | Factor, sigma: float, spread: float = 0.3, total: bool = False) -> None:
        if not 0 < spread <= 2:
            raise UsageError(f"PSF spread={spread} is not above 0 and at most 2 (a factor of 7 either way)")
        if not sigma > 0:
            raise UsageError(f"PSF width sigma={sigma} of a search is not above 0; GaussianPSF takes 0")
        self.spread = float(spread)
        super().__init__(factor, sigma, total)

    def latents(self) -> LatentSpec:
        """See `Operator.latents`: one number per image."""
        return LatentSpec((LatentTensor(WIDTH, ()),))

    def at(self, latents: Latents) -> GaussianRows:
        """See `Operator.at`."""
        return GaussianRows(self.factor, self.sigma * (self.spread * latents[WIDTH]).exp(), self.total)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return super().describe() | {"name": "blind_gaussian", "spread": self.spread}


class GaussianRows(Operator):
    """`GaussianPSF` with another width for every image of a batch, differentiable in the widths.

    Args:
        factor: refinement, an integer or (rows, cols).
        sigma: (n,) standard deviations in low-resolution pixels, above 0; images are (n, band, rows, cols).
        total: sum over the block instead of the mean (flux per pixel).
    """

    def __init__(self, factor: int | Factor, sigma: Tensor, total: bool = False) -> None:
        self.factor, self.sigma, self.total = as_factor(factor), sigma, total
        widest = float(sigma.detach().amax())
        self.reach = max(math.ceil(math.ceil(WIDTHS * widest * s) / s) for s in self.factor)

    @property
    def gain(self) -> float:
        """See `Operator.gain`."""
        return float(self.factor[0] * self.factor[1]) if self.total else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        rows, cols = self.check_input(x)
        return self.gain * (self._axis(0, rows, x) @ x @ self._axis(1, cols, x).mT)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        rows, cols = y.shape[-2:]
        return self.gain * (self._axis(0, rows, y).mT @ y @ self._axis(1, cols, y))

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {"name": "gaussian_rows", "factor": list(self.factor), "sigma": self.sigma.tolist(), "total": self.total}

    def _axis(self, axis: int, size: int, like: Tensor) -> Tensor:
        """Matrices (n, 1, size, size * s): the optics with reflection at the borders, then means of blocks."""
        s = self.factor[axis]
        width = self.sigma.to(like)[:, None] * s
        radius = math.ceil(WIDTHS * float(width.detach().amax()))
        taps = torch.arange(-radius, radius + 1, device=like.device)
        weights = torch.exp(-0.5 * (taps / width) ** 2) * (taps.abs() <= torch.ceil(WIDTHS * width.detach()))
        weights = weights / weights.sum(1, keepdim=True)
        fine = torch.arange(size * s, device=like.device)
        index = torch.from_numpy(reflect((fine[:, None] + taps).cpu().numpy(), size * s)).to(like.device)
        blur = like.new_zeros(len(width), size * s, size * s).scatter_add(
            2, index.expand(len(width), -1, -1), weights[:, None].expand(-1, size * s, -1)
        )
        means: Tensor = blur.unflatten(1, (size, s)).mean(2)[:, None]
        return means
