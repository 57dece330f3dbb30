"""Write a product in the kind of file that came in: OME-TIFF, ImageJ or plain TIFF, block by block."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import OutputError
from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.provenance import software
from gensr.values.grid import Factor, Window

from . import imagej
from .calibration import Rational, resolution, resolution_unit
from .container import import_tifffile
from .layers import Codes, Layer, layers, notes, output_kind
from .ome import Refined, new_xml, refined_xml
from .opened import CARRIED_TAGS, ORIENTATION, OpenedMicrograph

BIG = 3_900_000_000
TILED_SIDE = 2048
PYRAMID_SIDE = 4096
ROWS = 256
_LOSSLESS = {1: None, 8: "zlib", 32946: "zlib", 5: "lzw", 32773: "packbits", 50000: "zstd", 34925: "lzma"}


def write_product(scene: OpenedMicrograph, product: Product, folder: Path, names: Names, suffix: str) -> list[Path]:
    """Write mean, standard deviation and samples; returns the files.

    Raises:
        OutputError: if the format library cannot write the file.
    """
    found = list(layers(scene, product, folder, names, suffix))
    for layer in found:
        write_layer(scene, product, layer)
    return [layer.path for layer in found]


def write_layer(scene: OpenedMicrograph, product: Product, layer: Layer, empty: bool = False) -> None:
    """Write one file.

    Args:
        scene: the opened input.
        product: results on the refined grid.
        layer: which file.
        empty: write its headers alone; the pixels are a hole that takes no disk.

    Raises:
        OutputError: if the format library cannot write the file.
    """
    try:
        if output_kind(scene) == "imagej":
            _write_imagej(scene, product.factor, layer, empty)
        else:
            _write_pages(scene, product, layer, empty)
    except (ValueError, TypeError, OSError, struct.error) as error:
        raise OutputError(f"{scene.path}: {layer.path.name} cannot be written: {error}") from error


def scaled_resolution(scene: OpenedMicrograph, factor: Factor) -> tuple[Rational, Rational] | None:
    """Resolution rationals multiplied by the factor, exact while they fit 32 bits."""
    found = resolution(scene.container)
    if found is None:
        return None
    return _times(found[0], factor[1]), _times(found[1], factor[0])


def _times(rational: Rational, f: int) -> Rational:
    numerator, denominator = rational[0] * f, rational[1]
    if numerator < 1 << 32:
        return numerator, denominator
    value = Fraction(numerator, denominator)
    if value.numerator >= 1 << 32:
        value = Fraction(1) / (Fraction(1) / value).limit_denominator((1 << 32) - 1)
    return value.numerator, value.denominator


def _write_imagej(scene: OpenedMicrograph, factor: Factor, layer: Layer, empty: bool) -> None:
    shape = imagej.output_shape(scene, factor, layer.dtype.name)
    if int(np.prod(shape, dtype=np.int64)) * layer.dtype.itemsize > imagej.LIMIT:
        raise OutputError(f"{layer.path.name}: exceeds the 4 GB of an ImageJ TIFF; use container=ome")
    meta = imagej.metadata(scene, factor, shape, layer.note, layer.uncertainty)
    table = None if layer.uncertainty else imagej.colormap(scene)
    scaled = scaled_resolution(scene, factor)
    target = import_tifffile().memmap(
        layer.path,
        shape=shape,
        dtype=layer.dtype,
        imagej=True,
        byteorder=scene.container.tif.byteorder,
        resolution=scaled,
        resolutionunit=resolution_unit(scene.container) if scaled is not None else None,
        colormap=table,
        photometric="miniswhite" if scene.white and not layer.uncertainty else None,
        extratags=_orientation(scene),
        software=software(),
        metadata=meta,
    )
    if empty:
        return
    target = target.reshape(shape)
    for plane in range(scene.planes):
        t, z, c, s = imagej.place(scene, plane, shape)
        for row in range(0, shape[3], ROWS):
            window = Window(row, 0, min(ROWS, shape[3] - row), shape[4])
            target[t, z, c, row : row + window.rows, :, s] = layer.fetch(plane, window)
    target.flush()


def _write_pages(scene: OpenedMicrograph, product: Product, layer: Layer, empty: bool) -> None:
    reader, tif, factor, kind = scene.reader, scene.container.tif, product.factor, output_kind(scene)
    rows, cols = scene.grid.shape[0] * factor[0], scene.grid.shape[1] * factor[1]
    nbytes = scene.planes * rows * cols * layer.dtype.itemsize
    tile = None if empty else _tile(scene, rows, cols)
    levels = _levels(rows, cols) if kind == "ome" and tile is not None else []
    shape = (reader.pages, *_page_shape(scene, rows, cols))
    scaled = scaled_resolution(scene, factor)
    with import_tifffile().TiffWriter(
        layer.path, bigtiff=tif.is_bigtiff or nbytes > BIG, byteorder=tif.byteorder, ome=False, shaped=False
    ) as writer:
        common = common_tags(scene, layer, tile)
        if empty:
            common |= {"compression": None, "predictor": None, "bitspersample": None}
        writer.write(
            None if empty else _blocks(scene, layer, (rows, cols), tile, 1),
            shape=shape,
            resolution=scaled,
            # The library writes a resolution of 1 where it is given none: of no unit, or it would be a size.
            resolutionunit=resolution_unit(scene.container) if scaled is not None else 1,
            description=_description(scene, product, layer, kind, shape),
            software=software(),
            subifds=len(levels),
            extratags=[*_orientation(scene), *_extratags(scene)],
            **common,
        )
        for level in levels:
            reduced = (-(-rows // level), -(-cols // level))
            shape = (reader.pages, *_page_shape(scene, *reduced))
            writer.write(_blocks(scene, layer, (rows, cols), tile, level), shape=shape, subfiletype=1, **common)


def common_tags(scene: OpenedMicrograph, layer: Layer, tile: tuple[int, int] | None) -> dict[str, Any]:
    """What all pages of a file have in common, as ``tifffile`` takes it."""
    key = scene.container.key
    compression = _LOSSLESS.get(int(key.compression), "zlib")
    predictor = compression is not None and layer.dtype.kind in "iu" and int(key.predictor) == 2
    packed = scene.packed_bits if output_kind(scene) == "plain" and not layer.uncertainty else None
    if packed is not None:
        compression, predictor = None, False  # the library packs bits or compresses them
    photometric = {
        0: "minisblack" if layer.uncertainty else "miniswhite",
        1: "minisblack",
        2: "rgb",
        3: "minisblack" if layer.uncertainty else "palette",
        6: "rgb",
    }[int(key.photometric)]
    colour = scene.reader.samples > 1
    if scene.reader.samples < 3 and photometric == "rgb":
        photometric = "minisblack"
    common: dict[str, Any] = {
        "dtype": layer.dtype.newbyteorder(scene.container.tif.byteorder),
        "photometric": photometric,
        "compression": compression,
        "predictor": 2 if predictor else None,
        "tile": tile,
        "bitspersample": packed,
        "metadata": None,
        "maxworkers": 1,
    }
    if photometric == "palette":
        common["colormap"] = scene.palette
    if colour:
        common["planarconfig"] = "separate" if scene.reader.separate else "contig"
        extra = [int(e) for e in key.extrasamples]
        common["extrasamples"] = extra or None
    return common


def _tile(scene: OpenedMicrograph, rows: int, cols: int) -> tuple[int, int] | None:
    if max(rows, cols) > PYRAMID_SIDE:
        return (512, 512)
    return (256, 256) if max(rows, cols) > TILED_SIDE or scene.container.key.is_tiled else None


def _levels(rows: int, cols: int) -> list[int]:
    """Steps of the pyramid: halved until the longer side fits 1024."""
    if max(rows, cols) <= PYRAMID_SIDE:
        return []
    levels, step = [], 2
    while max(rows, cols) / step > 512:
        levels.append(step)
        step *= 2
    return levels


def _page_shape(scene: OpenedMicrograph, rows: int, cols: int) -> tuple[int, ...]:
    if scene.reader.samples == 1:
        return (rows, cols)
    return (scene.reader.samples, rows, cols) if scene.reader.separate else (rows, cols, scene.reader.samples)


def _blocks(
    scene: OpenedMicrograph, layer: Layer, size: tuple[int, int], tile: tuple[int, int] | None, step: int
) -> Iterator[Codes]:
    """Tiles (or whole pages) in the order of the file, every ``step`` x ``step`` pixels averaged."""
    rows, cols = size
    high, wide = tile if tile is not None else size
    samples, order = scene.reader.samples, layer.dtype.newbyteorder(scene.container.tif.byteorder)
    separate = scene.reader.separate and tile is not None
    for page in range(scene.reader.pages):
        planes = range(page * samples, (page + 1) * samples)
        for group in [[p] for p in planes] if separate or samples == 1 else [list(planes)]:
            for row in range(0, rows, high * step):
                for col in range(0, cols, wide * step):
                    window = Window(row, col, min(high * step, rows - row), min(wide * step, cols - col))
                    how = "rms" if layer.uncertainty else "mean"
                    parts = [
                        reduced(layer.fetch(p, window), step, "nearest" if (p, 0) in scene.repeated else how)
                        for p in group
                    ]
                    block = parts[0] if len(group) == 1 else np.stack(parts, 0 if scene.reader.separate else -1)
                    yield np.ascontiguousarray(_padded(block, tile, len(group) > 1), order)


def reduced(codes: Codes, step: int, how: str) -> Codes:
    """Codes of blocks of ``step`` x ``step`` pixels; ragged borders repeat their last pixel.

    Args:
        codes: (y, x).
        step: side of a block.
        how: "mean", rounded for integers; "rms" for deviations, whose mean is no deviation; "nearest" for labels.
    """
    if step == 1 or how == "nearest":
        return codes[::step, ::step]
    rows, cols = codes.shape
    wide = np.pad(codes.astype(np.float64), ((0, -rows % step), (0, -cols % step)), mode="edge")
    blocks = wide.reshape(wide.shape[0] // step, step, wide.shape[1] // step, step)
    value = np.sqrt((blocks**2).mean((1, 3))) if how == "rms" else blocks.mean((1, 3))
    found: Codes = (np.rint(value) if codes.dtype.kind in "iu" else value).astype(codes.dtype)
    return found


def _padded(block: Codes, tile: tuple[int, int] | None, colour: bool) -> Codes:
    if tile is None:
        return block
    rows, cols = block.shape[:2]
    pad = [(0, tile[0] - rows), (0, tile[1] - cols)] + ([(0, 0)] if colour else [])
    return np.pad(block, pad)


def _orientation(scene: OpenedMicrograph) -> list[Any]:
    """The tag that says how to turn the pixels, which stay as they are stored."""
    return [(ORIENTATION, 3, 1, scene.orientation, True)] if scene.orientation != 1 else []


def _extratags(scene: OpenedMicrograph) -> list[Any]:
    """Descriptive tags of the first page, carried as they are."""
    found = []
    for code in CARRIED_TAGS:
        tag = scene.container.key.tags.get(code)
        if tag is not None and isinstance(tag.value, str | bytes):
            value = tag.value.encode("ascii", "replace").decode() if isinstance(tag.value, str) else tag.value
            found.append((code, 2 if isinstance(value, str) else 7, len(value), value, True))
    return found


def _description(scene: OpenedMicrograph, product: Product, layer: Layer, kind: str, shape: tuple[int, ...]) -> bytes:
    if kind == "ome":
        c = scene.container
        xml = c.ome if c.kind == "ome" else new_xml(scene)
        big = c.tif.byteorder == ">"
        out = Refined(product.factor, layer.dtype, big, scene.reader.pages, layer.title, notes(product, layer.note))
        return refined_xml(xml, c.index if c.kind == "ome" else 0, out, scene.options["positions"])
    text = str(scene.container.key.description or "").rstrip("\0").rstrip()
    if scene.container.series.kind == "shaped":
        return json.dumps({"shape": _shaped(scene, shape), **_other_keys(text), "gensr": layer.title}).encode("ascii")
    return f"{text}\n{layer.title}".strip().encode("utf-8")


def _shaped(scene: OpenedMicrograph, shape: tuple[int, ...]) -> list[int]:
    sizes = [int(n) for n in scene.container.series.get_shape(squeeze=False)]
    axes = scene.container.series.get_axes(squeeze=False)
    kept = dict(zip(scene.axes, scene.loops, strict=True)).get("C")
    sizes = [kept if a == "C" and kept else n for a, n in zip(axes, sizes, strict=True)]
    rows, cols = (
        (shape[-2], shape[-1]) if scene.reader.separate or scene.reader.samples == 1 else (shape[-3], shape[-2])
    )
    return [rows if a == "Y" else cols if a == "X" else n for a, n in zip(axes, sizes, strict=True)]


def _other_keys(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {k: v for k, v in found.items() if k != "shape"} if isinstance(found, dict) else {}
