"""The NIfTI header: checked field by field before anything is believed, refined exactly."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import nibabel as nib
import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError
from gensr.values.grid import refine_affine

from .detect import nifti_version
from .nifti_source import head

RawHeader: TypeAlias = Any
"""A nibabel header, which ships no types."""

LARGEST_OFFSET = 64 << 20
COMMENT = 6
SHEAR = 1e-3
_REFUSED = {1006: "a displacement field", 1007: "a vector field", 1005: "a tensor field", 1004: "a matrix field"}
_REFUSED.update(dict.fromkeys(range(3000, 3100), "CIFTI brain ordinates, not an image"))
_TYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64)


@dataclass(frozen=True)
class Parsed:
    """A checked header.

    Attributes:
        header: nibabel header with the raw fields of the file.
        version: 1 or 2.
        shape: array shape, 2 to 7 axes.
        dtype: stored dtype with the byte order of the file.
        slope: 1 where the file has none.
        intercept: 0 where the file has none.
        affine: (4, 4) voxel centre to world: sform, else qform, else spacing only.
        extensions: raw extension records (esize, ecode, data ...), a multiple of 16 bytes.
        offset: first byte of the voxels.
        end: byte after the last voxel.
        unit: "mm", "m", "um" or "" (unknown).
        display: cal_min and cal_max where they are set.
        warnings: what a user should know.
    """

    header: RawHeader
    version: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slope: float
    intercept: float
    affine: npt.NDArray[np.float64]
    extensions: bytes
    offset: int
    end: int
    unit: str
    display: tuple[float, float] | None
    warnings: list[str] = field(default_factory=list)

    @property
    def qform_code(self) -> int:
        """Meaning of the qform, 0 when there is none."""
        return int(self.header["qform_code"])

    @property
    def sform_code(self) -> int:
        """Meaning of the sform, 0 when there is none."""
        return int(self.header["sform_code"])


def parse(path: Path, compressed: bool) -> Parsed:
    """Read and check the header of a NIfTI file.

    Raises:
        FormatError: not NIfTI, damaged, or a kind that is refused by name.
    """
    name = path.name
    first = head(path, compressed, 348)
    version = nifti_version(first)
    if not version:
        raise FormatError(f"{name}: no NIfTI magic number; give a .nii or .nii.gz file")
    size = 348 if version == 1 else 540
    raw = first if version == 1 else head(path, compressed, size)
    if raw[(344 if version == 1 else 4) :][:2] == b"ni":
        raise FormatError(
            f"{name}: header of a .hdr/.img pair; join it first, for example nib-convert {name} joined.nii"
        )
    kind: Any = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    header: RawHeader = kind(raw, check=False)
    shape = _shape(name, header)
    dtype = _dtype(name, header)
    offset = _offset(name, header, size + 4)
    warnings: list[str] = []
    slope, intercept = _scaling(name, header)
    return Parsed(
        header=header,
        version=version,
        shape=shape,
        dtype=dtype,
        slope=slope,
        intercept=intercept,
        affine=_affine(name, header, warnings),
        extensions=_extensions(head(path, compressed, offset)[size:], header.endianness, warnings),
        offset=offset,
        end=offset + math.prod(shape) * dtype.itemsize,
        unit={1: "m", 2: "mm", 3: "um"}.get(int(header["xyzt_units"]) & 7, ""),
        display=_display(header),
        warnings=warnings,
    )


def _shape(name: str, header: RawHeader) -> tuple[int, ...]:
    rank = int(header["dim"][0])
    if not 1 <= rank <= 7:
        raise FormatError(f"{name}: {rank} dimensions in the header, expected 2 to 7; the header is damaged")
    shape = tuple(int(n) for n in header["dim"][1 : rank + 1])
    if min(shape) < 1:
        raise FormatError(f"{name}: shape {shape} has an empty axis; the header is damaged")
    intent = int(header["intent_code"])
    if intent in _REFUSED:
        raise FormatError(f"{name}: intent code {intent} says {_REFUSED[intent]}; give an intensity image")
    if rank < 2 or math.prod(shape[4:]) > 1:
        raise FormatError(f"{name}: shape {shape} is not a 2-D, 3-D or 4-D image; split the other axes first")
    return shape


def _dtype(name: str, header: RawHeader) -> np.dtype[Any]:
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (KeyError, nib.spatialimages.HeaderDataError) as error:
        raise FormatError(f"{name}: unknown data type code {code}; the header is damaged") from error
    if dtype.kind not in "iuf" or dtype.type not in _TYPES:
        raise FormatError(f"{name}: data type {dtype} (code {code}) is not supported; convert to integer or float32")
    bits = int(header["bitpix"])
    if bits not in (0, dtype.itemsize * 8):
        raise FormatError(f"{name}: {bits} bits a voxel do not fit data type {dtype}; the header is damaged")
    return dtype


def _offset(name: str, header: RawHeader, smallest: int) -> int:
    offset = float(header["vox_offset"])
    if offset == 0:
        return smallest
    if not (math.isfinite(offset) and offset == int(offset) and smallest <= offset <= LARGEST_OFFSET):
        raise FormatError(f"{name}: voxel offset {offset:g} is impossible in a single file; the header is damaged")
    return int(offset)


def _scaling(name: str, header: RawHeader) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        return 1.0, 0.0  # NIfTI: a slope of 0 means that there is no scaling; nibabel writes NaN
    if not math.isfinite(intercept):
        raise FormatError(f"{name}: scl_slope {slope:g} with scl_inter {intercept}; repair the header")
    return slope, intercept


def _affine(name: str, header: RawHeader, warnings: list[str]) -> npt.NDArray[np.float64]:
    try:
        if int(header["sform_code"]) > 0:
            affine = np.asarray(header.get_sform(), np.float64)
            if int(header["qform_code"]) > 0:
                header.get_qform()
        elif int(header["qform_code"]) > 0:
            affine = np.asarray(header.get_qform(), np.float64)
        else:
            affine = np.diag([*np.abs(header["pixdim"][1:4].astype(np.float64)), 1.0])
            affine[affine == 0] = 0.0
            for axis in range(3):
                affine[axis, axis] = affine[axis, axis] or 1.0
            warnings.append("neither qform nor sform: the spacing is known, the position in space is not")
    except (nib.spatialimages.HeaderDataError, ValueError) as error:
        raise FormatError(f"{name}: the qform is impossible; repair it, for example with fslorient") from error
    columns = affine[:3, :3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(columns)) < 1e-12:
        raise FormatError(
            f"{name}: the voxel-to-world matrix is singular or not finite; repair it, for example with fslorient"
        )
    unit = columns / np.linalg.norm(columns, axis=0)
    if float(np.abs(unit.T @ unit - np.eye(3)).max()) > SHEAR:
        warnings.append("the sform has shear, which a qform cannot hold: only the sform carries it")
    return affine


def _display(header: RawHeader) -> tuple[float, float] | None:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return (low, high) if math.isfinite(low) and math.isfinite(high) and high > low else None


def _extensions(block: bytes, order: str, warnings: list[str]) -> bytes:
    """Raw extension records behind the 4-byte flag, or nothing when they are not well formed."""
    if len(block) < 4 or block[0] == 0:
        return b""
    records, at = block[4:], 0
    while at + 8 <= len(records):
        size, code = struct.unpack(order + "ii", records[at : at + 8])
        if size == 0 and code == 0:
            break
        if size < 16 or size % 16 or at + size > len(records):
            warnings.append("header extensions are damaged and were dropped")
            return b""
        if code == 2:
            warnings.append("a DICOM header extension is kept; it may hold personal data and the old geometry")
        at += size
    return records[:at]


def comment_extension(text: str, order: str) -> bytes:
    """A NIfTI comment record (code 6), padded to a multiple of 16 bytes."""
    body = text.encode("ascii", "replace")
    size = -(-(8 + len(body)) // 16) * 16
    return struct.pack(order + "ii", size, COMMENT) + body.ljust(size - 8, b"\0")


def crop(parsed: Parsed, offsets: tuple[int, int, int], sizes: tuple[int, int, int]) -> Parsed:
    """The header of a box of voxels: the origin moves by ``A offset``, everything else stays.

    Args:
        parsed: of the whole volume.
        offsets: voxels left out before the box, per axis.
        sizes: voxels of the box, per axis.
    """
    header = parsed.header.copy()
    shape = (*(n for n, _ in zip(sizes, parsed.shape, strict=False)), *parsed.shape[3:])
    for axis, n in enumerate(shape[:3]):
        header["dim"][axis + 1] = n
    index = np.array([*offsets, 1.0])
    if header["qform_code"] > 0:
        header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = (parsed.header.get_qform() @ index)[:3]
    form = np.asarray(parsed.header.get_sform(), np.float64)
    if np.any(form[:3]):
        header["srow_x"][3], header["srow_y"][3], header["srow_z"][3] = (form @ index)[:3]
    affine = parsed.affine.copy()
    affine[:, 3] = parsed.affine @ index
    slice_axis = (int(header["dim_info"]) >> 4) & 3
    if slice_axis and sizes[slice_axis - 1] != (*parsed.shape, 1, 1)[slice_axis - 1]:
        _void_slice_timing(header)
    return replace(parsed, header=header, shape=shape, affine=affine)


def refined_header(parsed: Parsed, scale: tuple[int, int, int]) -> RawHeader:
    """Copy of the header for a grid refined by ``scale`` per voxel axis; codes and quaternion stay bit for bit."""
    header = parsed.header.copy()
    for axis, s in enumerate(scale):
        if axis + 1 <= int(header["dim"][0]):
            header["dim"][axis + 1] = _fits(parsed, parsed.shape[axis] * s)
    quaternion = header["qform_code"] > 0
    if quaternion:
        moved = refine_affine(parsed.header.get_qform(), scale)[:3, 3]
        header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = moved
    form = np.asarray(parsed.header.get_sform(), np.float64)
    if np.any(form[:3]):
        refined = refine_affine(form, scale)
        header["srow_x"], header["srow_y"], header["srow_z"] = refined[0], refined[1], refined[2]
    # With a qform, pixdim is the length of its columns; without one, of the sform's.
    columns = np.linalg.norm(parsed.affine[:3, :3], axis=0)
    old = header["pixdim"][1:4].astype(np.float64) if quaternion else columns
    header["pixdim"][1:4] = old / np.asarray(scale, np.float64)
    _forget_slice_timing(header, scale)
    return header


def _fits(parsed: Parsed, size: int) -> int:
    if parsed.version == 1 and size > 32767:
        raise FormatError(f"{size} voxels along an axis do not fit NIfTI-1 (32767); convert the input to NIfTI-2")
    return size


def _forget_slice_timing(header: RawHeader, scale: tuple[int, int, int]) -> None:
    """Slice order and times describe acquired slices; they are void when the slice axis is refined."""
    slice_axis = (int(header["dim_info"]) >> 4) & 3
    if slice_axis and scale[slice_axis - 1] > 1:
        _void_slice_timing(header)


def _void_slice_timing(header: RawHeader) -> None:
    header["slice_start"] = header["slice_end"] = header["slice_code"] = 0
    header["slice_duration"] = 0.0
