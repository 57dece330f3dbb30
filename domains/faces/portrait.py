"""An aligned face as an array in memory: what the prior does not make by itself is carried on, as of a file."""

from __future__ import annotations

from copy import copy

import numpy as np
import numpy.typing as npt

from gensr.scenes.arrays import ArrayScene
from gensr.scenes.insets import Aligned, Inlaid, Insets, Subject
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, PixelGrid, Window
from gensr.values.precision import Real

from .parts import Parted, whole_part


class Portrait(ArrayScene, Parted):
    """See the module text; arrays are not searched for faces.

    Args:
        array: the scene of the array.
    """

    def __init__(self, array: ArrayScene) -> None:
        self.__dict__.update(vars(array))

    def subjects(self) -> tuple[Subject, ...] | None:
        """See `Inlaid.subjects`: it is one face."""
        return None

    def replaced(self, values: Real) -> Inlaid:
        """See `Inlaid.replaced`."""
        codes, _ = self.encode(0, values, np.ones(values.shape, np.bool_))
        other = copy(self)
        other._data, other._mask, other.planes = codes[None], None, 1
        other.grid = PixelGrid((codes.shape[1], codes.shape[2]))
        return other

    def insets(self, factor: Factor, prior: Aligned) -> Insets | None:
        """See `Inlaid.insets`: None where the prior makes it as it is wanted, and for what it is not made for."""
        rows, cols = self.grid.shape
        if rows != cols or factor[0] != factor[1] or self.planes > 1 or not self._whole:
            return None
        grey = len(self.bands) == 1 and prior.bands > 1
        if not grey and (prior.bands not in (1, len(self.bands)) or rows * factor[0] <= prior.largest(factor[0])):
            return None
        return whole_part(self, factor, prior)

    def part(self, values: npt.NDArray[np.float32]) -> Scene:
        """See `Parted.part`."""
        made = ArrayScene(values, self.domain)
        made.quantum = self.quantum
        return made

    @property
    def _whole(self) -> bool:
        return bool(self.stored(0, Window(0, 0, *self.grid.shape))[1].all())
