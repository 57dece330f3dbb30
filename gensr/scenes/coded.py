"""What stored codes of an array in memory mean, without the array itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.scenes.domain import Domain
from gensr.scenes.product import Codes
from gensr.values.coding import Coding
from gensr.values.grid import PixelGrid
from gensr.values.image import Image
from gensr.values.precision import precision


@dataclass(frozen=True)
class Decoder:
    """Makes images of stored codes (band, y, x); small when pickled."""

    coding: Coding
    bands: tuple[str, ...]
    unit: str

    def image(self, codes: Codes, grid: PixelGrid, valid: npt.NDArray[np.bool_] | None = None) -> Image:
        """An image of codes on a grid: values 0 where they are invalid, saturated ones not usable."""
        valid = self.coding.declared_valid(codes) if valid is None else valid
        values = np.where(valid, self.coding.decode(codes), self.coding.precision.type(0))
        return Image(values, grid, valid, valid & self.coding.unsaturated(codes), self.bands, self.unit)


def saturated(coding: Coding, domain: Domain) -> Coding:
    """The coding with the largest code as saturation, where files of the domain have it so."""
    full = float(np.iinfo(np.uint16).max)
    if not domain.full_scale or coding.dtype != np.uint16 or full in coding.nodata:
        return coding
    return replace(coding, saturated=full)


def plain(dtype: np.dtype[Any], bands: int) -> Coding:
    """Codes of an array that says nothing of them: integers are values, and there is no nodata but NaN."""
    stored, fill = (dtype, 0.0) if dtype.kind in "ui" else (precision(dtype), float("nan"))
    return Coding(stored, (1.0,) * bands, (0.0,) * bands, (None,) * bands, fill, None)
