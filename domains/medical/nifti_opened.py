"""Reading NIfTI-1 and NIfTI-2: header checks, bounded inflation, planes of a 3-D or 4-D array."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from gensr.scenes.product import Codes
from gensr.scenes.scene import Part, Scene
from gensr.values.grid import IDENTITY, Affine, Factor, PixelGrid, Window
from gensr.values.image import Image
from gensr.values.precision import Real

from .codec import Codec
from .nifti_header import Parsed, crop
from .options import NOTICE
from .scene import MedicalScene
from .through_plane import Stack

ISOTROPIC = 1.1
LABEL_INTENT = 1002
_FRAME = {"mm": ("mm", 1.0), "m": ("mm", 1000.0), "um": ("um", 1.0)}


@dataclass(frozen=True)
class Layout:
    """How voxel axes become planes: rows of a plane run along ``axes[0]``, columns along ``axes[1]`` (voxel axes)."""

    shape: tuple[int, int, int]
    volumes: int
    axis: int
    axes: tuple[int, int]

    @property
    def slices(self) -> int:
        """Slices of one volume."""
        return self.shape[self.axis]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(rows, columns) of a plane."""
        return self.shape[self.axes[0]], self.shape[self.axes[1]]

    def scale(self, factor: Factor, slices: int) -> tuple[int, int, int]:
        """Refinement per voxel axis for an in-plane factor and a through-plane factor."""
        scale = [1, 1, 1]
        scale[self.axis] = slices
        scale[self.axes[0]], scale[self.axes[1]] = factor
        return scale[0], scale[1], scale[2]

    def index(self, plane: int, window: Window, slices: int) -> tuple[int | slice, ...]:
        """Index of a window into an (i, j, k, volume) array with ``slices`` slices per volume; see `place`."""
        volume, number = divmod(plane, slices)
        chosen: list[int | slice] = [0, 0, 0, volume]
        chosen[self.axis] = number
        chosen[self.axes[0]] = slice(window.row, window.row + window.rows)
        chosen[self.axes[1]] = slice(window.col, window.col + window.cols)
        return tuple(chosen)


def choose_layout(shape: tuple[int, ...], zooms: npt.NDArray[np.float64], axis: int | str) -> Layout:
    """Slices run along the only axis of length 1, else along the largest spacing, else along the third axis."""
    i, j, k = (*shape[:3], 1, 1)[:3]
    sizes = (i, j, k)
    if axis == "auto":
        single = [n for n in (2, 1, 0) if sizes[n] == 1]
        if single:
            axis = single[0]
        elif zooms.max() <= ISOTROPIC * zooms.min():
            axis = 2
        else:
            axis = int(np.argmax(zooms))
    column, row = (n for n in range(3) if n != axis)
    return Layout(sizes, math.prod(shape[3:]), int(axis), (row, column))


class OpenedNifti(MedicalScene):
    """An opened NIfTI file; every slice of every volume is a plane with one band.

    Attributes:
        header: the checked header, its extensions and affines.
        layout: how voxel axes become planes.
        voxels: stored codes (i, j, k, volume), memory mapped.
        compressed: the input is gzip-compressed, so the outputs are.
    """

    def __init__(self, path: Path, options: Mapping[str, Any], parsed: Parsed, voxels: Codes, compressed: bool) -> None:
        self.path, self.options, self.header, self.voxels, self.compressed = path, options, parsed, voxels, compressed
        self.label = path.name
        self.warnings = list(parsed.warnings)
        zooms = np.linalg.norm(parsed.affine[:3, :3], axis=0)
        self.layout = choose_layout(parsed.shape, zooms, options["axis"])
        self.zooms = tuple(float(z) for z in zooms)
        self.planes = self.layout.slices * self.layout.volumes
        self.bands = ("value",)
        self.dtype = parsed.dtype.newbyteorder("=")
        self.modality = "MR" if options["modality"] == "auto" else str(options["modality"])
        self.unit = "HU" if self.modality == "CT" else ""
        low, high = (0, 0) if self.dtype.kind == "f" else (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max)
        self.codec = Codec(self.dtype, parsed.slope, parsed.intercept, int(low), int(high))
        self.precision = self.codec.precision
        self.quantum = 0.0 if self.dtype.kind == "f" else abs(parsed.slope)
        dy, dx = (self.zooms[a] for a in self.layout.axes)
        frame, length = _FRAME.get(parsed.unit, ("pixel", 0.0))
        transform = Affine(dx * length, 0.0, 0.0, 0.0, dy * length, 0.0) if length else IDENTITY
        self.grid = PixelGrid(self.layout.plane_shape, transform, frame)
        step = self.zooms[self.layout.axis]
        self.stack = Stack(self.layout.slices, self.layout.volumes, step, step, (dy, dx))
        self.display, self.full_range = parsed.display, None

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        grid = self.grid.crop(window)
        block = self.voxels[self.layout.index(plane, window, self.layout.slices)]  # (columns, rows)
        values, valid, usable = self.codec.decode(np.asarray(block).T[None])
        return Image(values, grid, valid, usable, self.bands, self.unit)

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`: in every slice of every volume."""
        part, layout = copy(self), self.layout
        offsets, sizes = [0, 0, 0], list(layout.shape)
        for axis, first, size in zip(layout.axes, window[:2], window[2:], strict=True):
            offsets[axis], sizes[axis] = first, size
        box = tuple(slice(o, o + n) for o, n in zip(offsets, sizes, strict=True))
        part.voxels = self.voxels[box]
        part.layout = replace(layout, shape=(sizes[0], sizes[1], sizes[2]))
        part.header = crop(self.header, (offsets[0], offsets[1], offsets[2]), part.layout.shape)
        part.grid, part.origin = self.grid.crop(window), (window.row, window.col)
        return part

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        codes = np.asarray(self.voxels[self.layout.index(plane, window, self.layout.slices)]).T[None]
        codes = codes.astype(self.dtype)
        return codes, np.isfinite(codes)

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`: the whole volume."""
        raw = self.header.header
        intent = raw["intent_name"].item().decode("ascii", "replace").strip("\0 ")
        proof = "intent code 1002, a label map" if int(raw["intent_code"]) == LABEL_INTENT else ""
        return (Part("volume", 0, range(self.planes), (self.path.name, intent), proof),)

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`."""
        return self.codec.encode(values, valid)

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        h = self.header
        return {
            "format": f"NIfTI-{h.version}" + (" gzip" if self.compressed else ""),
            "shape": list(h.shape),
            "dtype": str(h.dtype),
            "byte_order": "big" if h.header.endianness == ">" else "little",
            "zooms_mm" if h.unit == "mm" else "zooms": list(self.zooms),
            "space_unit": h.unit or "unknown",
            "orientation": _orientation(h.affine),
            "qform_code": h.qform_code,
            "sform_code": h.sform_code,
            "affine": [[float(v) for v in row] for row in h.affine],
            "slope": h.slope,
            "intercept": h.intercept,
            "unit": self.unit,
            "modality": self.modality,
            "planes": self.planes,
            "slice_axis": self.layout.axis,
            "slices": self.layout.slices,
            "volumes": self.layout.volumes,
            "plane_shape": list(self.layout.plane_shape),
            "through_plane_factor_suggested": self.suggested_slices(),
            "operator": "area",
            "noise": "estimated from the data",
            "notice": NOTICE,
            "warnings": self.warnings,
        }

    def close(self) -> None:
        """Release the file (and the inflated copy of a compressed one)."""
        self.voxels = np.zeros((0, 0, 0, 0), self.dtype)


def _orientation(affine: npt.NDArray[np.float64]) -> str:
    """Nearest anatomical direction of each voxel axis, as "RAS" or "LPS"."""
    codes: Any = nib.orientations
    return "".join(code or "?" for code in codes.aff2axcodes(affine))
