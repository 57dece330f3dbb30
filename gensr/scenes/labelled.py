"""What a DataArray or Dataset of xarray says of itself: axes, coordinates, CRS, nodata, scale and unit.

The conventions are those of CF 1.11 (``units``, ``_FillValue``, ``missing_value``, ``valid_range``, ``scale_factor``,
``add_offset``, ``grid_mapping``, ``axis``, ``standard_name``) and of rioxarray (``spatial_ref`` with ``crs_wkt`` and
``GeoTransform``, nodata in ``_FillValue``, band names in ``long_name``). Values that xarray decoded when it opened a
file are taken back to the integers of the file, where they are such integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gensr.errors import UsageError
from gensr.scenes.forms import Form, as_numbers, ask_for_dims, roles_of
from gensr.scenes.georeference import Place, place_of
from gensr.scenes.packing import Packed, packed
from gensr.values.bands import Words, choose, parse_bands
from gensr.values.grid import PixelGrid

if TYPE_CHECKING:
    import xarray as xr

_AXES = {"X": "x", "Y": "y", "Z": "plane", "T": "plane"}
_STANDARD = {
    "projection_x_coordinate": "x",
    "projection_y_coordinate": "y",
    "longitude": "x",
    "latitude": "y",
    "grid_longitude": "x",
    "grid_latitude": "y",
    "time": "plane",
}
_NAMES = {
    "x": {
        "x",
        "lon",
        "lons",
        "longitude",
        "long",
        "easting",
        "col",
        "cols",
        "column",
        "columns",
        "xc",
        "rlon",
        "width",
    },
    "y": {"y", "lat", "lats", "latitude", "northing", "row", "rows", "line", "lines", "yc", "rlat", "height"},
    "band": {"band", "bands", "channel", "channels", "c", "wavelength", "wavelengths", "variable"},
    "plane": {
        "time",
        "times",
        "date",
        "t",
        "z",
        "depth",
        "lev",
        "level",
        "plev",
        "altitude",
        "plane",
        "slice",
        "frame",
    },
}

_FLAGS = ("flag_values", "flag_masks", "flag_meanings")
"""Attributes of CF conventions (section 3.5) that say that values are classes or bits."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """An array with labels, understood.

    Attributes:
        source: what the user gave: coordinates, attributes and encoding of results come from it.
        names: variables of a Dataset that are images; None for a DataArray.
        dims: names of the axes, in their order; the first is ``variable`` where several variables are stacked.
        form: what each of ``dims`` is.
        packed: stored codes as (plane, band, y, x), of NumPy or Dask, and what they mean.
        bands: their names.
        unit: of physical values, "" where unknown or not one.
        grid: of the image.
        place: CRS, and whether anything ties the image to the ground.
        name: of the image, "" if it has none.
        proof: what it says that proves labels, in words that follow "it is a label image or mask: "; "" else.
        stacked: whether variables of a Dataset are the bands of one image.
    """

    source: xr.DataArray | xr.Dataset
    names: tuple[str, ...] | None
    dims: tuple[str, ...]
    form: Form
    packed: Packed
    bands: tuple[str, ...]
    unit: str
    grid: PixelGrid
    place: Place
    name: str
    proof: str
    stacked: bool = False

    @property
    def lazy(self) -> bool:
        """Whether the numbers are those of a Dask graph, not in memory."""
        return not isinstance(self.packed.codes, np.ndarray)

    @property
    def first(self) -> xr.DataArray:
        """The image, or the first of them: what axes and coordinates are asked of."""
        source: Any = self.source
        return source if self.names is None else source[self.names[0]]  # type: ignore[no-any-return]

    def choose(self, words: Words) -> Labelled | None:
        """The same with some of its bands; None where the words are no choice, but new names.

        Raises:
            UsageError: no such band.
        """
        try:
            places = [n - 1 for n in choose(parse_bands(words), self.bands)]
        except ValueError as error:
            if isinstance(words, str) and len(words.split(",")) == len(self.bands):
                return None
            raise UsageError(f"bands={words}: {error}") from error
        source: Any = self.source
        if not self.stacked and "band" in self.form.roles:
            source = source.isel({self.dims[self.form.roles.index("band")]: places})
        names = tuple(self.names[i] for i in places) if self.stacked and self.names is not None else self.names
        return replace(
            self,
            source=source,
            names=names,
            packed=self.packed.chosen(places),
            bands=tuple(self.bands[i] for i in places),
        )


def unnamed(array: Any) -> xr.DataArray:  # noqa: ANN401
    """An array as one of xarray that says nothing of itself."""
    import xarray as xr

    return xr.DataArray(array)


def labelled(source: Any, dims: str | Sequence[str] | None = None) -> Labelled:  # noqa: ANN401
    """Understand a DataArray, or a Dataset whose variables are bands.

    Args:
        source: of xarray.
        dims: what each axis of an image is, where names do not tell; see `gensr.scenes.forms.Form`.

    Raises:
        UsageError: no image, axes that say nothing of themselves, or variables that do not belong together.
    """
    if _is_array(source):
        return _of_image(source, source, dims)
    names = _images(source)
    if len(names) == 1:
        return replace(_of_image(source[names[0]], source, dims), names=(names[0],))
    parts = [_of_image(source[name], source[name], dims) for name in names]
    first = parts[0]
    for name, part in zip(names, parts, strict=True):
        wrong = next(
            (
                word
                for word, same in {
                    "axes": part.dims == first.dims and part.form == first.form,
                    "grid": part.grid == first.grid,
                    "band axis": "band" not in part.form.roles,
                    "dtype": part.packed.codes.dtype == first.packed.codes.dtype,
                }.items()
                if not same
            ),
            "",
        )
        if wrong:
            raise UsageError(
                f"Dataset: variables {names[0]} and {name} are no bands of one image ({wrong}); give those that are, "
                f"for example dataset[[{names[0]!r}]], or one DataArray"
            )
    form = replace(first.form, roles=("band", *first.form.roles))
    units = {part.unit for part in parts}
    return replace(
        first,
        source=source,
        names=tuple(names),
        dims=("variable", *first.dims),
        form=form,
        packed=Packed.joined([part.packed for part in parts], names),
        bands=tuple(names),
        unit=units.pop() if len(units) == 1 else "",
        proof=next((part.proof for part in parts if part.proof), ""),
        name="",
        stacked=True,
    )


def _of_image(image: xr.DataArray, source: Any, dims: str | Sequence[str] | None) -> Labelled:  # noqa: ANN401
    proof = next((f"its attribute {key}" for key in _FLAGS if key in image.attrs), "")
    if image.dtype == np.bool_:
        image, proof = image.astype(np.uint8, keep_attrs=True), "truth values"
    said: Any = image
    as_numbers(said, f"DataArray {image.name or ''}".strip())
    axes = tuple(str(dim) for dim in image.dims)
    form = Form.of(image.shape, _roles(image, dims))
    x, y = axes[form.roles.index("x")], axes[form.roles.index("y")]
    stored = packed(image, form)
    place = place_of(image, x, y)
    bands = _bands(image, axes, form, stored.codes.shape[1])
    lengths = dict(zip(axes, image.shape, strict=True))
    grid = PixelGrid((lengths[y], lengths[x]), place.transform, place.frame)
    name = "" if image.name is None else str(image.name)
    unit = str(image.attrs.get("units", ""))
    return Labelled(source, None, axes, form, stored, bands, unit, grid, place, name, proof)


def _roles(image: xr.DataArray, dims: str | Sequence[str] | None) -> tuple[str, ...]:
    if dims is not None:
        return roles_of(image.shape, dims)
    names = [str(dim) for dim in image.dims]
    if all(name == f"dim_{i}" for i, name in enumerate(names)):
        ask_for_dims(image.shape)
        return roles_of(image.shape, None)
    found = [_role(image, name) for name in names]
    strange = [name for name, role in zip(names, found, strict=True) if not role]
    if strange or found.count("x") != 1 or found.count("y") != 1 or found.count("band") > 1:
        what = f"nothing says what {', '.join(strange)} is" if strange else f"they look like {', '.join(found)}"
        raise UsageError(
            f"DataArray {image.name or ''} of dimensions {', '.join(names)}: {what}; say what each is with dims=, "
            "of plane, band, y, x, in their order"
        )
    return tuple(found)


def _role(image: xr.DataArray, name: str) -> str:
    """Role of a dimension, from the attributes of its coordinate, else from its name; "" where nothing tells."""
    said: Mapping[Any, Any] = image.coords[name].attrs if name in image.coords else {}
    role = _AXES.get(str(said.get("axis", "")).upper(), "") or _STANDARD.get(str(said.get("standard_name", "")), "")
    return role or next((role for role, names in _NAMES.items() if name.lower() in names), "")


def _bands(image: xr.DataArray, axes: tuple[str, ...], form: Form, count: int) -> tuple[str, ...]:
    """Names from ``long_name``, as rioxarray writes them, or from the coordinate of the bands; else numbers."""
    if "band" in form.roles:
        long = image.attrs.get("long_name")
        if isinstance(long, list | tuple) and len(long) == count and len({str(n) for n in long}) == count:
            return tuple(str(n) for n in long)
        axis = axes[form.roles.index("band")]
        if axis in image.coords and len({str(v) for v in image.coords[axis].values}) == count:
            return tuple(str(v) for v in image.coords[axis].values)
    if count == 1 and image.name is not None:
        return (str(image.name),)
    return tuple(str(i + 1) for i in range(count))


def _images(source: Any) -> list[str]:  # noqa: ANN401
    """Variables of a Dataset with rows and columns; bounds and grid mappings have none.

    Raises:
        UsageError: there is none.
    """
    most = max((v.ndim for v in source.data_vars.values()), default=0)
    roles = {str(n): {_role(v, str(d)) for d in v.dims} for n, v in source.data_vars.items()}
    names = [name for name, found in roles.items() if {"x", "y"} <= found]
    names = names or [str(n) for n, v in source.data_vars.items() if v.ndim == most >= 2 and v.dtype.kind in "uif"]
    if not names:
        raise UsageError("Dataset: no variable has rows and columns; give the DataArray that is the image")
    return names


def _is_array(source: Any) -> bool:  # noqa: ANN401
    return type(source).__name__ != "Dataset"
