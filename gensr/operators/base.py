"""The Operator contract: linear forward models with adjoint and regularised pseudo-inverse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.linear import conjugate
from gensr.values.grid import Factor, Window
from gensr.values.latent import Latents, LatentSpec

EVERYWHERE = 1_000_000
"""The `Operator.reach` of an operator that is not local: more pixels than any image has on a side."""


class Operator(ABC):
    """A linear map ``A`` from a high-resolution image to a low-resolution one, per band.

    All methods take tensors (..., rows, cols) of any floating dtype and device and act on the last two axes.
    Operators are immutable; `forward` has no state.

    Attributes:
        factor: refinement (rows, cols) between the low-resolution and the high-resolution grid.
        reach: how many low-resolution pixels a high-resolution pixel influences to either side, beyond the
            low-resolution pixel that contains it (0 for area integration); tiles need this much context.
        local: False if every low-resolution pixel depends on the whole image: such an operator cannot be tiled, its
            input is the whole plane, and its reach is `EVERYWHERE`.
    """

    local: bool = True
    factor: Factor
    reach: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply ``A``: (..., rows*fy, cols*fx) to (..., rows, cols)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply ``A^T``: (..., rows, cols) to (..., rows*fy, cols*fx)."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Name and parameters for reports and caches: two operators with equal descriptions are equal."""

    @property
    def gain(self) -> float:
        """Response to a constant image of ones in the interior: 1 for means, ``fy*fx`` for sums (flux)."""
        return 1.0

    def pseudo_inverse(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """``A^T (A A^T + regularisation I)^-1 y``; for 0 the minimum-norm solution.

        Args:
            y: (..., rows, cols).
            regularisation: added to the diagonal, in units of ``A A^T``; 0 or positive. A tensor must broadcast
                against ``y``.
            tolerance: relative residual at which an iteration stops; closed forms ignore it.

        Raises:
            SearchError: if the iteration does not converge (a singular ``A A^T`` needs a regularisation).
        """
        return self.adjoint(self.solve_normal(y, regularisation, tolerance))

    def solve_normal(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """Solve ``(A A^T + regularisation I) u = y``: conjugate gradients unless the operator has a closed form."""
        goal = max(tolerance, 32 * torch.finfo(y.dtype).eps)
        limit = 4 * y.shape[-2] * y.shape[-1] + 200

        def normal(u: Tensor) -> Tensor:
            return self.forward(self.adjoint(u)) + regularisation * u

        solved = conjugate(normal, y, 1.0, limit, goal, y.ndim - 2)
        rest = (y - normal(solved)).flatten(-2).norm(dim=-1)
        if bool((rest > 1e3 * goal * y.flatten(-2).norm(dim=-1)).any()):
            raise SearchError("conjugate gradients did not converge; give the pseudo-inverse a regularisation above 0")
        return solved

    def row_energy(self, like: Tensor) -> Tensor:
        """``|A^T e|^2`` of a datum in the middle of an image (..., rows, cols): what unit variance puts on a datum.

        Exact as the diagonal of ``A A^T`` away from borders.
        """
        rows, cols = like.shape[-2:]
        one = like.new_zeros(rows, cols)
        one[rows // 2, cols // 2] = 1.0
        return self.adjoint(one).square().sum()

    @property
    def placed(self) -> bool:
        """Whether the operator differs from place to place, so that a tile needs its own: see `within`."""
        return False

    def certain(self, usable: Tensor) -> Tensor:
        """Which usable data the image alone decides: all, unless something that is not in the image was seen, too."""
        return usable

    def within(self, window: Window) -> Operator:
        """The operator of a window of the data; itself unless it is `placed`."""
        return self

    def latents(self) -> LatentSpec | None:
        """What a search may move of the operator, whitened; None, the default, if it is known for certain."""
        return None

    def at(self, latents: Latents) -> Operator:
        """The operator at these latents, differentiable in them; one operator per image of a batch.

        Args:
            latents: named tensors (n, ...) of `latents`; the result acts on images (n, band, rows, cols).
        """
        return self

    def check_input(self, x: Tensor) -> tuple[int, int]:
        """Low-resolution shape of ``x``.

        Raises:
            SearchError: if the size is no multiple of the factor.
        """
        rows, cols = x.shape[-2:]
        fy, fx = self.factor
        if rows % fy or cols % fx:
            raise SearchError(f"image of {rows} x {cols} pixels is no multiple of the factor {fy} x {fx}; pad it first")
        return rows // fy, cols // fx


def is_uniform(regularisation: float | Tensor) -> bool:
    """Whether a regularisation is one number per image, so that closed forms in a transformed basis hold."""
    if not isinstance(regularisation, Tensor):
        return True
    return regularisation.numel() == 1 or (regularisation.ndim >= 2 and tuple(regularisation.shape[-2:]) == (1, 1))


def invert_spectrum(spectrum: Tensor, regularisation: float | Tensor, extent: int) -> Tensor:
    """``1 / (spectrum + regularisation)``, and 0 where that is a division by a numerically vanishing eigenvalue.

    Args:
        spectrum: eigenvalues of ``A A^T``, (rows, cols), not negative.
        regularisation: a number, or one per leading axis with trailing axes (1, 1).
        extent: larger side of the matrix: the null space starts below ``extent * eps`` of the largest singular
            value, numpy's rule for a matrix rank.
    """
    shifted = spectrum + regularisation
    floor = spectrum.max() * (extent * torch.finfo(spectrum.dtype).eps) ** 2
    return torch.where(shifted > floor, 1 / shifted.clamp(min=torch.finfo(spectrum.dtype).tiny), 0.0)
