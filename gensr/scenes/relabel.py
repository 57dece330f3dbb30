"""Results as arrays of xarray: with the dimensions, coordinates, CRS, attributes and encoding of the input, refined.

What comes out is accepted by ``to_netcdf`` and ``to_zarr``, and read back by rioxarray: coordinates are those of
refined pixel centres, ``spatial_ref`` holds the CRS and the refined ``GeoTransform``, ``_FillValue`` the nodata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gensr.errors import UsageError
from gensr.scenes.georeference import MAPPINGS, refined_centres
from gensr.scenes.labelled import Labelled
from gensr.values.grid import Factor, PixelGrid, Window

if TYPE_CHECKING:
    import xarray as xr

MEAN, STD = "mean", "std"
_KEPT = ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "grid_mapping", "units", "calendar")
"""Encoding that is as true of a refined array. Chunks are not; how a file was packed may be a lie."""
_CODES = ("_FillValue", "missing_value", "scale_factor", "add_offset", "scales", "offsets", "valid_range", "valid_min")
_OF_CODES = (*_CODES, "valid_max", "_Unsigned")
"""Attributes that speak of stored codes: a deviation in physical units has none of them."""
_FALSE = ("grid", "transform", "bounds", "cell_methods", "actual_range", "STATISTICS_MINIMUM", "STATISTICS_MAXIMUM")
_MORE_FALSE = ("STATISTICS_MEAN", "STATISTICS_STDDEV", "STATISTICS_VALID_PERCENT")
"""Attributes that are not true of refined pixels any more."""


def unlabelled(
    arrays: Mapping[str, Any], grid: PixelGrid, bands: Sequence[str], unit: str, dims: Sequence[str] | None
) -> xr.Dataset:
    """Results of a file, or of an array without labels.

    Args:
        arrays: by the name of the variable.
        grid: refined.
        bands: their names.
        unit: of the values.
        dims: of an array; those of a scene's planes and bands if None.
    """
    import xarray as xr

    coords = grid.coordinates()
    if grid.frame not in ("pixel", "coordinates", "um", "mm", "wcs") or "xc" in coords:
        attrs = {"GeoTransform": geo_transform(grid)}
        attrs |= {} if grid.frame in ("pixel", "coordinates", "um", "mm", "wcs") else _crs(grid.frame)
        coords[MAPPINGS[0]] = xr.DataArray(0, attrs=attrs)
    data = {}
    for name, values in arrays.items():
        plain = values.filled(np.nan if values.dtype.kind == "f" else 0) if np.ma.isMaskedArray(values) else values
        axes = tuple(dims or ("plane", "band", "y", "x")[-plain.ndim :])
        own = dict(coords)
        if "band" in axes:
            own["band"] = list(bands)
        array = xr.DataArray(plain, dims=axes, coords=own, attrs={"units": unit} if unit else {})
        if MAPPINGS[0] in coords:
            array.encoding["grid_mapping"] = MAPPINGS[0]
        data[name] = array
    return xr.Dataset(data)


def _crs(wkt: str) -> dict[str, str]:
    return {"crs_wkt": wkt, "spatial_ref": wkt}


def geo_transform(grid: PixelGrid) -> str:
    """A transform as GDAL and rioxarray write it: ``c a b f d e``."""
    t = grid.transform
    return " ".join(repr(float(v)) for v in (t.c, t.a, t.b, t.f, t.d, t.e))


def relabelled(labels: Labelled, arrays: Mapping[str, Any], factor: Factor, window: Window) -> xr.Dataset:
    """Results of an array with labels.

    A DataArray becomes variables ``mean``, ``std`` and ``sample1``...; bands of a Dataset keep their names, and what
    belongs to them is called ``NAME_std`` and ``NAME_sample1``.

    Args:
        labels: of the input.
        arrays: ``mean``, ``std``, ``sample1``... with the axes of the input, codes but for ``std``.
        factor: of the refinement.
        window: of the input that was refined.
    """
    import xarray as xr

    if labels.names is None:
        found = {name: _variable(labels, labels.first, name, array, 0) for name, array in arrays.items()}
    else:
        found = {}
        for place, band in enumerate(labels.names):
            for name, array in arrays.items():
                own = band if name == MEAN else f"{band}_{name}"
                part = array[place] if labels.stacked else array
                found[own] = _variable(labels, labels.source[band], name, part, place)
    carried = {} if _is_array(labels) else _carried(labels, found)
    made = xr.Dataset(
        {**found, **carried}, coords=_coordinates(labels, factor, window), attrs=dict(labels.source.attrs)
    ).copy()
    for variable in made.variables.values():
        variable.encoding = _kept(variable.encoding)
    if _is_array(labels):
        made.attrs = {}
    return made


def _kept(encoding: Mapping[Any, Any]) -> dict[Any, Any]:
    return {k: v for k, v in encoding.items() if k in _KEPT}


def _is_array(labels: Labelled) -> bool:
    return type(labels.source).__name__ == "DataArray"


def _carried(labels: Labelled, found: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of a Dataset that have neither rows nor columns."""
    x, y = _axis(labels, "x"), _axis(labels, "y")
    source: Any = labels.source
    return {n: v for n, v in source.data_vars.items() if n not in found and not {x, y} & {str(d) for d in v.dims}}


def _axis(labels: Labelled, role: str) -> str:
    return labels.dims[labels.form.roles.index(role)]


def _variable(labels: Labelled, source: xr.DataArray, name: str, array: Any, place: int) -> xr.Variable:  # noqa: ANN401
    """One result with the attributes and the encoding of its source."""
    import xarray as xr

    attrs = {k: v for k, v in source.attrs.items() if k not in (*_FALSE, *_MORE_FALSE)}
    encoding = _kept(source.encoding)
    dims = labels.dims[1:] if labels.stacked else labels.dims
    packed, values = labels.packed, array
    if name == STD:
        attrs = {k: v for k, v in attrs.items() if k not in _OF_CODES and k != "standard_name"}
        encoding = {k: v for k, v in encoding.items() if k == "grid_mapping"}
    else:
        if packed.limits is not None:
            values = _bounded(values, labels)
        if packed.decoded is not None:
            values = _decoded(values, labels, place)
        elif packed.nodata is not None and "_FillValue" not in attrs and "missing_value" not in attrs:
            encoding["_FillValue"] = values.dtype.type(packed.nodata)
        if packed.decoded is None:
            encoding.pop("dtype", None)
    return xr.Variable(dims, values, attrs, encoding)


def _bounded(values: Any, labels: Labelled) -> Any:  # noqa: ANN401
    """Codes inside the valid range: a refined value beyond it would count as missing."""
    low, high = labels.packed.limits or (-np.inf, np.inf)
    info = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
    kind = values.dtype.type
    inside = np.clip(values, kind(max(low, info.min)), kind(min(high, info.max)))
    nodata = labels.packed.nodata
    if nodata is None or nodata != nodata:
        return inside
    return np.where(values == kind(nodata), values, inside)


def _decoded(codes: Any, labels: Labelled, place: int) -> Any:  # noqa: ANN401
    packed = labels.packed
    if not labels.stacked and "band" in labels.form.roles:
        shape = [-1 if role == "band" else 1 for role in labels.form.roles]
        scale, offset = (np.array(v).reshape(shape) for v in (packed.scales, packed.offsets))
    else:
        scale, offset = np.array(packed.scales[place]), np.array(packed.offsets[place])
    values = codes * scale + offset if packed.scaled else codes.astype(packed.decoded)
    if packed.nodata is not None:
        values = np.where(codes == codes.dtype.type(packed.nodata), np.nan, values)
    return values.astype(packed.decoded)


def _coordinates(labels: Labelled, factor: Factor, window: Window) -> dict[str, Any]:
    """Coordinates of the source on refined pixels: numbers between their neighbours, anything else repeated."""
    import xarray as xr

    x, y = _axis(labels, "x"), _axis(labels, "y")
    first = labels.first
    part = first.isel({y: slice(window.row, window.row + window.rows), x: slice(window.col, window.col + window.cols)})
    grid = labels.grid.crop(window).refine(factor)
    exact = grid.coordinates() if labels.place.even and grid.transform.b == 0 == grid.transform.d else {}
    found: dict[str, Any] = {}
    for key, coordinate in part.coords.items():
        name, variable = str(key), coordinate.variable
        attrs = {k: v for k, v in coordinate.attrs.items() if k not in _FALSE}
        if name in (x, y) and exact and coordinate.ndim == 1:
            own = exact["x" if name == x else "y"]
            found[name] = xr.Variable((name,), own, attrs)
        elif {x, y} & {str(d) for d in variable.dims}:
            found[name] = xr.Variable(variable.dims, _refined(name, variable, x, y, factor), attrs)
        elif name == labels.place.mapping:
            found[name] = _mapping(labels, variable, grid)
        else:
            found[name] = variable
    if labels.place.wkt and not labels.place.mapping and labels.place.even:
        attrs = {**_crs(labels.place.wkt), "GeoTransform": geo_transform(grid)}
        found |= {name: xr.Variable((name,), exact[key]) for name, key in ((x, "x"), (y, "y")) if key in exact}
        found[MAPPINGS[0]] = xr.Variable((), 0, attrs)
    return found


def _mapping(labels: Labelled, variable: xr.Variable, grid: PixelGrid) -> xr.Variable:
    import xarray as xr

    attrs = dict(variable.attrs)
    if "GeoTransform" in attrs:
        attrs.pop("GeoTransform")
        if labels.place.even:
            attrs["GeoTransform"] = geo_transform(grid)
    return xr.Variable(variable.dims, variable.values, attrs, variable.encoding)


def _refined(name: str, variable: xr.Variable, x: str, y: str, factor: Factor) -> Any:  # noqa: ANN401
    """A coordinate along rows or columns, or both.

    Raises:
        UsageError: degrees that jump by a turn, between which there is nothing to interpolate.
    """
    values, turns = variable.values, "degree" in str(variable.attrs.get("units", "")) or name.lower().startswith("lon")
    numeric = variable.dtype.kind == "f" or (variable.dims == (name,) and variable.dtype.kind in "ui")
    for axis, size in ((y, factor[0]), (x, factor[1])):
        if axis not in variable.dims:
            continue
        place = variable.dims.index(axis)
        if numeric and turns and bool((np.abs(np.diff(values, axis=place)) > 180).any()):
            raise UsageError(
                f"coordinate {name}: jumps by more than 180 between neighbours, as longitudes at the date line do; "
                "let it run on beyond 180, or drop it"
            )
        values = refined_centres(values, place, size) if numeric else np.repeat(values, size, place)
    return values
