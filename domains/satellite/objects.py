"""Arrays of xarray that lie on the ground as GeoTIFFs, one for each plane: what a raster file says, they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import UsageError
from gensr.scenes.crs import check_crs
from gensr.scenes.labelled import Labelled
from gensr.scenes.objects import STEM

from . import gdal

ROWS = 1 << 22
"""Codes that are written together."""


def knows(source: object) -> int:
    """3 for an array with a CRS or degrees on an even raster, 1 for any other array with labels."""
    if not isinstance(source, Labelled):
        return 0
    return 3 if source.place.on_the_ground else 1


def lay_down(source: object, folder: Path) -> list[Path]:
    """See `gensr.scenes.domain.Domain.lay_down`.

    Raises:
        UsageError: coordinates or a dtype that no GeoTIFF holds.
    """
    assert isinstance(source, Labelled)  # `knows` takes nothing else
    planes = source.packed.codes.shape[0]
    width = len(str(planes))
    paths = [folder / (f"{STEM}-{p + 1:0{width}d}.tif" if planes > 1 else f"{STEM}.tif") for p in range(planes)]
    for plane, path in enumerate(paths):
        with create(source, path) as target:
            codes = source.packed.codes[plane]
            step = max(1, ROWS // (codes.shape[0] * codes.shape[2]))
            for row in range(0, codes.shape[1], step):
                block = np.asarray(codes[:, row : row + step])
                target.write(block, window=((row, row + block.shape[1]), (0, codes.shape[2])))
    return paths


def create(source: Labelled, path: Path, **more: Any) -> Any:  # noqa: ANN401
    """A GeoTIFF opened for writing, with the georeference, nodata, scales, names and unit of an array.

    Args:
        source: the array.
        path: of the file.
        more: further creation options.

    Raises:
        UsageError: a CRS that GDAL does not know, or coordinates that are no even raster.
    """
    rasterio = gdal.load()
    packed, place = source.packed, source.place
    if not place.even:
        raise UsageError(
            "the array's coordinates are not evenly spaced, so it is no raster; leave domain= out, and they are "
            "refined as they are"
        )
    rows, cols = source.grid.shape
    t = place.transform
    creation: dict[str, Any] = {
        "driver": "GTiff",
        "width": cols,
        "height": rows,
        "count": len(source.bands),
        "dtype": str(packed.codes.dtype),
        "transform": rasterio.Affine(t.a, t.b, t.c, t.d, t.e, t.f),
        "photometric": "MINISBLACK",
        "alpha": "NO",  # left to itself GDAL takes the fourth of four bytes for transparency
        "bigtiff": "IF_SAFER",
        **more,
    }
    if packed.nodata is not None:
        creation["nodata"] = packed.nodata
    with gdal.writing(path), gdal.without_georeference():
        if place.wkt:
            check_crs(place.wkt, "the array")
            try:
                creation["crs"] = rasterio.crs.CRS.from_user_input(place.wkt)
            except rasterio.errors.CRSError as error:
                raise UsageError(f"the array's CRS {place.wkt[:60]!r} is not known to GDAL; write it anew") from error
        target = rasterio.open(path, "w", **creation)
        target.descriptions = source.bands
        target.units = (source.unit,) * len(source.bands)
        target.scales, target.offsets = packed.scales, packed.offsets
    return target
