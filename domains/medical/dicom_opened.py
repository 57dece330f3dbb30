"""An opened DICOM file or series: frames as planes, each with its own rescale."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from gensr.scenes.product import Codes
from gensr.scenes.scene import Part, Scene
from gensr.values.grid import IDENTITY, Affine, PixelGrid, Window
from gensr.values.image import Image
from gensr.values.precision import Real

from .codec import Codec
from .dicom_crop import crop_header, crop_place
from .dicom_files import guarded, transfer_syntax
from .dicom_frames import can_add
from .dicom_geometry import read_place
from .dicom_identity import has_overlays
from .dicom_pixels import PET_HEADROOM, clean, decode, map_frame
from .dicom_private import diffusion, known_creator, left
from .dicom_series import Frame, Series
from .dicom_stack import Trends, trends
from .dicom_values import copied
from .options import NOTICE
from .scene import MedicalScene
from .through_plane import Stack

KEPT_FRAMES = 2
LISTED = 8
_FULL_RANGE_BITS = 8


class OpenedDicom(MedicalScene):
    """A DICOM file, series folder or enhanced multi-frame object.

    Attributes:
        series: frames in plane order.
        codecs: codec of every plane as it is read.
        written: codec of every plane as it is written (other slope for PET, else equal).
    """

    def __init__(self, path: Path, options: Mapping[str, Any], series: Series) -> None:
        self.path, self.options, self.series = path, options, series
        self.first = series.frames[0]
        header, stored = self.first.instance.header, self.first.instance.stored
        self.modality = str(header.get("Modality", "") or "OT")
        self.codecs = [f.instance.stored.codec(self.modality, f.slope, f.intercept) for f in series.frames]
        self.precision = np.result_type(*(c.precision for c in self.codecs))
        headroom = PET_HEADROOM if self.modality == "PT" else 1.0
        # Counts of a PET slice are scaled to its own peak, so a sharper picture needs room above it.
        self.written = [replace(c, slope=c.slope * headroom) for c in self.codecs] if headroom != 1.0 else self.codecs
        self.planes = len(series.frames)
        self.bands = ("value",)
        self.dtype = stored.dtype
        self.unit = _unit(self.modality, header)
        self.quantum = max(abs(c.slope) for c in self.written)
        self.grid = _grid(self.first)
        step = None if series.step is None else float(np.linalg.norm(series.step))
        place = self.first.place
        self.stack = Stack(series.slices, series.volumes, step, place.thickness, place.spacing)
        self.stackable = not series.multiframe or (series.step is not None and can_add(header))
        self.display = _window(self.first, self.codecs[0])
        low, high = (self.codecs[0].slope * n + self.codecs[0].intercept for n in stored.limits)
        detector = self.modality in ("CR", "DX") and stored.stored <= _FULL_RANGE_BITS
        self.full_range = (min(low, high), max(low, high)) if detector else None
        self.warnings = self._notes()
        self._frames: OrderedDict[int, Codes] = OrderedDict()

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        grid = self.grid.crop(window)
        values, valid, usable = self.codecs[plane].decode(self._codes(plane, window)[None])
        return Image(values, grid, valid, usable, self.bands, self.unit)

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`: in every frame."""
        part = copy(self)
        frames = [replace(frame, place=crop_place(frame.place, window)) for frame in self.series.frames]
        part.series, part.first = replace(self.series, frames=frames), frames[0]
        part.grid, part.origin = self.grid.crop(window), (window.row, window.col)
        return part

    def copied(self, header: Dataset) -> Dataset:
        """A deep copy of the header of an instance, for the part of its pixels that the scene is."""
        found, stored = copied(header), self.first.instance.stored
        if self.grid.shape != (stored.rows, stored.cols):
            whole = read_place(header, self.first.instance.name)
            crop_header(found, whole, Window(*self.origin, *self.grid.shape))
        return found

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        codes = self._codes(plane, window)[None]
        return codes, self.codecs[plane].decode(codes)[1]

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`: the whole series."""
        header = self.first.instance.header
        says = tuple(str(header.get(key, "") or "") for key in ("SeriesDescription", "ImageComments"))
        proof = "its Modality is SEG" if self.modality == "SEG" else ""
        return (Part("series", 0, range(self.planes), (self.path.name, *says), proof),)

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`."""
        return self.written[plane].encode(values, valid)

    @cached_property
    def trends(self) -> list[Trends]:
        """How attributes that number or locate slices run through every volume."""
        frames, slices = self.series.frames, self.stack.slices
        return [trends(frames[first : first + slices]) for first in range(0, len(frames), slices)]

    def _codes(self, plane: int, window: Window) -> Codes:
        """Codes (rows, cols) of a window: cut from the file, or from a decoded frame, of which the last are kept."""
        frame = self.series.frames[plane]
        source = frame.instance
        row, col, rows, cols = window.shift(self.origin)
        part = np.s_[row : row + rows, col : col + cols]
        if source.offset is not None:
            return clean(
                np.asarray(map_frame(source.path, source.stored, source.offset, frame.index)[part]), source.stored
            )
        if plane not in self._frames:
            self._frames[plane] = decode(source.path, source.header, source.stored, frame.index, source.name)
            while len(self._frames) > KEPT_FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(plane)
        return self._frames[plane][part]

    def _notes(self) -> list[str]:
        header = self.first.instance.header
        notes = list(self.series.warnings)
        if any(has_overlays(f.instance.header) for f in self.series.frames):
            notes.append("overlays (60xx) are not carried over")
        notes += _private(self.series)
        if any(f.place.repaired for f in self.series.frames):
            notes.append("direction cosines were orthonormalised")
        if "ModalityLUTSequence" in header:
            notes.append("a modality LUT maps codes to values: codes are processed as they are, the LUT stays")
        if self.codecs[0].inverted:
            notes.append("MONOCHROME1: mirrored for processing, written as MONOCHROME1")
        if str(header.get("LossyImageCompression", "") or "") == "01":
            notes.append("was lossy compressed once: artefacts may be enhanced")
        if str(header.get("SyntheticData", "") or "") == "YES":
            notes.append("the input is itself synthetic data")
        if self.modality == "MR":
            notes.append("MR is sampled in k-space: pixel integration is an approximation, see option operator")
        if self.modality == "PT":
            notes.append(f"PET: generated peaks have room: their rescale slope is {PET_HEADROOM:g} times the source's")
        step, thickness = self.stack.step, self.stack.thickness
        if step is not None and thickness is not None and step > 1.01 * thickness:
            notes.append(f"gaps between slices: step {step:g} mm, thickness {thickness:g} mm")
        return notes

    def cautions(self) -> list[str]:
        """See `Scene.cautions`: what of the header is left out or moves."""
        return [note for note in self.warnings if "private elements" in note or "b-value" in note]

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`; nothing that names a patient, a place or a day."""
        instance, place = self.first.instance, self.first.place
        header, stored = instance.header, instance.stored
        orientation, position = place.orientation, place.position
        pairs = sorted({(c.slope, c.intercept) for c in self.codecs})
        return {
            "format": "DICOM multi-frame" if self.series.multiframe else "DICOM series" if self.planes > 1 else "DICOM",
            "sop_class": getattr(header.SOPClassUID, "name", str(header.SOPClassUID)),
            "transfer_syntax": transfer_syntax(header).name,
            "modality": self.modality,
            "image_type": [str(v) for v in header.get("ImageType") or []],
            "photometric": "MONOCHROME1" if stored.inverted else "MONOCHROME2",
            "shape": [self.planes, *self.grid.shape],
            "dtype": str(stored.dtype),
            "bits_stored": stored.stored,
            "planes": self.planes,
            "slices": self.series.slices,
            "volumes": self.series.volumes,
            "pixel_spacing_row_col_mm": None if place.spacing is None else list(place.spacing),
            "slice_step_mm": self.stack.step,
            "slice_thickness_mm": place.thickness,
            "image_orientation": None if orientation is None else [float(v) for v in orientation.ravel()],
            "image_position": None if position is None else [float(v) for v in position],
            "rescale": [list(pair) for pair in pairs[:LISTED]],
            "rescale_pairs": len(pairs),
            "unit": self.unit,
            "padding": None if stored.padding is None else list(stored.padding),
            "window": None if self.display is None else list(self.display),
            "through_plane_factor_suggested": self.suggested_slices(),
            "operator": "area",
            "noise": "estimated from the data",
            "notice": NOTICE,
            "warnings": self.warnings,
        }

    def close(self) -> None:
        """Forget decoded frames."""
        self._frames.clear()


def _private(series: Series) -> list[str]:
    """What becomes of private elements, by their creators."""
    gone: Counter[str] = Counter()
    instances = list({id(f.instance): f.instance for f in series.frames}.values())
    for instance in instances:
        gone |= left(instance.header)
    moved = sum(diffusion(instance.header) is not None for instance in instances)
    notes = [f"b-value of {moved} image(s) moved to standard attributes"] if moved else []
    if gone:
        shown: Counter[str] = Counter()
        for creator, count in gone.items():
            shown[known_creator(creator)] += count
        names = ", ".join(f"{creator} ({count})" for creator, count in sorted(shown.items()))
        notes.append(f"private elements are left out, they may name persons or be stale: {names}")
    return notes


def _grid(frame: Frame) -> PixelGrid:
    stored, spacing = frame.instance.stored, frame.place.spacing
    if spacing is None:
        return PixelGrid((stored.rows, stored.cols), IDENTITY, "pixel")
    return PixelGrid((stored.rows, stored.cols), Affine(spacing[1], 0.0, 0.0, 0.0, spacing[0], 0.0), "mm")


def _unit(modality: str, header: Any) -> str:  # noqa: ANN401
    if modality == "CT" and header.get("RescaleSlope") is not None:
        kind = str(header.get("RescaleType", "") or "HU")
        return "HU" if kind in ("HU", "US") else kind
    if modality == "PT":
        return str(header.get("Units", "") or "")
    kind = str(header.get("RescaleType", "") or "")
    return "" if kind == "US" else kind


def _window(frame: Frame, codec: Codec) -> tuple[float, float] | None:
    """First VOI window of the file as processed values (mirrored for MONOCHROME1)."""
    header, name = frame.instance.header, frame.instance.name

    def action() -> tuple[float, float] | None:
        centre, width = header.get("WindowCenter"), header.get("WindowWidth")
        if centre is None or width is None or centre == "" or width == "":
            return None
        c, w = (float(np.atleast_1d(np.asarray(v, np.float64))[0]) for v in (centre, width))
        # PS3.3 C.11.2.1.2.1: the linear function shows codes 0 to 255 for centre 128, width 256.
        return (c - w / 2, c + w / 2 - 1) if w > 1 else None

    window = guarded(name, "reading the window", action)
    if window is None or not codec.inverted:
        return window
    return codec.mirror - window[1], codec.mirror - window[0]
