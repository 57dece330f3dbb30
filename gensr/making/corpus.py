"""Training images from what people have: folders, zips of pictures, npz arrays, and the domains' own files.

Images come as float32 (band, y, x) in the values of the file, streamed one by one.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError, UsageError
from gensr.scenes import installed
from gensr.values.grid import Window

FloatArray = npt.NDArray[np.float32]
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LIMIT = 1 << 30
"""Largest decoded array or picture of a corpus, bytes."""


def read(path: Path, domain: str) -> Iterator[FloatArray]:
    """Images of a corpus.

    Args:
        path: a folder, a .zip of pictures, a .npz, or one file that the domain reads.
        domain: name of the domain whose formats are read.

    Raises:
        UsageError: the path does not exist or holds no image.
        FormatError: a file in it is damaged.
    """
    if not path.exists():
        raise UsageError(f"data={path}: no such file or folder; give a folder, .zip, .npz or image")
    count = 0
    for image in _walk(path, domain):
        count += 1
        yield image
    if not count:
        raise UsageError(f"data={path}: no image found; expected pictures, .zip, .npz or {domain} files")


def _walk(path: Path, domain: str) -> Iterator[FloatArray]:
    if path.is_dir():
        plugin = installed.domain(domain)
        own = set(plugin.expand(path))
        for item in sorted(path.iterdir()):
            if item in own or item.suffix.lower() in (*PICTURES, ".zip", ".npz"):
                yield from _walk(item, domain)
        if path in own:
            yield from _scene(path, domain)
    elif path.suffix.lower() == ".zip":
        yield from _zip(path)
    elif path.suffix.lower() == ".npz":
        yield from _npz(path)
    elif path.suffix.lower() in PICTURES:
        yield _picture(path.read_bytes(), str(path))
    else:
        yield from _scene(path, domain)


def _picture(data: bytes, name: str) -> FloatArray:
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height * 4 > LIMIT:
                raise FormatError(f"{name}: {picture.width} x {picture.height} pixels is too large; remove it")
            kept = picture if picture.mode in ("L", "I;16", "F") else picture.convert("RGB")
            array = np.asarray(kept, np.float32)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise FormatError(f"{name}: not a readable picture ({error}); remove it from the corpus") from error
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _zip(path: Path) -> Iterator[FloatArray]:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in sorted(archive.infolist(), key=lambda i: i.filename):
                if info.filename.lower().endswith(PICTURES):
                    _check_size(info, path)
                    yield _picture(archive.read(info), f"{path}/{info.filename}")
    except (zipfile.BadZipFile, EOFError) as error:
        raise FormatError(f"{path}: damaged zip ({error}); fetch it again") from error


def _check_size(info: zipfile.ZipInfo, path: Path) -> None:
    if info.file_size > LIMIT:
        raise FormatError(f"{path}/{info.filename}: {info.file_size} bytes is too large; remove it")


def _npz(path: Path) -> Iterator[FloatArray]:
    """Arrays (n, y, x) or (n, band, y, x); or JPEG streams ``jpeg, offset``; or Anscombe codes ``code`` of fluxes."""
    try:
        with zipfile.ZipFile(path) as members:
            for info in members.infolist():
                _check_size(info, path)
        with np.load(path, allow_pickle=False) as archive:
            if {"jpeg", "offset"} <= set(archive.files):
                stream, offset = archive["jpeg"].tobytes(), archive["offset"]
                chosen = np.flatnonzero(archive["split"] == 0) if "split" in archive.files else range(len(offset) - 1)
                for i in chosen:
                    yield _picture(stream[offset[i] : offset[i + 1]], f"{path}[{i}]")
            elif "code" in archive.files:
                for code in archive["code"]:
                    yield anscombe_flux(code)[None]
            else:
                for name in archive.files:
                    images = archive[name]
                    if images.ndim in (3, 4) and images.shape[-1] >= 8:
                        for image in images:
                            yield np.asarray(image, np.float32).reshape(-1, *image.shape[-2:])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: unreadable npz ({error}); expected arrays (n, y, x) or (n, band, y, x)") from error


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
    plugin = installed.domain(domain)
    scene = plugin.open(path, {})
    try:
        rows, cols = scene.grid.shape
        for plane in range(scene.planes):
            image = scene.read(plane, Window(0, 0, rows, cols))
            if image.valid.all():
                yield np.array(image.values)
    finally:
        scene.close()
