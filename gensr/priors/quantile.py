"""From standard normal numbers, which a search moves, to the numbers that a network was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gensr.priors.schema import List, Number, Record, Text

CUT = 2.0
"""Where truncated normal numbers end."""
DISTRIBUTION = Record({"kind": Text(20, "normal|uniform|truncated"), "mean": Number(), "scale": Number(1e-12, 1e12)})
"""What a header says: ``mean + scale x``, x normal, or uniform in 0..1, or normal and drawn again beyond 2."""


def as_trained(white: Tensor, said: Mapping[str, Any]) -> Tensor:
    """Numbers of a distribution, monotonic in standard normal ones and smooth.

    >>> as_trained(torch.tensor([-9.0, 0.0, 9.0]), {"kind": "uniform", "mean": -1.0, "scale": 2.0}).tolist()
    [-1.0, 0.0, 1.0]
    """
    if said["kind"] == "uniform":
        white = torch.special.ndtr(white)
    elif said["kind"] == "truncated":
        low, high = torch.special.ndtr(white.new_tensor([-CUT, CUT]))
        white = torch.special.ndtri(low + (high - low) * torch.special.ndtr(white))
    mean, scale = float(said["mean"]), float(said["scale"])
    return mean + scale * white


def whitened(trained: Tensor, said: Mapping[str, Any]) -> Tensor:
    """Inverse of `as_trained`; what lies outside is brought to four deviations."""
    mean, scale = float(said["mean"]), float(said["scale"])
    x = (trained - mean) / scale
    if said["kind"] == "normal":
        return x
    if said["kind"] == "truncated":
        low, high = torch.special.ndtr(x.new_tensor([-CUT, CUT]))
        x = (torch.special.ndtr(x) - low) / (high - low)
    white: Tensor = torch.special.ndtri(x.clamp(3.2e-5, 1 - 3.2e-5))
    return white


RANGE = List(Number(-1e6, 1e6), 2, 2)
"""Values that a network makes of black and of white."""


def from_range(image: Tensor, said: tuple[float, float]) -> Tensor:
    """A network's image in 0..1."""
    low, high = said
    return (image - low) / (high - low)


def to_range(image: Tensor, said: tuple[float, float]) -> Tensor:
    """Inverse of `from_range`."""
    low, high = said
    return low + (high - low) * image
