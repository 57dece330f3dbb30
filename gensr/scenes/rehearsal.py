"""Before anything is computed: a product of which no pixel is known, to see that its files can be written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gensr.scenes.product import Codes
from gensr.values.grid import Factor, Window
from gensr.values.precision import SINGLE, Real

WHOLE = 1 << 20
"""Values of an output up to which a scene without a rehearsal of its own writes it whole."""


@dataclass(frozen=True)
class Blank:
    """A `gensr.scenes.product.Product` of zeros.

    Attributes:
        shape: of an output, (plane, band, row, col).
        dtype: of stored values.
        factor: refinement of rows and columns.
        slices: refinement through planes.
        samples: posterior samples.
        report: as far as it is known before the run.
        precision: dtype of deviations.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    factor: Factor
    slices: int
    samples: int
    report: Mapping[str, Any] = field(repr=False)
    precision: np.dtype[Any] = SINGLE

    @property
    def size(self) -> int:
        """Values of one output."""
        return math.prod(self.shape)

    def mean(self, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.mean`."""
        return np.zeros((self.shape[1], window.rows, window.cols), self.dtype)

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.sample`."""
        return self.mean(plane, window)

    def std(self, plane: int, window: Window) -> Real:
        """See `gensr.scenes.product.Product.std`."""
        return np.zeros((self.shape[1], window.rows, window.cols), self.precision)
