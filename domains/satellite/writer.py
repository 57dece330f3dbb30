"""Writing results: blocks stream into a temporary tiled GeoTIFF, which becomes a Cloud Optimized GeoTIFF.

GDAL's COG driver needs a finished source, and holding the raster in memory is no way; the temporary file lies beside
the target and is removed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import OutputError
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.values.grid import Factor, Window

from . import gdal, tags
from .georeference import Georeference
from .opened import OpenedRaster
from .tags import Namespaces

BLOCK = 512
RUN = 8 * BLOCK
SUFFIX = ".tif"


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


def write_product(scene: OpenedRaster, product: Product, folder: Path, names: Names) -> list[Path]:
    """Write mean, standard deviation and samples.

    Raises:
        OutputError: a file cannot be written, or does not read back as meant.
    """
    outputs = [_image(scene, product, folder / names.mean(SUFFIX), "posterior mean", product.mean)]
    outputs.append(_deviation(scene, product, folder / names.std(SUFFIX)))
    for k in range(product.samples):

        def sample(plane: int, window: Window, k: int = k) -> Codes:
            return product.sample(k, plane, window)

        outputs.append(_image(scene, product, folder / names.sample(k, SUFFIX), f"posterior sample {k + 1}", sample))
    geo = scene.georeference.refine(product.factor)
    for output in outputs:
        write(output, geo)
    return [output.path for output in outputs]


def _image(
    scene: OpenedRaster, product: Product, path: Path, content: str, read: Callable[[int, Window], Codes]
) -> Output:
    meta, layout = scene.carried, scene.layout
    data = [i - 1 for i in layout.data]

    def bands(window: Window) -> Codes:
        codes = read(0, window)
        if layout.alpha is None:
            return codes
        whole = np.empty((layout.count, *codes.shape[1:]), codes.dtype)
        whole[data] = codes
        whole[layout.alpha - 1] = _replicate(lambda w: scene.alpha(w), window, product.factor)
        return whole

    def mask(window: Window) -> npt.NDArray[np.bool_]:
        return _replicate(lambda w: np.asarray(scene.codes(0, w)[1].any(0)), window, product.factor)

    source = meta.tags.get("", {})
    return Output(
        path=path,
        dtype=scene.dtype,
        count=layout.count,
        nodata=meta.nodata,
        colors=meta.colors,
        descriptions=meta.descriptions,
        units=meta.units,
        scales=meta.scales,
        offsets=meta.offsets,
        tags={**meta.tags, "": {**tags.refined(source, product.factor), **tags.provenance(product, source, content)}},
        band_tags=meta.band_tags,
        resampling="AVERAGE",
        read=bands,
        mask=mask if layout.mask == "dataset" else None,
    )


def _deviation(scene: OpenedRaster, product: Product, path: Path) -> Output:
    """The standard deviation: float32 in physical units (scale 1, offset 0), NaN where invalid."""
    meta, count = scene.carried, len(scene.bands)
    source = meta.tags.get("", {})
    own = {
        **tags.refined(source, product.factor),
        **tags.provenance(product, source, "posterior standard deviation"),
        "GENSR_UNITS": f"physical units of the image ({scene.unit or 'unit not stated'}): scale and offset are applied",
    }
    return Output(
        path=path,
        dtype=np.dtype(np.float32),
        count=count,
        nodata=float("nan"),
        colors=None,
        descriptions=tuple(f"std of {band}" for band in scene.bands),
        units=tuple(meta.units[i - 1] for i in scene.layout.data),
        scales=(1.0,) * count,
        offsets=(0.0,) * count,
        tags={"": own},
        band_tags=({},) * count,
        resampling="RMS",  # the average of deviations is no deviation
        read=lambda window: product.std(0, window),
        mask=None,
    )


def _replicate(read: Callable[[Window], Codes], window: Window, factor: Factor) -> Codes:
    """A window of refined pixels from source pixels, each repeated ``factor`` times."""
    (fy, fx), (row, col, rows, cols) = factor, window
    top, left = row // fy, col // fx
    coarse = read(Window(top, left, -(-(row + rows) // fy) - top, -(-(col + cols) // fx) - left))
    fine = np.repeat(np.repeat(coarse, fy, 0), fx, 1)
    return fine[row - top * fy :, col - left * fx :][:rows, :cols]


def blocks(shape: tuple[int, int]) -> Iterator[Window]:
    """Windows that are whole blocks of the file, in its order; unaligned windows would rewrite compressed blocks."""
    for row in range(0, shape[0], BLOCK):
        for col in range(0, shape[1], RUN):
            yield Window(row, col, min(BLOCK, shape[0] - row), min(RUN, shape[1] - col))


def write(output: Output, geo: Georeference) -> None:
    """Write one output as a COG.

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
            with rasterio.open(part, driver="GTiff") as source:  # left to itself GDAL would choose the driver
                rasterio.shutil.copy(
                    source,
                    output.path,
                    driver="COG",
                    blocksize=BLOCK,
                    compress="DEFLATE",
                    predictor="YES",
                    overviews="IGNORE_EXISTING",
                    overview_resampling=output.resampling,
                    copy_src_mdd="YES" if every else "AUTO",
                    bigtiff="IF_SAFER",
                    num_threads=str(gdal.THREADS),
                )
            with rasterio.open(output.path, driver="GTiff") as written:
                _check(written, output, geo)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


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
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
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
    for window in blocks(geo.grid.shape):
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
            "gcps": len(written.gcps[0]) == len(geo.gcps)
            and all(math.isclose(a.row, b.row, abs_tol=1e-6) for a, b in zip(written.gcps[0], geo.gcps, strict=True)),
            "rpc": (written.rpcs is None) == (geo.rpcs is None),
            "colour interpretation": output.colors is None or tuple(written.colorinterp) == output.colors,
            "mask": (output.mask is not None) == any(f.name == "per_dataset" for f in written.mask_flag_enums[0])
            or "alpha" in [c.name for c in output.colors or ()],
        }.items()
        if not good
    ]
    if wrong:
        raise OutputError(f"{output.path}: reads back with another {', '.join(wrong)}; the file is not what was meant")


def _same(a: float | None, b: float | None, dtype: np.dtype[Any]) -> bool:
    if a is None or b is None:
        return a is b
    with np.errstate(over="ignore"):
        return bool(np.array_equal(dtype.type(a), dtype.type(b), equal_nan=dtype.kind == "f"))
