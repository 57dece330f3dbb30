"""OME-Zarr through zarr and JSON alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .findings import Findings, few


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[Any]]:
    """Attributes, what is OME's among them, the first multiscales entry, and its arrays."""
    import zarr

    group = zarr.open_group(str(path), mode="r")
    attributes = dict(group.attrs)
    ome: Any = attributes.get("ome", attributes)
    entry = ome["multiscales"][0]
    return attributes, ome, entry, [group[d["path"]] for d in entry["datasets"]]


def _ends(dataset: dict[str, Any], array: Any) -> tuple[Any, Any]:
    """First and last outer corner of rows and columns, and the pixel size: centres are at scale i + translation."""
    steps = {s["type"]: np.array(s[s["type"]], float) for s in dataset["coordinateTransformations"]}
    scale, first = steps["scale"][-2:], steps.get("translation", np.zeros(array.ndim))[-2:]
    return np.stack([first - scale / 2, first + scale * (np.array(array.shape[-2:]) - 0.5)]), scale


def check(source: Path, written: list[Path], factor: int) -> Findings:
    """Compare an OME-Zarr image with its refined output and its standard deviation."""
    found = Findings(source.name, "zarr")
    (_, ome, entry, old), (attributes, fine_ome, fine, new), (_, _, _, std) = map(_read, (source, *written[:2]))
    (corners, size), (fine_corners, fine_size) = _ends(entry["datasets"][0], old[0]), _ends(fine["datasets"][0], new[0])
    levels = [_ends(d, a) for d, a in zip(fine["datasets"], new, strict=True)]
    spread = max(float((np.abs(c[0] - corners[0]) / size).max()) for c, _ in levels)
    error = max(spread, float((np.abs(fine_corners - corners) / size).max()))
    found.error("field of view", error, 1e-6, "px", f", {len(new)} levels")
    text = f"{size[1]:.6g} x {size[0]:.6g} to {fine_size[1]:.6g} x {fine_size[0]:.6g}"
    found.say("pixel size", text, np.allclose(fine_size * factor, size, rtol=1e-12))
    kinds = [a[0].dtype for a in (old, new, std)]
    found.say("dtype", f"{kinds[0].name}; std float32", kinds[0] == kinds[1], kinds[2] == np.float32)
    names = [str(c.get("label")) for c in ome.get("omero", {}).get("channels", [])]
    shape = tuple(n * (factor if i >= old[0].ndim - 2 else 1) for i, n in enumerate(old[0].shape))
    found.say(
        "bands",
        "".join(a["name"] for a in entry["axes"]) + f" {' x '.join(map(str, old[0].shape))}, {few(names)}",
        new[0].shape == shape == std[0].shape,
        fine_ome.get("omero") == ome.get("omero"),
    )
    found.say("units", str(entry["axes"][-1].get("unit", "none")), fine["axes"] == entry["axes"])
    found.say("nodata, mask", "none in the format", bool(np.isfinite(std[0][:]).all()))
    marked = "generated detail" in str(attributes["gensr"]["mark"])
    found.say("tags", f"OME-Zarr {fine_ome.get('version', fine.get('version'))}; marked", marked)
    found.say("orientation", "axes kept in order", [a["name"] for a in fine["axes"]][-2:] == ["y", "x"])
    return found
