"""Where DICOM pixels lie, and every attribute that must change when the pixel grid is refined.

Image Position is the centre of the first pixel, so it moves half a pixel difference along both directions::

    IPP' = IPP - 0.5 (dc - dc') X - 0.5 (dr - dr') Y        X, Y: direction of increasing column, row
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DSfloat

from gensr.errors import FormatError
from gensr.values.grid import Factor, first_centre, refine_centre

from .dicom_files import guarded

ORTHONORMAL = 1e-6
BEYOND_REPAIR = 1e-2
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Geometry of a frame; None where the file does not say.

    Attributes:
        spacing: distance of (rows, columns), mm: the row spacing is the step along a column.
        orientation: (2, 3) unit vectors of increasing column (X) and increasing row (Y), orthonormal.
        position: (3,) centre of the first pixel, mm, LPS.
        thickness: slice thickness, mm.
        repaired: the direction cosines had to be orthonormalised.
    """

    spacing: tuple[float, float] | None
    orientation: Vector | None
    position: Vector | None
    thickness: float | None
    repaired: bool = False

    @property
    def normal(self) -> Vector:
        """Slice normal X x Y; only where the orientation is known."""
        axes = np.eye(3)[:2] if self.orientation is None else self.orientation
        return np.cross(axes[0], axes[1])

    @property
    def at(self) -> Vector:
        """The position; zeros where it is unknown."""
        return np.zeros(3) if self.position is None else self.position

    def refine(self, factor: Factor) -> Place:
        """Geometry of the frame on the grid refined by ``factor`` (rows, columns); the outer corners stay."""
        if self.spacing is None:
            return self
        dr, dc = self.spacing
        fine = (dr / factor[0], dc / factor[1])
        if self.position is None or self.orientation is None:
            return replace(self, spacing=fine)
        x, y = self.orientation
        moved = self.position + first_centre(factor[1]) * dc * x + first_centre(factor[0]) * dr * y
        return replace(self, spacing=fine, position=moved)


def frame_groups(header: Dataset, index: int = 0) -> tuple[Dataset | None, Dataset | None] | None:
    """(shared, per-frame) functional groups of a frame; None for an object that has none."""
    shared = header.get("SharedFunctionalGroupsSequence")
    own = header.get("PerFrameFunctionalGroupsSequence")
    if not shared and not own:
        return None
    return (shared[0] if shared else None), (own[index] if own and index < len(own) else None)


def place_of(keyword: str, *groups: Dataset | None) -> Dataset | None:
    """The first item of a functional group sequence, from the first of the groups that has it."""
    for group in groups:
        if group is not None and group.get(keyword):
            item: Dataset = group.get(keyword)[0]
            return item
    return None


def read_place(header: Dataset, name: str, own: Dataset | None = None, shared: Dataset | None = None) -> Place:
    """Geometry of a frame, from its functional groups where it has them, else from the top level.

    Raises:
        FormatError: numbers that are impossible, or a position without spacing.
    """
    measures = place_of("PixelMeasuresSequence", own, shared) or header
    spacing = _numbers(measures, "PixelSpacing", 2, name)
    orientation = _numbers(
        place_of("PlaneOrientationSequence", own, shared) or header, "ImageOrientationPatient", 6, name
    )
    position = _numbers(place_of("PlanePositionSequence", own, shared) or header, "ImagePositionPatient", 3, name)
    thickness = _numbers(measures, "SliceThickness", 1, name)
    if spacing is not None and min(spacing) <= 0:
        raise FormatError(f"{name}: Pixel Spacing {spacing.tolist()} is not positive; repair the header")
    if position is not None and orientation is not None and spacing is None:
        raise FormatError(
            f"{name}: an image position without Pixel Spacing: the new position cannot be computed; repair it"
        )
    if position is not None and orientation is None:
        raise FormatError(
            f"{name}: an image position without orientation: the new position cannot be computed; repair it"
        )
    axes, repaired = _orthonormal(orientation, name) if orientation is not None else (None, False)
    return Place(
        spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        orientation=axes,
        position=position,
        thickness=float(thickness[0]) if thickness is not None and thickness[0] > 0 else None,
        repaired=repaired,
    )


def _numbers(item: Dataset, keyword: str, count: int, name: str) -> Vector | None:
    def action() -> Vector | None:
        value = item.get(keyword)
        if value is None or value == "" or (isinstance(value, list) and not value):
            return None
        return np.atleast_1d(np.asarray(value, np.float64))

    found = guarded(name, f"reading {keyword}", action)
    if found is None:
        return None
    if found.shape != (count,) or not np.isfinite(found).all():
        raise FormatError(
            f"{name}: {keyword} has {found.size} values or is not finite, expected {count}; repair the header"
        )
    return found


def _orthonormal(cosines: Vector, name: str) -> tuple[Vector, bool]:
    """Direction cosines as they are when they are orthonormal, else by Gram-Schmidt (ITK refuses others)."""
    axes = cosines.reshape(2, 3)
    error = float(np.abs(axes @ axes.T - np.eye(2)).max())
    if error <= ORTHONORMAL:
        return axes, False
    if error > BEYOND_REPAIR:
        raise FormatError(
            f"{name}: direction cosines are off orthonormal by {error:.2g}; repair Image Orientation Patient"
        )
    x = axes[0] / np.linalg.norm(axes[0])
    y = axes[1] - (axes[1] @ x) * x
    return np.stack([x, y / np.linalg.norm(y)]), True


def number(value: float) -> DSfloat:
    """A decimal string of at most 16 characters that is as near to the value as those allow."""
    return DSfloat(value, auto_format=True)


def refine_header(header: Dataset, place: Place, factor: Factor) -> None:
    """Change every pixel-grid attribute of a single-frame or frame-less multi-frame header in place."""
    header.Rows, header.Columns = int(header.Rows) * factor[0], int(header.Columns) * factor[1]
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        _divide(header, keyword, factor)
    fine = place.refine(factor)
    if place.position is not None and place.orientation is not None:
        put_place(header, fine)
    for detector in header.get("DetectorInformationSequence") or []:
        if detector.get("ImagePositionPatient") and detector.get("ImageOrientationPatient"):
            put_place(detector, detector_place(detector, place).refine(factor))
    _refine_positions(header, factor)


def detector_place(detector: Dataset, place: Place) -> Place:
    """Geometry of a detector of an image, whose spacing it shares where it has none of its own."""
    if "PixelSpacing" in detector:
        return read_place(detector, "DetectorInformationSequence")
    axes = np.asarray(detector.ImageOrientationPatient, np.float64).reshape(2, 3)
    return Place(place.spacing, axes, np.asarray(detector.ImagePositionPatient, np.float64), None)


def refine_groups(header: Dataset, places: list[Place], factor: Factor) -> None:
    """Change the functional groups of an enhanced multi-frame header in place; the frame count stays.

    Args:
        header: a copy of the header.
        places: geometry of every frame before refinement.
        factor: refinement (rows, columns).
    """
    header.Rows, header.Columns = int(header.Rows) * factor[0], int(header.Columns) * factor[1]
    for group in groups(header):
        for measures in group.get("PixelMeasuresSequence") or []:
            _divide(measures, "PixelSpacing", factor)
    per_frame = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    for holders, found in ((per_frame, places), (shared, places[:1])):
        for group, place in zip(holders, found, strict=False):
            fine = place.refine(factor)
            for item in group.get("PlanePositionSequence") or []:
                _put(item, "ImagePositionPatient", fine.at)
            for item in group.get("PlaneOrientationSequence") or []:
                if place.repaired and fine.orientation is not None:
                    _put(item, "ImageOrientationPatient", fine.orientation.ravel())
    for keyword in ("ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelSpacing"):
        _divide(header, keyword, factor)
    _refine_positions(header, factor)


def groups(header: Dataset) -> Iterator[Dataset]:
    """All functional groups items, shared and per frame."""
    yield from header.get("SharedFunctionalGroupsSequence") or []
    yield from header.get("PerFrameFunctionalGroupsSequence") or []


def _divide(item: Dataset, keyword: str, factor: Factor) -> None:
    value = item.get(keyword)
    if isinstance(value, MultiValue) and len(value) == 2:
        item[keyword].value = [number(float(v) / f) for v, f in zip(value, factor, strict=True)]


def _put(item: Dataset, keyword: str, values: Vector) -> None:
    setattr(item, keyword, [number(float(v)) for v in values])


def put_place(item: Dataset, place: Place) -> None:
    """Write a position, and an orientation that was repaired."""
    _put(item, "ImagePositionPatient", place.at)
    if place.repaired and place.orientation is not None:
        _put(item, "ImageOrientationPatient", place.orientation.ravel())


def _refine_positions(header: Dataset, factor: Factor) -> None:
    """Attributes counted in pixels: aspect ratio, shutters, collimators, ultrasound regions."""
    if header.get("PixelAspectRatio") and len(header.PixelAspectRatio) == 2:
        v, h = (int(n) for n in header.PixelAspectRatio)
        common = math.gcd(v * factor[1], h * factor[0]) or 1
        header.PixelAspectRatio = [v * factor[1] // common, h * factor[0] // common]
    for part in ("Shutter", "Collimator"):
        for edge, f in (("LeftVertical", factor[1]), ("UpperHorizontal", factor[0])):
            _edge(header, f"{part}{edge}Edge", f, first=True)
        for edge, f in (("RightVertical", factor[1]), ("LowerHorizontal", factor[0])):
            _edge(header, f"{part}{edge}Edge", f, first=False)
        for keyword in (f"CenterOfCircular{part}", f"VerticesOfThePolygonal{part}"):
            value = header.get(keyword)
            if value is not None and len(value):
                pairs = [(int(v), factor[n % 2]) for n, v in enumerate(value)]
                header[keyword].value = [_nearest(v - 1, f) + 1 for v, f in pairs]
        radius = header.get(f"RadiusOfCircular{part}")
        if radius is not None and radius != "":
            header[f"RadiusOfCircular{part}"].value = int(radius) * factor[1]
    for region in header.get("SequenceOfUltrasoundRegions") or []:
        _refine_region(region, factor)


def _nearest(pixel: int, factor: int) -> int:
    """Refined pixel whose centre is nearest to the centre of a coarse pixel, the later one of two."""
    return math.floor(refine_centre(pixel, factor) + 0.5)


def _edge(header: Dataset, keyword: str, factor: int, first: bool) -> None:
    """A 1-based row or column that is the first or last one inside; edges outside the image scale alike."""
    value = header.get(keyword)
    if value is not None and value != "":
        header[keyword].value = (int(value) - 1) * factor + 1 if first else int(value) * factor


def _refine_region(region: Dataset, factor: Factor) -> None:
    for axis, f in (("X", factor[1]), ("Y", factor[0])):
        if f"RegionLocationMin{axis}0" in region:
            region[f"RegionLocationMin{axis}0"].value = int(region[f"RegionLocationMin{axis}0"].value) * f
        if f"RegionLocationMax{axis}1" in region:
            region[f"RegionLocationMax{axis}1"].value = (int(region[f"RegionLocationMax{axis}1"].value) + 1) * f - 1
        if f"PhysicalDelta{axis}" in region:
            region[f"PhysicalDelta{axis}"].value = float(region[f"PhysicalDelta{axis}"].value) / f
        if f"ReferencePixel{axis}0" in region:
            region[f"ReferencePixel{axis}0"].value = _nearest(int(region[f"ReferencePixel{axis}0"].value), f)
