"""ImageJ metadata of the refined file: everything ImageJ knows stays, what is in pixel coordinates moves or goes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gensr.errors import DomainError
from gensr.scenes.product import Codes
from gensr.values.grid import Factor, refine_centre

from .opened import OpenedMicrograph
from .units import escape

LIMIT = (1 << 32) - (1 << 22)
"""Largest ImageJ file: 32-bit offsets, with room for headers."""
AXES = "TZCYXS"
_COUNTED = ("images", "channels", "slices", "frames", "order", "SCIFIO")
_STALE = ("ROI", "Overlays", "Plot")
_DISPLAY = ("Ranges", "min", "max", "c0", "c1", "cf", "vunit")


def output_shape(scene: OpenedMicrograph, factor: Factor, dtype_name: str) -> tuple[int, int, int, int, int, int]:
    """Shape (T, Z, C, Y, X, S) of the output; unnamed axes become time, samples stay colour only for 8-bit RGB.

    Raises:
        DomainError: if an axis has no place in an ImageJ file.
    """
    sizes = dict(zip(scene.axes, scene.loops, strict=True))
    foreign = [a for a in scene.axes if a not in "TZCS"]
    if len(foreign) > 1 or (foreign and ("T" in sizes or foreign[0] not in "IQ")):
        raise DomainError(f"{scene.path}: axes {scene.axes}YX have no place in an ImageJ file; use container=ome")
    frames = sizes.get("T", 1) * (sizes[foreign[0]] if foreign else 1)
    samples, channels = sizes.get("S", 1), sizes.get("C", 1)
    if samples > 1 and not (dtype_name == "uint8" and samples in (3, 4)):
        channels, samples = channels * samples, 1
    rows, cols = scene.grid.shape
    return frames, sizes.get("Z", 1), channels, rows * factor[0], cols * factor[1], samples


def place(scene: OpenedMicrograph, plane: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Index (t, z, c, s) of a plane in the output."""
    at = scene.coordinates(plane)
    time = at.get("T", 0) + sum(i for axis, i in at.items() if axis in "IQ")
    if shape[5] > 1:
        return time, at.get("Z", 0), at.get("C", 0), at.get("S", 0)
    return time, at.get("Z", 0), scene.channel(plane), 0


def check_size(scene: OpenedMicrograph, factor: Factor) -> None:
    """Refuse an output that ImageJ's format cannot hold, before anything is computed.

    Raises:
        DomainError: if the output would exceed 4 GB.
    """
    itemsize = max(scene.dtype.itemsize, np.dtype(np.float32).itemsize)  # the deviation is a file of the same kind
    size = scene.planes * scene.grid.shape[0] * scene.grid.shape[1] * factor[0] * factor[1] * itemsize
    if size > LIMIT:
        raise DomainError(
            f"{scene.path}: the refined stack or its deviation has {size / 1e9:.1f} GB, an ImageJ TIFF at most 4 GB; "
            "use container=ome for OME-TIFF"
        )


def metadata(
    scene: OpenedMicrograph, factor: Factor, shape: tuple[int, ...], note: str, uncertainty: bool
) -> dict[str, Any]:
    """``metadata`` of ``tifffile`` for the output.

    Args:
        scene: the opened input.
        factor: refinement.
        shape: output shape (T, Z, C, Y, X, S).
        note: provenance, appended to Info.
        uncertainty: the output holds standard deviations, for which display ranges and value calibration are wrong.
    """
    found = dict(scene.imagej)
    drop = _COUNTED + _STALE + (_DISPLAY if uncertainty else ())
    kept = {k: v for k, v in found.items() if k not in drop}
    kept = {escape(k): escape(v) if isinstance(v, str) and k != "Info" else v for k, v in kept.items()}
    kept.setdefault("hyperstack", False)
    for name, f, corner in (("xorigin", factor[1], scene.origin[1]), ("yorigin", factor[0], scene.origin[0])):
        if isinstance(kept.get(name), int | float):
            kept[name] = refine_centre(float(kept[name]) - corner, f)
    if isinstance(kept.get("Labels"), list | tuple):
        kept["Labels"] = _ordered(scene, list(kept["Labels"]), shape)
    kept["Info"] = f"{found['Info']}\n{note}" if found.get("Info") else note
    kept["axes"] = AXES
    return kept


def _ordered(scene: OpenedMicrograph, labels: list[str], shape: tuple[int, ...]) -> list[str]:
    """Labels in the order T, Z, C of the output; they belong to pages, which hold all samples of a plane."""
    if len(labels) != scene.reader.pages or shape[0] * shape[1] * shape[2] != len(labels):
        return labels
    ordered = list(labels)
    for page, label in enumerate(labels):
        t, z, c, _ = place(scene, page * scene.reader.samples, shape)
        ordered[(t * shape[1] + z) * shape[2] + c] = label
    return ordered


def colormap(scene: OpenedMicrograph) -> Codes | None:
    """Colour table of an 8-bit image with a look-up table."""
    tag = scene.container.key.tags.get(320)
    return tag.value if tag is not None and int(scene.container.key.photometric) == 3 else None
