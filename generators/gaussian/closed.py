"""Exact window posteriors of a Gaussian mixture under a linear operator, precomputed as matrices.

For component ``k`` with mean ``m`` and covariance ``S`` on a window, data ``y = A x + n``, noise covariance ``N``:
gain ``G = S A^T (A S A^T + N)^-1``, posterior mean ``m + G (y - A m)``, covariance ``S - G A S`` and evidence
``log N(y; A m, A S A^T + N)``, which turns prior weights into posterior weights. (Yu, Sapiro and Mallat,
arXiv:1006.3056; Zoran and Weiss, ICCV 2011.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gensr.operators import Operator

CHUNK_BYTES = 96 << 20


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


class WindowPosterior:
    """Posterior of every window of a low-resolution image, all components at once.

    Args:
        prior: moments of the window.
        matrix: (m, d) operator on the window.
        variance: (m,) noise variance of each datum of the window.
        top: number of components kept per window; the rest carries no weight worth its cost.
        device: where to work.
    """

    def __init__(self, prior: WindowMoments, matrix: Tensor, variance: Tensor, top: int, device: str) -> None:
        self.components, self.top = len(prior.weight), min(top, len(prior.weight))
        cross = matrix @ prior.covariance  # (k, m, d)
        spread = cross @ matrix.T + torch.diag(variance)  # (k, m, m)
        factor = torch.linalg.cholesky(spread)
        whiten = torch.linalg.solve_triangular(factor, torch.eye(len(matrix), dtype=torch.float64), upper=False)
        gain = torch.cholesky_solve(cross, factor)  # (k, m, d)
        marginal = prior.covariance.diagonal(dim1=1, dim2=2) - (gain * cross).sum(1)  # (k, d)
        expected = prior.mean @ matrix.T  # (k, m)
        log_weight = prior.weight.log() - factor.diagonal(dim1=1, dim2=2).log().sum(1)
        self.log_constant = -0.5 * len(matrix) * torch.log(torch.tensor(2 * torch.pi, dtype=torch.float64)).item()

        def ready(x: Tensor) -> Tensor:
            return x.to(device=device, dtype=torch.float32).contiguous()

        self.gain, self.mean, self.expected = ready(gain), ready(prior.mean), ready(expected)
        self.marginal, self.log_weight = ready(marginal.clamp(min=1e-12)), ready(log_weight)
        self.whiten = ready(whiten.transpose(1, 2)).permute(1, 0, 2).reshape(len(matrix), -1).contiguous()  # (m, k*m)
        shift = torch.einsum("kij,kj->ki", whiten, expected)
        self.shift = ready(shift).reshape(-1)  # (k*m,)

    def log_evidence(self, y: Tensor) -> Tensor:
        """Log joint weight of component and data, (n, k), up to `log_constant`, for windows (n, m)."""
        m = y.shape[1]
        rows = max(1, CHUNK_BYTES // (4 * self.components * m))
        parts = []
        for chunk in y.split(rows):
            z = (chunk @ self.whiten).sub_(self.shift).square_()
            parts.append(z.view(-1, self.components, m).sum(2).mul_(-0.5).add_(self.log_weight))
        return torch.cat(parts)

    def moments(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and marginal variance (n, d) of windows (n, m)."""
        score, index = self.log_evidence(y).topk(self.top, 1)
        weight = torch.softmax(score, 1)  # (n, top)
        n, d = len(y), self.mean.shape[1]
        first = y.new_zeros(n, d)
        second = y.new_zeros(n, d)
        for k in index.unique().tolist():
            rows, column = (index == k).nonzero(as_tuple=True)
            estimate = torch.addmm(self.mean[k], y[rows] - self.expected[k], self.gain[k])
            w = weight[rows, column, None]
            first.index_add_(0, rows, w * estimate)
            second.index_add_(0, rows, w * (estimate.square() + self.marginal[k]))
        return first, (second - first.square()).clamp_(min=1e-12)
