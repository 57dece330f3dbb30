"""NetCDF through h5py alone: attributes and numbers as they lie in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .findings import Findings, differing


def _edges(file: Any, axis: str) -> Any:
    """First and last edge of an even axis of centres."""
    centres = file[axis][:].astype(float)
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    return np.array([centres[0] - step / 2, centres[-1] + step / 2]), step


def _attributes(found: Any) -> dict[str, object]:
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in found.attrs.items() if not k.isupper()}


def check(source: Path, written: list[Path], factor: int, name: str) -> Findings:
    """Compare a variable of a netCDF-4 file with its refined output."""
    import h5py

    found = Findings(source.name, "h5py")
    with h5py.File(source) as a, h5py.File(written[0]) as b:
        errors, sizes = [], []
        for axis in ("x", "y"):
            (old, step), (new, fine) = _edges(a, axis), _edges(b, axis)
            errors.append(float(np.abs(new - old).max() / abs(step)))
            sizes.append((step, fine))
        found.error("field of view", max(errors), 1e-6, "px")
        text = " x ".join(f"{abs(s):g}" for s, _ in sizes) + " to " + " x ".join(f"{abs(f):g}" for _, f in sizes)
        found.say("pixel size", text, all(np.isclose(f * factor, s, rtol=1e-12) for s, f in sizes))
        old, new, std = a[name], b[name], b[f"{name}_std"]
        found.say("dtype", f"{old.dtype.name}; std float32", new.dtype == old.dtype, std.dtype == np.float32)
        shape = tuple(n * (factor if i >= old.ndim - 2 else 1) for i, n in enumerate(old.shape))
        found.say("bands", f"{name} {' x '.join(map(str, old.shape))}", new.shape == shape, std.shape == shape)
        one, two = _attributes(old), _attributes(new)
        lost = differing(one, two, {"_Netcdf4Dimid", "_Netcdf4Coordinates"})
        found.say("units", f"{one['units']}, scale {one['scale_factor']}, offset {one['add_offset']}", not lost)
        fill = old.attrs["_FillValue"]
        holes = twice(old[:] == fill, factor)
        agree = np.array_equal(new[:] == fill, holes), np.array_equal(np.isnan(std[:]), holes)
        found.say("nodata, mask", f"{np.asarray(fill).item()}, {int(holes.sum())} invalid", *agree)
        kept = differing(dict(a.attrs), dict(b.attrs), {"_NCProperties", "history"})
        marked = "generated detail" in str(b.attrs["gensr_generated"])
        found.say(
            "tags", "global attributes kept; history; marked", not kept, marked, "gensr" in str(b.attrs["history"])
        )
        mapping = str(one["grid_mapping"])
        wkt = [str(f[mapping].attrs["crs_wkt"]) for f in (a, b)]
        found.say("orientation", "grid mapping kept", wkt[0] == wkt[1], sizes[1][1] < 0)
    return found


def twice(mask: Any, factor: int) -> Any:
    """Every pixel repeated."""
    return mask.repeat(factor, -2).repeat(factor, -1)
