"""What is refused before a pixel is read: damaged, unsafe or oversized files, and values that are no measurements."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import DomainError, FormatError
from gensr.scenes.crs import leads_elsewhere
from gensr.scenes.directories import check_directories
from gensr.values.coding import EXACT
from gensr.values.limits import expands, limit, within

from .tags import instructions
from .tiff import COMPRESSION, GDAL_METADATA, GEO_TEXTS, SAMPLES, read_tiff

BLOCK_LIMIT = 2**30
MOST_RATIO = 2000  # DEFLATE reaches 1030; anything beyond is a sparse file or a bomb
ALWAYS_BELIEVED = 2**26


def check_file(path: Path, driver: str) -> bool:
    """Refuse a file from its bytes, before GDAL sees it.

    Returns:
        Whether its pixels are compressed.

    Raises:
        FormatError: truncated, unsafe sidecars, nodata that GDAL would misread.
    """
    if driver == "GTiff":
        return _check_tiff(path)
    if driver == "PNG":
        _check_png(path)
    elif driver == "JP2OpenJPEG":
        _check_boxes(path)
    return True


def _check_tiff(path: Path) -> bool:
    check_directories(path)
    try:
        tiff = read_tiff(path)
    except ValueError as error:
        raise FormatError(f"{path}: {error}; the file is damaged or truncated") from error
    if tiff.end() > tiff.size:
        raise FormatError(
            f"{path}: has {tiff.size} bytes but its pixels reach to byte {tiff.end()}; the file is truncated"
        )
    within("bands", max(tiff.integers(SAMPLES) or (1,)), path)
    _refuse_instructions(tiff.tags.get(GDAL_METADATA, b""), path)
    _refuse_grids(tiff.tags.get(GEO_TEXTS, b""), path)
    nodata = tiff.nodata()
    integers64 = set(tiff.integers(258)) == {64} and set(tiff.integers(339) or (1,)) <= {1, 2}
    if integers64 and re.fullmatch(r"[+-]?\d{1,40}", nodata) and abs(int(nodata)) > EXACT:
        raise FormatError(
            f"{path}: 64-bit nodata {nodata} lies beyond 2^53, where GDAL returns another number; "
            "rewrite the file with a smaller nodata value"
        )
    return set(tiff.integers(COMPRESSION) or (1,)) != {1}


def _refuse_instructions(text: bytes, path: Path) -> None:
    found = instructions(text.split(b"\0")[0], path)
    if found:
        raise FormatError(
            f"{path}: its metadata ({', '.join(found)}) make GDAL open another file; "
            "write it anew without them (gdal_translate -co COPY_SRC_MDD=NO)"
        )


def _refuse_grids(text: bytes, path: Path) -> None:
    """Texts of a CRS among others: only what they name counts."""
    named = leads_elsewhere(text.decode("latin-1"))
    if named:
        raise FormatError(
            f"{path}: its coordinate system names {named[:80]!r}, another file or an address, which is not opened; "
            "write it anew with the code of the coordinate system (gdal_translate -a_srs EPSG:...)"
        )


def _check_boxes(path: Path) -> None:
    """Walk the boxes of JPEG 2000 (ISO 15444-1, annex I): XML among them may hold instructions for GDAL."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        todo, number = [(0, size)], 0
        while todo:
            place, end = todo.pop()
            while place + 8 <= end:
                number += 1
                within("boxes", number, path)
                stream.seek(place)
                head = stream.read(16)
                length, kind = int.from_bytes(head[:4], "big"), head[4:8]
                start = place + (16 if length == 1 else 8)
                length = int.from_bytes(head[8:16], "big") if length == 1 else length or end - place
                if number == 1 and kind != b"jP  ":
                    return  # a bare codestream
                if length < start - place or place + length > end:
                    break
                if kind == b"asoc":
                    todo.append((start, place + length))
                elif kind == b"uuid" and length <= limit("sidecar"):  # a GeoTIFF among others
                    stream.seek(start)
                    _refuse_grids(stream.read(place + length - start), path)
                elif kind == b"xml ":
                    within("xml", place + length - start, path)
                    stream.seek(start)
                    text = stream.read(place + length - start)
                    if b"GDALMultiDomainMetadata" in text:
                        _refuse_instructions(text, path)
                place += length


def _check_png(path: Path) -> None:
    """GDAL reads the missing rows of a truncated PNG as zeros."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 65536))
        if b"IEND" not in stream.read():
            raise FormatError(f"{path}: ends without its last chunk; the file is truncated")


def check_structure(path: Path, dataset: Any) -> None:  # noqa: ANN401
    """Refuse what an opened dataset holds if it is no image of measurements, or claims an impossible size.

    Raises:
        FormatError: several pages or dtypes, a size that the file cannot hold.
        DomainError: complex values.
    """
    if dataset.subdatasets:
        raise FormatError(
            f"{path}: holds {len(dataset.subdatasets)} images (pages); copy the one you mean into a file of its own"
        )
    kinds = set(dataset.dtypes)
    if any(k.startswith("complex") for k in kinds):
        raise DomainError(f"{path}: complex values ({', '.join(sorted(kinds))}) are not an image; give the amplitude")
    if len(kinds) != 1:
        raise FormatError(f"{path}: bands of different dtypes {sorted(kinds)}; write one file per dtype")
    _check_size(path, dataset)


def _check_size(path: Path, dataset: Any) -> None:  # noqa: ANN401
    itemsize = np.dtype(dataset.dtypes[0]).itemsize
    claim = dataset.width * dataset.height * dataset.count * itemsize
    size = path.stat().st_size
    shape = f"{dataset.width} x {dataset.height} x {dataset.count} {dataset.dtypes[0]}"
    within("scene", claim, path)
    expands(shape, size, claim, path)
    rows, cols = dataset.block_shapes[0]
    interleaved = dataset.count if dataset.interleaving and dataset.interleaving.name == "pixel" else 1
    block = rows * cols * itemsize * interleaved
    if block > limit("block"):
        raise FormatError(
            f"{path}: is stored in blocks of {rows} x {cols} pixels, {block / 2**30:.1f} GiB each; "
            "rewrite it tiled (gdal_translate -co TILED=YES)"
        )
    if dataset.driver == "GTiff" and block > max(limit("slack"), 64 * dataset.width * dataset.height * itemsize):
        raise FormatError(
            f"{path}: is stored in blocks of {rows} x {cols} pixels, but has {dataset.height} x {dataset.width}; "
            "refused as a decompression bomb, rewrite it (gdal_translate -co TILED=YES)"
        )
