"""Cutting images into overlapping windows on an absolute raster, and blending window estimates."""

from __future__ import annotations

from itertools import product

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


def cut(image: Tensor, rows: Tensor, cols: Tensor, height: int, width: int) -> Tensor:
    """Windows of (n, h, w) images at all pairs of starts: (n, len(rows), len(cols), height * width)."""
    r = rows.to(image.device)[:, None] + torch.arange(height, device=image.device)  # (gr, height)
    c = cols.to(image.device)[:, None] + torch.arange(width, device=image.device)  # (gc, width)
    return image[:, r[:, None, :, None], c[None, :, None, :]].flatten(3)


def _runs(first: Tensor) -> list[tuple[int, int, int, int]]:
    """Evenly spaced runs of starts as (index, count, first start, step)."""
    count = len(first)
    if count == 1:
        return [(0, 1, int(first[0]), 1)]
    step = int(first[1] - first[0])
    if int(first[-1] - first[-2]) == step:
        return [(0, count, int(first[0]), step)]
    return [(0, count - 1, int(first[0]), step), (count - 1, 1, int(first[-1]), 1)]


def paste(values: Tensor, rows: Tensor, cols: Tensor, side: int, shape: tuple[int, int]) -> Tensor:
    """Add windows (n, gr, gc, side * side) up into (n, *shape): the adjoint of `cut` for square windows."""
    n = values.shape[0]
    out = values.new_zeros(n, *shape)
    for (i, ni, top, down), (j, nj, left, right) in product(_runs(rows), _runs(cols)):
        block = values[:, i : i + ni, j : j + nj].permute(0, 3, 1, 2).reshape(n, side * side, ni * nj)
        height, width = (ni - 1) * down + side, (nj - 1) * right + side
        folded = torch.nn.functional.fold(block, (height, width), side, stride=(down, right))[:, 0]
        out[:, top : top + height, left : left + width] += folded
    return out


def coverage(rows: Tensor, cols: Tensor, side: int, shape: tuple[int, int]) -> Tensor:
    """How many windows hold each pixel, (h, w) float32."""
    lines = []
    for first, size in zip((rows, cols), shape, strict=True):
        line = torch.zeros(size)
        for start in first.tolist():
            line[start : start + side] += 1
        lines.append(line)
    return torch.outer(*lines)
