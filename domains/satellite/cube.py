"""NetCDF and Zarr rasters through xarray: a variable, or several alike, as bands; times and levels as planes.

Codes, attributes and coordinates are those of the file: nothing is decoded, so that nothing is lost on the way back.
Conventions: CF 1.11 and those of rioxarray, understood by `gensr.scenes.labelled`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError, FormatError, GensrError, PluginError, UsageError
from gensr.operators import Area, Operator
from gensr.scenes.distant import DistantArray
from gensr.scenes.labelled import Labelled, labelled
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import percentile_normaliser
from gensr.scenes.stores import ZarrStore, brief
from gensr.values.coding import Coding
from gensr.values.grid import Factor, Window
from gensr.values.image import Image
from gensr.values.limits import within
from gensr.values.noise import GaussianNoise, Noise
from gensr.values.normalise import Normaliser
from gensr.values.precision import Real

from . import hdf, preview
from .cube_write import write_cube
from .kinds import kind_of
from .options import DEFAULTS, Options

_FLAGS = ("flag_values", "flag_masks", "flag_meanings")
_OWN = ("variable", "bands", "noise_floor")
_RANGES = ("_FillValue", "missing_value", "valid_range", "valid_min", "valid_max")


class CubeScene(Scene):
    """A NetCDF file or Zarr group.

    Args:
        path: the file or folder.
        source: opened by xarray, undecoded.
        kind: of file, see `kind_of`.
        options: of the domain.
        left: what is not read, in words.
        release: closes what was opened.
    """

    def __init__(
        self,
        path: Path,
        source: Any,  # noqa: ANN401
        kind: str,
        options: Options,
        left: list[str],
        release: Callable[[], None],
    ) -> None:
        self.path, self.kind, self.left, self._release = path, kind, left, release
        self.version = 0
        if kind == "zarr":
            with ZarrStore(path) as store:
                self.version = store.version()
        found: Labelled = labelled(source)
        if options.bands is not None:
            chosen = found.choose(options.bands)
            if chosen is None:
                raise UsageError(f"bands={','.join(options.bands)}: there are {', '.join(found.bands)}")
            found = chosen
        self.labels = found
        self.coding: Coding = found.packed.coding
        self.planes, self.bands, self.grid, self.unit = found.packed.codes.shape[0], found.bands, found.grid, found.unit
        self.dtype, self.quantum, self.precision = self.coding.dtype, self.coding.quantum, self.coding.precision
        self.noise_floor = options.noise_floor

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        codes = self.codes(plane, window)
        valid = self.coding.declared_valid(codes)
        decoded = self.coding.decode(codes)
        values = np.where(valid, decoded, decoded.dtype.type(0))
        return Image(values, self.grid.crop(window), valid, valid, self.bands, self.unit)

    def codes(self, plane: int, window: Window) -> Codes:
        """Stored codes (band, y, x) of a window.

        Raises:
            FormatError: they cannot be unpacked.
        """
        assert self.labels is not None
        row, col, rows, cols = window.shift(self.origin)
        part = self.labels.packed.codes[plane, :, row : row + rows, col : col + cols]
        try:
            return np.asarray(part.compute(scheduler="synchronous"))
        except Exception as error:  # codecs raise errors of their own kinds for damaged data
            raise FormatError(f"{self.path}: pixels cannot be read ({brief(error)}); get an intact copy") from error

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`."""
        part = copy(self)
        part.grid, part.origin = self.grid.crop(window), (window.row, window.col)
        return part

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        codes = self.codes(plane, window)
        return codes, self.coding.declared_valid(codes)

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`."""
        return self.coding.encode(values, valid)

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        assert self.labels is not None
        place, packed = self.labels.place, self.labels.packed
        return {
            "format": {"classic": "netCDF-3", "hdf5": "netCDF-4", "zarr": "Zarr"}[self.kind],
            "dims": list(self.labels.dims),
            "shape": list(self.grid.shape),
            "planes": self.planes,
            "bands": list(self.bands),
            "dtype": str(self.dtype),
            "unit": self.unit,
            "crs": place.wkt or None,
            "transform": list(self.grid.transform) if place.even else None,
            "coordinates": "evenly spaced" if place.even else "of every pixel, refined between neighbours",
            "nodata": None if packed.nodata is None else str(packed.nodata),
            "scales": list(packed.scales),
            "offsets": list(packed.offsets),
            "noise": "given" if self.noise_floor is not None else "estimated from the data",
            "operator": "area",
            "not_carried": self.left,
        }

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: pixel integration."""
        return Area(factor)

    def noise(self) -> Noise | None:
        """See `Scene.noise`: ``noise_floor`` where it is given."""
        return None if self.noise_floor is None else GaussianNoise(self.noise_floor)

    def generator(self) -> str:
        """See `Scene.generator`."""
        return "engression-field"

    def stand_in(self) -> str:
        """See `Scene.stand_in`."""
        return "gaussian-satellite"

    def normaliser(self) -> Normaliser:
        """See `Scene.normaliser`: percentiles 2 and 98 per band."""
        return percentile_normaliser(self, preview.LOW, preview.HIGH)

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`: mean, standard deviation and samples as variables of one file of its kind."""
        assert self.labels is not None
        return [write_cube(self, self.labels, self.version, product, folder, names)]

    def render(self, values: Real, reference: Real) -> Codes:
        """See `Scene.render`."""
        return preview.render(self.bands, values, reference)

    def close(self) -> None:
        """See `Scene.close`."""
        self._release()


def open_cube(path: Path, options: Options) -> CubeScene:
    """Open a NetCDF file or Zarr group.

    Raises:
        FormatError: damaged, unsafe or without an image.
        DomainError: options of other formats.
        PluginError: a package is not installed.
    """
    given = [n for n in DEFAULTS if n not in _OWN and getattr(options, n) != DEFAULTS[n]]
    kind = kind_of(path)
    if given:
        raise DomainError(f"{path}: {given[0]}= is not for NetCDF and Zarr, whose attributes say it; leave it out")
    try:
        source, release = _opened(path, kind)
    except GensrError:
        raise
    except Exception as error:  # libraries meet damage with any exception there is
        name = {"classic": "netCDF", "hdf5": "HDF5 or netCDF-4", "zarr": "Zarr"}[kind]
        raise FormatError(f"{path}: is no readable {name} ({brief(error)}); get an intact copy") from error
    try:
        image, left = _image(path, source, options.variable)
        return CubeScene(path, image, kind, options, left, release)
    except UsageError as error:
        release()
        raise FormatError(f"{path}: {error}; variable=NAME chooses one") from error
    except BaseException:
        release()
        raise


def _opened(path: Path, kind: str) -> tuple[Any, Callable[[], None]]:
    """The dataset, without a number decoded, and what closes it."""
    import xarray as xr

    try:
        import dask.array  # noqa: F401  # windows of variables are its blocks
    except ModuleNotFoundError as error:
        raise PluginError("NetCDF and Zarr files need the package dask; pip install 'gensr[netcdf]'") from error
    how: dict[str, Any] = {"chunks": {}, "mask_and_scale": False, "decode_times": False, "decode_coords": "all"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about attributes that no convention knows; they are carried as they are
        if kind == "zarr":
            store = ZarrStore(path)
            facts = {name: store.facts(name) for name in store.members() if store.is_array(name)}
            for found in facts.values():
                if len(found.shape) < 2 or found.dtype.kind not in "uif":
                    store.rehearse(found)  # opening reads it here, too
            dataset = xr.open_zarr(store.library, group=store.inside.rstrip("/") or None, consolidated=False, **how)
            return _distant(dataset, lambda name, variable: store.array(facts[name])), store.close
        if kind == "classic":
            dataset = xr.open_dataset(path, engine="scipy", **how)
            return dataset, dataset.close
        hdf.check(path)
        dataset = xr.open_dataset(path, engine="h5netcdf", **how)
    return _distant(dataset, lambda name, variable: hdf.array(path, name, *variable)), dataset.close


def _distant(dataset: Any, array: Callable[[str, tuple[tuple[int, ...], Any]], DistantArray]) -> Any:  # noqa: ANN401
    """The dataset with images that are decoded in the child process.

    Args:
        dataset: opened in chunks.
        array: of a name, and the shape and dtype of the variable.
    """
    import dask.array

    for name, variable in dataset.variables.items():
        if variable.chunks is not None and variable.ndim >= 2 and variable.dtype.kind in "uif":
            source = array(str(name), (variable.shape, variable.dtype))
            if source.shape != variable.shape or source.dtype != variable.dtype:
                raise ValueError(f"{name} is {source.dtype} {source.shape}, read as {variable.dtype} {variable.shape}")
            variable.data = dask.array.from_array(source, variable.chunks, fancy=False)
    return dataset


def _image(path: Path, source: Any, wanted: tuple[str, ...] | None) -> tuple[Any, list[str]]:  # noqa: ANN401
    """The variables that are the image, and what is left out.

    Raises:
        FormatError: no such variable, or one that claims too much.
    """
    bounds = {str(v.encoding.get("bounds") or v.attrs.get("bounds") or "") for v in source.variables.values()}
    source = source.drop_vars([n for n in source.variables if str(n) in bounds])
    left = [f"{n} (cell bounds)" for n in sorted(bounds - {""})]
    names = [str(n) for n in source.data_vars]
    if wanted is not None:
        unknown = [n for n in wanted if n not in names]
        if unknown:
            raise FormatError(f"{path}: variable={unknown[0]}: there is none; there are {', '.join(names) or 'none'}")
        kept = list(wanted)
    else:
        flags = [n for n in names if any(key in source[n].attrs for key in _FLAGS)]
        left += [f"{n} (flags)" for n in flags]
        kept = [n for n in names if n not in flags and (source[n].ndim < 2 or source[n].dtype.kind in "uif")]
    for name in kept:
        within("scene", source[name].nbytes, f"{path}: {name}")
        if str(source[name].attrs.get("_Unsigned", "")).lower() == "true" and source[name].dtype.kind == "i":
            source[name] = _unsigned(source[name])
    return source[kept], left


def _unsigned(image: Any) -> Any:  # noqa: ANN401
    """Signed codes that stand for unsigned ones, as files of netCDF-3 hold them."""
    dtype = np.dtype(f"u{image.dtype.itemsize}")
    attrs = {k: v for k, v in image.attrs.items() if k != "_Unsigned"}
    for key in _RANGES:
        if key in attrs:
            attrs[key] = np.asarray(attrs[key]).astype(image.dtype).astype(dtype)[()]
    found = image.astype(dtype)
    found.attrs = attrs
    return found
