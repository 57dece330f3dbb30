"""The mixture's denoiser E[x0 | x0 + sigma n] on windows, as a handful of matrix products.

With ``D = r + sigma^2`` and ``S + sigma^2 = L L^T + D``, the matrix inversion lemma gives both the evidence of every
component and the shrinkage, at the cost of one (coefficients x rank) product per component.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .closed import CHUNK_BYTES, NEGLIGIBLE


class Denoiser:
    """Denoise windows at one noise level.

    Args:
        weight: (k,) mixture weights.
        mean: (k, d) component means, cosine coefficients.
        directions: (k, d, r).
        remainder: (k, d) variances.
        sigma: noise level.
        top: components kept per window.
    """

    def __init__(
        self, weight: Tensor, mean: Tensor, directions: Tensor, remainder: Tensor, sigma: float, top: int
    ) -> None:
        self.sigma2, self.top = sigma**2, min(top, len(weight))
        diagonal = remainder.double() + sigma**2  # (k, d)
        scaled = directions.double() / diagonal[..., None]  # (k, d, r)
        inner = directions.double().transpose(1, 2) @ scaled
        inner.diagonal(dim1=1, dim2=2).add_(1.0)
        factor = torch.linalg.cholesky(inner)
        project = torch.linalg.solve_triangular(factor, scaled.transpose(1, 2), upper=False).transpose(1, 2)
        log_det = diagonal.log().sum(1) + 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        offset = torch.einsum("kd,kdr->kr", mean.double(), project)
        constant = (mean.double().square() / diagonal).sum(1)

        k, d, r = project.shape
        dtype = mean.dtype
        self.components, self.rank = k, r
        self.project = project.to(dtype)  # (k, d, r)
        self.flat_project = project.permute(1, 0, 2).reshape(d, k * r).to(dtype)
        self.offset = offset.to(dtype)  # (k, r)
        self.inverse = (1 / diagonal).to(dtype)  # (k, d)
        self.linear = (mean.double() / diagonal).to(dtype)  # (k, d)
        self.mean = mean
        self.log_weight = (weight.double().log() - 0.5 * (log_det + constant)).to(dtype)

    def log_evidence(self, c: Tensor) -> Tensor:
        """Log joint weight of component and window up to a constant, (n, k), for coefficients (n, d)."""
        rows = max(1, CHUNK_BYTES // (4 * self.components * self.rank))
        parts = []
        for chunk in c.split(rows):
            b = (chunk @ self.flat_project).view(-1, self.components, self.rank) - self.offset
            quadratic = chunk.square() @ self.inverse.T - 2 * (chunk @ self.linear.T)
            parts.append(self.log_weight - 0.5 * (quadratic - b.square().sum(2)))
        return torch.cat(parts)

    def __call__(self, c: Tensor, through_weights: bool = True) -> Tensor:
        """Denoised coefficients (n, d); differentiable.

        Args:
            c: windows.
            through_weights: whether the derivative includes that of the component weights.
        """
        with torch.set_grad_enabled(through_weights and torch.is_grad_enabled()):
            score, index = self.log_evidence(c).topk(self.top, 1)
            weight = torch.softmax(score, 1)
        slots = [self._slot(weight[:, j], index[:, j], j == 0) for j in range(self.top)]
        if through_weights:
            return c - self.sigma2 * self.precision(c, slots, centred=True)
        shrunk: Tensor = _FixedWeights.apply(c, self, slots)  # type: ignore[no-untyped-call]
        return shrunk

    @staticmethod
    def _slot(weight: Tensor, index: Tensor, everything: bool) -> Slot:
        """Windows sorted by component, so that each component is one matrix product."""
        chosen = torch.arange(len(index), device=index.device)
        if not everything:
            chosen = (weight.detach() > NEGLIGIBLE).nonzero()[:, 0]
        component, order = index[chosen].sort(stable=True)
        rows = chosen[order]
        found, counts = component.unique_consecutive(return_counts=True)
        return Slot(rows, weight[rows, None], list(zip(found.tolist(), counts.tolist(), strict=True)))

    def precision(self, c: Tensor, slots: list[Slot], centred: bool) -> Tensor:
        """Weighted sum over components of ``(S + sigma^2)^-1 (c - m)``; without the mean if not ``centred``."""
        total = torch.zeros_like(c)
        for slot in slots:
            own = c[slot.rows]
            parts = []
            for (k, _), x in zip(slot.runs, own.split([n for _, n in slot.runs]), strict=True):
                y = x - self.mean[k] if centred else x
                parts.append(y * self.inverse[k] - (y @ self.project[k]) @ self.project[k].T)
            if parts:
                total = total.index_add(0, slot.rows, slot.weight * torch.cat(parts))
        return total


@dataclass(frozen=True)
class Slot:
    """Windows that share a rank in the ordering of component weights.

    Attributes:
        rows: windows, sorted by component.
        weight: (rows, 1) component weights.
        runs: (component, count) in the order of ``rows``.
    """

    rows: Tensor
    weight: Tensor
    runs: list[tuple[int, int]]


class _FixedWeights(torch.autograd.Function):
    """The denoiser with component weights held fixed: affine and symmetric, its linear part is its derivative."""

    @staticmethod
    def forward(ctx: Any, c: Tensor, model: Denoiser, slots: list[Slot]) -> Tensor:  # noqa: ANN401
        ctx.model, ctx.slots = model, slots
        return c - model.sigma2 * model.precision(c, slots, centred=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        model: Denoiser = ctx.model
        return grad - model.sigma2 * model.precision(grad, ctx.slots, centred=False), None, None
