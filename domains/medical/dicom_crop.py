"""A window of DICOM images: what counts pixels counts them from its corner, before anything is refined.

Image Position is the centre of the first pixel: ``IPP' = IPP + dc col X + dr row Y``.
"""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from gensr.values.grid import Window

from .dicom_geometry import Place, detector_place, put_place

FIELD = (
    "FieldOfViewOrigin",
    "FieldOfViewDimensions",
    "FieldOfViewDimensionsInFloat",
    "FieldOfViewShape",
    "ReconstructionFieldOfView",
    "IntensifierSize",
)
"""What says how large the whole picture was."""


def crop_place(place: Place, window: Window) -> Place:
    """Geometry of a frame of which a window is left."""
    if place.spacing is None or place.position is None or place.orientation is None:
        return place
    (dr, dc), (x, y) = place.spacing, place.orientation
    return replace(place, position=place.position + window.col * dc * x + window.row * dr * y)


def crop_header(header: Dataset, place: Place, window: Window) -> None:
    """Change every pixel-grid attribute but those that `refine_header` writes from the place of a frame, in place.

    Args:
        header: a copy.
        place: geometry of the first frame of the whole image, which lends its spacing.
        window: what is left.
    """
    header.Rows, header.Columns = window.rows, window.cols
    _forget_field(header)
    for detector in header.get("DetectorInformationSequence") or []:
        if detector.get("ImagePositionPatient") and detector.get("ImageOrientationPatient"):
            put_place(detector, crop_place(detector_place(detector, place), window))
    for part in ("Shutter", "Collimator"):
        for keyword, first in (
            ("LeftVertical", window.col),
            ("RightVertical", window.col),
            ("UpperHorizontal", window.row),
            ("LowerHorizontal", window.row),
        ):
            _move(header, f"{part}{keyword}Edge", first)
        for keyword in (f"CenterOfCircular{part}", f"VerticesOfThePolygonal{part}"):
            value = header.get(keyword)
            if value is not None and len(value):
                corner = (window.row, window.col)
                header[keyword].value = [int(v) - corner[n % 2] for n, v in enumerate(value)]
    regions = [r for r in header.get("SequenceOfUltrasoundRegions") or [] if _crop_region(r, window)]
    if "SequenceOfUltrasoundRegions" in header:
        header.SequenceOfUltrasoundRegions = regions


def _forget_field(item: Dataset) -> None:
    """Drop what says how large the whole picture was, in functional groups too."""
    for keyword in FIELD:
        if keyword in item:
            del item[keyword]
    for element in item:
        if element.VR == "SQ":
            for inner in element.value:
                _forget_field(inner)


def _move(header: Dataset, keyword: str, first: int) -> None:
    value = header.get(keyword)
    if value is not None and value != "":
        header[keyword].value = int(value) - first


def _crop_region(region: Dataset, window: Window) -> bool:
    """Cut an ultrasound region, whose reference pixel counts from its own corner; False if nothing of it is left."""
    for axis, first, size in (("X", window.col, window.cols), ("Y", window.row, window.rows)):
        names = f"RegionLocationMin{axis}0", f"RegionLocationMax{axis}1"
        if not all(n in region for n in names):
            continue
        old = int(region[names[0]].value)
        low, high = max(old - first, 0), min(int(region[names[1]].value) - first, size - 1)
        if low > high:
            return False
        region[names[0]].value, region[names[1]].value = low, high
        if f"ReferencePixel{axis}0" in region:
            region[f"ReferencePixel{axis}0"].value = int(region[f"ReferencePixel{axis}0"].value) - (low + first - old)
    return True
