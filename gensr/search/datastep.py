"""What the data do to a denoised image: ``E[x0 | x, y] = D + C A^T (A C A^T + N)^-1 (y - A D)``.

``D = E[x0 | x]`` and ``C = Cov[x0 | x]``, which is ``sigma^2 dD/dx`` (Tweedie's second-order formula; Boys et al.,
arXiv:2310.06721). The three forms differ in what they put for ``C``; only the first is exact where ``p(x0 | x)`` is
Gaussian. Data that are not usable are left out of the system, which equals removing their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gensr.operators import Operator
from gensr.operators.linear import conjugate, rows_dot
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation

DataStep = Literal["tweedie", "pigdm", "ddnm"]
EXPLICIT = 64
"""Data per image up to which the system is written out and solved exactly."""
CHUNK = 1 << 24
"""Numbers that one batch of derivatives may hold."""
RANGE_ITERATIONS = 60


@dataclass(frozen=True)
class Measured:
    """An observation made ready for linear algebra: zeros, and unit variance, where data are not usable."""

    y: Tensor
    variance: Tensor
    mask: Tensor
    operator: Operator
    at_end: tuple[bool, bool]

    @staticmethod
    def of(data: Observation) -> Measured:
        """From an observation."""
        y, variance = torch.where(data.usable, data.y, 0.0), torch.where(data.usable, data.variance, 1.0)
        return Measured(y, variance.to(y), data.usable.to(y), data.operator, data.at_end)

    def forward(self, x: Tensor) -> Tensor:
        """``A x`` where data are usable, 0 elsewhere; any leading axes before those of the data."""
        return self.mask * self.operator.forward(x)

    def adjoint(self, u: Tensor) -> Tensor:
        """The transpose of `forward`."""
        return self.operator.adjoint(self.mask * u)


@dataclass(frozen=True)
class Told:
    """A denoiser that also knows the data.

    Attributes:
        generator: has a denoiser.
        data: what was measured.
        kind: which covariance, see `gensr.search.guided.Guided`.
        iterations: see there.
    """

    generator: Generator
    data: Measured
    kind: DataStep
    iterations: int

    def __call__(self, x: Tensor, sigma: float, guess: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``E[x0 | x, y]``, and the solution ``u`` of the system behind it.

        Args:
            x: (n, band, rows, cols).
            sigma: noise level of ``x``.
            guess: ``u`` of the step before: it hardly changes from one noise level to the next.
        """
        level = x.new_full((len(x),), sigma)
        ratio = sigma**2 / (1 + sigma**2)
        if self.kind == "ddnm":
            clean = self.generator.denoise(x, level, self.data.at_end)
            u = solve_range(self.data, ratio, self.data.y - self.data.forward(clean))
            return clean + ratio * self.data.adjoint(u), u
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            clean = self.generator.denoise(leaf, level, self.data.at_end)
        covariance = Covariance(clean, leaf, sigma**2)
        clean = clean.detach()
        residual = self.data.y - self.data.forward(clean)
        if self.kind == "tweedie" and residual[0].numel() > EXPLICIT:
            gain, u = solve_iterative(self.data, covariance, residual, guess, self.iterations)
            return clean + gain, u
        if self.kind == "tweedie":
            u = solve_explicit(self.data, covariance, residual)
        else:
            u = solve_range(self.data, ratio, residual)
        return clean + covariance(self.data.adjoint(u)), u


@dataclass(frozen=True)
class Covariance:
    """``Cov[x0 | x] = sigma^2 dD/dx`` as a linear map, one row of the batch at a time; it is symmetric."""

    clean: Tensor
    leaf: Tensor
    sigma2: float

    def __call__(self, v: Tensor) -> Tensor:
        """Apply to images (n, band, rows, cols)."""
        (grad,) = torch.autograd.grad(self.clean, self.leaf, v, retain_graph=True)
        return self.sigma2 * grad

    def batched(self, v: Tensor) -> Tensor:
        """Apply to many images per row, (k, n, band, rows, cols)."""
        (grad,) = torch.autograd.grad(self.clean, self.leaf, v, retain_graph=True, is_grads_batched=True)
        return self.sigma2 * grad


def solve_explicit(data: Measured, covariance: Covariance, residual: Tensor) -> Tensor:
    """``(A C A^T + N)^-1 r`` with the matrix written out, a derivative per datum."""
    n, m = len(residual), residual[0].numel()
    unit = torch.eye(m, dtype=residual.dtype, device=residual.device).view(m, 1, *residual.shape[1:])
    chunk = max(1, CHUNK // (8 * covariance.leaf.numel()))
    rows = [
        data.forward(covariance.batched(data.adjoint(part.expand(-1, n, -1, -1, -1)))).flatten(2)
        for part in torch.split(unit, chunk, 0)
    ]
    matrix = torch.cat(rows).transpose(0, 1)  # (n, m, m)
    matrix = 0.5 * (matrix + matrix.mT)
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    diagonal += data.variance.flatten(1) + _jitter(residual) * diagonal.mean(1, keepdim=True).clamp(min=0)
    solution: Tensor = torch.linalg.solve_ex(matrix, residual.flatten(1)[..., None])[0]
    return solution[..., 0].view_as(residual)


def solve_iterative(
    data: Measured, covariance: Covariance, residual: Tensor, guess: Tensor | None, iterations: int
) -> tuple[Tensor, Tensor]:
    """The same by preconditioned conjugate residuals: ``C A^T u`` and ``u``, a derivative per iteration.

    The derivative of a real denoiser is not quite symmetric, so each direction is made orthogonal to all before it and
    the residual never grows (Eisenstat, Elman and Schultz 1983, doi:10.1137/0720023). A guess is a first direction of
    its own and costs a derivative more.
    """
    ratio = covariance.sigma2 / (1 + covariance.sigma2)
    scale = 1 / (ratio * data.operator.row_energy(data.y) + data.variance)
    tiny = torch.finfo(residual.dtype).tiny
    u, gain, r = torch.zeros_like(residual), torch.zeros_like(covariance.leaf), residual
    seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for i in range(iterations + (guess is not None)):
        p = guess if guess is not None and i == 0 else scale * r
        image = covariance(data.adjoint(p))
        q = data.forward(image) + data.variance * p
        for p_old, image_old, q_old, size in seen:
            overlap = rows_dot(q, scale * q_old) / size
            p, image, q = p - overlap * p_old, image - overlap * image_old, q - overlap * q_old
        size = rows_dot(q, scale * q).clamp(min=tiny)
        alpha = rows_dot(r, scale * q) / size
        u, gain, r = u + alpha * p, gain + alpha * image, r - alpha * q
        seen.append((p, image, q, size))
    return gain, u


def solve_range(data: Measured, ratio: float, residual: Tensor) -> Tensor:
    """``(ratio A A^T + N)^-1 r``; needs the operator only."""
    variance = data.variance.flatten(1)
    uniform = (data.mask.flatten(1) > 0).all(1) & (variance == variance[:, :1]).all(1)
    if bool(uniform.all()):
        return data.operator.solve_normal(residual, variance[:, 0].view(-1, 1, 1, 1) / ratio) / ratio

    def apply(v: Tensor) -> Tensor:
        return ratio * data.forward(data.adjoint(v)) + data.variance * v

    start = 1 / (ratio * data.operator.row_energy(data.y) + data.variance)
    return conjugate(apply, residual, start, RANGE_ITERATIONS, 1e-6 if residual.dtype == torch.float32 else 1e-12)


def _jitter(like: Tensor) -> float:
    return 1e-6 if like.dtype == torch.float32 else 1e-12
