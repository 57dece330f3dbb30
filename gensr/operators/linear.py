"""Conjugate gradients for batches: every row has its own coefficients and its own end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LOOK_EVERY = 8
"""Iterations between two looks whether all rows are done, on an accelerator."""


def rows_dot(p: Tensor, q: Tensor) -> Tensor:
    """Inner products of rows (n, ...), shaped (n, 1, ...)."""
    return (p * q).flatten(1).sum(1).view(-1, *[1] * (p.ndim - 1))


def conjugate(
    apply: Callable[[Tensor], Tensor], b: Tensor, preconditioner: Tensor, iterations: int, tolerance: float
) -> Tensor:
    """Solve ``apply(x) = b`` for a symmetric positive map on rows (n, ...).

    A row stops at the tolerance, or where the curvature is not positive (a map that is only about symmetric).
    Hestenes and Stiefel (1952), doi:10.6028/jres.049.044.

    Args:
        apply: the map, independent for each row.
        b: (n, ...).
        preconditioner: about the inverse of the diagonal; broadcasts against ``b``.
        iterations: most iterations.
        tolerance: on the residual, relative to ``b``.
    """
    tiny = torch.finfo(b.dtype).tiny
    x, r = torch.zeros_like(b), b
    z = preconditioner * r
    p, rz = z, rows_dot(r, z)
    goal = tolerance**2 * rows_dot(b, b)
    for i in range(iterations):
        active = rows_dot(r, r) > goal
        if (b.device.type == "cpu" or i % LOOK_EVERY == LOOK_EVERY - 1) and not bool(active.any()):
            break
        ap = apply(p)
        curvature = rows_dot(p, ap)
        active = active & (curvature > 0)
        alpha = torch.where(active, rz / curvature.clamp(min=tiny), 0.0)
        x, r = x + alpha * p, r - alpha * ap
        z = preconditioner * r
        new = rows_dot(r, z)
        p = torch.where(active, z + new / rz.clamp(min=tiny) * p, torch.zeros_like(p))
        rz = torch.where(active, new, rz)
    return x
