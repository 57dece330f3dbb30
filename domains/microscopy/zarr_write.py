"""Writing OME-Zarr: the finest level plane by plane, coarser ones from the level before, metadata exact at each."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import OutputError
from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.stores import load
from gensr.values.grid import Window

from .layers import Codes, Layer, layers, notes
from .ngff import Multiscale
from .opened import OpenedMicrograph
from .writer import reduced

CHUNK = 512
SMALLEST = 256
"""Longer side of the coarsest level at most."""
SUFFIX = ".ome.zarr"
_ENDINGS = (".ome.zarr.zip", ".zarr.zip", ".ome.zarr", ".zarr", ".ozx", ".zip")


Place = Callable[[int], tuple[int, ...]]
"""Index of a plane in the axes of an array before rows and columns."""


@dataclass(frozen=True)
class Layout:
    """Where planes go.

    Attributes:
        loops: lengths of the axes before rows and columns.
        place: of a plane.
        zipped: the hierarchy becomes a zip.
    """

    loops: tuple[int, ...]
    place: Place
    zipped: bool


def write_zarr(
    scene: OpenedMicrograph,
    multiscale: Multiscale,
    layout: Layout,
    product: Product,
    folder: Path,
    names: Names,
    empty: bool = False,
) -> list[Path]:
    """Write mean, standard deviation and samples; returns the folders or zips.

    Args:
        scene: the opened input.
        multiscale: its metadata on its own grid.
        layout: where its planes go.
        product: finished results.
        folder: staging folder.
        names: of the outputs.
        empty: write metadata alone; arrays without chunks hold zeros.

    Raises:
        OutputError: if the format library cannot write them.
    """
    zipped = layout.zipped
    suffix = _suffix(scene.path, zipped)
    written = []
    for layer in layers(scene, product, folder, names, suffix):
        target = layer.path.with_name(layer.path.name + ".part") if zipped else layer.path
        try:
            _write(scene, multiscale.refine(product.factor), layout, product, layer, target, empty)
            if zipped:
                _pack(target, layer.path, multiscale.version)
                shutil.rmtree(target)
        except (ValueError, TypeError, OSError) as error:
            raise OutputError(f"{layer.path.name}: cannot be written ({error})") from error
        written.append(layer.path)
    return written


def _suffix(path: Path, zipped: bool) -> str:
    """Ending of the outputs: that of the input where it fits what is written."""
    found = next((e for e in _ENDINGS if path.name.lower().endswith(e)), "")
    return path.name[len(path.name) - len(found) :] if found and zipped == found.endswith(("zip", "ozx")) else SUFFIX


def levels(rows: int, cols: int) -> int:
    """Number of levels: halved until the longer side fits `SMALLEST`.

    >>> levels(100, 256), levels(257, 10), levels(1024, 1024)
    (1, 2, 3)
    """
    count = 1
    while max(rows, cols) > SMALLEST:
        rows, cols, count = -(-rows // 2), -(-cols // 2), count + 1
    return count


def _write(
    scene: OpenedMicrograph,
    multiscale: Multiscale,
    layout: Layout,
    product: Product,
    layer: Layer,
    target: Path,
    empty: bool,
) -> None:
    rows, cols = scene.grid.refine(product.factor).shape
    count, old = levels(rows, cols), multiscale.version == "0.4"
    attributes = multiscale.attributes(count, layer.title, notes(product, layer.note), display=not layer.uncertainty)
    group = load().create_group(str(target), zarr_format=2 if old else 3, attributes=attributes)
    finest = _array(group, multiscale, 0, (*layout.loops, rows, cols), layer.dtype)
    planes = range(0 if empty else scene.planes)
    for plane in planes:
        for window in _blocks(rows, cols):
            _put(finest, layout.place(plane), window, layer.fetch(plane, window))
    for number in range(1, count):
        high, wide = rows, cols
        rows, cols = -(-rows // 2), -(-cols // 2)
        coarse = _array(group, multiscale, number, (*layout.loops, rows, cols), layer.dtype)
        for plane in planes:
            how = "rms" if layer.uncertainty else "nearest" if (plane, 0) in scene.repeated else "mean"
            for window in _blocks(rows, cols):
                source = window.refine((2, 2))
                bottom, right = min(source.row + source.rows, high), min(source.col + source.cols, wide)
                codes = np.asarray(finest[(*layout.place(plane), slice(source.row, bottom), slice(source.col, right))])
                _put(coarse, layout.place(plane), window, reduced(codes, 2, how))
        finest = coarse


def _array(group: Any, multiscale: Multiscale, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:  # noqa: ANN401
    chunks = (*(1,) * (len(shape) - 2), min(CHUNK, shape[-2]), min(CHUNK, shape[-1]))
    zarr = load()
    more: dict[str, Any]
    if multiscale.version == "0.4":
        import numcodecs

        packing = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
        more = {"compressors": packing, "chunk_key_encoding": {"name": "v2", "separator": "/"}}
    else:
        packing = zarr.codecs.BloscCodec(cname="zstd", clevel=5, shuffle="shuffle", typesize=dtype.itemsize)
        more = {"compressors": packing, "dimension_names": multiscale.names}
    return group.create_array(str(number), shape=shape, chunks=chunks, dtype=dtype, fill_value=0, **more)


def _blocks(rows: int, cols: int) -> list[Window]:
    """Windows of whole chunks."""
    return [
        Window(row, col, min(CHUNK, rows - row), min(4 * CHUNK, cols - col))
        for row in range(0, rows, CHUNK)
        for col in range(0, cols, 4 * CHUNK)
    ]


def _put(array: Any, place: tuple[int, ...], window: Window, codes: Codes) -> None:  # noqa: ANN401
    rows, cols = slice(window.row, window.row + window.rows), slice(window.col, window.col + window.cols)
    array[(*place, rows, cols)] = codes


def _pack(folder: Path, target: Path, version: str) -> None:
    """Zip a hierarchy, root metadata first, without compressing it again; no times: equal runs make equal files."""
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (len(p.relative_to(folder).parts), p))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        packed.comment = json.dumps({"ome": {"version": version}}).encode("ascii")
