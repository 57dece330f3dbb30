"""Writing DICOM outputs: one object per source object (or refined slice), Explicit VR Little Endian, frame by frame."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from gensr.errors import DomainError, OutputError
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product, ThroughPlane
from gensr.scenes.provenance import repeated
from gensr.values.precision import Real

from .dicom_files import guarded, quiet
from .dicom_frames import add_frames
from .dicom_geometry import Place, frame_groups, number, refine_groups, refine_header
from .dicom_identity import Identity, label, new_identity
from .dicom_stack import refine_counts, refine_location
from .dicom_values import finish, scale_slopes, std_codes, std_header, std_top
from .options import check_factor
from .scene import Source, outputs, row_blocks
from .through_plane import refine_extent, refine_positions

if TYPE_CHECKING:
    from .dicom_opened import OpenedDicom

LARGEST_SIDE = 65535
LARGEST_PIXELS = 0xFFFFFFFE


@quiet()
def write(scene: OpenedDicom, product: Product, folder: Path, names: Names) -> list[Path]:
    """Write every output of a DICOM scene into ``folder``; see `gensr.scenes.domain.Domain.write`."""
    written = []
    for job in jobs(scene, product, names):
        target = folder / job.name
        if scene.series.multiframe:
            _write_multiframe(job, target)
        elif target.suffix:
            _write_single(job, 0, target)
        else:
            target.mkdir()
            for plane in range(scene.planes * job.slices):
                _write_single(job, plane, target / f"slice_{plane + 1:05d}.dcm")
        written.append(target)
    return written


def jobs(scene: OpenedDicom, product: Product, names: Names) -> list[Job]:
    """The output series of a product.

    Raises:
        DomainError: an output that has no place in DICOM.
    """
    slices = product.slices
    check_factor(product.factor, scene.options, slices)
    _check_size(scene, product, slices)
    alone = scene.series.multiframe or not scene.path.is_dir()
    suffix = ".dcm" if alone and (slices == 1 or scene.series.multiframe) else ""
    source_series = str(scene.first.instance.header.get("SeriesInstanceUID", ""))
    return [
        Job(
            scene,
            product,
            source,
            new_identity(kind, names.factor, product.report, source_series, str(scene.options["uids"])),
            slices,
            name,
        )
        for kind, name, source in outputs(product, names, suffix)
    ]


def _check_size(scene: OpenedDicom, product: Product, slices: int) -> None:
    rows, cols = scene.grid.shape[0] * product.factor[0], scene.grid.shape[1] * product.factor[1]
    if max(rows, cols) > LARGEST_SIDE:
        raise DomainError(
            f"{rows} x {cols} pixels do not fit DICOM ({LARGEST_SIDE} a side); use a smaller factor or crop"
        )
    frames = scene.planes * slices if scene.series.multiframe else 1
    if rows * cols * max(2, scene.dtype.itemsize) * frames > LARGEST_PIXELS:
        raise DomainError(
            f"{frames} frames of {rows} x {cols} pixels exceed 4 GiB in one DICOM object; use a smaller factor"
        )
    if slices > 1 and (scene.series.step is None or not scene.stackable):
        raise DomainError(
            "through-plane refinement needs an even step of slices: a DICOM series, or an enhanced multi-frame object "
            "with a position per frame"
        )


@dataclass(frozen=True)
class Job:
    """One output series in the making; ``name`` is that of its file or folder."""

    scene: OpenedDicom
    product: Product
    source: Source
    identity: Identity
    slices: int
    name: str

    @property
    def is_std(self) -> bool:
        """Whether it holds standard deviations."""
        return self.identity.kind == "std"

    @property
    def has_headroom(self) -> bool:
        """Whether codes are those of a larger slope than the source's, as in PET; repeated ones are the source's."""
        return self.scene.written is not self.scene.codecs and not self.is_std and not repeated(self.product.report)

    def plane(self, plane: int) -> Codes | Real:
        """A whole refined plane (rows, cols): one frame is the unit of DICOM, so it is the unit of memory."""
        factor = self.product.factor
        rows, cols = (n * f for n, f in zip(self.scene.grid.shape, factor, strict=True))
        whole = np.empty((rows, cols), self.scene.precision if self.is_std else self.scene.dtype)
        for window in row_blocks(self.scene.grid.shape, factor):
            whole[window.row : window.row + window.rows] = self.source(plane, window)[0]
        return whole


def _write_single(job: Job, plane: int, target: Path) -> None:
    """One single-frame object."""
    pixels = job.plane(plane)
    top = std_top(pixels) if job.is_std else 0.0
    header = single_header(job, plane, top)
    codes = std_codes(pixels, top) if job.is_std else pixels
    header["PixelData"] = pixel_data(_little(codes), header.BitsAllocated)
    save(header, target, target.name)


def single_header(job: Job, plane: int, top: float) -> Dataset:
    """Header of the object of a refined plane; ``top`` is the largest value of a standard deviation."""
    scene = job.scene
    coarse = ThroughPlane(scene.stack.slices, job.slices).coarse(plane)
    frame = scene.series.frames[coarse]

    def prepare() -> Dataset:
        header = scene.copied(frame.instance.header)
        place, part = frame.place, plane % (scene.stack.slices * job.slices) % job.slices
        label(header, job.identity, part)
        if job.slices > 1:
            place = _between(scene, header, place, job.slices, coarse, part)
            header.InstanceNumber = plane + 1
        refine_header(header, place, job.product.factor)
        if job.is_std:
            std_header(header, top, scene.unit)
        elif job.has_headroom:
            header.RescaleSlope = number(scene.written[coarse].slope)
        finish(header, frame.instance.header)
        return header

    return guarded(frame.instance.name, "carrying the header over", prepare)


def _between(scene: OpenedDicom, header: Dataset, place: Place, factor: int, coarse: int, part: int) -> Place:
    """Place of refined slice ``part`` of slice ``coarse``; what of the header speaks of slices is updated."""
    step = scene.series.step
    if step is None:
        raise DomainError("through-plane refinement needs an even slice step")
    thickness, spacing = refine_extent(float(np.linalg.norm(step)), factor)
    header.SliceThickness, header.SpacingBetweenSlices = number(thickness), number(spacing)
    position = refine_positions(place.at, step, factor)[part]
    found = scene.trends[coarse // scene.stack.slices]
    refine_location(header, found, float((position - place.at) @ place.normal))
    refine_counts(header, found, factor, part)
    return replace(place, position=position)


def _write_multiframe(job: Job, target: Path) -> None:
    """One multi-frame object; pixels go through a temporary file, so that memory stays that of a frame."""
    scene = job.scene
    planes = range(scene.planes * job.slices)
    top = max(std_top(job.plane(plane)) for plane in planes) if job.is_std else 0.0
    header = multiframe_header(job, top)
    with tempfile.TemporaryFile(dir=target.parent) as stream:
        size = 0
        for plane in range(scene.planes * job.slices):
            pixels = job.plane(plane)
            size += stream.write(_little(std_codes(pixels, top) if job.is_std else pixels))
        stream.write(b"\0" * (size % 2))
        stream.seek(0)
        header["PixelData"] = pixel_data(stream, header.BitsAllocated)
        save(header, target, target.name)


def multiframe_header(job: Job, top: float) -> Dataset:
    """Header of a multi-frame object; ``top`` is the largest value of a standard deviation."""
    scene = job.scene
    source = scene.first.instance.header

    def prepare() -> Dataset:
        header = scene.copied(source)
        label(header, job.identity)
        places, step = [frame.place for frame in scene.series.frames], scene.series.step
        if job.slices > 1 and step is not None:
            places = add_frames(header, places, scene.series.slices, step, job.slices)
        if frame_groups(source) is not None:
            refine_groups(header, places, job.product.factor)
        else:
            refine_header(header, places[0], job.product.factor)
        if job.is_std:
            std_header(header, top, scene.unit)
        elif job.has_headroom:
            scale_slopes(header, scene.written[0].slope / scene.codecs[0].slope)
        finish(header, source)
        return header

    return guarded(scene.first.instance.name, "carrying the header over", prepare)


def _little(codes: Codes) -> bytes:
    return codes.astype(codes.dtype.newbyteorder("<"), copy=False).tobytes()


def pixel_data(value: bytes | IO[bytes], allocated: int) -> DataElement:
    """Pixel Data with the VR that Explicit VR Little Endian asks for."""
    if isinstance(value, bytes):
        value += b"\0" * (len(value) % 2)
    return DataElement(0x7FE00010, "OW" if allocated > 8 else "OB", value)


def save(header: Dataset, target: Path | IO[bytes], name: str) -> None:
    """Encode an object.

    Args:
        header: with its pixels.
        target: a new file, or an open one.
        name: for messages.

    Raises:
        OutputError: the file exists, or an element cannot be encoded.
    """
    try:
        with quiet():
            # Not Dataset.save_as, which refuses big-endian sources: `finish` has turned their words over.
            dcmwrite(target, header, enforce_file_format=True, overwrite=False)
    except FileExistsError as error:
        raise OutputError(f"{name}: exists already; give an empty staging folder") from error
    except Exception as error:
        raise OutputError(
            f"{name}: cannot be encoded as Explicit VR Little Endian ({type(error).__name__}); "
            "an element of the source is invalid, repair it or remove it"
        ) from error
