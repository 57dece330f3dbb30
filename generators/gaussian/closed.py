"""Exact window posteriors of a Gaussian mixture under a linear operator, precomputed as matrices.

For component ``k`` with mean ``m`` and covariance ``S`` on a window, data ``y = A x + n``, noise covariance ``N``:
gain ``G = S A^T (A S A^T + N)^-1``, posterior mean ``m + G (y - A m)``, covariance ``S - G A S`` and evidence
``log N(y; A m, A S A^T + N)``, which turns prior weights into posterior weights. (Yu, Sapiro and Mallat,
arXiv:1006.3056; Zoran and Weiss, ICCV 2011.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gensr.operators import Operator

CHUNK_BYTES = 4 << 20
"""Intermediate results of a product stay in the cache at about this size."""
NEGLIGIBLE = 1e-3
"""Component weights below this are dropped."""


@dataclass(frozen=True)
class WindowMoments:
    """Prior of one window: ``weight`` (k,), ``mean`` (k, d), ``covariance`` (k, d, d), float64."""

    weight: Tensor
    mean: Tensor
    covariance: Tensor


def window_matrix(operator: Operator, window: int) -> tuple[Tensor, Tensor]:
    """The operator on one window as a dense matrix, and how much of each row falls outside the window.

    Args:
        operator: a local operator.
        window: high-resolution side, a multiple of the factor.

    Returns:
        (m, d) float64 matrix with what leaves the window folded back, and (m,) share of the kernel that left it.
    """
    fy, fx = operator.factor
    pad = operator.reach + 1 if operator.reach else 0
    eye = torch.eye(window * window, dtype=torch.float64).reshape(-1, window, window)
    folded = operator.forward(eye).flatten(1).T  # (m, d)
    if not pad:
        return folded, torch.zeros(folded.shape[0], dtype=torch.float64)
    wide = torch.nn.functional.pad(eye, (pad * fx, pad * fx, pad * fy, pad * fy))
    inner = operator.forward(wide)[:, pad:-pad, pad:-pad].flatten(1).T  # (m, d)
    return folded, (folded - inner).abs().sum(1)


@dataclass(frozen=True)
class Seen:
    """A window and its data before noise: all that noise levels share. float64 on the CPU.

    Attributes:
        weight: (k,).
        mean: (k, d) of the window, ``m``.
        expected: (k, m) of the data, ``A m``.
        marginal: (k, d) variances, the diagonal of ``S``.
        cross: (k, m, d), ``A S``.
        spread: (k, m, m), ``A S A^T``.
    """

    weight: Tensor
    mean: Tensor
    expected: Tensor
    marginal: Tensor
    cross: Tensor
    spread: Tensor

    @staticmethod
    def of(prior: WindowMoments, matrix: Tensor) -> Seen:
        """From the moments of a window and an operator (m, d) on it."""
        cross = matrix @ prior.covariance
        marginal = prior.covariance.diagonal(dim1=1, dim2=2)
        return Seen(prior.weight, prior.mean, prior.mean @ matrix.T, marginal, cross, cross @ matrix.T)


class WindowPosterior:
    """Posterior of every window of a low-resolution image, all components at once.

    Args:
        seen: moments of the window and its data.
        variance: (m,) noise variance of each datum of the window.
        top: number of components kept per window; the rest carries no weight worth its cost.
        device: where to work.
    """

    def __init__(self, seen: Seen, variance: Tensor, top: int, device: str) -> None:
        self.components, self.top = len(seen.weight), min(top, len(seen.weight))
        self._seen, self._device = seen, device
        data = len(variance)
        factor = torch.linalg.cholesky(seen.spread + torch.diag(variance))
        self._whiten = torch.linalg.solve_triangular(factor, torch.eye(data, dtype=torch.float64), upper=False)
        self.log_weight = self._ready(seen.weight.log() - factor.diagonal(dim1=1, dim2=2).log().sum(1))
        self.log_constant = -0.5 * data * math.log(2 * math.pi)
        shift = (self._whiten @ seen.expected[..., None]).flatten()  # (k*m,)
        self.whiten, self.shift = self._ready(self._whiten.permute(2, 0, 1).flatten(1)), self._ready(-shift)  # (m, k*m)

    def _ready(self, x: Tensor) -> Tensor:
        return x.to(device=self._device, dtype=torch.float32).contiguous()

    @cached_property
    def _solution(self) -> tuple[Tensor, Tensor, Tensor]:
        """Gain (k, m, d), constant part of the mean (k, d), marginal variance (k, d); evidence needs none of them."""
        white_cross = self._whiten @ self._seen.cross
        gain = self._whiten.transpose(1, 2) @ white_cross
        marginal = self._seen.marginal - white_cross.square().sum(1)
        base = self._seen.mean - (self._seen.expected[:, None] @ gain)[:, 0]
        return self._ready(gain), self._ready(base), self._ready(marginal.clamp(min=1e-12))

    def log_evidence(self, y: Tensor) -> Tensor:
        """Log joint weight of component and data, (n, k), up to `log_constant`, for windows (n, m)."""
        m = y.shape[1]
        rows = max(1, CHUNK_BYTES // (4 * self.components * m))
        parts = []
        for chunk in y.split(rows):
            z = torch.addmm(self.shift, chunk, self.whiten).view(-1, self.components, m)
            parts.append(torch.linalg.vector_norm(z, dim=2).square_().mul_(-0.5).add_(self.log_weight))
        return torch.cat(parts)

    def moments(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and marginal variance (n, d) of windows (n, m)."""
        score, index = self.log_evidence(y).topk(self.top, 1)
        weight = torch.softmax(score, 1)  # (n, top)
        marginal = self._solution[2]
        first, second = y.new_empty(len(y), marginal.shape[1]), y.new_empty(len(y), marginal.shape[1])
        for rank in range(self.top):
            rows = (weight[:, rank] > NEGLIGIBLE).nonzero()[:, 0] if rank else torch.arange(len(y), device=y.device)
            # Windows of one component lie together, so that each component is one matrix product.
            component, order = index[rows, rank].sort(stable=True)
            rows = rows[order]
            estimate = self._estimate(y[rows], component)
            w = weight[rows, rank, None]
            square = (estimate.square() + marginal[component]).mul_(w)
            estimate.mul_(w)
            if rank == 0:
                first[rows], second[rows] = estimate, square
            else:
                first.index_add_(0, rows, estimate)
                second.index_add_(0, rows, square)
        return first, second.sub_(first.square()).clamp_(min=1e-12)

    def _estimate(self, y: Tensor, component: Tensor) -> Tensor:
        gain, base, _ = self._solution
        out = y.new_empty(len(y), base.shape[1])
        begin = 0
        for k, count in enumerate(component.bincount(minlength=self.components).tolist()):
            if count:
                torch.addmm(base[k], y[begin : begin + count], gain[k], out=out[begin : begin + count])
                begin += count
        return out
