"""What a scene writes: finished results on the refined grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from gensr.values.grid import Factor, Window
from gensr.values.precision import Real

Codes = npt.NDArray[Any]
"""Stored values (band, y, x) in the dtype of the input."""


class Product(Protocol):
    """Finished results of one scene on the refined grid, read window by window."""

    @property
    def factor(self) -> Factor:
        """Refinement of rows and columns."""

    @property
    def slices(self) -> int:
        """Refinement through planes (see `ThroughPlane`): there are this many times as many planes as in the scene."""

    @property
    def samples(self) -> int:
        """Number of posterior samples."""

    @property
    def report(self) -> Mapping[str, Any]:
        """What was done."""

    def mean(self, plane: int, window: Window) -> Codes:
        """Posterior mean as stored codes (band, y, x); the window is in refined pixels."""

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """Posterior sample ``index`` (0-based) as stored codes (band, y, x)."""

    def std(self, plane: int, window: Window) -> Real:
        """Posterior standard deviation in physical units (band, y, x), NaN where invalid."""


@dataclass(frozen=True)
class ThroughPlane:
    """How planes form volumes that are refined across their slices too, after every plane was refined for itself.

    Attributes:
        slices: slices of one volume; plane ``t * slices + z`` of the scene is slice ``z`` of volume ``t``.
        factor: refined slices per slice; slice ``z`` becomes ``z * factor`` to ``z * factor + factor - 1``.
    """

    slices: int
    factor: int

    def coarse(self, plane: int) -> int:
        """Plane of the scene that refined plane ``plane`` lies in."""
        volume, fine = divmod(plane, self.slices * self.factor)
        return volume * self.slices + fine // self.factor
