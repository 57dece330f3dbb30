"""A first guess for data that are not usable."""

from __future__ import annotations

import torch
from torch import Tensor

MIDDLE = 0.5


def fill(y: Tensor, usable: Tensor) -> Tensor:
    """Replace pixels that are not usable by the mean of usable neighbours, ring by ring; 0.5 where there are none."""
    kernel = y.new_ones(1, 1, 3, 3)
    shape = y.shape
    known = usable.reshape(-1, 1, *shape[-2:]).to(y.dtype)
    value = torch.where(usable, y, torch.zeros_like(y)).reshape_as(known)
    for _ in range(12):
        if bool((known > 0).all()):
            break
        count = torch.nn.functional.conv2d(known, kernel, padding=1)
        total = torch.nn.functional.conv2d(value * known, kernel, padding=1)
        fresh = (known == 0) & (count > 0)
        value = torch.where(fresh, total / count.clamp(min=1), value)
        known = torch.where(fresh, torch.ones_like(known), known)
    return torch.where(known > 0, value, torch.full_like(value, MIDDLE)).reshape(shape)
