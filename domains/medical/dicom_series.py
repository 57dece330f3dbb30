"""From DICOM objects to ordered frames: which belong together, and in what order slices and volumes come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from gensr.errors import FormatError

from .detect import dicom_files, scrubbed
from .dicom_files import guarded, identifying_words, read_header, refuse_by_name, safe_name
from .dicom_geometry import Place, frame_groups, place_of, read_place
from .dicom_pixels import Stored, check_pixels, read_stored, rescale

SAME_POSITION = 0.01
SAME_DIRECTION = 1e-3
EVEN = 0.01
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Instance:
    """One DICOM object.

    Attributes:
        path: its file.
        name: file name for messages, without the patient's name.
        header: everything but the pixels.
        stored: layout of the pixels.
        offset: position of the first code when the pixels are plain little-endian, else None.
    """

    path: Path
    name: str
    header: Dataset
    stored: Stored
    offset: int | None


@dataclass(frozen=True)
class Frame:
    """One plane: a frame of an instance, its rescale and its place.

    Attributes:
        instance: where it is stored.
        index: 0-based frame of the instance.
        slope: rescale slope.
        intercept: rescale intercept.
        place: spacing, orientation and position; parts may be unknown.
    """

    instance: Instance
    index: int
    slope: float
    intercept: float
    place: Place


@dataclass(frozen=True)
class Series:
    """Frames in plane order (volume by volume, slices along the normal), and how they stack.

    Attributes:
        frames: planes.
        slices: slices of a volume.
        volumes: number of volumes.
        step: (3,) vector from one slice to the next, mm; None when unknown or uneven.
        multiframe: the planes are the frames of one object, in its own order.
        warnings: what a user should know.
    """

    frames: list[Frame]
    slices: int
    volumes: int
    step: Vector | None
    multiframe: bool
    warnings: list[str]


def load_instance(path: Path, lossy: bool) -> Instance:
    """Read and check one file.

    Raises:
        FormatError: damaged or refused by name.
        DomainError: lossy compression that was not accepted.
    """
    header, position = read_header(path, path.name)
    name = scrubbed(path.name, guarded(path.name, "reading the patient module", lambda: identifying_words(header)))
    refuse_by_name(header, name)
    stored = read_stored(header, name)
    offset = check_pixels(header, stored, path, position, lossy, name)
    return Instance(path, name, header, stored, offset)


def load_series(path: Path, options: Mapping[str, Any]) -> Series:
    """Read a file, or the one series of a folder.

    Raises:
        FormatError: nothing readable, several series, or slices that do not belong together.
    """
    if not path.is_dir():
        instance = load_instance(path, bool(options["lossy"]))
        return (
            _multiframe(instance) if instance.stored.frames > 1 or frame_groups(instance.header) else _stack([instance])
        )
    instances = _select(path, str(options["series"]), bool(options["lossy"]))
    several = [i for i in instances if i.stored.frames > 1 or frame_groups(i.header)]
    if not several:
        return _stack(instances)
    if len(instances) > 1:
        raise FormatError(
            f"{several[0].name}: a multi-frame object among {len(instances)} files; give it as a single file"
        )
    return _multiframe(instances[0])


def _select(folder: Path, wanted: str, lossy: bool) -> list[Instance]:
    files = dicom_files(folder)
    name = safe_name(folder)
    if not files:
        raise FormatError(f"{name}: no DICOM files in this folder; give a series folder or a file")
    by_series: dict[str, list[Path]] = {}
    kinds: dict[str, str] = {}
    for file in files:
        header, _ = read_header(file, file.name)
        uid = str(header.get("SeriesInstanceUID", "") or "without UID")
        by_series.setdefault(uid, []).append(file)
        kinds.setdefault(uid, str(header.get("Modality", "?")))
    if wanted and wanted not in by_series:
        raise FormatError(f"{name}: no series {wanted}; it holds {_listing(by_series, kinds)}")
    if not wanted and len(by_series) > 1:
        raise FormatError(
            f"{name}: {len(by_series)} series in one folder: {_listing(by_series, kinds)}; choose one with series=UID"
        )
    chosen = by_series[wanted] if wanted else files
    instances = [load_instance(file, lossy) for file in chosen]
    doubled = [uid for uid, n in Counter(str(i.header.SOPInstanceUID) for i in instances).items() if n > 1]
    if doubled:
        twice = [i.name for i in instances if str(i.header.SOPInstanceUID) == doubled[0]]
        raise FormatError(f"{twice[1]}: the same image as {twice[0]}; remove the copy from the folder")
    return instances


def _listing(by_series: Mapping[str, list[Path]], kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{uid} ({kinds[uid]}, {len(files)} files)" for uid, files in sorted(by_series.items()))


def _multiframe(instance: Instance) -> Series:
    """Frames keep the order of the object, to which its functional groups refer."""
    own_groups = instance.header.get("PerFrameFunctionalGroupsSequence")
    if own_groups and len(own_groups) != instance.stored.frames:
        raise FormatError(
            f"{instance.name}: {len(own_groups)} frame groups, {instance.stored.frames} frames; the header is damaged"
        )
    frames = []
    for index in range(instance.stored.frames):
        shared, own = frame_groups(instance.header, index) or (None, None)
        source = place_of("PixelValueTransformationSequence", own, shared) or instance.header
        slope, intercept = rescale(source, instance.name)
        frames.append(Frame(instance, index, slope, intercept, read_place(instance.header, instance.name, own, shared)))
    warnings: list[str] = []
    slices, volumes = len(frames), 1
    step, found = _multiframe_stack(frames)
    if found:
        slices, volumes = found
    elif all(f.place.position is not None for f in frames) and slices > 1:
        warnings.append("frames are not an even stack in slice order: they are processed in the plane only")
    return Series(frames, slices, volumes, step, True, warnings)


def _multiframe_stack(frames: list[Frame]) -> tuple[Vector | None, tuple[int, int] | None]:
    """Step and (slices, volumes) when the frame order is volume by volume along an even stack."""
    positions = [f.place.position for f in frames]
    if len(frames) < 2 or any(p is None for p in positions) or not _parallel(frames):
        return None, None
    points = np.array(positions)
    repeat = next(
        (k for k in range(1, len(points)) if np.linalg.norm(points[k] - points[0]) < SAME_POSITION), len(points)
    )
    if repeat < 2 or len(points) % repeat:
        return None, None
    cycles = points.reshape(-1, repeat, 3)
    step = _even_step(cycles[0])
    if step is None or float(np.abs(cycles - cycles[0]).max()) > SAME_POSITION:
        return None, None
    return step, (repeat, len(points) // repeat)


def _stack(instances: list[Instance]) -> Series:
    """Single-frame objects: grouped by position along the normal, volumes in acquisition order."""
    frames = []
    for instance in instances:
        slope, intercept = rescale(instance.header, instance.name)
        frames.append(Frame(instance, 0, slope, intercept, read_place(instance.header, instance.name)))
    _check_alike(frames)
    if len(frames) == 1:
        return Series(frames, 1, 1, None, False, [])
    if any(f.place.position is None or f.place.orientation is None for f in frames):
        ordered = sorted(frames, key=_acquired)
        return Series(ordered, len(frames), 1, None, False, ["no image positions: the order is that of InstanceNumber"])
    normal = frames[0].place.normal
    groups: list[list[Frame]] = []
    for frame in sorted(frames, key=lambda f: float(f.place.at @ normal)):
        if groups and float((frame.place.at - groups[-1][0].place.at) @ normal) < SAME_POSITION:
            groups[-1].append(frame)
        else:
            groups.append([frame])
    volumes = len(groups[0])
    odd = next((g for g in groups if len(g) != volumes), None)
    if odd is not None:
        raise FormatError(
            f"{odd[0].instance.name}: {len(odd)} images at one slice position, {volumes} at the first; "
            "images are missing, or the folder mixes several acquisitions"
        )
    for group in groups:
        shift = max(float(np.linalg.norm(f.place.at - group[0].place.at)) for f in group)
        if shift > 10 * SAME_POSITION:
            raise FormatError(
                f"{group[1].instance.name}: overlaps {group[0].instance.name} at another place of the same slice"
            )
        group.sort(key=_acquired)
    ordered = [group[volume] for volume in range(volumes) for group in groups]
    step = _even_step(np.array([g[0].place.at for g in groups]))
    uneven = step is None and len(groups) > 1
    warnings = ["slices are unevenly spaced: they are processed in the plane only"] if uneven else []
    return Series(ordered, len(groups), volumes, step, False, warnings)


def _acquired(frame: Frame) -> tuple[float, ...]:
    """Order of repetitions at one position: time index, echo, acquisition, instance number."""
    keys = ("TemporalPositionIdentifier", "EchoNumbers", "AcquisitionNumber", "InstanceNumber")
    header, name = frame.instance.header, frame.instance.name

    def number(key: str) -> float:
        value = header.get(key)
        first = value[0] if isinstance(value, list) and value else value
        return float(first) if isinstance(first, int | float) else 0.0

    return tuple(guarded(name, f"reading {key}", lambda key=key: number(key)) for key in keys)  # type: ignore[misc]


def _check_alike(frames: list[Frame]) -> None:
    """Every slice must have the same size, codes, spacing and direction as the first.

    Raises:
        FormatError: names the first that differs and what differs.
    """
    first = frames[0]
    same = replace(first.instance.stored, padding=None)
    for frame in frames[1:]:
        name, other = frame.instance.name, replace(frame.instance.stored, padding=None)
        if other != same:
            raise FormatError(
                f"{name}: {other.rows} x {other.cols} pixels of {other.stored} bits, {first.instance.name} has "
                f"{same.rows} x {same.cols} of {same.stored}; give images of one kind, or single files"
            )
        if not _same_spacing(frame, first):
            raise FormatError(
                f"{name}: pixel spacing differs from {first.instance.name}; give one acquisition at a time"
            )
        if not _same_direction(frame, first):
            raise FormatError(
                f"{name}: orientation differs from {first.instance.name} (a localiser?); give one stack at a time"
            )


def _same_spacing(a: Frame, b: Frame) -> bool:
    if a.place.spacing is None or b.place.spacing is None:
        return a.place.spacing is b.place.spacing
    return bool(np.allclose(a.place.spacing, b.place.spacing, rtol=1e-4))


def _same_direction(a: Frame, b: Frame) -> bool:
    if a.place.orientation is None or b.place.orientation is None:
        return True
    return bool(np.abs(a.place.orientation - b.place.orientation).max() < SAME_DIRECTION)


def _parallel(frames: list[Frame]) -> bool:
    return all(f.place.orientation is not None and _same_direction(f, frames[0]) for f in frames)


def _even_step(points: Vector) -> Vector | None:
    """Step vector of an even row of points (n, 3), None for a single point or an uneven row."""
    if len(points) < 2:
        return None
    steps = np.diff(points, axis=0)
    mean = steps.mean(0)
    length = float(np.linalg.norm(mean))
    even = float(np.abs(steps - mean).max()) <= max(EVEN * length, 1e-3)
    return np.asarray(mean, np.float64) if even and length > SAME_POSITION else None
