"""Batches of training images in generator units: windows of fields in random orientation, or whole aligned pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

FloatArray = npt.NDArray[np.float32]
FLAT = 0.02
"""Deviation below which a window is called flat, generator units (before a stretch)."""
KEEP_FLAT = 0.3
"""Share of flat windows that are used."""
WILDEST = 6.0
"""Largest value of a plane that is used where percentiles scale it: in a nearly empty plane they say nothing."""


@dataclass(frozen=True)
class Contrast:
    """Physical values to generator units while training.

    Attributes:
        low, high: percentiles of an image that become 0 and 1.
        unit: one scale for all images instead.
        jitter: deviation of the logarithm of a random contrast.
    """

    low: float = 1.0
    high: float = 99.9
    unit: float | None = None
    jitter: float = 0.1

    def to_config(self) -> dict[str, float]:
        """What a weights file keeps."""
        return {"low": self.low, "high": self.high} if self.unit is None else {"unit": self.unit}

    def __call__(self, plane: FloatArray) -> FloatArray:
        """Scaled copy of (..., rows, cols)."""
        if self.unit is not None:
            return plane / np.float32(self.unit)
        low, high = np.percentile(plane, [self.low, self.high])
        return np.asarray((plane - low) / (high - low if high > low else 1.0), np.float32)


class Fields:
    """Random windows of planes, drawn by the square root of their area.

    Args:
        images: (band, rows, cols) each; every band is a plane of its own.
        scaling: to generator units.
        side: of the windows.
        seed: of all choices.
    """

    def __init__(self, images: Iterable[FloatArray], scaling: Contrast, side: int, seed: int) -> None:
        scaled = (scaling(band) for image in images for band in image if min(band.shape) >= side)
        most = np.inf if scaling.unit is not None else WILDEST
        self.planes = [torch.from_numpy(plane).half() for plane in scaled if np.abs(plane).max() <= most]
        self.side, self.jitter, self.centred = side, scaling.jitter, scaling.unit is None
        self.seed, self.rng = seed, np.random.default_rng(seed)
        weight = np.array([p.numel() for p in self.planes], float) ** 0.5
        self.edges = np.cumsum(weight / weight.sum()) if self.planes else weight
        self.scaling = scaling.to_config()

    def __len__(self) -> int:
        return len(self.planes)

    def restart(self, step: int) -> None:
        """Draw other images than at the beginning: where a training run goes on."""
        self.rng = np.random.default_rng([self.seed, step])

    def window(self) -> Tensor:
        """One window (side, side)."""
        while True:
            plane = self.planes[min(int(np.searchsorted(self.edges, self.rng.random())), len(self.planes) - 1)]
            top = int(self.rng.integers(0, plane.shape[0] - self.side + 1))
            left = int(self.rng.integers(0, plane.shape[1] - self.side + 1))
            piece = plane[top : top + self.side, left : left + self.side].float()
            if float(piece.std()) > FLAT or self.rng.random() < KEEP_FLAT:
                break
        turn = int(self.rng.integers(8))
        piece = torch.rot90(piece, turn % 4)
        return piece.flip(0) if turn > 3 else piece

    def batch(self, count: int) -> Tensor:
        """(count, 1, side, side)."""
        stack = torch.stack([self.window() for _ in range(count)])[:, None]
        gain = torch.from_numpy(np.exp(self.rng.normal(0, self.jitter, (count, 1, 1, 1))).astype(np.float32))
        return 0.5 + (stack - 0.5) * gain if self.centred else stack * gain


class Aligned:
    """Whole pictures and their mirror images.

    Args:
        images: (band, side, side) each, all of one size.
        unit: full scale.
        seed: of all choices.
    """

    def __init__(self, images: Iterable[FloatArray], unit: float, seed: int) -> None:
        self.pictures = torch.stack([torch.from_numpy(image / np.float32(unit)).half() for image in images])
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.side, self.scaling = int(self.pictures.shape[-1]), {"unit": unit}

    def __len__(self) -> int:
        return len(self.pictures)

    def restart(self, step: int) -> None:
        """See `Fields.restart`."""
        self.rng = np.random.default_rng([self.seed, step])

    def batch(self, count: int, side: int | None = None) -> Tensor:
        """(count, band, side, side), reduced from the pictures by area where a smaller side is asked for."""
        chosen = self.pictures[torch.from_numpy(self.rng.integers(0, len(self.pictures), count))].float()
        mirrored = torch.from_numpy(self.rng.random(count) < 0.5).view(-1, 1, 1, 1)
        chosen = torch.where(mirrored, chosen.flip(-1), chosen)
        if side is None or side == self.side:
            return chosen
        if self.side % side == 0:
            return avg_pool2d(chosen, self.side // side)
        return interpolate(chosen, size=(side, side), mode="bicubic", antialias=True, align_corners=False)


@dataclass(frozen=True)
class Sized:
    """Aligned pictures at one side."""

    source: Aligned
    side: int

    @property
    def scaling(self) -> dict[str, float]:
        """See `Aligned`."""
        return self.source.scaling

    def __len__(self) -> int:
        return len(self.source)

    def restart(self, step: int) -> None:
        """See `Fields.restart`."""
        self.source.restart(step)

    def batch(self, count: int) -> Tensor:
        """(count, band, side, side)."""
        return self.source.batch(count, self.side)
