"""An opened satellite image: windows in physical units with masks, and the way back to stored codes."""

from __future__ import annotations

import threading
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import GridError
from gensr.scenes.product import Codes
from gensr.scenes.scene import Part, Scene
from gensr.values.coding import Coding
from gensr.values.grid import Window
from gensr.values.image import Image
from gensr.values.precision import Real

from . import gdal
from .georeference import Georeference
from .tags import Namespaces

PALETTE = "a colour table of classes"
Palette = dict[int, tuple[int, int, int, int]]
"""Red, green, blue and alpha of codes."""


@dataclass(frozen=True)
class Layout:
    """The bands of a file.

    Attributes:
        data: 1-based indices of the bands that are reconstructed.
        alpha: 1-based index of the transparency band, or None.
        mask: ``"none"``, ``"dataset"`` (one mask, internal or ``.msk``) or ``"band"`` (one per band).
        count: bands in the file.
    """

    data: tuple[int, ...]
    alpha: int | None
    mask: str
    count: int


@dataclass(frozen=True)
class Carried:
    """What travels from source to output, already free of statements that become false.

    Attributes:
        colors: rasterio colour interpretation per file band.
        descriptions: description per file band, None where absent.
        units: unit per file band, None where absent.
        scales: scale per file band as written to the output.
        offsets: offset per file band as written to the output.
        nodata: the dataset's nodata as written to the output, None if there is none.
        tags: dataset tags per namespace.
        band_tags: tags per file band, per namespace.
        dropped: names of tags that were left out.
        photometric: GDAL's name, "" if unknown.
        palettes: colour table per file band, None where there is none.
        white: the lowest code is white (MINISWHITE).
    """

    colors: tuple[Any, ...]
    descriptions: tuple[str | None, ...]
    units: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    nodata: float | None
    tags: Namespaces
    band_tags: tuple[Namespaces, ...]
    dropped: tuple[str, ...]
    photometric: str
    white: bool = False
    palettes: tuple[Palette | None, ...] = ()


class OpenedRaster(Scene):
    """One raster file.

    A GDAL handle serves one thread at a time, so a lock guards it; workers in other processes open the path again.

    Attributes:
        georeference: affine, GCPs or RPC.
        layout: data bands, alpha and mask.
        coding: codes to physical values.
        carried: what goes into the outputs.
        driver: GDAL driver that opened the file.
        noise_floor: standard deviation of the noise that the user gave, or None.
        notes: what a user should know.
        proofs: per data band, what of its own words proves labels, "" for nothing.
    """

    proofs: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        dataset: Any,  # noqa: ANN401
        bands: tuple[str, ...],
        georeference: Georeference,
        layout: Layout,
        coding: Coding,
        carried: Carried,
        noise_floor: float | None,
        notes: tuple[str, ...],
    ) -> None:
        self.path, self.planes, self.bands = path, 1, bands
        self.georeference, self.layout, self.coding, self.carried = georeference, layout, coding, carried
        self.noise_floor, self.notes = noise_floor, notes
        self.grid = georeference.grid
        self.dtype = coding.dtype
        units = {carried.units[i - 1] or "" for i in layout.data}
        self.unit = units.pop() if len(units) == 1 else ""
        self.quantum, self.precision = coding.quantum, coding.precision
        self.driver = str(dataset.driver)
        self._dataset = dataset
        self._lock = threading.Lock()

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        return self.read_bands(plane, window, 0, len(self.bands))

    def read_bands(self, plane: int, window: Window, first: int, end: int) -> Image:
        """See `Scene.read_bands`."""
        codes, valid = self.codes(plane, window, first, end)
        coding = self.coding.select(first, end)
        return Image(
            values=coding.decode(codes),
            grid=self.grid.crop(window),
            valid=valid,
            usable=valid & coding.unsaturated(codes),
            bands=self.bands[first:end],
            unit=self.unit,
        )

    def codes(
        self, plane: int, window: Window, first: int = 0, end: int | None = None
    ) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """Stored codes of the data bands (band, y, x) and where they are valid: mask AND not nodata AND finite.

        GDAL reports the mask alone where a file has a mask and nodata, and counts NaN as valid beside a numeric nodata.

        Args:
            plane: 0.
            window: inside the image.
            first: first data band, from 0.
            end: behind the last one; None for all.

        Raises:
            GridError: the window leaves the image or there is no such plane.
            FormatError: the pixels cannot be decoded.
        """
        self._check(plane, window)
        place = _slices(window.shift(self.origin))
        with self._lock, gdal.reading(self.path):
            # boundless=True would return wrong pixels of rotated rasters, so windows never leave the image.
            numbers = list(self.layout.data[first:end])
            codes = self._dataset.read(numbers, window=place)
            mask = self._mask(place, numbers)
        return codes, self.coding.select(first, first + len(numbers)).declared_valid(codes) & mask

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        return self.codes(plane, window)

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`: every data band."""
        proofs = self.proofs or ("",) * len(self.bands)
        return tuple(
            replace(part, declared=proof, index=proof == PALETTE)
            for part, proof in zip(super().parts(), proofs, strict=True)
        )

    def _mask(self, place: tuple[tuple[int, int], tuple[int, int]], numbers: list[int]) -> npt.NDArray[np.bool_]:
        """Mask or alpha of a window, (1 or band, y, x)."""
        if self.layout.alpha is not None:
            return np.asarray(self._dataset.read([self.layout.alpha], window=place) != 0)
        if self.layout.mask == "dataset":
            return np.asarray(self._dataset.read_masks([self.layout.data[0]], window=place) != 0)
        if self.layout.mask == "band":
            return np.asarray(self._dataset.read_masks(numbers, window=place) != 0)
        return np.ones((1, 1, 1), np.bool_)

    def alpha(self, window: Window) -> Codes:
        """Stored codes (y, x) of the transparency band.

        Raises:
            GridError: there is none, or the window leaves the image.
        """
        self._check(0, window)
        if self.layout.alpha is None:
            raise GridError(f"{self.path}: has no alpha band")
        with self._lock, gdal.reading(self.path):
            alpha: Codes = self._dataset.read(self.layout.alpha, window=_slices(window.shift(self.origin)))
        return alpha

    def _check(self, plane: int, window: Window) -> None:
        if plane != 0:
            raise GridError(f"{self.path}: has no plane {plane}; a raster is one plane with bands")
        self.grid.crop(window)

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`."""
        part = copy(self)
        part.georeference = self.georeference.crop(window)
        part.grid, part.origin = part.georeference.grid, (window.row, window.col)
        return part

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`."""
        return self.coding.encode(values, valid)

    def encode_bands(
        self, plane: int, values: Real, valid: npt.NDArray[np.bool_], first: int, end: int
    ) -> tuple[Codes, int]:
        """See `Scene.encode_bands`."""
        return self.coding.select(first, end).encode(values, valid)

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        geo, meta, coding = self.georeference, self.carried, self.coding
        epsg = geo.crs.to_epsg() if geo.crs is not None else None
        return {
            "format": self.driver,
            "shape": list(self.grid.shape),
            "bands": list(self.bands),
            "dtype": str(self.dtype),
            "unit": self.unit,
            "georeference": geo.kind,
            "crs": f"EPSG:{epsg}" if epsg else (geo.crs.to_wkt() if geo.crs is not None else None),
            "transform": list(self.grid.transform) if geo.affine else None,
            "pixel_size": list(self.grid.pixel_size) if geo.affine else None,
            "corners": self.grid.corners().tolist() if geo.affine else None,
            "gcps": len(geo.gcps),
            "area_or_point": geo.word or None,
            "nodata": None if meta.nodata is None else str(meta.nodata),
            "mask": "alpha" if self.layout.alpha else self.layout.mask,
            "scales": list(coding.scales),
            "offsets": list(coding.offsets),
            "saturated_code": coding.saturated,
            "polarity": "the lowest code is white (MINISWHITE)" if meta.white else None,
            "color_interpretation": [c.name for c in meta.colors],
            "tags_dropped": list(meta.dropped),
            "noise": "given" if self.noise_floor is not None else "estimated from the data",
            "operator": "area",
            "notes": list(self.notes),
        }

    def close(self) -> None:
        """See `Scene.close`."""
        with self._lock:
            self._dataset.close()


def _slices(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.row, window.row + window.rows), (window.col, window.col + window.cols)
