"""Where an array of xarray lies: its coordinates, and the CRS in the conventions of CF and rioxarray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gensr.values.grid import IDENTITY, Affine, PixelGrid

if TYPE_CHECKING:
    import xarray as xr

MAPPINGS = ("spatial_ref", "crs")
"""Names of grid mappings where nothing names one."""
EVEN = 1e-3
"""Share of a step by which coordinates may leave an even spacing: float32 longitudes do."""
_DEGREES = ("degrees_east", "degree_east", "degrees_north", "degree_north")
_MAPPED = ("projection_x_coordinate", "projection_y_coordinate", "longitude", "latitude")


@dataclass(frozen=True)
class Place:
    """Georeference of an array.

    Attributes:
        transform: corner-based affine; the identity where coordinates are no even raster.
        frame: of `gensr.values.grid.PixelGrid`.
        wkt: of the CRS, "" if unknown.
        mapping: name of the variable that holds the CRS, "" for none.
        even: whether ``transform`` says everything that the coordinates say.
        mapped: whether the coordinates say of themselves that they are those of a map.
    """

    transform: Affine
    frame: str
    wkt: str
    mapping: str
    even: bool
    mapped: bool

    @property
    def on_the_ground(self) -> bool:
        """Whether a GeoTIFF says the same: a CRS or degrees, on an even raster."""
        return self.even and bool(self.mapping or self.wkt or self.mapped)


def place_of(image: xr.DataArray, x: str, y: str) -> Place:
    """The georeference of an image.

    Args:
        image: with its coordinates.
        x: name of the columns.
        y: name of the rows.
    """
    grid = image.attrs.get("grid")
    if isinstance(grid, PixelGrid):
        return Place(grid.transform, grid.frame, "", "", True, False)
    mapping = _mapping(image)
    attrs = image.coords[mapping].attrs if mapping else {}
    # xarray's own reader of rasters left the CRS and the transform in attributes of the image.
    wkt = str(attrs.get("crs_wkt") or attrs.get("spatial_ref") or image.attrs.get("crs") or "")
    stated = _stated(attrs.get("GeoTransform")) or _listed(image.attrs.get("transform"))
    across = _step(image, x, None if stated is None else stated.a)
    down = _step(image, y, None if stated is None else stated.e)
    named = [name in image.coords for name in (x, y)]
    mapped = all(n in image.coords and _on_the_earth(image.coords[n].attrs) for n in (x, y))
    turned = stated is not None and (stated.b != 0 or stated.d != 0)
    if stated is not None and (turned or not any(named)):
        transform, even = stated, True
    elif across is not None and down is not None:
        (a, c), (e, f) = across, down
        transform, even = _exact(Affine(a, 0.0, c, 0.0, e, f), stated, image.sizes[x], image.sizes[y]), True
    else:
        # Coordinates that are no even raster are refined by themselves; a grid in pixels is all that is left.
        transform, even = IDENTITY, not any(named) and not (mapping or wkt)
    frame = (wkt or "coordinates") if transform != IDENTITY or ((mapping or wkt) and even) else "pixel"
    return Place(transform, frame, wkt, mapping, even, mapped)


def _mapping(image: xr.DataArray) -> str:
    """Name of the coordinate that holds the CRS: what the image names, in CF's long form too, else the usual names."""
    said = str(image.encoding.get("grid_mapping") or image.attrs.get("grid_mapping") or "")
    names = (said.partition(":")[0].strip(), *MAPPINGS)
    return next((n for n in names if n and n in image.coords and image.coords[n].ndim == 0), "")


def _stated(text: Any) -> Affine | None:  # noqa: ANN401
    """A GeoTransform of GDAL: ``c a b f d e``."""
    try:
        c, a, b, f, d, e = (float(word) for word in str(text).split())
    except ValueError:
        return None
    return Affine(a, b, c, d, e, f) if a * e - b * d != 0 else None


def _listed(numbers: Any) -> Affine | None:  # noqa: ANN401
    """A transform as a list of six: ``a b c d e f``."""
    if not isinstance(numbers, list | tuple) or len(numbers) < 6:
        return None
    a, b, c, d, e, f = (float(v) for v in numbers[:6])
    return Affine(a, b, c, d, e, f) if a * e - b * d != 0 else None


def _on_the_earth(attrs: Any) -> bool:  # noqa: ANN401
    return str(attrs.get("units", "")).lower() in _DEGREES or attrs.get("standard_name") in _MAPPED


def _step(image: xr.DataArray, name: str, stated: float | None) -> tuple[float, float] | None:
    """Step and first edge of an even axis; None for one that is not, or has no numbers.

    Args:
        image: with its coordinates.
        name: of the axis.
        stated: the step, where another source states it: one pixel has none of its own.
    """
    if name not in image.coords or image.coords[name].ndim != 1 or image.coords[name].dtype.kind not in "uif":
        return None
    values = image.coords[name].values.astype(np.float64)
    if len(values) == 1:
        return None if stated is None else (stated, float(values[0]) - stated / 2)
    step = float(values[-1] - values[0]) / (len(values) - 1)
    line = values[0] + step * np.arange(len(values))
    if step == 0 or not np.isfinite(step) or np.abs(values - line).max() > EVEN * abs(step):
        return None
    return step, float(values[0]) - step / 2


def _exact(found: Affine, stated: Affine | None, cols: int, rows: int) -> Affine:
    """The stated transform, whose digits were not lost in differences, where it says the same as the coordinates."""
    if stated is None:
        return found
    off = [abs(found.c - stated.c) / abs(stated.a), abs(found.f - stated.f) / abs(stated.e)]
    off += [cols * abs(found.a / stated.a - 1), rows * abs(found.e / stated.e - 1)]
    return stated if max(off) < EVEN else found


def refined_centres(values: npt.NDArray[Any], axis: int, factor: int) -> npt.NDArray[np.float64]:
    """Coordinates of the centres of refined pixels along one axis: linear between centres, and on beyond the ends.

    Args:
        values: at the centres of coarse pixels, any number of axes.
        axis: to refine.
        factor: refined pixels per coarse one.

    >>> refined_centres(np.array([0.0, 1.0]), 0, 2).tolist()
    [-0.25, 0.25, 0.75, 1.25]
    """
    count = values.shape[axis]
    coarse = np.moveaxis(np.asarray(values, np.float64), axis, 0)
    if count == 1:
        return np.moveaxis(np.repeat(coarse, factor, 0), 0, axis)
    places = (np.arange(count * factor) + 0.5) / factor - 0.5
    low = np.clip(np.floor(places).astype(int), 0, count - 2)
    share = (places - low).reshape((-1,) + (1,) * (coarse.ndim - 1))
    return np.moveaxis(coarse[low] + share * (coarse[low + 1] - coarse[low]), 0, axis)
