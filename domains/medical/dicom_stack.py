"""What counts or locates slices in DICOM headers, and how it changes when slices are refined into several.

Every rule follows the source: an index or location that runs against the order of positions goes on running against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydicom.dataset import Dataset

from .dicom_geometry import number
from .dicom_series import Frame

COUNTS = ("NumberOfSlices", "ImagesInAcquisition", "NumberOfSeriesRelatedInstances")
"""Attributes that count the images of a series, a volume or an acquisition."""
INDICES = ("ImageIndex", "InStackPositionNumber")
"""Attributes that number the slices from 1; Image Index (PS3.3 C.8.9.4.1.9) goes on through time slots."""
STALE = ("NumberOfStudyRelatedInstances", "NumberOfPatientRelatedInstances")
_NEAR = 1e-3


Trends = Mapping[str, float | None]
"""By attribute: how much it grows per millimetre along the slice normal; None where it does not follow the slices."""


def trends(frames: Sequence[Frame]) -> Trends:
    """How attributes that locate or number slices run through a volume."""
    return {keyword: _along(frames, keyword) for keyword in ("SliceLocation", *INDICES)}


def _along(frames: Sequence[Frame], keyword: str) -> float | None:
    pairs = []
    for frame in frames:
        value = frame.instance.header.get(keyword)
        if value is None or value == "" or frame.place.position is None:
            return None
        pairs.append((float(frame.place.at @ frame.place.normal), float(value)))
    place, values = np.array(pairs, np.float64).T
    centred = place - place.mean()
    spread = float(centred @ centred)
    if spread == 0:
        return None
    slope = float(centred @ (values - values.mean())) / spread
    apart = values - values.mean() - slope * centred
    return slope if slope and float(np.abs(apart).max()) <= _NEAR * float(np.abs(values).max() + 1) else None


def refine_location(header: Dataset, found: Trends, moved: float) -> None:
    """Move Slice Location as far as the position moved along the normal, in the direction that the series counts.

    Args:
        header: of the refined slice, in place.
        found: of the volume that it comes from.
        moved: along the slice normal, mm.
    """
    if header.get("SliceLocation") in (None, ""):
        return
    slope = found["SliceLocation"]
    if slope is None:
        del header.SliceLocation  # it does not follow the positions, so nobody knows that of a new slice
        return
    # A sign written in few digits is a sign; anything else (an oblique stack measured along the table) is a scale.
    scale = float(np.sign(slope)) if abs(abs(slope) - 1) < _NEAR else slope
    header.SliceLocation = number(float(header.SliceLocation) + scale * moved)


def refine_counts(header: Dataset, found: Trends, factor: int, part: int) -> None:
    """Change what counts and numbers slices, in place.

    Args:
        header: of the refined slice.
        found: of the volume that it comes from.
        factor: refined slices per slice.
        part: which of them, in the order of positions.
    """
    for keyword in COUNTS:
        if header.get(keyword) not in (None, ""):
            header[keyword].value = int(header[keyword].value) * factor
    for keyword in INDICES:
        if header.get(keyword) not in (None, ""):
            slope = found[keyword]
            place = factor - 1 - part if slope is not None and slope < 0 else part
            header[keyword].value = (int(header[keyword].value) - 1) * factor + place + 1
    for keyword in STALE:
        if keyword in header:
            del header[keyword]
