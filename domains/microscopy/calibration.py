"""Physical pixel sizes of the three kinds of file, as written and in micrometres; nothing is invented."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from xml.dom import minidom

from gensr.values.grid import Affine

from .container import Container
from .electron import pixel_size
from .units import escape, micrometres, positive, unescape

Rational = tuple[int, int]


@dataclass(frozen=True)
class Calibration:
    """Size of a pixel.

    Attributes:
        x: column step in micrometres, None if the file does not say.
        y: row step in micrometres, None if the file does not say.
        z: slice step in micrometres, None if the file does not say.
        interval: seconds between frames, None if the file does not say.
        unit: unit as the file spells it.
        source: where the numbers come from, a phrase for people.
    """

    x: float | None
    y: float | None
    z: float | None
    interval: float | None
    unit: str
    source: str

    def transform(self) -> tuple[Affine, str]:
        """Corner-based transform and frame of a plane."""
        if self.x is None or self.y is None:
            return Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "pixel"
        return Affine(self.x, 0.0, 0.0, 0.0, self.y, 0.0), "um"


def read_calibration(container: Container) -> Calibration:
    """Calibration of the chosen series."""
    if container.kind == "ome":
        return _ome(container)
    if container.kind == "imagej":
        return _imagej(container)
    return _plain(container)


def resolution(container: Container) -> tuple[Rational, Rational] | None:
    """X and Y resolution as rationals (pixels per unit), None if absent or unusable.

    Those of the file, unless an electron microscope says better beside them: its software leaves 96 dpi there.
    """
    size = pixel_size(container.key) if container.kind == "plain" else None
    if size is not None:
        return _per_centimetre(size.x), _per_centimetre(size.y)
    found = []
    for code in (282, 283):
        tag = container.key.tags.get(code)
        value = tag.value if tag is not None else None
        if not (isinstance(value, tuple) and len(value) == 2 and min(value) > 0):
            return None
        found.append((int(value[0]), int(value[1])))
    return found[0], found[1]


def resolution_unit(container: Container) -> int:
    """ResolutionUnit tag of `resolution`: 1 none, 2 inch (the default of the standard), 3 centimetre."""
    if container.kind == "plain" and pixel_size(container.key) is not None:
        return 3
    tag = container.key.tags.get(296)
    return int(tag.value) if tag is not None and int(tag.value) in (1, 2, 3) else 2


def _per_centimetre(size: float) -> Rational:
    """Pixels per centimetre of a pixel size in micrometres."""
    pixels = Fraction(1e4 / size).limit_denominator(1 << 16)
    return pixels.numerator, pixels.denominator


def _ome(container: Container) -> Calibration:
    pixels = ome_pixels(container.ome, container.index)
    sizes: list[float | None] = []
    for axis in "XYZ":
        scale = micrometres(pixels.getAttribute(f"PhysicalSize{axis}Unit") or "um")
        size = positive(pixels.getAttribute(f"PhysicalSize{axis}"))
        sizes.append(size * scale if size is not None and scale is not None else None)
    seconds = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "µs": 1e-6, "d": 86400.0}
    step, scale = positive(pixels.getAttribute("TimeIncrement")), seconds.get(pixels.getAttribute("TimeIncrementUnit"))
    unit = pixels.getAttribute("PhysicalSizeXUnit")
    source = "OME PhysicalSize" + ("" if unit else ", unit absent: the OME default is um")
    z = sizes[2] if "Z" in container.series.axes else None
    interval = step * scale if step is not None and scale is not None else None
    return Calibration(sizes[0], sizes[1], z, interval, unit, source if sizes[0] else "none")


def ome_pixels(xml: str, index: int) -> Any:  # noqa: ANN401
    """The Pixels element of an OME Image."""
    root = minidom.parseString(xml.encode("utf-8")).documentElement
    assert root is not None  # checked when the file was opened
    return root.getElementsByTagNameNS("*", "Pixels")[index]


def _imagej(container: Container) -> Calibration:
    meta = container.tif.imagej_metadata or {}
    unit = str(meta.get("unit", ""))
    # A calibration of one unit has the key unit alone; others are named where they differ (ImageJ's FileSaver).
    scales = [micrometres(str(meta.get(name) or unit)) for name in ("unit", "yunit", "zunit")]
    source = "ImageJ unit and resolution tags"
    if not unit and resolution_unit(container) in (2, 3) and container.key.tags.get(296) is not None:
        scales, source = [(25.4e3, 1e4)[resolution_unit(container) - 2]] * 3, "TIFF resolution tags"
    rationals = resolution(container)
    x = y = None
    if rationals is not None and scales[0] is not None and scales[1] is not None:
        x, y = (d / n * scale for (n, d), scale in zip(rationals, scales, strict=False) if scale is not None)
    spacing = positive(meta.get("spacing"))
    z = spacing * scales[2] if spacing is not None and scales[2] is not None and "Z" in container.series.axes else None
    return Calibration(x, y, z, positive(meta.get("finterval")), escape(unescape(unit)), source if x else "none")


def _plain(container: Container) -> Calibration:
    size = pixel_size(container.key)
    if size is not None:
        return Calibration(size.x, size.y, None, None, "m", size.source)
    rationals, unit = resolution(container), resolution_unit(container)
    if rationals is None or unit == 1:
        return Calibration(None, None, None, None, "", "none")
    scale = (25.4e3, 1e4)[unit - 2]
    x, y = (d / n * scale for n, d in rationals)
    return Calibration(x, y, None, None, ("inch", "cm")[unit - 2], "TIFF resolution tags")
