"""What the results of a raster become: mean, standard deviation and samples with the bands and tags of the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.provenance import repeated
from gensr.values.grid import Factor, Window

from . import tags
from .cog import Output, write
from .opened import OpenedRaster

SUFFIX = ".tif"
CORNER = 16
"""Refined pixels a side that a rehearsal writes."""


def write_product(scene: OpenedRaster, product: Product, folder: Path, names: Names) -> list[Path]:
    """Write mean, standard deviation and samples.

    Returns:
        The files.

    Raises:
        OutputError: a file cannot be written, or does not read back as meant.
    """
    geo = scene.georeference.refine(product.factor)
    return [path for output in _outputs(scene, product, folder, names) for path in write(output, geo)]


def rehearse(scene: OpenedRaster, product: Product, folder: Path, names: Names) -> None:
    """Write the upper left corner of every output, with the whole header, and read it back.

    Raises:
        OutputError: a file cannot be written, or does not read back as meant.
    """
    geo = scene.georeference.refine(product.factor)
    rows, cols = (min(CORNER, n) for n in geo.grid.shape)
    corner = replace(geo, grid=geo.grid.crop(Window(0, 0, rows, cols)))
    for output in _outputs(scene, product, folder, names):
        write(output, corner)


def _outputs(scene: OpenedRaster, product: Product, folder: Path, names: Names) -> list[Output]:
    content = "labels, pixels repeated" if repeated(product.report) else "posterior mean"
    outputs = [_image(scene, product, folder / names.mean(SUFFIX), content, product.mean)]
    if repeated(product.report):
        return [replace(outputs[0], resampling="NEAREST", palettes=scene.carried.palettes)]
    outputs.append(_deviation(scene, product, folder / names.std(SUFFIX)))
    for k in range(product.samples):

        def sample(plane: int, window: Window, k: int = k) -> Codes:
            return product.sample(k, plane, window)

        outputs.append(_image(scene, product, folder / names.sample(k, SUFFIX), f"posterior sample {k + 1}", sample))
    return outputs


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
        white=meta.white,
    )


def _deviation(scene: OpenedRaster, product: Product, path: Path) -> Output:
    """The standard deviation: floating point in physical units (scale 1, offset 0), NaN where invalid."""
    meta, count = scene.carried, len(scene.bands)
    source = meta.tags.get("", {})
    own = {
        **tags.refined(source, product.factor),
        **tags.provenance(product, source, "posterior standard deviation"),
        "GENSR_UNITS": f"physical units of the image ({scene.unit or 'unit not stated'}): scale and offset are applied",
    }
    return Output(
        path=path,
        dtype=scene.precision,
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
