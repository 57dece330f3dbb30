"""Conjugate gradients for batches: every system has its own coefficients and its own end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LOOK_EVERY = 8
"""Iterations between two looks whether all systems are done, on an accelerator."""


def rows_dot(p: Tensor, q: Tensor, lead: int = 1) -> Tensor:
    """Inner products over all but the first ``lead`` axes, which keep their place with length 1."""
    return (p * q).flatten(lead).sum(lead).view(*p.shape[:lead], *[1] * (p.ndim - lead))


def conjugate(
    apply: Callable[[Tensor], Tensor],
    b: Tensor,
    preconditioner: Tensor | float,
    iterations: int,
    tolerance: float,
    lead: int = 1,
) -> Tensor:
    """Solve ``apply(x) = b`` for a symmetric positive semi-definite map; the iterate of least residual comes back.

    A system stops at the tolerance, or where the curvature is not positive (a map that is only about symmetric).
    Hestenes and Stiefel (1952), doi:10.6028/jres.049.044.

    Args:
        apply: the map, independent for each system.
        b: right-hand sides; the first ``lead`` axes count systems.
        preconditioner: about the inverse of the diagonal; broadcasts against ``b``.
        iterations: most iterations.
        tolerance: on the residual, relative to ``b``.
        lead: see ``b``.
    """
    tiny = torch.finfo(b.dtype).tiny
    x, r = torch.zeros_like(b), b
    z = preconditioner * r
    p, rz = z, rows_dot(r, z, lead)
    size = rows_dot(b, b, lead)
    goal, least, best = tolerance**2 * size, size, x
    for i in range(iterations):
        active = least > goal
        if (b.device.type == "cpu" or i % LOOK_EVERY == LOOK_EVERY - 1) and not bool(active.any()):
            break
        ap = apply(p)
        curvature = rows_dot(p, ap, lead)
        active = active & (curvature > 0)
        alpha = torch.where(active, rz / curvature.clamp(min=tiny), 0.0)
        x, r = x + alpha * p, r - alpha * ap
        rest = rows_dot(r, r, lead)
        best = torch.where(rest < least, x, best)
        least = torch.minimum(least, rest)
        z = preconditioner * r
        new = rows_dot(r, z, lead)
        p = torch.where(active, z + new / rz.clamp(min=tiny) * p, torch.zeros_like(p))
        rz = torch.where(active, new, rz)
    return best
