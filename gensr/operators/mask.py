"""Pixels that were not observed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.base import Operator


class Mask(Operator):
    """Set unobserved low-resolution pixels to zero: ``y = w * x`` with weights 0 or 1.

    Args:
        weights: (rows, cols), or (band, rows, cols) for images whose last axes are these; bool or numbers 0 and 1.

    Raises:
        SearchError: for other weights.
    """

    def __init__(self, weights: Tensor) -> None:
        observed = weights.to(torch.bool)
        if weights.ndim < 2 or not bool((observed == weights).all()):
            raise SearchError(
                f"mask of shape {tuple(weights.shape)} needs at least two axes and only the weights 0 and 1"
            )
        self.factor = (1, 1)
        self.reach = 0
        self._observed = observed.clone()

    @property
    def observed(self) -> Tensor:
        """A copy of the mask, bool; True where a pixel was observed."""
        return self._observed.clone()

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`; a masked NaN becomes 0."""
        return torch.where(self._fitting(x), x, torch.zeros((), dtype=x.dtype, device=x.device))

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`; the operator is its own adjoint."""
        return self.forward(y)

    def solve_normal(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """Exact: ``A A^T`` is the mask itself; unobserved pixels of a singular system stay 0."""
        diagonal = self._fitting(y).to(y.dtype) + regularisation
        return torch.where(diagonal > 0, y / diagonal.clamp(min=torch.finfo(y.dtype).tiny), torch.zeros_like(y))

    def pseudo_inverse(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """See `Operator.pseudo_inverse`; exact."""
        return self.forward(y) / (1 + regularisation)

    def _fitting(self, x: Tensor) -> Tensor:
        shape = tuple(self._observed.shape)
        if tuple(x.shape[-len(shape) :]) != shape:
            raise SearchError(f"mask of shape {shape} does not fit an image of shape {tuple(x.shape)}; crop both alike")
        return self._observed.to(x.device)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        packed = np.packbits(self._observed.cpu().numpy())
        return {
            "name": "mask",
            "factor": [1, 1],
            "shape": list(self._observed.shape),
            "observed": int(self._observed.sum()),
            "sha256": hashlib.sha256(packed.tobytes()).hexdigest(),
        }
