"""An OME-Zarr image as planes, and the way back to one."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from contextlib import closing
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import DomainError, FormatError, GensrError, OutputError
from gensr.operators import Operator
from gensr.scenes.chunks import ChunkReader, Codes
from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.rehearsal import Blank
from gensr.scenes.scene import Part, Scene
from gensr.scenes.stores import ZarrStore
from gensr.values.grid import Factor, Window
from gensr.values.limits import within

from .ngff import Multiscale, understand
from .optics import operator_of
from .scene import MicroscopyScene
from .zarr_write import Layout, write_zarr


def plane_index(plane: int, loops: tuple[int, ...]) -> tuple[int, ...]:
    """Index of a plane in axes of the given lengths, the last one counted fastest."""
    return tuple(int(i) for i in np.unravel_index(plane, loops)) if loops else ()


class ZarrPlanes:
    """Windows of the planes of an array whose last two axes are rows and columns.

    Args:
        path: for messages.
        store: the hierarchy.
        level: name of the array.
    """

    samples, separate = 1, False

    def __init__(self, path: Path, store: ZarrStore, level: str) -> None:
        facts = store.numbers(level)
        self._chunks = ChunkReader(path, store.array(facts), facts)
        self.loops, (self.rows, self.cols) = facts.shape[:-2], facts.shape[-2:]
        self.pages = self.planes = math.prod(self.loops)
        self.dtype, self.facts, self.origin = self._chunks.dtype, facts, (0, 0)

    def read(self, plane: int, window: Window) -> Codes:
        """Stored codes (y, x) of a window inside the plane.

        Raises:
            FormatError: if a chunk cannot be unpacked.
        """
        return self._chunks.read(plane_index(plane, self.loops), *window.shift(self.origin))

    def crop(self, window: Window) -> ZarrPlanes:
        """A reader whose planes begin at the corner of a window."""
        part = copy(self)
        part.origin = (window.row, window.col)
        return part

    def close(self) -> None:
        """Forget what was unpacked."""
        self._chunks.close()


class OmeZarrScene(MicroscopyScene):
    """An opened OME-Zarr image.

    Attributes:
        store: the hierarchy.
        multiscale: what its metadata say.
        facts: shape, chunks and type of the finest level.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.store = ZarrStore(path)
        try:
            self.multiscale: Multiscale = understand(self.store, options["series"])
            reader = ZarrPlanes(path, self.store, self.multiscale.level)
            names = self.multiscale.names
            if len(names) != len(reader.facts.shape):
                raise FormatError(
                    f"{path}: {len(names)} axes for an array of shape {reader.facts.shape}; it is damaged"
                )
            within("planes", reader.planes, path)
            loops = (_letters(names[:-2]), reader.loops)
            self.facts = reader.facts
            self._begin(path, options, reader, loops, self.multiscale.calibration())
        except BaseException:
            self.store.close()
            raise

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`."""
        part = copy(self)
        part.reader, part.grid, part.origin = self.reader.crop(window), self.grid.crop(window), (window.row, window.col)
        part.multiscale = self.multiscale.crop(window)
        return part

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: pixels, behind the optics that are to be undone."""
        return operator_of(self.optics, factor)

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`; the standard deviation is a floating point image of the same kind."""
        return write_zarr(self, self.multiscale, self._layout(), product, folder, names)

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`: metadata and arrays without chunks, which are read back."""
        for path in write_zarr(self, self.multiscale, self._layout(), product, folder, names, empty=True):
            try:
                with closing(ZarrStore(path)) as store:
                    planes = ZarrPlanes(path, store, understand(store, None).level)
                    read = (planes.planes, (planes.rows, planes.cols))
            except FormatError as error:
                raise OutputError(f"{self.path}: the output would not be readable ({error})") from error
            if read != (self.planes, self.grid.refine(product.factor).shape):
                raise OutputError(f"{self.path}: the output would read back with another shape")

    def _layout(self) -> Layout:
        return Layout(self.loops, partial(plane_index, loops=self.loops), self.store.zipped)

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`: every channel, and what the metadata call the whole."""
        proof = "its metadata call it an image-label" if self.multiscale.labels else ""
        return tuple(replace(part, declared=proof) for part in super().parts())

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        cal, facts = self.calibration, self.facts
        found: dict[str, Any] = {
            "kind": f"OME-Zarr {self.multiscale.version}" + (", zipped" if self.store.zipped else ""),
            "axes": ", ".join(self.multiscale.names),
            "shape": list(facts.shape),
            "chunks": list(facts.chunks),
            "planes": self.planes,
            "dtype": self.dtype.name,
            "channels": self.names,
            "pixel_size_um": [cal.x, cal.y] if cal.x is not None and cal.y is not None else None,
            "pixel_size_source": cal.source,
            "unit_in_file": cal.unit,
            "z_step_um": cal.z,
            "frame_interval_s": cal.interval,
            "nodata": "NaN" if self.dtype.kind == "f" else None,
            "noise": "estimated from the data",
            "operator": self._instrument(),
            "not_carried": list(self.multiscale.left),
        }
        return {**found, **self._code_facts()}

    def close(self) -> None:
        """See `Scene.close`."""
        self.reader.close()
        self.store.close()

    def _ome_image(self) -> None:
        """OME-Zarr says neither aperture nor wavelength."""

    def _channel_names(self) -> list[str]:
        found = self.multiscale.omero.get("channels")
        labels = [c.get("label") if isinstance(c, Mapping) else None for c in found] if isinstance(found, list) else []
        if len(labels) != self.channels:
            labels = [None] * self.channels
        return [str(label) if label else f"C{i}" for i, label in enumerate(labels)]

    def _declared_bits(self) -> int | None:
        return None


def open_zarr(path: Path, options: Mapping[str, Any]) -> OmeZarrScene:
    """Open an OME-Zarr folder or zip.

    Raises:
        FormatError: damaged, unsafe or unsupported.
        DomainError: a choice of channels, label images, types that are not supported, an output of another kind.
    """
    if options["bands"] is not None:
        raise DomainError(
            f"{path}: bands={options['bands']}: channels of TIFF files are chosen, of OME-Zarr all are refined; leave "
            "the key out, or save the channels that you want"
        )
    if options["container"] not in ("same", "zarr"):
        raise DomainError(f"{path}: OME-Zarr is written as OME-Zarr; convert it beforehand for container=ome")
    try:
        return OmeZarrScene(path, options)
    except GensrError:
        raise
    except Exception as error:  # metadata of an absurd type surface as almost any exception
        raise FormatError(f"{path}: has damaged metadata ({error}); get an intact copy") from error


def _letters(names: tuple[str, ...]) -> str:
    """One letter per axis: T, C and Z for those of the standard, others for others."""
    known = {"t": "T", "c": "C", "z": "Z"}
    spare = iter(sorted(set(string.ascii_uppercase) - set("TCZSYX")))
    return "".join(known.get(name) or next(spare) for name in names)
