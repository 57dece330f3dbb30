"""Separable downsampling: a symmetric 1-D kernel per axis, then one sample per low-resolution pixel.

Low-resolution pixel ``i`` covers high-resolution pixels ``s i .. s i + s - 1``; the kernel is centred on the middle of
that block, ``s i + (s - 1)/2``. The image continues by half-sample reflection, so rows sum to one at borders too.

With a symmetric kernel and this reflection the cosines ``cos(pi k (i + 1/2) / n)`` (DCT-II) of the low-resolution grid
are the left singular vectors of the matrix ``K`` of an axis, whatever the kernel (Strang 1999,
doi:10.1137/S0036144598336745): each collects the high-resolution cosines that alias to it. `SeparableOperator` solves
its normal equations in that basis, exactly (the basis is dense: meant for tiles, not for a whole large scene).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.operators.base import Operator, invert_spectrum, is_uniform
from gensr.operators.boundary import fold, pad, reflect
from gensr.values.grid import Factor, as_factor

Kernel = tuple[float, ...]
FloatArray = npt.NDArray[np.float64]
LARGEST_MATRIX = 768
"""Low-resolution pixels of an axis up to which a dense matrix is used: fastest for tiles, but its cost is quadratic."""


def antialiased(function: Callable[[FloatArray], FloatArray], support: int, s: int) -> FloatArray:
    """Taps of an interpolation kernel stretched ``s`` times, as antialiased resizing uses it (Pillow, PULSE).

    Args:
        function: kernel of the distance in low-resolution pixels.
        support: the kernel vanishes from this distance on.
        s: refinement.

    Returns:
        Symmetric taps of the parity of ``s``, sum 1, without vanishing taps at the ends.
    """
    length = 2 * support * s + (s % 2)
    distance = (np.arange(length) - (length - 1) / 2) / s
    taps = function(distance)
    taps[np.abs(taps) < 1e-14] = 0.0
    margin = int(np.flatnonzero(taps)[0])
    taps = taps[margin : length - margin]
    return np.asarray(taps / taps.sum())


def _matrix(kernel: Kernel, s: int, size: int) -> FloatArray:
    """Dense (size, size*s) matrix of a 1-D kernel (length of the parity of s) with reflection at the ends."""
    rows, cols = size, size * s
    start = (s - len(kernel)) // 2  # first tap relative to the block start
    matrix = np.zeros((rows, cols))
    index = np.arange(rows)[:, None] * s + start + np.arange(len(kernel))[None, :]  # (rows, taps)
    np.add.at(matrix, (np.arange(rows)[:, None], reflect(index, cols)), np.asarray(kernel)[None, :])
    return matrix


def _spectral(kernel: Kernel, s: int, size: int) -> tuple[FloatArray, FloatArray]:
    """Orthonormal cosines ``U`` (size, size) in columns and ``U^T K`` (size, size*s), whose rows are orthogonal."""
    k, i = np.arange(size), np.arange(size)
    basis = np.cos(np.pi * np.outer(i + 0.5, k) / size) * np.sqrt(2 / size)
    basis[:, 0] = np.sqrt(1 / size)
    return basis, basis.T @ _matrix(kernel, s, size)


@lru_cache(maxsize=32)
def _tensor(kernel: Kernel, s: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # a cached inference tensor would break every later backward pass
        return torch.from_numpy(_matrix(kernel, s, size)).to(dtype=dtype, device=device)


@lru_cache(maxsize=32)
def _spectral_tensors(
    kernel: Kernel, s: int, size: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """``U``, ``U^T K`` and the squared singular values (size,)."""
    basis, rows = _spectral(kernel, s, size)
    with torch.inference_mode(False):
        u, t, e = (torch.from_numpy(a).to(dtype=dtype, device=device) for a in (basis, rows, (rows**2).sum(1)))
    return u, t, e


def _convolve(x: Tensor, kernel: Kernel, s: int) -> Tensor:
    """The matrix of `_matrix` times the last axis, in linear time: (..., size*s) to (..., size)."""
    padded = pad(x, (0, (len(kernel) - s) // 2))
    taps = x.new_tensor(kernel)[None, None]
    rows = torch.nn.functional.conv1d(padded.reshape(-1, 1, padded.shape[-1]), taps, stride=s)
    return rows.reshape(*x.shape[:-1], -1)


def _spread(y: Tensor, kernel: Kernel, s: int) -> Tensor:
    """The transpose of `_convolve`: (..., size) to (..., size*s)."""
    taps = y.new_tensor(kernel)[None, None]
    rows = torch.nn.functional.conv_transpose1d(y.reshape(-1, 1, y.shape[-1]), taps, stride=s)
    return fold(rows.reshape(*y.shape[:-1], -1), (0, (len(kernel) - s) // 2))


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
    def kernel(self, s: int) -> FloatArray:
        """Symmetric kernel for refinement ``s``, any positive sum; its length has the parity of ``s``."""

    @staticmethod
    def _checked(kernel: FloatArray, s: int) -> Kernel:
        if (len(kernel) - s) % 2:
            raise ValueError(f"kernel of {len(kernel)} taps cannot be centred on a block of {s}")
        if not np.allclose(kernel, kernel[::-1], rtol=0, atol=1e-12 * np.abs(kernel).max()):
            raise ValueError("kernel is not symmetric; MeasuredPSF takes kernels of any shape")
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
        rows, cols = self.check_input(x)
        if max(rows, cols) > LARGEST_MATRIX:
            across = _convolve(x, self._kernels[1], self.factor[1])
            return self.gain * _convolve(across.mT, self._kernels[0], self.factor[0]).mT
        ky, kx = self.matrices(rows, cols, x)
        return self.gain * (ky @ x @ kx.T)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        if max(y.shape[-2:]) > LARGEST_MATRIX:
            down = _spread(y.mT, self._kernels[0], self.factor[0]).mT
            return self.gain * _spread(down, self._kernels[1], self.factor[1])
        ky, kx = self.matrices(y.shape[-2], y.shape[-1], y)
        return self.gain * (ky.T @ y @ kx)

    def solve_normal(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """See `Operator.solve_normal`: exact in the cosine basis unless the regularisation varies over the image."""
        if not is_uniform(regularisation):
            return super().solve_normal(y, regularisation, tolerance)
        (uy, _, ey), (ux, _, ex) = self._axes(y)
        return uy @ self._filtered(uy.T @ y @ ux, ey, ex, regularisation) @ ux.T

    def pseudo_inverse(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """See `Operator.pseudo_inverse`: exact in the cosine basis unless the regularisation varies over the image."""
        if not is_uniform(regularisation):
            return super().pseudo_inverse(y, regularisation, tolerance)
        (uy, ty, ey), (ux, tx, ex) = self._axes(y)
        return self.gain * (ty.T @ self._filtered(uy.T @ y @ ux, ey, ex, regularisation) @ tx)

    def _axes(self, y: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        first, second = (
            _spectral_tensors(kernel, s, size, y.dtype, y.device)
            for kernel, s, size in zip(self._kernels, self.factor, y.shape[-2:], strict=True)
        )
        return first, second

    def _filtered(self, modes: Tensor, ey: Tensor, ex: Tensor, regularisation: float | Tensor) -> Tensor:
        spectrum = self.gain**2 * torch.outer(ey, ex)
        extent = max(n * s for n, s in zip(modes.shape[-2:], self.factor, strict=True))
        return modes * invert_spectrum(spectrum, regularisation, extent)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {"name": type(self).__name__.lower(), "factor": list(self.factor), "total": self.total}


class Area(SeparableOperator):
    """Pixel integration: the mean (or sum) of each block. The operator of detectors."""

    def kernel(self, s: int) -> FloatArray:
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
        """Exact: ``A A^T`` is a multiple of the identity, so the regularisation may vary from pixel to pixel."""
        fy, fx = self.factor
        return y / (self.gain**2 / (fy * fx) + regularisation)

    def pseudo_inverse(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """See `Operator.pseudo_inverse`; exact."""
        return self.adjoint(self.solve_normal(y, regularisation))
