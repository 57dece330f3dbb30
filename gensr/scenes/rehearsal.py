"""Before anything is computed: a product of which no pixel is known, to see that its files can be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gensr.values.grid import Factor, Window

if TYPE_CHECKING:
    from gensr.scenes.product import Codes
    from gensr.scenes.scene import Scene

WHOLE = 1 << 20
"""Values of an output up to which a scene without a rehearsal of its own writes it whole."""


@dataclass(frozen=True)
class Blank:
    """A `gensr.scenes.product.Product` of zeros.

    Attributes:
        scene: the opened input.
        factor: refinement of rows and columns.
        slices: refinement through planes.
        samples: posterior samples.
        report: as far as it is known before the run.
    """

    scene: Scene = field(repr=False)
    factor: Factor
    slices: int
    samples: int
    report: Mapping[str, Any] = field(repr=False)

    @property
    def size(self) -> int:
        """Values of one output."""
        rows, cols = self.scene.grid.refine(self.factor).shape
        return self.scene.planes * self.slices * len(self.scene.bands) * rows * cols

    def mean(self, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.mean`."""
        return np.zeros((len(self.scene.bands), window.rows, window.cols), self.scene.dtype)

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.sample`."""
        return self.mean(plane, window)

    def std(self, plane: int, window: Window) -> npt.NDArray[np.float32]:
        """See `gensr.scenes.product.Product.std`."""
        return np.zeros((len(self.scene.bands), window.rows, window.cols), np.float32)
