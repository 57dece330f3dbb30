"""Pixels of DICOM frames: what is stored, how it becomes physical values, how a single frame is decoded."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from gensr.errors import DomainError, FormatError
from gensr.scenes.decoding import DecodingError, decoded
from gensr.scenes.product import Codes
from gensr.values.limits import within

from .codec import Codec
from .dicom_files import guarded, transfer_syntax
from .frames import frame

PET_HEADROOM = 1.25
DETECTORS = frozenset({"CT", "CR", "DX", "MG"})
_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, "1.2.840.10008.1.2.4.203"})
_GPL = (".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81")


@dataclass(frozen=True)
class Stored:
    """Layout of the stored pixels of one DICOM object.

    Attributes:
        rows: rows of a frame.
        cols: columns of a frame.
        frames: number of frames.
        allocated: bits allocated, 8, 16 or 32.
        stored: bits stored.
        high: index of the highest stored bit.
        signed: two's complement codes.
        inverted: MONOCHROME1.
        padding: first and last padding code.
    """

    rows: int
    cols: int
    frames: int
    allocated: int
    stored: int
    high: int
    signed: bool
    inverted: bool
    padding: tuple[int, int] | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Native dtype of a code."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest code that the stored bits can hold."""
        if self.signed:
            return -(1 << (self.stored - 1)), (1 << (self.stored - 1)) - 1
        return 0, (1 << self.stored) - 1

    def codec(self, modality: str, slope: float, intercept: float) -> Codec:
        """Codec of a frame with its own rescale."""
        low, high = self.limits
        saturates = modality in DETECTORS and self.stored <= 16
        return Codec(self.dtype, slope, intercept, low, high, self.padding, self.inverted, saturates)


_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "Rows", "PixelDataProviderURL")


def read_stored(header: Dataset, name: str) -> Stored:
    """Check the image pixel module.

    Raises:
        FormatError: colour, 1-bit or floating pixels, or values that contradict each other.
    """
    kind = str(header.get("PhotometricInterpretation", "") or "")
    samples = _integer(header, "SamplesPerPixel", name, 1)
    if not kind and not any(key in header for key in _PIXELS):
        raise FormatError(f"{name}: holds no pixel data; give the image itself, not a report, plan or reference to it")
    if kind not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise FormatError(
            f"{name}: photometric interpretation {ascii(kind) if kind else 'missing'} with {samples} samples: colour "
            "and palette images are refused; convert to MONOCHROME2 if the colour carries no meaning"
        )
    rows, cols = _integer(header, "Rows", name), _integer(header, "Columns", name)
    frames = _integer(header, "NumberOfFrames", name, 1)
    allocated, stored = _integer(header, "BitsAllocated", name), _integer(header, "BitsStored", name)
    high = _integer(header, "HighBit", name, stored - 1)
    if min(rows, cols, frames) < 1:
        raise FormatError(f"{name}: {rows} x {cols} pixels in {frames} frames; the header is damaged")
    if allocated not in (8, 16, 32) or not 1 < stored <= allocated or not stored - 1 <= high < allocated:
        raise FormatError(
            f"{name}: {stored} of {allocated} bits with high bit {high} is not supported; "
            "expected 8, 16 or 32 allocated bits"
        )
    within("block", rows * cols * (allocated // 8), name)
    signed = _integer(header, "PixelRepresentation", name, 0) == 1
    found = Stored(rows, cols, frames, allocated, stored, high, signed, kind == "MONOCHROME1", None)
    padding = _padding(header, found, name)
    return Stored(rows, cols, frames, allocated, stored, high, signed, kind == "MONOCHROME1", padding)


def _integer(header: Dataset, keyword: str, name: str, default: int | None = None) -> int:
    value = guarded(name, f"reading {keyword}", lambda: header.get(keyword))
    if value is None or value == "":
        if default is None:
            raise FormatError(f"{name}: {keyword} is missing; this DICOM object holds no image, or is damaged")
        return default
    return guarded(name, f"reading {keyword}", lambda: int(value))


def _padding(header: Dataset, stored: Stored, name: str) -> tuple[int, int] | None:
    """Pixel Padding Value and Range Limit as codes; a value read with the wrong sign is turned over."""
    if header.get("PixelPaddingValue") is None:
        return None
    first = _integer(header, "PixelPaddingValue", name)
    last = _integer(header, "PixelPaddingRangeLimit", name, first)
    whole = 1 << stored.allocated
    low, high = (-(whole // 2), whole // 2 - 1) if stored.signed else (0, whole - 1)
    codes = [v - whole if v > high else v + whole if v < low else v for v in (first, last)]
    if any(not low <= code <= high for code in codes):
        raise FormatError(
            f"{name}: Pixel Padding Value {first} does not fit {stored.allocated} bits; the header is damaged"
        )
    if min(codes) <= stored.limits[0] and max(codes) >= stored.limits[1]:
        raise FormatError(f"{name}: the padding range covers every code; the header is damaged")
    return min(codes), max(codes)


def check_pixels(header: Dataset, stored: Stored, path: Path, position: int, lossy: bool, name: str) -> int | None:
    """Check that the pixel data are there in full length and in a compression that is accepted.

    Returns:
        Position of the first code in the file where the pixels are plain little-endian, None where they need decoding.

    Raises:
        FormatError: missing or truncated pixels.
        DomainError: lossy compression without ``lossy=true``.
    """
    syntax = transfer_syntax(header)
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise FormatError(f"{name}: unknown transfer syntax; convert the file to Explicit VR Little Endian")
    refuse_lossy(header, syntax, lossy, name)
    if syntax == DeflatedExplicitVRLittleEndian:
        return None
    with path.open("rb") as stream:
        stream.seek(position)
        start = stream.read(12)
        order = "<" if syntax.is_little_endian else ">"
        group, element = struct.unpack(order + "HH", start[:4]) if len(start) >= 8 else (0, 0)
        if (group, element) in ((0x7FE0, 0x0008), (0x7FE0, 0x0009)):
            raise FormatError(f"{name}: floating point pixel data (Parametric Map) are refused; give the source images")
        if (group, element) != (0x7FE0, 0x0010):
            raise FormatError(f"{name}: no pixel data; this DICOM object holds no image, or is truncated")
        size = path.stat().st_size
        if syntax.is_compressed:
            _check_fragments(stream, size, stored.frames, name)
            return None
    first = position + (8 if syntax.is_implicit_VR else 12)
    expected = stored.rows * stored.cols * stored.frames * (stored.allocated // 8)
    within("scene", expected, name)
    if size - first < expected:
        raise FormatError(
            f"{name}: {max(0, size - first)} bytes of pixel data, its header asks for {expected}; the file is truncated"
        )
    return first if syntax.is_little_endian else None


def _check_fragments(stream: BinaryIO, size: int, frames: int, name: str) -> None:
    """Walk the items of encapsulated pixels behind their element header: decoders accept cut streams silently.

    Raises:
        FormatError: a fragment that is cut, or fewer fragments than frames.
    """
    fragments = -1  # the first item is the offset table
    while len(item := stream.read(8)) == 8:
        group, element, length = struct.unpack("<HHI", item)
        if (group, element) == (0xFFFE, 0xE0DD):
            break
        if (group, element) != (0xFFFE, 0xE000) or stream.tell() + length > size:
            raise FormatError(f"{name}: a fragment of its compressed pixels is cut or damaged; export the file again")
        stream.seek(length, 1)
        fragments += 1
    if fragments < frames:
        raise FormatError(f"{name}: {max(0, fragments)} fragments for {frames} frames; the file is truncated")


def is_lossy(header: Dataset) -> bool:
    """Whether the pixels are stored in a lossy compression now (a flag alone tells of the past)."""
    syntax = transfer_syntax(header)
    return syntax in _LOSSY or (syntax == JPEG2000 and str(header.get("LossyImageCompression", "") or "") == "01")


def refuse_lossy(header: Dataset, syntax: UID, lossy: bool, name: str) -> None:
    """Refuse pixels in a lossy transfer syntax.

    Raises:
        DomainError: names the syntax and the option.
    """
    if not lossy and is_lossy(header):
        raise DomainError(
            f"{name}: pixels are stored in lossy {syntax.name}: block artefacts would be taken for anatomy; "
            "give the uncompressed or lossless original, or accept it with lossy=true"
        )


def map_frame(path: Path, stored: Stored, offset: int, index: int) -> Codes:
    """Raw codes (rows, cols) of a plain little-endian frame, memory mapped; `clean` what is cut out of it."""
    place = offset + index * stored.rows * stored.cols * (stored.allocated // 8)
    return np.memmap(path, stored.dtype.newbyteorder("<"), "r", place, (stored.rows, stored.cols))


def decode(path: Path, header: Dataset, stored: Stored, index: int, name: str) -> Codes:
    """Stored codes (rows, cols) of one frame, in native byte order, overlay bits removed.

    Raises:
        FormatError: a missing codec (named with its package) or damaged pixel data.
    """
    syntax = transfer_syntax(header)
    meta = getattr(header, "file_meta", None)
    direct = meta is not None and meta.get("TransferSyntaxUID") and syntax != DeflatedExplicitVRLittleEndian

    most = 2 * stored.rows * stored.cols * (stored.allocated // 8) + 4096
    try:
        codes, _ = decoded(frame, [str(path.absolute()), index, str(syntax), not direct], most)
    except DecodingError as error:
        if syntax.is_compressed and "plugin" in str(error).lower() and "missing" in str(error).lower():
            extra = "gpl-codecs" if str(syntax).endswith(_GPL) else "codecs"
            raise FormatError(f"{name}: no decoder for {syntax.name}; pip install 'gensr[{extra}]'") from error
        # Messages of the library quote values, so personal data.
        reason = error.kind if error.said else str(error)
        raise FormatError(
            f"{name}: frame {index + 1} in {syntax.name} cannot be decoded ({reason}); "
            "the pixel data are damaged or truncated, export the file again"
        ) from error
    if codes.shape != (stored.rows, stored.cols):
        raise FormatError(
            f"{name}: frame {index + 1} decodes to {codes.shape}, its header says {stored.rows} x {stored.cols}"
        )
    return clean(codes, stored)


def clean(codes: Codes, stored: Stored) -> Codes:
    """Only the stored bits, sign extended, in native byte order: the others may hold overlays."""
    unsigned = np.ascontiguousarray(codes).astype(codes.dtype.newbyteorder("="), copy=False)
    if stored.stored == stored.allocated:
        return unsigned.astype(stored.dtype, copy=False)
    shift = stored.high + 1 - stored.stored
    bits = (unsigned.astype(np.int64) >> shift) & ((1 << stored.stored) - 1)
    if stored.signed:
        half = 1 << (stored.stored - 1)
        bits = (bits ^ half) - half
    found = bits.astype(stored.dtype)
    low, high = stored.limits
    if stored.padding is not None and not low <= stored.padding[0] <= stored.padding[1] <= high:
        # Some scanners pad with a code that uses the bits above the stored ones.
        raw = unsigned.view(stored.dtype)
        found = np.where((raw >= stored.padding[0]) & (raw <= stored.padding[1]), raw, found)
    return found


def rescale(item: Dataset, name: str) -> tuple[float, float]:
    """Rescale slope and intercept of a header or functional group, 1 and 0 where absent.

    Raises:
        FormatError: a slope of 0 or values that are no numbers.
    """
    slope, intercept = (_number(item, key, name) for key in ("RescaleSlope", "RescaleIntercept"))
    if slope is None and intercept is None:
        return 1.0, 0.0
    slope, intercept = (1.0 if slope is None else slope), (intercept or 0.0)
    if slope == 0 or not (math.isfinite(slope) and math.isfinite(intercept)):
        raise FormatError(
            f"{name}: Rescale Slope {slope:g} and Intercept {intercept:g} are impossible; repair the header"
        )
    return slope, intercept


def _number(item: Dataset, keyword: str, name: str) -> float | None:
    value = guarded(name, f"reading {keyword}", lambda: item.get(keyword))
    return None if value is None or value == "" else guarded(name, f"reading {keyword}", lambda: float(value))
