"""A TIFF as OME-Zarr: its axes, pixel sizes, stage position, channels and colours in the words of that format."""

from __future__ import annotations

from typing import Any

from gensr.errors import DomainError

from .calibration import ome_pixels
from .ngff import Multiscale
from .opened import OpenedMicrograph
from .units import micrometres
from .zarr_write import Layout

VERSION = "0.5"
_KINDS = {"T": ("t", "time", "second"), "C": ("c", "channel", ""), "Z": ("z", "space", "micrometer")}


def described(scene: OpenedMicrograph) -> tuple[Multiscale, Layout]:
    """Metadata and order of planes of a TIFF, on its own grid.

    Raises:
        DomainError: an axis has no place in OME-Zarr.
    """
    sizes = dict(zip(scene.axes, scene.loops, strict=True))
    foreign = sorted(set(sizes) - set("TCZS"))
    if foreign:
        raise DomainError(f"{scene.path}: axis {foreign[0]} has no place in OME-Zarr; use container=ome")
    counts = {"T": sizes.get("T", 1), "C": scene.channels, "Z": sizes.get("Z", 1)}
    kept = [a for a in "TCZ" if counts[a] > 1 or a in sizes]
    cal = scene.calibration
    steps = {"T": cal.interval, "C": None, "Z": cal.z}
    axes: list[dict[str, str]] = []
    for axis in kept:
        name, kind, unit = _KINDS[axis]
        axes.append({"name": name, "type": kind} | ({"unit": unit} if steps[axis] is not None else {}))
    known = cal.x is not None and cal.y is not None
    axes += [{"name": n, "type": "space"} | ({"unit": "micrometer"} if known else {}) for n in "yx"]
    pixel = (cal.y, cal.x) if cal.x is not None and cal.y is not None else (1.0, 1.0)
    scale = (*(steps[a] or 1.0 for a in kept), *pixel)

    def place(plane: int) -> tuple[int, ...]:
        at = scene.coordinates(plane)
        index = {"T": at.get("T", 0), "C": scene.channel(plane), "Z": at.get("Z", 0)}
        return tuple(index[a] for a in kept)

    multiscale = Multiscale(
        version=VERSION,
        group="",
        axes=tuple(axes),
        level="0",
        scale=scale,
        translation=(*(0.0,) * len(kept), *_stage(scene, pixel)),
        outer=[],
        name=scene.path.name.partition(".")[0],
        omero=_omero(scene),
        others={},
        left=(),
    )
    return multiscale, Layout(tuple(counts[a] for a in kept), place, False)


def _stage(scene: OpenedMicrograph, pixel: tuple[float, float]) -> tuple[float, float]:
    """Stage position of the first pixel centre in micrometres; without one, its place in the image of the file."""
    inside = scene.origin[0] * pixel[0], scene.origin[1] * pixel[1]
    if scene.container.kind != "ome":
        return inside
    pixels = ome_pixels(scene.container.ome, scene.container.index)
    found = []
    for axis in "YX":
        places = set()
        for plane in pixels.getElementsByTagNameNS("*", "Plane"):
            text, unit = plane.getAttribute(f"Position{axis}"), micrometres(plane.getAttribute(f"Position{axis}Unit"))
            places.add(float(text) * unit if text and unit is not None else None)
        found.append(places.pop() if len(places) == 1 else None)
    y, x = (i if f is None else f for f, i in zip(found, inside, strict=True))
    return y, x


def _omero(scene: OpenedMicrograph) -> dict[str, Any]:
    """Channel names and colours; a display window is required there, and the range of the codes is a true one."""
    low, high = (scene.codes.low, scene.codes.high) if scene.codes is not None else (0.0, 1.0)
    colours = _colours(scene)
    channels = [
        {
            "label": name,
            "color": colour,
            "active": True,
            "window": {"min": low, "max": high, "start": low, "end": high},
        }
        for name, colour in zip(scene.names, colours, strict=True)
    ]
    return {"channels": channels}


def _colours(scene: OpenedMicrograph) -> list[str]:
    """Six hexadecimal digits per channel: that of OME-XML (a signed RGBA number), of RGB samples, or white."""
    primaries = ["FF0000", "00FF00", "0000FF"]
    if "S" in scene.axes and scene.channels == 3:
        return primaries
    colours = ["FFFFFF"] * scene.channels
    if scene.container.kind == "ome":
        pixels = ome_pixels(scene.container.ome, scene.container.index)
        found = [e.getAttribute("Color") for e in pixels.getElementsByTagNameNS("*", "Channel")]
        if len(found) == scene.channels:
            colours = [f"{(int(c) & 0xFFFFFFFF) >> 8:06X}" if c.lstrip("-").isdigit() else "FFFFFF" for c in found]
    return colours
