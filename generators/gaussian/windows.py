"""Cutting images into overlapping windows on an absolute raster, and blending window estimates."""

from __future__ import annotations

import torch
from torch import Tensor


def starts(size: int, window: int, step: int, at_end: bool = True) -> Tensor:
    """First pixels of the windows of one axis: every ``step``, and one flush with the end of the image.

    Args:
        size: pixels of the axis, at least ``window``.
        window: window side.
        step: stride; the image starts at a multiple of it.
        at_end: whether the last pixel is the border of the scene; elsewhere a neighbouring tile goes on.
    """
    last = size - window
    regular = torch.arange(0, last + 1, step)
    if at_end and int(regular[-1]) != last:
        regular = torch.cat([regular, torch.tensor([last])])
    return regular


def cut(image: Tensor, rows: Tensor, cols: Tensor, window: int) -> Tensor:
    """Windows of (n, h, w) images at all pairs of starts: (n, len(rows), len(cols), window * window)."""
    span = torch.arange(window, device=image.device)
    r = rows.to(image.device)[:, None] + span  # (gr, window)
    c = cols.to(image.device)[:, None] + span  # (gc, window)
    picked = image[:, r[:, None, :, None], c[None, :, None, :]]  # (n, gr, gc, window, window)
    return picked.flatten(3)


def paste(values: Tensor, rows: Tensor, cols: Tensor, window: int, shape: tuple[int, int]) -> Tensor:
    """Add windows (n, gr, gc, window * window) up into (n, h, w): the adjoint of `cut`.

    Each pass adds disjoint windows only, in a fixed order, so that sums do not depend on threads.
    """
    n = values.shape[0]
    out = values.new_zeros(n, *shape)
    tiles = values.unflatten(3, (window, window))
    for i, r in enumerate(rows.tolist()):
        # Columns of this line of windows are folded first, then the line is added as a whole.
        line = values.new_zeros(n, window, shape[1])
        for j, c in enumerate(cols.tolist()):
            line[:, :, c : c + window] += tiles[:, i, j]
        out[:, r : r + window] += line
    return out
