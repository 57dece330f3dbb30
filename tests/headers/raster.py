"""Georeferenced rasters through rasterio alone."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .findings import Findings, few

PIXEL_ERROR = 1e-6


def opened(path: Path) -> Any:
    """A dataset; a missing georeference is no news."""
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)


def check(source: Path, written: list[Path], factor: int) -> Findings:
    """Compare a raster with its refined output and its standard deviation."""
    found = Findings(source.name, "rasterio")
    with opened(source) as a, opened(written[0]) as b, opened(written[1]) as std:
        for target in (std, b):
            _geometry(found, a, target, factor)
        _bands(found, a, b, std)
        _validity(found, a, b, std, factor)
        _tags(found, a, b, factor)
    return found


def _geometry(found: Findings, a: Any, b: Any, s: int) -> None:
    from rasterio.transform import GCPTransformer, RPCTransformer

    size = (b.height, b.width) == (a.height * s, a.width * s)
    crs = _named(a.crs)
    if a.gcps[0]:
        crs = _named(a.gcps[1])
        with GCPTransformer(a.gcps[0]) as coarse, GCPTransformer(b.gcps[0]) as fine:
            error = _ground(coarse, fine, a, s)
        points = all((n.x, n.y, n.z) == (o.x, o.y, o.z) for n, o in zip(b.gcps[0], a.gcps[0], strict=True))
        rows = max(abs(n.row - s * o.row) + abs(n.col - s * o.col) for n, o in zip(b.gcps[0], a.gcps[0], strict=True))
        found.error("field of view", max(error, rows), PIXEL_ERROR, "px", f", {len(a.gcps[0])} GCPs")
        found.say("pixel size", "GCP rows and columns x 2", points, rows <= PIXEL_ERROR)
        found.say("orientation", f"GCPs in {crs}, Area", b.gcps[1] == a.gcps[1], b.tags()["AREA_OR_POINT"] == "Area")
        return
    if a.rpcs:
        with RPCTransformer(a.rpcs) as coarse, RPCTransformer(b.rpcs) as fine:
            found.error("field of view", _ground(coarse, fine, a, s), PIXEL_ERROR, "px", ", RPC")
        ratio = [b.rpcs.line_scale / a.rpcs.line_scale, b.rpcs.samp_scale / a.rpcs.samp_scale]
        found.say("pixel size", "RPC lines and samples x 2", np.allclose(ratio, s))
        found.say("orientation", f"RPC, {crs}", size)
        return
    t, u = a.transform, b.transform
    if t.is_identity:
        found.say("field of view", f"no georeference; {a.width} x {a.height} to {b.width} x {b.height}", size)
        found.say("pixel size", "none stated, none invented", u.is_identity)
        found.say("orientation", "none stated", b.crs is None)
        return
    corners = [((0, 0), (0, 0)), ((a.width, 0), (b.width, 0)), ((a.width, a.height), (b.width, b.height))]
    corners.append(((0, a.height), (0, b.height)))
    ground, back = np.reshape([*u[:6], 0, 0, 1], (3, 3)), np.linalg.inv(np.reshape([*t[:6], 0, 0, 1], (3, 3)))
    error = max(float(np.abs(back @ ground @ [*fine, 1] - [*coarse, 1]).max()) for coarse, fine in corners)
    found.error("field of view", error, PIXEL_ERROR, "px")
    length = [math.hypot(t.a, t.d), math.hypot(t.b, t.e)]
    unit = "deg" if a.crs and a.crs.is_geographic else "m" if a.crs else ""
    found.say(
        "pixel size",
        " x ".join(f"{v:.6g}" for v in length)
        + " to "
        + " x ".join(f"{v / s:.6g}" for v in length)
        + f" {unit}".rstrip(),
        np.allclose([u.a * s, u.b * s, u.d * s, u.e * s], [t.a, t.b, t.d, t.e], rtol=1e-12, atol=0),
    )
    way = "rotated" if t.b or t.d else "south-up" if t.e > 0 else "north-up"
    point = a.tags().get("AREA_OR_POINT", "Area")
    same = a.driver != "GTiff" or b.tags()["AREA_OR_POINT"] == point
    found.say("orientation", f"{way}, {crs}, {point}", a.crs == b.crs, size, same)


def _named(crs: Any) -> str:
    text = crs.to_string() if crs else "no CRS"
    return text if len(text) < 20 else "CRS without a code"


def _ground(coarse: Any, fine: Any, a: Any, s: int) -> float:
    """Places of the image sent to the ground by the input and back by the output: error in pixels of the input."""
    rng = np.random.default_rng(0)
    rows, cols = rng.uniform(0, a.height, 50), rng.uniform(0, a.width, 50)
    height = np.full(50, a.rpcs.height_off if a.rpcs else 0.0)
    x, y = coarse.xy(rows, cols, height, offset="ul")
    back = [np.array(t.rowcol(x, y, height, op=lambda v: v)) for t in (coarse, fine)]
    return float(np.abs(back[1] / s - back[0]).max())


def _bands(found: Findings, a: Any, b: Any, std: Any) -> None:
    data = [i for i, c in enumerate(a.colorinterp) if c.name != "alpha"]
    shifted = max(map(abs, a.offsets)) > 4e6 * min(map(abs, a.scales))
    kept = "float64" if shifted or a.dtypes[0] in ("float64", "int32", "uint32", "int64", "uint64") else "float32"
    found.say("dtype", f"{a.dtypes[0]}; std {kept}", a.dtypes == b.dtypes, set(std.dtypes) == {kept})
    named = sum(d is not None for d in a.descriptions)
    found.say(
        "bands",
        f"{a.count}, colours {few([c.name for c in a.colorinterp])}, {named} names",
        a.count == b.count,
        a.colorinterp == b.colorinterp,
        a.descriptions == b.descriptions,
        std.count == len(data),
    )
    scaled = any(v != 1 for v in a.scales) or any(a.offsets)
    text = f"scale {a.scales[0]:g}, offset {a.offsets[0]:g}" if scaled else "unscaled"
    units = few(sorted({v for v in a.units if v})) or "no unit"
    found.say("units", f"{units}, {text}", a.units == b.units, a.scales == b.scales, a.offsets == b.offsets)


def valid(dataset: Any, bands: list[int]) -> Any:
    """Mask and not nodata and finite, which rasterio gives one at a time."""
    codes, good = dataset.read(bands), dataset.read_masks(bands) != 0
    if dataset.nodata is not None and not math.isnan(dataset.nodata):
        good &= codes != codes.dtype.type(dataset.nodata)
    return good & np.isfinite(codes) if codes.dtype.kind == "f" else good


def _validity(found: Findings, a: Any, b: Any, std: Any, s: int) -> None:
    alpha = [i + 1 for i, c in enumerate(a.colorinterp) if c.name == "alpha"]
    bands = [i for i in a.indexes if i not in alpha]
    fine = valid(a, bands).repeat(s, 1).repeat(s, 2)
    flags = sorted({f.name for flags in a.mask_flag_enums for f in flags})
    nodata = [None if v is None else float(v) for v in a.nodatavals]
    found.say(
        "nodata, mask",
        f"{'none' if nodata[0] is None else f'{nodata[0]:g}'}, {'+'.join(flags)}, {int((~fine).sum()) // s**2} invalid",
        str(nodata) == str([None if v is None else float(v) for v in b.nodatavals]),
        a.mask_flag_enums == b.mask_flag_enums,
        np.array_equal(valid(b, bands), fine),
        np.array_equal(np.isfinite(std.read()), fine),
        all(np.array_equal(b.read(i), a.read(i).repeat(s, 0).repeat(s, 1)) for i in alpha),
    )


def _tags(found: Findings, a: Any, b: Any, s: int) -> None:
    new, lost = b.tags(), []
    for key, value in a.tags().items():
        if key in ("TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION"):
            good = math.isclose(float(new.get(key, 0)), s * float(value), rel_tol=1e-6)
        elif key == "TIFFTAG_SOFTWARE":
            good = new.get("GENSR_SOURCE_SOFTWARE") == value
        else:
            good = key == "AREA_OR_POINT" or "RESAMPLING" in key or new.get(key) == value
        lost += [] if good else [key]
    stale = [k for i in b.indexes for k in b.tags(i) if k.startswith("STATISTICS_")]
    found.say(
        "tags",
        f"{len(a.tags())} kept; COG; marked" + (f"; CHANGED {few(lost)}" if lost else ""),
        not lost,
        not stale,
        b.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG",
        "Contains generated detail" in new["GENSR_GENERATED"],
        json.loads(new["GENSR_REPORT"])["factor"] == s,
        new["TIFFTAG_SOFTWARE"].startswith("gensr "),
    )
