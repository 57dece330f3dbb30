"""Separable downsampling: a symmetric 1-D kernel per axis, then one sample per low-resolution pixel.

Low-resolution pixel ``i`` covers high-resolution pixels ``s i .. s i + s - 1``; the kernel is centred on the middle of
that block, ``s i + (s - 1)/2``. The image continues by half-sample reflection, so rows sum to one at borders too.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.grid import Factor, as_factor
from gensr.operators.base import Operator

Kernel = tuple[float, ...]


@lru_cache(maxsize=64)
def _matrix(kernel: Kernel, s: int, size: int) -> npt.NDArray[np.float64]:
    """Dense (size, size*s) matrix of a 1-D kernel (length of the parity of s) with reflection at the ends."""
    rows, cols = size, size * s
    start = (s - len(kernel)) // 2  # first tap relative to the block start
    matrix = np.zeros((rows, cols))
    taps = start + np.arange(len(kernel))
    index = np.arange(rows)[:, None] * s + taps[None, :]  # (rows, taps)
    period = 2 * cols
    index = index % period
    index = np.where(index >= cols, period - 1 - index, index)
    np.add.at(matrix, (np.arange(rows)[:, None], index), np.asarray(kernel)[None, :])
    return matrix


@lru_cache(maxsize=64)
def _tensor(kernel: Kernel, s: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.from_numpy(_matrix(kernel, s, size)).to(dtype=dtype, device=device)


class SeparableOperator(Operator):
    """``y = gain * K_y x K_x^T`` with one kernel per axis.

    Args:
        factor: refinement, an integer or (rows, cols).
        total: sum over the block instead of the mean (flux per pixel).
    """

    def __init__(self, factor: int | Factor, total: bool = False) -> None:
        self.factor = as_factor(factor)
        self.total = total
        self._kernels = tuple(self._checked(self.kernel(s), s) for s in self.factor)
        longest = max((len(k) - s) / (2 * s) for k, s in zip(self._kernels, self.factor, strict=True))
        self.reach = int(np.ceil(longest))

    @abstractmethod
    def kernel(self, s: int) -> npt.NDArray[np.float64]:
        """Symmetric kernel for refinement ``s``, any positive sum; its length has the parity of ``s``."""

    @staticmethod
    def _checked(kernel: npt.NDArray[np.float64], s: int) -> Kernel:
        if (len(kernel) - s) % 2:
            raise ValueError(f"kernel of {len(kernel)} taps cannot be centred on a block of {s}")
        return tuple(float(k) for k in kernel / kernel.sum())

    @property
    def gain(self) -> float:
        """See `Operator.gain`."""
        return float(self.factor[0] * self.factor[1]) if self.total else 1.0

    def matrices(self, rows: int, cols: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The two factors (rows, rows*fy) and (cols, cols*fx) for a low-resolution size."""
        return (
            _tensor(self._kernels[0], self.factor[0], rows, like.dtype, like.device),
            _tensor(self._kernels[1], self.factor[1], cols, like.dtype, like.device),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        ky, kx = self.matrices(*self.check_input(x), x)
        return self.gain * (ky @ x @ kx.T)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        ky, kx = self.matrices(*y.shape[-2:], y)
        return self.gain * (ky.T @ y @ kx)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {"name": type(self).__name__.lower(), "factor": list(self.factor), "total": self.total}


class Area(SeparableOperator):
    """Pixel integration: the mean (or sum) of each block. The operator of detectors."""

    def kernel(self, s: int) -> npt.NDArray[np.float64]:
        """See `SeparableOperator.kernel`."""
        return np.ones(s)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        rows, cols = self.check_input(x)
        fy, fx = self.factor
        blocks = x.reshape(*x.shape[:-2], rows, fy, cols, fx)
        return blocks.sum((-3, -1)) * (self.gain / (fy * fx))

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        fy, fx = self.factor
        return y.repeat_interleave(fy, -2).repeat_interleave(fx, -1) * (self.gain / (fy * fx))

    def solve_normal(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """Exact: ``A A^T`` is a multiple of the identity."""
        fy, fx = self.factor
        return y / (self.gain**2 / (fy * fx) + regularisation)
