"""Helpers for people who test a domain or generator of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.scenes.product import Codes, ThroughPlane
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, Window, as_factor
from gensr.values.precision import Real


class NearestProduct:
    """A `gensr.scenes.product.Product` whose mean and samples replicate every pixel (flux divided when ``total``).

    Args:
        scene: the opened input.
        factor: refinement.
        total: the scene holds flux per pixel, so replicated values are divided by the number of new pixels.
        std: the constant standard deviation, physical units.
        samples: number of samples; sample k equals the mean.
        through_plane: refinement through planes, replicated too.
    """

    def __init__(
        self,
        scene: Scene,
        factor: int | Factor,
        total: bool = False,
        std: float = 1.0,
        samples: int = 1,
        through_plane: ThroughPlane | None = None,
    ) -> None:
        self.scene, self.factor, self.samples = scene, as_factor(factor), samples
        self._through_plane = through_plane or ThroughPlane(scene.planes, 1)
        self.slices = self._through_plane.factor
        self._divide = float(self.factor[0] * self.factor[1]) if total else 1.0
        self._std = std
        self.report: Mapping[str, Any] = {
            "gensr": "test",
            "generator": {"name": "nearest", "sha256": "0" * 64},
            "operator": {"name": "area"},
            "seed": 0,
            "consistency": {"rms": 0.0},
        }

    def _fine(self, plane: int, window: Window) -> tuple[Real, npt.NDArray[np.bool_]]:
        fy, fx = self.factor
        row, col = window.row // fy, window.col // fx
        rows, cols = -(-(window.row + window.rows) // fy) - row, -(-(window.col + window.cols) // fx) - col
        image = self.scene.read(self._through_plane.coarse(plane), Window(row, col, rows, cols))
        top, left = window.row - row * fy, window.col - col * fx
        cut = np.s_[:, top : top + window.rows, left : left + window.cols]
        values = np.repeat(np.repeat(image.values, fy, 1), fx, 2)[cut] / image.values.dtype.type(self._divide)
        return values, np.repeat(np.repeat(image.valid, fy, 1), fx, 2)[cut]

    def mean(self, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.mean`."""
        return self.scene.encode(self._through_plane.coarse(plane), *self._fine(plane, window))[0]

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.sample`."""
        return self.mean(plane, window)

    def std(self, plane: int, window: Window) -> Real:
        """See `gensr.scenes.product.Product.std`."""
        valid = self._fine(plane, window)[1]
        return np.where(valid, self._std, np.nan).astype(self.scene.precision)
