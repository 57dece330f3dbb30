"""Micrographs through tifffile and an XML parser alone."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

from .findings import Findings, few

OME = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
RELATIVE = 1e-6


def check(source: Path, written: list[Path], factor: int) -> Findings:
    """Compare a TIFF with its refined output and its standard deviation."""
    import tifffile

    found = Findings(source.name, "tifffile")
    with tifffile.TiffFile(source) as a, tifffile.TiffFile(written[0]) as b, tifffile.TiffFile(written[1]) as std:
        old, new = a.series[0], b.series[0]
        _geometry(found, a, b, factor)
        shape = tuple(n * (factor if axis in "YX" else 1) for n, axis in zip(old.shape, old.axes, strict=True))
        spread = std.series[0]
        found.say(
            "dtype",
            f"{old.dtype.name}, {a.byteorder}; std float32",
            new.dtype == old.dtype,
            a.byteorder == b.byteorder,
            spread.dtype.name == "float32",
        )
        names = _channels(a)
        found.say(
            "bands",
            f"{old.axes} {' x '.join(map(str, old.shape))}" + (f", {few(names)}" if names else ""),
            new.axes == old.axes,
            new.shape == shape,
            names == _channels(b),
            int(np.prod(spread.shape)) == int(np.prod(shape)),
        )
        found.say("nodata, mask", "none in the format", bool(np.isfinite(spread.asarray()).all()))
        _tags(found, a, b)
    return found


def _pixels(tif: Any) -> Any:
    return ET.fromstring(tif.ome_metadata).find(".//o:Pixels", OME)


def _channels(tif: Any) -> list[str]:
    if not tif.is_ome:
        return []
    return [str(c.get("Name")) for c in _pixels(tif).findall("o:Channel", OME)]


def _sizes(tif: Any) -> tuple[list[float], list[float], str]:
    """Pixel size in x, y; other steps; unit."""
    if tif.is_ome:
        pixels = _pixels(tif)
        sizes = [float(pixels.get(f"PhysicalSize{a}", 0)) for a in "XYZ"]
        return sizes[:2], sizes[2:], str(pixels.get("PhysicalSizeXUnit", "default um"))
    tags, meta = tif.pages[0].tags, tif.imagej_metadata or {}
    sizes = [tags[c].value[1] / tags[c].value[0] if c in tags else 0.0 for c in (282, 283)]
    return sizes, [float(meta.get("spacing", 0)), float(meta.get("finterval", 0))], str(meta.get("unit", ""))


def _geometry(found: Findings, a: Any, b: Any, s: int) -> None:
    old, steps, unit = _sizes(a)
    new, fine_steps, fine_unit = _sizes(b)
    page, fine = a.pages[0], b.pages[0]
    extent = (page.imagewidth, page.imagelength)
    size = (fine.imagewidth, fine.imagelength) == (extent[0] * s, extent[1] * s)
    measured = unit or (282 in page.tags and 296 in page.tags and int(page.tags[296].value) != 1)
    if not measured:
        found.say(
            "field of view",
            f"uncalibrated; {extent[0]} x {extent[1]} to {fine.imagewidth} x {fine.imagelength}",
            size,
        )
        # A TIFF must state a resolution: without a unit it is the ratio of the sides of a pixel.
        found.say("pixel size", "none stated, none invented", new[0] == new[1], not fine_unit)
    else:
        error = max(abs(n * s / o - 1) * e for n, o, e in zip(new, old, extent, strict=True))
        found.error("field of view", error, RELATIVE * max(extent), "px")
        text = f"{old[0]:.6g} to {new[0]:.6g}" + (f", step {steps[0]:g} kept" if steps[0] else "")
        found.say("pixel size", text, steps == fine_steps, np.allclose(np.array(new) * s, old, rtol=1e-9))
    shown = "um" if unit in ("\\u00B5m", "\u00b5m") else unit
    found.say("units", shown or "none", unit == fine_unit)
    found.say(
        "orientation", f"{a.pages[0].photometric.name.lower()}, rows down", a.pages[0].photometric == fine.photometric
    )


def _tags(found: Findings, a: Any, b: Any) -> None:
    kind = "OME" if a.is_ome else "ImageJ" if a.is_imagej else "TIFF"
    old, new = a.imagej_metadata or {}, b.imagej_metadata or {}
    changed = [k for k in old if k not in ("ImageJ", "Info", "ROI", "Overlays") and not _same(old[k], new.get(k))]
    text = str(b.pages[0].tags[270].value) + str(new)
    found.say(
        "tags",
        f"{kind}{', BigTIFF' if a.is_bigtiff else ''}; {len(old)} keys kept; marked"
        + (f"; CHANGED {few(changed)}" if changed else ""),
        not changed,
        (a.is_ome, a.is_imagej, a.is_bigtiff) == (b.is_ome, b.is_imagej, b.is_bigtiff),
        "Contains generated detail" in text,
        str(b.pages[0].tags[305].value).startswith("gensr "),
    )


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, list) and old and isinstance(old[0], np.ndarray):
        return all(np.array_equal(x, y) for x, y in zip(old, new, strict=True))
    return bool(old == new)
