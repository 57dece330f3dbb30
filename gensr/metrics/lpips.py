"""LPIPS with the trunk of AlexNet, from a file of yours: gensr ships no weights for it and downloads none.

Zhang et al. (2018), arXiv:1801.03924, eq. 1. Registered as the distance ``lpips-alex``; it reads the safetensors file
that the environment variable ``GENSR_LPIPS`` names, with the tensors of torchvision's AlexNet (``features.0.weight``,
...) and of the linear heads (``lin0.model.1.weight``, ...) as their authors call them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from gensr.errors import WeightsError

VARIABLE = "GENSR_LPIPS"
LAYERS = ((0, 64, 3, 11, 4, 2), (3, 192, 64, 5, 1, 2), (6, 384, 192, 3, 1, 1), (8, 256, 384, 3, 1, 1),
          (10, 256, 256, 3, 1, 1))  # fmt: skip
"""Number among ``features``, channels out and in, side, stride and padding of every convolution."""
POOLED = (3, 6)
"""Before these, maxima over 3 x 3 at every other pixel."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of red, green and blue from -1 to 1."""
LEAST = 64
"""Sides below this many pixels leave nothing after the trunk."""
MOST_BYTES = 1 << 28


class Lpips:
    """LPIPS of two pictures.

    Args:
        path: of the weights; that of `VARIABLE` if not given.

    Raises:
        WeightsError: no file is named, or it lacks a tensor.
    """

    name = "LPIPS (alex)"

    def __init__(self, path: Path | None = None) -> None:
        named = os.environ.get(VARIABLE, "") if path is None else str(path)
        if not named:
            raise WeightsError(f"{VARIABLE} is not set; name a safetensors file with the weights of LPIPS (alex)")
        tensors = _read(Path(named))
        self._layers: list[tuple[int, Tensor, Tensor, Tensor, int, int]] = []
        for number, (index, out, into, side, stride, padding) in enumerate(LAYERS):
            wanted = {
                f"features.{index}.weight": (out, into, side, side),
                f"features.{index}.bias": (out,),
                f"lin{number}.model.1.weight": (1, out, 1, 1),
            }
            for key, shape in wanted.items():
                if key not in tensors or tuple(tensors[key].shape) != shape:
                    held = tuple(tensors[key].shape) if key in tensors else "nothing"
                    raise WeightsError(f"{named}: {key} is {held}; expected {shape}, as torchvision and LPIPS have it")
            weight, bias, head = (tensors[key].float() for key in wanted)
            self._layers.append((index, weight, bias, head, stride, padding))

    def __call__(self, first: npt.NDArray[Any], second: npt.NDArray[Any], peak: float) -> float:
        """Distance of two pictures (1 or 3, y, x), 0 to ``peak``.

        Raises:
            ValueError: shapes differ, or a picture is too small.
        """
        if first.shape != second.shape or first.ndim != 3 or first.shape[0] not in (1, 3):
            raise ValueError(f"pictures of shapes {first.shape} and {second.shape}: expected two of (1 or 3, y, x)")
        if min(first.shape[1:]) < LEAST:
            raise ValueError(
                f"pictures of shape {first.shape} are smaller than {LEAST} pixels; LPIPS sees nothing there"
            )
        pair = torch.from_numpy(np.stack([first, second]).astype(np.float32)) * (2 / peak) - 1
        shift, scale = (torch.tensor(t).view(1, 3, 1, 1) for t in (SHIFT, SCALE))
        x = (pair.expand(-1, 3, -1, -1) - shift) / scale
        with torch.no_grad():
            return self._distance(x)

    def _distance(self, x: Tensor) -> float:
        total = 0.0
        for index, weight, bias, head, stride, padding in self._layers:
            if index in POOLED:
                x = functional.max_pool2d(x, 3, 2)
            x = functional.conv2d(x, weight, bias, stride, padding).relu()
            unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            gap = (unit[:1] - unit[1:]).square()
            total += float(functional.conv2d(gap, head).mean())
        return total


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.stat().st_size > MOST_BYTES:
            raise WeightsError(f"{path}: {path.stat().st_size} bytes are more than AlexNet has; check the file")
        return load_file(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); {VARIABLE} names a safetensors file") from error
    except SafetensorError as error:
        raise WeightsError(f"{path}: is no safetensors file ({error}); convert the weights once") from error
