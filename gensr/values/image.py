"""Images: data, grid, mask and noise carried together, never changed in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gensr.errors import GridError
from gensr.values.grid import PixelGrid
from gensr.values.precision import Real

if TYPE_CHECKING:
    import xarray as xr

BoolArray = npt.NDArray[np.bool_]


def _frozen(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Image:
    """One plane of a scene, in the physical units of its file.

    Attributes:
        values: float32, or float64 where the file has more digits (see `gensr.values.precision`), (band, y, x);
            invalid pixels hold any number.
        grid: where the pixels lie.
        valid: bool (band, y, x); False marks nodata, NaN, masked pixels: they stay invalid in the output.
        usable: bool (band, y, x); False also where a valid pixel must not enter the likelihood (saturated).
        bands: one name per band.
        unit: unit of the values, "" if unknown.
        variance: like ``values``, noise variance that the file states for every pixel, in units squared; None if it
            states none.
    """

    values: Real
    grid: PixelGrid
    valid: BoolArray
    usable: BoolArray
    bands: tuple[str, ...]
    unit: str = ""
    variance: Real | None = None

    def __post_init__(self) -> None:
        for name in ("values", "valid", "usable", "variance"):
            array = getattr(self, name)
            if array is None:
                continue
            if array.ndim != 3 or array.shape[1:] != self.grid.shape or array.shape[0] != len(self.bands):
                raise GridError(
                    f"{name} of shape {array.shape} does not fit {len(self.bands)} bands on a grid of {self.grid.shape}"
                )
            object.__setattr__(self, name, _frozen(array))

    def select(self, first: int, end: int) -> Image:
        """Bands ``first`` to ``end - 1``."""
        cut = slice(first, end)
        variance = None if self.variance is None else self.variance[cut]
        masks = (self.valid[cut], self.usable[cut])
        return Image(self.values[cut], self.grid, *masks, self.bands[cut], self.unit, variance)

    def to_xarray(self) -> xr.DataArray:
        """Return a copy as DataArray (band, y, x); invalid pixels are NaN, coordinates are pixel centres in the frame.

        A rotated grid has 2-D coordinates ``xc`` and ``yc``. The grid travels in ``attrs["grid"]`` for reading
        only: coordinates are always made from it, never the other way.
        """
        import xarray as xr

        data = np.where(self.valid, self.values, np.nan)
        coords = {"band": list(self.bands), **self.grid.coordinates()}
        attrs = {"units": self.unit, "grid": self.grid}
        return xr.DataArray(data, dims=("band", "y", "x"), coords=coords, attrs=attrs)
