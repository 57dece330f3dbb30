"""A microscope file as planes: every channel, slice, frame and colour sample is one plane with one band."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError, FormatError
from gensr.scenes.scene import Part, Scene
from gensr.values.bands import Words
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.precision import Real, held, precision

from .calibration import Calibration, ome_pixels, read_calibration
from .channels import ChosenPlanes, chosen_imagej, chosen_xml, numbers_of, planes_of
from .codes import Census, CodeRange, code_range, encode, is_ramp
from .container import Container, compression_name
from .cropped import cropped_xml
from .optics import Optics, find_optics
from .segments import PlaneReader, Planes, loop_axes

BANDS = ("intensity",)
CENSUS_PIXELS = 1 << 26
"""Files with more pixels are sampled when ranges are detected."""
CENSUS_SIDE = 1024
_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")


class OpenedMicrograph(Scene):
    """An opened microscope file.

    Attributes:
        container: the file and the series that is processed.
        reader: windows of its planes.
        axes: axes of the planes in stored order without Y and X, "S" last where samples are planes.
        loops: length of every axis in ``axes``.
        calibration: pixel sizes.
        names: one name per channel, colour samples counted as channels.
        codes: range of stored codes, None for floating point.
        options: options of the domain.
        white: the lowest code is white (MINISWHITE).
        orientation: TIFF's: 1 where rows run down and columns to the right; a viewer turns others, pixels stay.
        optics: what is undone beside the integration of pixels, None for nothing.
        packed_bits: bits of a sample where they are not those of its type: 12 bits in two bytes, say; None else.
        imagej: metadata of ImageJ, of the channels that are kept.
        left: names of the channels that are not.
    """

    white: bool = False
    palette: npt.NDArray[Any] | None = None
    orientation: int = 1
    packed_bits: int | None = None
    optics: Optics | None = None
    imagej: Mapping[str, Any] = MappingProxyType({})
    left: Sequence[str] = ()

    def __init__(self, container: Container, options: Mapping[str, Any]) -> None:
        self.container = container
        key = container.key
        table = key.tags.get(320)
        self.palette = np.asarray(table.value) if table is not None and int(key.photometric) == 3 else None
        self.white = int(key.photometric) == 0
        turned = key.tags.get(ORIENTATION)
        self.orientation = int(turned.value) if turned is not None and turned.value in range(1, 9) else 1
        stored, bits = np.dtype(key.dtype), key.bitspersample
        if stored.kind == "u" and isinstance(bits, int) and 1 < bits < stored.itemsize * 8:
            self.packed_bits = int(bits)
        self.imagej = dict(container.tif.imagej_metadata or {}) if container.kind == "imagej" else {}
        reader = PlaneReader(container)
        self._begin(container.path, options, reader, loop_axes(container, reader), read_calibration(container))
        if container.kind == "imagej" and self.dtype.name not in ("uint8", "uint16", "float32"):
            raise DomainError(f"{self.path}: ImageJ cannot hold {self.dtype.name} samples; save it as OME-TIFF")

    def _begin(
        self,
        path: Path,
        options: Mapping[str, Any],
        reader: Planes,
        loops: tuple[str, tuple[int, ...]],
        calibration: Calibration,
    ) -> None:
        """What is the same for every kind of file."""
        self.path, self.options, self.calibration = path, options, calibration
        self.reader: Planes = reader
        self.axes, self.loops = loops
        self.names = self._channel_names()
        self._choose(options["bands"])
        self.planes, self.bands, self.unit = self.reader.planes, BANDS, ""
        self.dtype = self.reader.dtype
        if self.dtype.kind == "b":
            raise DomainError(
                f"{self.path}: has one bit per sample, a mask or a scan in black and white; save it with 8 bits, and "
                "say labels=nearest for a mask or labels=image for a picture"
            )
        if self.dtype.name not in _TYPES:
            raise DomainError(
                f"{self.path}: {self.dtype.name} samples are not supported; convert them to uint16, uint32 or float32"
            )
        self.precision = precision(self.dtype)
        transform, frame = self.calibration.transform()
        self.grid = PixelGrid((self.reader.rows, self.reader.cols), transform, frame)
        self.optics = find_optics(self._ome_image(), (calibration.y, calibration.x), options)
        self.codes: CodeRange | None = None
        if self.dtype.kind in "iu" and self.dtype.itemsize <= 2:
            self._survey()
        elif self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            source, nothing = f"range of {self.dtype.name}", (None,) * self.channels
            self.codes = CodeRange(float(limits.min), float(limits.max), 1, source, nothing, limits.bits)
        self.quantum = float(self.codes.step) if self.codes is not None else 0.0

    def _choose(self, words: Words | None) -> None:
        """Keep the channels that the user names; from here on the file has no others.

        Raises:
            UsageError, DomainError: there is no such channel, or none can be left out.
        """
        if words is None:
            return
        chosen, total = numbers_of(words, self.names, self.axes, self.path), len(self.names)
        if "C" not in self.axes or chosen == tuple(range(total)):
            return
        planes = planes_of(chosen, self.axes, self.loops)
        self.left = [name for number, name in enumerate(self.names) if number not in chosen]
        if self.container.kind == "ome":
            xml = chosen_xml(self.container.ome, self.container.index, chosen)
            self.container = replace(self.container, ome=xml)
        if self.container.kind == "imagej":
            self.imagej = chosen_imagej(self.imagej, chosen, total, planes)
        self.reader, self.names = ChosenPlanes(self.reader, planes), [self.names[number] for number in chosen]
        self.loops = tuple(len(chosen) if a == "C" else n for a, n in zip(self.axes, self.loops, strict=True))

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`; saturated pixels are valid and not usable."""
        codes = self.reader.read(plane, window)[None]  # (1, y, x)
        values = codes.astype(self.precision)
        valid = held(values)
        usable = valid
        if self.codes is not None:
            top = self.codes.saturation[self.channel(plane)]
            usable = valid & (codes != top) if top is not None else valid
        return Image(values, self.grid.crop(window), valid, usable, BANDS)

    def _ome_image(self) -> Any:  # noqa: ANN401
        """The Image element of OME-XML; None for files without."""
        container = self.container
        return ome_pixels(container.ome, container.index).parentNode if container.kind == "ome" else None

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`; the range of codes is that of the whole file."""
        part = copy(self)
        part.reader, part.grid, part.origin = self.reader.crop(window), self.grid.crop(window), (window.row, window.col)
        if self.container.kind == "ome":
            try:
                moved = cropped_xml(self.container.ome, self.container.index, window, self.options["positions"])
            except ValueError as error:
                raise FormatError(f"{self.path}: {error}") from error
            part.container = replace(self.container, ome=moved)
        return part

    def stored(self, plane: int, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        codes = self.reader.read(plane, window)[None]
        return codes, np.isfinite(codes)

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`: every channel."""
        channels = [self.channel(plane) for plane in range(self.planes)]
        index = self.palette is not None and not is_ramp(self.palette)
        proof = "a palette of unlike colours" if index else ""
        return tuple(
            Part(
                f"channel {name}",
                0,
                [p for p, c in enumerate(channels) if c == i],
                (self.path.name, name),
                proof,
                index,
            )
            for i, name in enumerate(self.names)
        )

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], int]:
        """See `Scene.encode`; the type has no invalid integer, so 0 stands for it."""
        return encode(values, valid, self.dtype, self.codes)

    def coordinates(self, plane: int) -> dict[str, int]:
        """Position of a plane on every axis.

        Example: ``{"Z": 3, "C": 0}``.
        """
        index = np.unravel_index(plane, self.loops) if self.loops else ()
        return {axis: int(i) for axis, i in zip(self.axes, index, strict=True)}

    def channel(self, plane: int) -> int:
        """Number of the channel of a plane; colour samples count fastest."""
        place, sizes = self.coordinates(plane), dict(zip(self.axes, self.loops, strict=True))
        return place.get("C", 0) * sizes.get("S", 1) + place.get("S", 0)

    @property
    def channels(self) -> int:
        """Number of channels, colour samples included."""
        sizes = dict(zip(self.axes, self.loops, strict=True))
        return sizes.get("C", 1) * sizes.get("S", 1)

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        c, cal, key = self.container, self.calibration, self.container.key
        facts: dict[str, Any] = {
            "kind": {"ome": "OME-TIFF", "imagej": "ImageJ TIFF", "plain": "TIFF"}[c.kind],
            "axes": str(c.series.axes),
            "shape": [int(n) for n in c.series.shape],
            "planes": self.planes,
            "dtype": self.dtype.name,
            "byte_order": {"<": "little", ">": "big"}[c.tif.byteorder],
            "bigtiff": bool(c.tif.is_bigtiff),
            "compression": compression_name(key),
            "channels": self.names,
            "pixel_size_um": [cal.x, cal.y] if cal.x is not None and cal.y is not None else None,
            "pixel_size_source": cal.source,
            "unit_in_file": cal.unit,
            "z_step_um": cal.z,
            "frame_interval_s": cal.interval,
            "orientation": self.orientation if self.orientation != 1 else None,
            "polarity": "the lowest code is white (MINISWHITE)" if self.white else None,
            "nodata": "NaN" if self.dtype.kind == "f" else None,
            "noise": "estimated from the data",
            "operator": self._instrument(),
        }
        if cal.z is not None and cal.x is not None:
            facts["anisotropy_z"] = cal.z / cal.x
        facts |= self._code_facts()
        facts["not_carried"] = self._not_carried()
        return facts

    def _instrument(self) -> str:
        """What is undone, in words."""
        if self.optics is None:
            return "area (pixel integration); no point spread function is assumed"
        return f"point spread function ({self.optics.origin}), then pixel integration"

    def _code_facts(self) -> dict[str, Any]:
        """Range, step, bits and saturation of integer codes."""
        if self.codes is None:
            return {}
        codes, tops = self.codes, self.codes.saturation
        return {
            "code_range": [codes.low, codes.high],
            "code_step": codes.step,
            "bits": codes.bits,
            "range_source": codes.source,
            "saturation_code": {n: t for n, t in zip(self.names, tops, strict=True) if t is not None},
        }

    def close(self) -> None:
        """See `Scene.close`."""
        self.reader.close()
        self.container.tif.close()

    def _channel_names(self) -> list[str]:
        names = [f"C{i}" for i in range(self.channels)]
        if self.container.kind == "ome":
            pixels = ome_pixels(self.container.ome, self.container.index)
            found = [e.getAttribute("Name") for e in pixels.getElementsByTagNameNS("*", "Channel")]
            samples = self.channels // len(found) if found and self.channels % len(found) == 0 else 0
            if samples:
                spread = [
                    f"{n or f'C{i}'}{f':{s}' if samples > 1 else ''}"
                    for i, n in enumerate(found)
                    for s in range(samples)
                ]
                names = spread
        elif self.channels in (3, 4) and "S" in self.axes and int(self.container.key.photometric) in (2, 6):
            names = ["red", "green", "blue", "alpha"][: self.channels]
        return names

    def _survey(self) -> None:
        """Count codes once, then settle range and saturation."""
        census = Census(self.dtype, self.channels)
        whole = self.planes * self.grid.shape[0] * self.grid.shape[1] <= CENSUS_PIXELS
        for plane, window in self._blocks(whole):
            census.add(self.channel(plane), self.reader.read(plane, window))
        self.codes = code_range(census, self._declared_bits(), whole)

    def _blocks(self, whole: bool) -> Iterator[tuple[int, Window]]:
        rows, cols = self.grid.shape
        side = CENSUS_SIDE
        down, across = -(-rows // side), -(-cols // side)
        total = self.planes * down * across
        budget = max(1, CENSUS_PIXELS // (side * side))
        # A golden-ratio walk meets all channels and planes; a fixed step could fall in with their period.
        spread = sorted({int((0.5 + i * 0.6180339887498949) % 1.0 * total) for i in range(budget)})
        for index in range(total) if whole else spread:
            plane, place = divmod(index, down * across)
            row, col = place // across * side, place % across * side
            yield plane, Window(row, col, min(side, rows - row), min(side, cols - col))

    def _declared_bits(self) -> int | None:
        if self.packed_bits is not None or self.container.kind != "ome":
            return self.packed_bits
        text = ome_pixels(self.container.ome, self.container.index).getAttribute("SignificantBits")
        return int(text) if text.isdigit() and 0 < int(text) <= 64 else None

    def _not_carried(self) -> list[str]:
        """What of the input the output leaves out because it would be wrong on the refined grid."""
        left = [f"channel {name}, which bands= leaves out" for name in self.left]
        left += [f"ImageJ {key} (pixel coordinates)" for key in ("ROI", "Overlays", "Plot") if key in self.imagej]
        if self.container.count > 1:
            left.append(f"{self.container.count - 1} other images of the file")
        if self.container.kind == "plain":
            known = {
                254,
                256,
                257,
                258,
                259,
                262,
                266,
                273,
                ORIENTATION,
                277,
                278,
                279,
                282,
                283,
                284,
                296,
                305,
                317,
                320,
                322,
                323,
            }
            known |= {324, 325, 330, 338, 339, 347, 529, 530, 531, 532, 270} | set(CARRIED_TAGS)
            left += [f"TIFF tag {t.code} {t.name}" for t in self.container.key.tags if t.code not in known]
        return left


ORIENTATION = 274
CARRIED_TAGS = (269, 271, 272, 285, 306, 315, 316, 33432, 34675)
"""DocumentName, Make, Model, PageName, DateTime, Artist, HostComputer, Copyright, ICC profile."""
