"""Frames added to an enhanced multi-frame object when its slices are refined: groups, positions and indices.

Frame ``t slices + z`` becomes ``factor`` frames in its place. An index along the slices (PS3.3 C.7.6.17) that runs
against the order of the frames goes on running against it; every other index stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from .dicom_geometry import Place, frame_groups, groups, number
from .dicom_stack import COUNTS, STALE
from .dicom_values import copied
from .through_plane import refine_extent, refine_positions

POINTERS = (0x00200032, 0x00209057, 0x00201041)
"""Image Position (Patient), In-Stack Position Number, Slice Location: what an index along the slices points to."""


def can_add(header: Dataset) -> bool:
    """Whether frames have groups of their own with positions."""
    found = frame_groups(header)
    return found is not None and found[1] is not None and "PlanePositionSequence" in found[1]


def add_frames(
    header: Dataset, places: Sequence[Place], slices: int, step: npt.NDArray[np.float64], factor: int
) -> list[Place]:
    """Replace every frame by those of its refined slices, in place.

    Args:
        header: a copy of the source's.
        places: geometry of every frame of the source.
        slices: of one volume.
        step: (3,) from one slice to the next, mm.
        factor: refined slices per slice.

    Returns:
        The place of every frame, on the coarse pixels; `refine_groups` writes it.
    """
    source = list(header.PerFrameFunctionalGroupsSequence)
    keys: list[int | str] = [*_positions_of_indices(header), "InStackPositionNumber"]
    made: list[Dataset] = []
    found: list[Place] = []
    for first in range(0, len(source), slices):
        volume = source[first : first + slices]
        forward = {key: _runs_forward(volume, key) for key in keys}
        for group, place in zip(volume, places[first : first + slices], strict=True):
            for part, position in enumerate(refine_positions(place.at, step, factor)):
                own = copied(group)
                _renumber(own, forward, factor, part)
                made.append(own)
                found.append(replace(place, position=position))
    header.PerFrameFunctionalGroupsSequence = Items(made)
    header.NumberOfFrames = len(made)
    thickness, spacing = refine_extent(float(np.linalg.norm(step)), factor)
    for group in groups(header):
        for measures in group.get("PixelMeasuresSequence") or []:
            measures.SliceThickness, measures.SpacingBetweenSlices = number(thickness), number(spacing)
    if header.get("RepresentativeFrameNumber"):
        header.RepresentativeFrameNumber = (int(header.RepresentativeFrameNumber) - 1) * factor + 1
    for keyword in COUNTS:
        if header.get(keyword) not in (None, ""):
            header[keyword].value = int(header[keyword].value) * factor
    for keyword in STALE:
        if keyword in header:
            del header[keyword]
    return found


def _positions_of_indices(header: Dataset) -> list[int]:
    """Places in Dimension Index Values that count slices."""
    items = header.get("DimensionIndexSequence") or []
    return [i for i, item in enumerate(items) if int(item.get("DimensionIndexPointer") or 0) in POINTERS]


def _content(group: Dataset) -> Dataset | None:
    found = group.get("FrameContentSequence")
    return found[0] if found else None


def _value(group: Dataset, key: int | str) -> int | None:
    content = _content(group)
    if content is None:
        return None
    if isinstance(key, str):
        value = content.get(key)
        return None if value in (None, "") else int(value)
    values = content.get("DimensionIndexValues")
    values = [values] if isinstance(values, int) else list(values or [])
    return int(values[key]) if key < len(values) else None


def _runs_forward(volume: Sequence[Dataset], key: int | str) -> bool:
    """Whether a number grows in the order of the frames."""
    first, last = _value(volume[0], key), _value(volume[-1], key)
    return first is None or last is None or last >= first


def _renumber(group: Dataset, forward: dict[int | str, bool], factor: int, part: int) -> None:
    content = _content(group)
    if content is None:
        return
    for key, grows in forward.items():
        old = _value(group, key)
        if old is None:
            continue
        new = (old - 1) * factor + (part + 1 if grows else factor - part)
        if isinstance(key, str):
            content[key].value = new
        else:
            values = content.DimensionIndexValues
            whole = [values] if isinstance(values, int) else list(values)
            whole[key] = new
            content.DimensionIndexValues = whole
