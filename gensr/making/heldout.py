"""Held-out images in generator units: scaled as in training, chosen at random, refused where they say nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.priors.card import GeneratorCard

Array = npt.NDArray[np.float32]
WILDEST = 6.0
"""Planes with larger values are left out where percentiles scale them: in a nearly empty plane they say nothing."""


@runtime_checkable
class Scaled(Protocol):
    """A generator that says how physical values became generator units while it was trained.

    Attributes:
        scaling: "unit", the value that is 1, or "low" and "high", the percentiles that are 0 and 1; empty if not known.
        flux: whether values are summed by instruments; images are then multiplied by the factor.
    """

    scaling: Mapping[str, float]
    flux: bool


@dataclass(frozen=True)
class UnitScaling:
    """Physical values to generator units.

    Attributes:
        low, high: percentiles of a plane that become 0 and 1.
        unit: the value that becomes 1, instead of percentiles.
    """

    low: float = 0.0
    high: float = 100.0
    unit: float | None = None

    def __call__(self, plane: Array) -> Array | None:
        """Scaled copy of (rows, cols); None for a plane that is constant or nearly empty, where percentiles fail."""
        if self.unit is not None:
            return plane / np.float32(self.unit)
        low, high = np.percentile(plane, [self.low, self.high])
        if high <= low:
            return None
        scaled = np.asarray((plane - low) / (high - low), np.float32)
        return scaled if float(np.abs(scaled).max()) <= WILDEST else None


def prepare(
    images: Iterable[Array], card: GeneratorCard, scaling: UnitScaling, count: int, seed: int = 0
) -> list[Tensor]:
    """Images in generator units, chosen at random, in their own order.

    Args:
        images: (band, rows, cols) in the values of their files.
        card: of the generator; one that models several bands jointly needs images of as many.
        scaling: to generator units.
        count: how many at most.
        seed: of the choice.

    Returns:
        Up to ``count`` images; constant and nearly empty planes are left out.

    Raises:
        UsageError: an image with NaN or infinity, or of another number of bands, or of another size (aligned).
    """
    pool = list(images)
    chosen: dict[int, Tensor] = {}
    for i in (int(j) for j in np.random.default_rng(seed).permutation(len(pool))):
        if len(chosen) == count:
            break
        image, place = pool[i], f"image {i + 1} of {len(pool)}"
        if not np.isfinite(image).all():
            raise UsageError(f"{place} holds NaN or infinity; fill or remove it")
        if card.bands not in (1, len(image)):
            raise UsageError(f"{place} has {len(image)} band(s), but {card.name} models {card.bands} jointly")
        if card.aligned and (image.shape[1] != image.shape[2] or image.shape != pool[0].shape):
            raise UsageError(
                f"{place} has {image.shape[2]} x {image.shape[1]} pixels; {card.name} is for aligned square pictures "
                "of one size; crop them"
            )
        planes = [scaled for scaled in map(scaling, image) if scaled is not None]
        if planes and (card.bands == 1 or len(planes) == len(image)):
            chosen[i] = torch.from_numpy(np.stack(planes))
    return [chosen[i] for i in sorted(chosen)]
