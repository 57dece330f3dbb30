"""What was understood of a file, for ``gensr info`` and the report."""

from __future__ import annotations

from typing import Any

from .levels import Sky, find_noise
from .opened import OpenedFits
from .units import Values

PRIOR = "engression-astronomy"
"""Generator of the domain."""


def scene_facts(scene: OpenedFits, sky: Sky) -> dict[str, Any]:
    """JSON-able facts; no observer, owner or path."""
    layer, scaling, frame = scene.layer, scene.pixels.scaling, scene.frame
    noise, origin = find_noise(scene, sky)
    rows, cols = scene.grid.shape
    flags = scene.companions.flags
    return {
        "format": "FITS",
        "hdu": layer.index,
        "name": layer.name,
        "hdus": [f"{x.label} {x.kind} {'x'.join(map(str, x.shape))}".strip() for x in scene.container.layers],
        "rows": rows,
        "columns": cols,
        "planes": scene.planes,
        "bands": list(scene.bands),
        "axes": {"rows": f"NAXIS{frame.rows}", "columns": f"NAXIS{frame.columns}"},
        "stored": {
            "bitpix": scene.pixels.bitpix,
            "bscale": scaling.scale,
            "bzero": scaling.zero,
            "blank": scaling.blank,
            "compression": layer.packed or None,
        },
        "dtype": scene.dtype.name,
        "nodata": "NaN",
        "unit": scene.unit,
        "values": scene.values.value,
        "values_from": scene.values_origin,
        "wcs": {
            **frame.summary,
            "celestial": frame.sky,
            "pixel_size_arcsec": list(frame.pixel_size) if frame.pixel_size else None,
            "centre_deg": list(frame.centre) if frame.centre else None,
        },
        "flags": {"hdu": flags.index, "rule": scene.flags.origin} if flags and scene.flags else None,
        "noise": {**(noise.describe() if noise else {}), "from": origin},
        "sky": {"level": sky.level, "sigma": sky.sigma, "usable_pixels": sky.count},
        "psf": f"{scene.psf.origin}, {'undone' if scene.psf.undone else 'kept'}" if scene.psf else None,
        "values per pixel": "sums" if scene.values is Values.FLUX else "means",
        "generator": PRIOR,
        "kept_on_source_grid": [x.label for x in scene.companions.kept],
        "not_copied": [f"{x.label}: {reason}" for x, reason in scene.companions.left],
        "notes": scene.notes,
    }
