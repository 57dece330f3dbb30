"""Before anything is computed: the header of every output object is encoded and read back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from gensr.errors import OutputError
from gensr.scenes.names import Names
from gensr.scenes.product import Product, ThroughPlane

from .dicom_files import guarded, quiet
from .dicom_geometry import Place, frame_groups, read_place
from .dicom_series import Frame
from .dicom_write import Job, jobs, multiframe_header, pixel_data, save, single_header

if TYPE_CHECKING:
    from .dicom_opened import OpenedDicom

NEAR = 1e-3
"""Millimetres that 16 characters of a decimal string may cost."""


@quiet()
def rehearse(scene: OpenedDicom, product: Product, names: Names) -> None:
    """Encode the headers of all objects of the mean, and of the first object of every other output, in memory.

    Raises:
        OutputError: one cannot be encoded, or does not read back as meant.
    """
    for job in jobs(scene, product, names):
        if scene.series.multiframe:
            frame = scene.series.frames[0]
            read = _read_back(multiframe_header(job, 1.0), frame.instance.name)
            own = frame_groups(read) or (None, None)
            _compare(job, frame, read, read_place(read, frame.instance.name, own[1], own[0]))
            continue
        volumes = ThroughPlane(scene.stack.slices, job.slices)
        planes = range(0, scene.planes * job.slices, job.slices) if job.identity.kind == "mean" else range(1)
        for plane in planes:
            frame = scene.series.frames[volumes.coarse(plane)]
            read = _read_back(single_header(job, plane, 1.0), frame.instance.name)
            _compare(job, frame, read, read_place(read, frame.instance.name))


def _read_back(header: Dataset, name: str) -> Dataset:
    header["PixelData"] = pixel_data(b"\0\0", header.BitsAllocated)
    stream = io.BytesIO()
    save(header, stream, name)
    stream.seek(0)
    return guarded(name, "reading the output back", lambda: pydicom.dcmread(stream, stop_before_pixels=True))


def _compare(job: Job, frame: Frame, read: Dataset, place: Place) -> None:
    """Size and position of a header that was read back; across slices the position is that of the first part.

    Raises:
        OutputError: they are not what was meant.
    """
    rows, cols = (n * f for n, f in zip(job.scene.grid.shape, job.product.factor, strict=True))
    meant = frame.place.refine(job.product.factor)
    same = (int(read.Rows), int(read.Columns)) == (rows, cols)
    if meant.spacing is not None and place.spacing is not None:
        same = same and bool(np.allclose(meant.spacing, place.spacing, rtol=1e-6))
    if meant.position is not None and job.slices == 1:
        same = same and bool(np.abs(meant.at - place.at).max() < NEAR)
    if not same:
        raise OutputError(f"{frame.instance.name}: the output would read back with another size or place")
