"""Opening a FITS file of unknown origin: content first, sizes before data, nothing trusted.

After `Container` is made no file is left open: headers are copied, image HDUs are byte ranges. Gzipped files have no
random access and tile-compressed HDUs decode whole tiles, so both are unpacked once into temporary files.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from gensr.errors import FormatError
from gensr.scenes.decoding import decoded
from gensr.values.limits import limit, within

from . import unpack
from .headers import number, printable, readable, recorded
from .magic import is_fits, magic
from .packing import DAMAGE, packing, unpacked
from .pixels import BITPIX, Pixels, Scaling
from .structure import BLOCK, check_structure

MOST_AXES = 16
"""Axes of an image; real cubes have up to six."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One HDU.

    Attributes:
        index: position in the file.
        name: EXTNAME in capitals, "PRIMARY" or "".
        version: EXTVER.
        header: a private copy; for a compressed image, the header of the image inside.
        kind: ``image``, ``compressed``, ``table`` or ``empty``.
        shape: of an image in NumPy order, () if there is none.
        bitpix: stored type of an image (of the decoded one, if compressed).
        offset: first data byte.
        size: data bytes, without padding.
        packed: note on the compression, "" if none.
    """

    index: int
    name: str
    version: int
    header: Any
    kind: str
    shape: tuple[int, ...]
    bitpix: int
    offset: int
    size: int
    packed: str = ""

    @property
    def label(self) -> str:
        """How messages and notes call it."""
        return f"HDU {self.index}" + (f" ({self.name},{self.version})" if self.name else "")


class Container:
    """A FITS file whose structure was checked.

    Args:
        path: the file, plain or in gzip, bzip2, xz or zip.

    Raises:
        FormatError: if it is no FITS file, damaged, or implausibly large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self._temporary: list[Path] = []
        self._finalizer = weakref.finalize(self, _remove, self._temporary)
        self._pixels: dict[int, Pixels] = {}
        head = magic(path)
        if not is_fits(head):
            seen = f"starts with {head[:12]!r}" if head else "is empty or unreadable"
            raise FormatError(f"{path.name}: no FITS file ({seen}, expected 'SIMPLE  =                    T')")
        try:
            kind = packing(path)
            self.plain = self._inflate(kind) if kind else path
            self._check_first_header()
            check_structure(self.plain, path.name)
            self.layers = self._scan()
        except FormatError:
            self.close()
            raise

    def close(self) -> None:
        """Remove temporary files."""
        self._pixels.clear()
        self._finalizer()

    def pixels(self, layer: Layer) -> Pixels:
        """Window access to an image layer.

        Raises:
            FormatError: if the layer holds no readable image.
        """
        if layer.index not in self._pixels:
            if layer.kind == "compressed":
                self._pixels[layer.index] = self._decode(layer)
            else:
                self.check_whole(layer)
                self._pixels[layer.index] = Pixels(
                    self.plain, layer.offset, layer.shape, layer.bitpix, _scaling(layer, self.path)
                )
        return self._pixels[layer.index]

    def check_whole(self, layer: Layer) -> None:
        """Compare the claimed size of an uncompressed HDU with the file.

        Raises:
            FormatError: if the file ends before the data do.
        """
        end, have = layer.offset + layer.size, self.plain.stat().st_size
        if end > have:
            raise FormatError(
                f"{self.path.name}: {layer.label} needs {end} bytes, the file has {have}; it is truncated"
            )

    def _temp(self) -> Path:
        handle, name = tempfile.mkstemp(prefix="gensr_", suffix=".fits")
        os.close(handle)
        self._temporary.append(Path(name))
        return Path(name)

    def _inflate(self, kind: str) -> Path:
        most = 200 * self.path.stat().st_size + limit("gunzipped")
        target, done = self._temp(), 0
        try:
            with target.open("wb") as sink:
                for block in unpacked(self.path, kind):
                    done += len(block)
                    if done > most:
                        raise FormatError(
                            f"{self.path.name}: inflates beyond {most} bytes; refused as a decompression bomb"
                        )
                    sink.write(block)
        except DAMAGE as error:
            raise FormatError(f"{self.path.name}: {kind} data are damaged ({error}); get the file again") from None
        return target

    def _check_first_header(self) -> None:
        with self.plain.open("rb") as stream:
            done = 0
            while done < 80 * limit("cards") and (block := stream.read(BLOCK)):
                done += len(block)
                if any(block[i : i + 80] == b"END".ljust(80) for i in range(0, len(block), 80)):
                    return
        raise FormatError(f"{self.path.name}: no END card in the first {done} bytes; truncated, or no FITS header")

    def _scan(self) -> list[Layer]:
        layers: list[Layer] = []
        try:
            with recorded(self.notes), opened(self.plain, disable_image_compression=True) as hdus:
                for index in range(len(hdus)):
                    layers.append(_layer(hdus[index], index, self.notes))
            if any(layer.kind == "compressed" for layer in layers):
                layers = self._inner_headers(layers)
        except FormatError as error:
            raise FormatError(f"{self.path.name}: {error}") from None
        except Exception as error:  # astropy meets a malformed header with any exception there is
            raise FormatError(
                f"{self.path.name}: not readable as FITS ({_line(error)}); check or repair the file"
            ) from None
        return layers

    def _inner_headers(self, layers: list[Layer]) -> list[Layer]:
        with recorded(self.notes), opened(self.plain) as hdus:
            return [
                replace(layer, header=readable(hdus[layer.index].header, layer.label, self.notes))
                if layer.kind == "compressed"
                else layer
                for layer in layers
            ]

    def _decode(self, layer: Layer) -> Pixels:
        target = self._temp()
        dtype = np.dtype(BITPIX[layer.bitpix])
        try:
            path, expected = str(self.plain.absolute()), math.prod(layer.shape[1:])
            step = int(decoded(unpack.tile_rows, [path, layer.index], 8)[0][0])
            step *= max(1, (1 << 22) // max(1, step * expected))
            with target.open("wb") as sink:
                for start in range(0, layer.shape[0], step):
                    stop = min(start + step, layer.shape[0])
                    block, _ = decoded(unpack.rows, [path, layer.index, start, stop], 8 * expected * (stop - start))
                    if block.shape != (stop - start, *layer.shape[1:]):
                        raise ValueError(f"rows {start} to {stop} decode to shape {block.shape}")
                    sink.write(block.astype(dtype).tobytes())
        except Exception as error:  # decoders of eight codecs raise whatever they like on damaged tiles
            raise FormatError(
                f"{self.path.name}: compressed {layer.label} cannot be decoded ({_line(error)}); the file is damaged"
            ) from None
        return Pixels(target, 0, layer.shape, layer.bitpix, _scaling(layer, self.path))


@contextmanager
def opened(path: Path, **options: bool) -> Iterator[Any]:
    """HDU list of a plain file; our own handle, because astropy forgets its own when it refuses a file."""
    with path.open("rb") as stream, fits.open(stream, memmap=False, **options) as hdus:
        yield hdus


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    paths.clear()


def _line(error: BaseException) -> str:
    return printable(str(error))[:200] or type(error).__name__


def _layer(hdu: Any, index: int, notes: list[str]) -> Layer:  # noqa: ANN401
    stored = number(hdu.header, "BITPIX", 0)
    if stored not in BITPIX:  # astropy's repair would make it 8, a guess
        raise FormatError(f"HDU {index} has BITPIX {stored:g}; FITS knows 8, 16, 32, 64, -32, -64")
    try:
        hdu.verify("silentfix+warn")
    except (ValueError, TypeError) as error:
        notes.append(f"HDU {index} cannot be repaired ({_line(error)})")  # `readable` drops or refuses the card
    header, info = readable(hdu.header, f"HDU {index}", notes), hdu.fileinfo()
    prefix = "Z" if header.get("ZIMAGE") is True else ""
    kind = "compressed" if prefix else "table"
    if not prefix and (index == 0 or str(header.get("XTENSION", "")).strip() in ("IMAGE", "IUEIMAGE")):
        kind = "image"
    shape: tuple[int, ...] = ()
    bitpix = size = 0
    if kind != "table":
        count = int(number(header, f"{prefix}NAXIS", 0))
        if not 0 <= count <= MOST_AXES:
            raise FormatError(f"HDU {index} claims {count} axes; at most {MOST_AXES} are read")
        shape = tuple(int(number(header, f"{prefix}NAXIS{i}", 0)) for i in range(count, 0, -1))
        bitpix = int(number(header, f"{prefix}BITPIX", 0))
        if header.get("GROUPS") is True and shape and shape[-1] == 0:
            raise FormatError(f"HDU {index} holds random groups (visibilities), not an image; image them first")
        if bitpix not in BITPIX:
            raise FormatError(f"HDU {index} has ZBITPIX {bitpix}; FITS knows 8, 16, 32, 64, -32, -64")
        if shape and min(shape) < 0:
            raise FormatError(f"HDU {index} claims a negative size {shape}; the header is damaged")
        if not shape or min(shape) < 1:
            shape, kind = (), "empty"
        size = math.prod(shape) * abs(bitpix) // 8 if shape else 0
    if kind == "table":
        size = int(info["datSpan"] or 0)
    if kind == "compressed":
        _check_tiles(header, index, shape, size)
    name = "PRIMARY" if index == 0 and not hdu.name else str(hdu.name).strip().upper()
    return Layer(
        index, name, int(hdu.ver), header, kind, shape, bitpix, int(info["datLoc"]), size, _packing(header, prefix)
    )


def _packing(header: Any, prefix: str) -> str:  # noqa: ANN401
    if not prefix:
        return ""
    quantised = int(number(header, "ZBITPIX", 0)) < 0 and str(header.get("ZQUANTIZ", "NO_DITHER")).strip() != "NONE"
    return f"{str(header.get('ZCMPTYPE', '?')).strip()}{' quantised' if quantised else ''}"


def _check_tiles(header: Any, index: int, shape: tuple[int, ...], size: int) -> None:  # noqa: ANN401
    default = [shape[-1]] + [1] * (len(shape) - 1)
    tile = [int(number(header, f"ZTILE{i + 1}", default[i])) for i in range(len(shape))]
    if min(tile) < 1:
        raise FormatError(f"HDU {index} has compressed tiles of {tile} pixels; the header is damaged")
    pixels = math.prod(min(t, n) for t, n in zip(tile, shape[::-1], strict=True))
    within("block", pixels * (size // math.prod(shape)), f"HDU {index}, a compressed tile")
    tiles = math.prod(-(-n // t) for n, t in zip(shape[::-1], tile, strict=True))
    rows = int(number(header, "NAXIS2", 0))
    packed = int(number(header, "NAXIS1", 0)) * rows + int(number(header, "PCOUNT", 0))
    if rows != tiles or size > 1000 * packed + (64 << 20):
        raise FormatError(
            f"HDU {index} claims {size} bytes in {tiles} tiles but holds {rows} tiles in {packed} bytes; "
            "damaged or a decompression bomb"
        )


def _scaling(layer: Layer, path: Path) -> Scaling:
    scale, zero = number(layer.header, "BSCALE", 1.0), number(layer.header, "BZERO", 0.0)
    if scale == 0:
        raise FormatError(f"{path.name}: {layer.label} has BSCALE 0, so every pixel is BZERO; repair the header")
    blank = layer.header.get("BLANK")
    usable = isinstance(blank, int) and not isinstance(blank, bool) and layer.bitpix > 0
    return Scaling(scale, zero, blank if usable else None)
