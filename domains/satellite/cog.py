"""One raster as a Cloud Optimized GeoTIFF: blocks stream into a temporary tiled GeoTIFF, which GDAL copies.

GDAL's COG driver needs a finished source, and holding the raster in memory is no way; the temporary file lies
beside the target and is removed.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import numpy.typing as npt

from gensr.errors import OutputError
from gensr.scenes.product import Codes
from gensr.values.grid import Window

from . import gdal, tags
from .georeference import Georeference
from .opened import Palette
from .tags import Namespaces

BLOCK = 512
"""Side of a block of the file, unless many bands make it too large."""
SMALLEST_BLOCK = 64
BLOCK_BYTES = 1 << 24
"""Bytes of a block of all bands: GDAL holds one of them per thread."""
RUN_BYTES = 1 << 26
"""Bytes that are fetched and written at once."""
SIDECAR = ".aux.xml"
"""What GDAL appends to the name of a file for what the file has no place for."""


@dataclass(frozen=True)
class Output:
    """One file to write.

    Attributes:
        path: the target.
        dtype: dtype of the codes.
        count: bands in the file.
        nodata: nodata to declare, None for none.
        colors: colour interpretation per file band, None for GDAL's default.
        descriptions: description per file band.
        units: unit per file band.
        scales: scale per file band.
        offsets: offset per file band.
        tags: dataset tags per namespace.
        band_tags: tags per file band, per namespace.
        resampling: of overviews.
        read: a window of refined pixels to codes (band, y, x), all file bands.
        mask: a window of refined pixels to the dataset mask (y, x), or None.
        white: the lowest code is white (MINISWHITE).
    """

    path: Path
    dtype: np.dtype[Any]
    count: int
    nodata: float | None
    colors: tuple[Any, ...] | None
    descriptions: tuple[str | None, ...]
    units: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    tags: Namespaces
    band_tags: tuple[Namespaces, ...]
    resampling: str
    read: Callable[[Window], Codes]
    mask: Callable[[Window], npt.NDArray[np.bool_]] | None
    white: bool = False
    palettes: tuple[Palette | None, ...] = ()

    @property
    def block(self) -> int:
        """Side of a block: smaller where many bands would make one large, since a block holds all of them."""
        side = BLOCK
        while side > SMALLEST_BLOCK and side * side * self.count * self.dtype.itemsize > BLOCK_BYTES:
            side //= 2
        return side


def blocks(shape: tuple[int, int], side: int = BLOCK, pixel: int = 4) -> Iterator[Window]:
    """Windows that are whole blocks of the file, in its order; unaligned windows would rewrite compressed blocks.

    Args:
        shape: (rows, cols) of the file.
        side: of a block.
        pixel: bytes of a pixel of all bands.
    """
    run = max(1, min(8, RUN_BYTES // (side * side * pixel))) * side
    for row in range(0, shape[0], side):
        for col in range(0, shape[1], run):
            yield Window(row, col, min(side, shape[0] - row), min(run, shape[1] - col))


def write(output: Output, geo: Georeference) -> list[Path]:
    """Write one output as a COG.

    Returns:
        The file, and GDAL's sidecar where a coordinate system has no place in the keys of GeoTIFF.

    Raises:
        OutputError: the file cannot be written, or does not read back as meant.
    """
    part = output.path.with_name(output.path.name + ".part.tif")
    whole, bands, every = tags.copyable(output.tags, output.band_tags)
    output = replace(output, tags=whole, band_tags=bands)
    try:
        with gdal.writing(output.path) as rasterio, gdal.without_georeference():
            with rasterio.open(part, "w", **_creation(output, geo)) as target:
                _describe(target, output, geo)
                _fill(target, output, geo)
            gdal.room(output.count * output.dtype.itemsize * geo.grid.shape[0] * geo.grid.shape[1])
            with rasterio.open(part, driver="GTiff") as source:  # left to itself GDAL would choose the driver
                rasterio.shutil.copy(
                    source,
                    output.path,
                    driver="COG",
                    blocksize=output.block,
                    compress="DEFLATE",
                    predictor="YES",
                    overviews="IGNORE_EXISTING",
                    overview_resampling=output.resampling,
                    copy_src_mdd="YES" if every else "AUTO",
                    bigtiff="IF_SAFER",
                    num_threads=str(gdal.THREADS),
                )
            if output.white:
                _whiten(output.path)
            with gdal.opened(output.path, "GTiff") as written:
                exact = not geo.affine or written.crs == geo.crs
            sidecar = output.path.with_name(output.path.name + SIDECAR)
            if not exact:
                _keep_crs(sidecar, geo.crs)
            with gdal.opened(output.path, "GTiff") as written:
                _check(written, output, geo)
    finally:
        part.unlink(missing_ok=True)
        part.with_name(part.name + SIDECAR).unlink(missing_ok=True)
    return [output.path, sidecar] if sidecar.exists() else [output.path]


def _whiten(path: Path) -> None:
    """Say that the lowest code is white, in every image of the file; GDAL's driver would make a colour table of it."""
    import tifffile

    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            if isinstance(page, tifffile.TiffPage) and int(page.photometric) != _MASK:
                page.tags[262].overwrite(0)


_MASK = 4  # photometric interpretation of a transparency mask


def _keep_crs(sidecar: Path, crs: Any) -> None:  # noqa: ANN401
    """Put a coordinate system into GDAL's sidecar: keys of GeoTIFF know no heights above a datum without a code."""
    with tempfile.TemporaryDirectory(dir=sidecar.parent) as folder:
        picture = Path(folder) / "crs.png"  # a format without any coordinates: all of it goes into the sidecar
        small = {"driver": "PNG", "width": 1, "height": 1, "count": 1, "dtype": "uint8"}
        with (
            gdal.writing(sidecar) as rasterio,
            gdal.without_georeference(),
            rasterio.open(picture, "w", crs=crs, **small) as target,
        ):
            target.write(np.zeros((1, 1, 1), np.uint8))
        found = minidom.parse(str(picture) + SIDECAR).getElementsByTagName("SRS")
        srs = found[0].toxml() if found else ""
    sidecar.write_text(f"<PAMDataset>\n  {srs}\n</PAMDataset>\n", encoding="utf-8")


def _creation(output: Output, geo: Georeference) -> dict[str, Any]:
    rows, cols = geo.grid.shape
    names = [c.name for c in output.colors or ()]
    rgb = names[:3] == ["red", "green", "blue"] and output.dtype in (np.uint8, np.uint16)
    creation: dict[str, Any] = {
        "driver": "GTiff",
        "width": cols,
        "height": rows,
        "count": output.count,
        "dtype": str(output.dtype),
        "tiled": True,
        "blockxsize": output.block,
        "blockysize": output.block,
        "interleave": "pixel",
        "compress": "ZSTD",  # level 1 costs no time against writing plainly and halves the temporary file
        "zstd_level": 1,
        "predictor": 2 if output.dtype.itemsize <= 4 else 1,
        "bigtiff": "IF_SAFER",
        "photometric": "RGB" if rgb else "MINISBLACK",
        "alpha": "NO",  # left to itself GDAL takes the 4th of four bytes for transparency; `_describe` marks a real one
        **geo.creation(),
    }
    if output.nodata is not None:
        creation["nodata"] = output.nodata
    return creation


def _describe(target: Any, output: Output, geo: Georeference) -> None:  # noqa: ANN401
    if output.colors is not None and tuple(target.colorinterp) != output.colors:
        target.colorinterp = output.colors
    for i, palette in enumerate(output.palettes, 1):
        if palette is not None:
            target.write_colormap(i, palette)
    for i in target.indexes:
        if output.descriptions[i - 1]:
            target.set_band_description(i, output.descriptions[i - 1])
        if output.units[i - 1]:
            target.set_band_unit(i, output.units[i - 1])
        for namespace, values in output.band_tags[i - 1].items():
            _update(target, i, namespace, values)
    if any(s != 1 for s in output.scales):
        target.scales = output.scales
    if any(output.offsets):
        target.offsets = output.offsets
    for namespace, values in output.tags.items():
        _update(target, 0, namespace, values)
    if geo.written_word:
        target.update_tags(AREA_OR_POINT=geo.written_word)
    if geo.gcps and geo.word == "Point":
        target.update_tags(GENSR_SOURCE_AREA_OR_POINT=geo.word)


def _update(target: Any, band: int, namespace: str, values: dict[str, str]) -> None:  # noqa: ANN401
    if namespace:
        target.update_tags(band, ns=namespace, **values)
    else:
        target.update_tags(band, **values)


def _fill(target: Any, output: Output, geo: Georeference) -> None:  # noqa: ANN401
    for window in blocks(geo.grid.shape, output.block, output.count * output.dtype.itemsize):
        place = ((window.row, window.row + window.rows), (window.col, window.col + window.cols))
        codes = output.read(window)
        if codes.dtype != output.dtype or codes.shape != (output.count, window.rows, window.cols):
            raise OutputError(
                f"{output.path}: got {codes.dtype} {codes.shape} for window {tuple(window)}; "
                f"expected {output.dtype} {(output.count, window.rows, window.cols)}"
            )
        target.write(codes, window=place)
        if output.mask is not None:
            target.write_mask(output.mask(window).astype(np.uint8) * 255, window=place)


def _check(written: Any, output: Output, geo: Georeference) -> None:  # noqa: ANN401
    """Compare the written header with what was meant.

    Raises:
        OutputError: they differ.
    """
    rows, cols = geo.grid.shape
    transform = tuple(written.transform)[:6]
    wrong = [
        name
        for name, good in {
            "shape": (written.height, written.width, written.count) == (rows, cols, output.count),
            "dtype": set(written.dtypes) == {str(output.dtype)},
            "nodata": _same(written.nodata, output.nodata, output.dtype),
            "transform": not geo.affine or np.allclose(transform, geo.grid.transform, rtol=1e-12, atol=1e-12),
            "crs": not geo.affine or written.crs == geo.crs,
            "gcp crs": not geo.gcps or written.gcps[1] == geo.gcp_crs,
            "gcps": len(written.gcps[0]) == len(geo.gcps)
            and all(math.isclose(a.row, b.row, abs_tol=1e-6) for a, b in zip(written.gcps[0], geo.gcps, strict=True)),
            "rpc": (written.rpcs is None) == (geo.rpcs is None),
            "colour interpretation": output.colors is None or _named(written.colorinterp) == _named(output.colors),
            "polarity": ("MINISWHITE" in written.tags(ns="IMAGE_STRUCTURE")) == output.white,
            "mask": (output.mask is not None) == any(f.name == "per_dataset" for f in written.mask_flag_enums[0])
            or "alpha" in [c.name for c in output.colors or ()],
        }.items()
        if not good
    ]
    if wrong:
        raise OutputError(f"{output.path}: reads back with another {', '.join(wrong)}; the file is not what was meant")


def _named(colors: Iterable[Any]) -> list[str]:
    """Names of colours; GDAL calls the first band of a file that names none grey, or a palette where low is white."""
    return ["undefined" if c.name in ("gray", "palette") else str(c.name) for c in colors]


def _same(a: float | None, b: float | None, dtype: np.dtype[Any]) -> bool:
    if a is None or b is None:
        return a is b
    with np.errstate(over="ignore"):
        return bool(np.array_equal(dtype.type(a), dtype.type(b), equal_nan=dtype.kind == "f"))
