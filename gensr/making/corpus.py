"""Training images from what people have: folders, zips of pictures, npz arrays, and the domains' own files.

Images come as float32 (band, y, x) in the values of the file, streamed one by one.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError, GensrError, UsageError, ordinary
from gensr.making.picture import picture
from gensr.scenes import installed
from gensr.scenes.decoding import DecodingError, decoded
from gensr.scenes.door import admit, at_home
from gensr.scenes.inputs import open_scene
from gensr.values.grid import Window
from gensr.values.limits import OPTION, limit, within

FloatArray = npt.NDArray[np.float32]
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MEMBERS = 10_000_000
"""Entries of a zip."""


def read(path: Path, domain: str) -> Iterator[FloatArray]:
    """Images of a corpus.

    Args:
        path: a folder, a .zip of pictures, a .npz, or one file that the domain reads.
        domain: name of the domain whose formats are read.

    Raises:
        UsageError: the path does not exist or holds no image.
        FormatError: a file in it is damaged.
    """
    path = at_home(str(path))
    try:
        admit(path)
    except FormatError as error:
        raise UsageError(f"data={error}; give a folder, .zip, .npz or image") from None
    count = 0
    images = _walk(path, domain)
    while True:
        with _named(path):
            image = next(images, None)
        if image is None:
            break
        count += 1
        yield image
    if not count:
        raise UsageError(f"data={path}: no image found; expected pictures, .zip, .npz or {domain} files")


def _walk(path: Path, domain: str) -> Iterator[FloatArray]:
    if path.is_dir():
        plugin = installed.domain(domain)
        own = set(plugin.expand(path))
        for item in sorted(path.iterdir()):
            if item in own or (item.is_file() and item.suffix.lower() in (*PICTURES, ".zip", ".npz")):
                yield from _walk(item, domain)
        if path in own:
            yield from _scene(path, domain)
    elif path.suffix.lower() == ".zip":
        yield from _zip(path)
    elif path.suffix.lower() == ".npz":
        yield from _npz(path)
    elif path.suffix.lower() in PICTURES:
        within("corpus", path.stat().st_size, path)
        yield _picture(path.read_bytes(), str(path))
    else:
        yield from _scene(path, domain)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever a library raises on a damaged file is a `FormatError` that names it."""
    try:
        with ordinary(path):
            yield
    except (GensrError, StopIteration):
        raise
    except MemoryError as error:
        raise FormatError(f"{path}: needs more memory than there is; make smaller files of it") from error
    # Damaged archives surface as almost any exception.
    except Exception as error:
        text = " ".join(str(error).split())[:120]
        raise FormatError(f"{path}: unreadable ({type(error).__name__}: {text}); remove it from the corpus") from error


def _picture(data: bytes, name: str) -> FloatArray:
    most = limit("corpus")
    try:
        found, _ = decoded(picture, [most], most, data)
    except DecodingError as error:
        raise FormatError(f"{name}: not a readable picture ({error}); remove it from the corpus") from error
    if found.ndim not in (2, 3):
        raise FormatError(f"{name}: not a readable picture (shape {found.shape}); remove it from the corpus")
    array = found.astype(np.float32)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _zip(path: Path) -> Iterator[FloatArray]:
    with _opened(path) as archive:
        for info in sorted(archive.infolist(), key=lambda i: i.filename):
            if info.filename.lower().endswith(PICTURES):
                yield _picture(_member(archive, info, path), f"{path}/{info.filename}")


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise FormatError(f"{path}: damaged zip ({error}); fetch it again") from error
    if len(archive.infolist()) > MEMBERS:
        raise FormatError(f"{path}: has {len(archive.infolist())} entries; split it")
    return archive


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    """The bytes of an entry of a zip, as many as its directory says and no more."""
    name = f"{path}/{info.filename}"
    within("corpus", info.file_size, name)
    if info.file_size > limit("believed") and info.file_size > limit("packed") * info.compress_size:
        raise FormatError(
            f"{name}: claims {info.file_size} bytes in {info.compress_size}; an empty image or a decompression bomb "
            f"(if it is neither, raise all limits with {OPTION}=4)"
        )
    with archive.open(info) as stream:
        data = stream.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise FormatError(f"{name}: is not of the size that the archive says; fetch it again")
    return data


def _npz(path: Path) -> Iterator[FloatArray]:
    """Arrays (n, y, x) or (n, band, y, x); or JPEG streams ``jpeg, offset``; or Anscombe codes ``code`` of fluxes."""
    with _opened(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

        def array(name: str) -> npt.NDArray[Any]:
            return _array(_member(archive, entries[name], path), f"{path}/{name}")

        if {"jpeg", "offset"} <= set(entries):
            stream, offset = array("jpeg").tobytes(), _offsets(array("offset"), path)
            split = array("split") if "split" in entries else np.zeros(len(offset) - 1, np.int64)
            for i in np.flatnonzero(split[: len(offset) - 1] == 0):
                yield _picture(stream[offset[i] : offset[i + 1]], f"{path}[{i}]")
        elif "code" in entries:
            for code in array("code"):
                yield anscombe_flux(code)[None]
        else:
            for name in entries:
                images = array(name)
                if images.ndim in (3, 4) and images.shape[-1] >= 8:
                    for image in images:
                        yield np.asarray(image, np.float32).reshape(-1, *image.shape[-2:])


def _offsets(found: npt.NDArray[Any], path: Path) -> npt.NDArray[np.int64]:
    if found.ndim != 1 or found.dtype.kind not in "iu" or not len(found):
        raise FormatError(f"{path}: unreadable npz (offset of shape {found.shape} and {found.dtype}); write it again")
    return found.astype(np.int64)


def _array(data: bytes, name: str) -> npt.NDArray[Any]:
    """An array of numbers in NumPy's format; its header is compared with what is there before anything is allocated.

    Raises:
        FormatError: objects, texts, or a header that says another size.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    # The header is Python that NumPy parses; a damaged one fails in any way that a parser can.
    except Exception as error:
        raise FormatError(f"{name}: unreadable npz ({error}); expected arrays (n, y, x) or (n, band, y, x)") from error
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in "biuf" or min(shape, default=0) < 0 or size != len(data) - stream.tell():
        raise FormatError(
            f"{name}: unreadable npz (shape {shape} of {dtype} in {len(data)} bytes); "
            "expected arrays (n, y, x) or (n, band, y, x) of numbers"
        )
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def anscombe_flux(code: npt.NDArray[np.int16], exposure: float = 2028.0, sky: float = 0.07) -> FloatArray:
    """Flux in electron/s from codes in steps of 0.05 noise deviations (generalised Anscombe transform).

    Args:
        code: int16 codes.
        exposure: seconds.
        sky: electron/s per pixel; read noise is 4 reads of 5 electrons.
    """
    floor = sky * exposure + 100.0
    return np.asarray(((0.025 * code.astype(np.float64) + floor**0.5) ** 2 - floor) / exposure, np.float32)


def _scene(path: Path, domain: str) -> Iterator[FloatArray]:
    with open_scene(installed.domain(domain), path, {}) as scene:
        rows, cols = scene.grid.shape
        within("corpus", 4 * rows * cols * len(scene.bands), path)
        for plane in range(scene.planes):
            image = scene.read(plane, Window(0, 0, rows, cols))
            if image.valid.all():
                yield np.array(image.values)
