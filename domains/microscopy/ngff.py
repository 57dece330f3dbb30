"""OME-Zarr metadata, versions 0.4 and 0.5: understood, and written anew for the refined grid.

A transformation maps the index of a pixel centre: level ``n`` whose pixels are ``d`` times as long as those of level 0
begins ``(d - 1) / 2`` of them further in, and a refined image ``(1 / s - 1) / 2`` of the coarse ones further out.
Specifications: https://ngff.openmicroscopy.org/0.4 and /0.5
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gensr.errors import FormatError
from gensr.scenes.stores import ZarrStore, holds_ome
from gensr.values.grid import Factor, Window, first_centre

from .calibration import Calibration
from .units import micrometres

VERSIONS = ("0.4", "0.5")
SECONDS = {"second": 1.0, "millisecond": 1e-3, "microsecond": 1e-6, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
LAYOUT = "bioformats2raw.layout"
_OWN = ("multiscales", "omero", "labels", "plate", "well", "series", "image-label", "ome", "gensr", LAYOUT)
Transformations = list[dict[str, Any]]


@dataclass(frozen=True)
class Multiscale:
    """One image of a hierarchy.

    Attributes:
        version: of OME-Zarr.
        group: where it is; "" for the root.
        axes: as the file describes them.
        level: name of the array of the finest level.
        scale: step along every axis at that level.
        translation: place of the first pixel centre.
        outer: transformations of all levels, applied afterwards.
        name: of the image, "" if it has none.
        omero: display settings, {} if there are none.
        others: attributes of others, carried as they are.
        left: what the output leaves out.
        labels: whether it is an ``image-label``.
    """

    version: str
    group: str
    axes: tuple[Mapping[str, Any], ...]
    level: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    outer: Transformations
    name: str
    omero: Mapping[str, Any]
    others: Mapping[str, Any]
    left: tuple[str, ...]
    labels: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(str(axis["name"]) for axis in self.axes)

    def calibration(self) -> Calibration:
        """Pixel sizes in micrometres and seconds."""
        step = [abs(s * o) for s, o in zip(self.scale, _total(self.outer, len(self.axes)), strict=True)]
        sizes: dict[str, float | None] = {}
        for axis, size in zip(self.axes, step, strict=True):
            unit = str(axis.get("unit", ""))
            scale = SECONDS.get(unit) if axis["name"] == "t" else micrometres(unit)
            sizes[str(axis["name"])] = None if scale is None else size * scale
        unit = str(self.axes[-1].get("unit", ""))
        source = "OME-Zarr scale" if sizes["x"] else "none"
        return Calibration(sizes["x"], sizes["y"], sizes.get("z"), sizes.get("t"), unit, source)

    def crop(self, window: Window) -> Multiscale:
        """The image of which a window is left."""
        y, x = (t + s * n for t, s, n in zip(self.translation[-2:], self.scale[-2:], window[:2], strict=True))
        return replace(self, translation=(*self.translation[:-2], y, x))

    def refine(self, factor: Factor) -> Multiscale:
        """The image on the refined grid."""
        moved = [
            t + s * first_centre(f) for t, s, f in zip(self.translation[-2:], self.scale[-2:], factor, strict=True)
        ]
        finer = [s / f for s, f in zip(self.scale[-2:], factor, strict=True)]
        return replace(self, scale=(*self.scale[:-2], *finer), translation=(*self.translation[:-2], *moved))

    def coarser(self, step: int) -> Transformations:
        """Transformations of a level whose pixels are ``step`` times as long as those of the finest."""
        scale = [*self.scale[:-2], *(s * step for s in self.scale[-2:])]
        first = [t + s * (step - 1) / 2 for t, s in zip(self.translation[-2:], self.scale[-2:], strict=True)]
        return [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": [*self.translation[:-2], *first]},
        ]

    def attributes(self, levels: int, title: str, notes: Mapping[str, str], display: bool) -> dict[str, Any]:
        """Attributes of the group.

        Args:
            levels: number of levels, each half as fine as the one before.
            title: what the image is.
            notes: provenance.
            display: whether display settings still fit.
        """
        entry: dict[str, Any] = {"version": self.version} if self.version == "0.4" else {}
        entry |= {"name": f"{self.name} {title.partition(';')[0]}".strip(), "axes": [dict(a) for a in self.axes]}
        entry["datasets"] = [{"path": str(n), "coordinateTransformations": self.coarser(1 << n)} for n in range(levels)]
        if self.outer:
            entry["coordinateTransformations"] = self.outer
        entry["type"] = "mean of 2 x 2 pixels"
        entry["metadata"] = {"description": title}
        found: dict[str, Any] = {"multiscales": [entry]}
        if display and self.omero:
            found["omero"] = dict(self.omero)
        if self.version != "0.4":
            found = {"ome": {"version": self.version, **found}}
        return {**self.others, **found, "gensr": dict(notes)}


def is_ome(path: Path) -> bool:
    """Whether a Zarr hierarchy says that it holds an image, a plate or a collection of OME; never raises."""
    try:
        with ZarrStore(path) as store:
            return holds_ome(store.attributes())
    except FormatError:
        return False


def understand(store: ZarrStore, series: int | None) -> Multiscale:
    """The image of a hierarchy that is processed.

    Args:
        store: the hierarchy.
        series: number of the image where it holds several.

    Raises:
        FormatError: no image, several of them, another version, or damaged metadata.
    """
    group = _image_group(store, series)
    attributes = store.attributes(group)
    found = _ome(attributes)
    try:
        return replace(_read(store, group, attributes, found), labels="image-label" in found)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        text = " ".join(str(error).split())[:100]
        raise FormatError(f"{store.path}: its multiscales are damaged ({text}); repair or convert it anew") from error


def _ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is OME's among attributes: they lie in a mapping of their own from version 0.5 on."""
    found = attributes.get("ome")
    return found if isinstance(found, Mapping) else attributes


def _image_group(store: ZarrStore, series: int | None) -> str:
    root = _ome(store.attributes())
    if "plate" in root or "well" in root:
        what = "plate" if "plate" in root else "well"
        raise FormatError(f"{store.path}: is a {what} of many images; give one field, such as plate.zarr/A/1/0")
    if "multiscales" in root:
        if series:
            raise FormatError(f"{store.path}: holds one image; leave series={series} out")
        return ""
    images = [m for m in store.members() if m.isdigit() and "multiscales" in _ome(store.attributes(m))]
    if not images:
        hint = (
            "give one of its labels/NAME" if "labels" in root else "give one image file, or the folder of an OME-Zarr"
        )
        raise FormatError(f"{store.path}: holds no OME-Zarr image (multiscales); {hint}")
    if series is None and len(images) > 1:
        raise FormatError(f"{store.path}: holds images {', '.join(images[:8])}; choose one with series=0, 1, ...")
    chosen = images[0] if series is None else str(series)
    if chosen not in images:
        raise FormatError(f"{store.path}: series={series} does not exist; it holds {', '.join(images[:8])}")
    return chosen


def _read(store: ZarrStore, group: str, attributes: Mapping[str, Any], found: Mapping[str, Any]) -> Multiscale:
    entries = found["multiscales"]
    first = entries[0]
    declared = found.get("version") if found is not attributes else first.get("version", "0.4")
    version = str(declared)
    if version not in VERSIONS:
        raise FormatError(
            f"{store.path}: is OME-Zarr {version[:20]}; versions {' and '.join(VERSIONS)} are read, convert it"
        )
    axes = tuple(first["axes"])
    names = [str(axis["name"]) for axis in axes]
    if names[-2:] != ["y", "x"] or len(set(names)) != len(names):
        raise FormatError(f"{store.path}: its axes are {', '.join(names)}; expected y and x at the end")
    dataset = first["datasets"][0]
    scale, translation = _linear(store.path, dataset["coordinateTransformations"], len(axes))
    outer = list(first.get("coordinateTransformations") or [])
    if outer:
        _linear(store.path, outer, len(axes))
    left = [f"{len(entries) - 1} further multiscales"] if len(entries) > 1 else []
    left += ["label images (labels)"] if "labels" in store.members(group) else []
    left += ["OME-XML (OME/METADATA.ome.xml)"] if group and "OME" in store.members() else []
    omero = found.get("omero")
    return Multiscale(
        version=version,
        group=group,
        axes=tuple({k: v for k, v in axis.items() if isinstance(v, str)} for axis in axes),
        level="/".join(filter(None, (group, str(dataset["path"])))),
        scale=scale,
        translation=translation,
        outer=outer,
        name=str(first.get("name") or ""),
        omero=omero if isinstance(omero, Mapping) else {},
        others={k: v for k, v in attributes.items() if k not in _OWN},
        left=tuple(left),
    )


def _linear(path: Path, steps: Transformations, rank: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and translation of a list of transformations: a scale, and perhaps a translation after it."""
    scale, translation = (1.0,) * rank, (0.0,) * rank
    kinds = [step["type"] for step in steps]
    if kinds not in (["scale"], ["scale", "translation"]):
        raise FormatError(f"{path}: transformations {kinds} are not read; expected a scale and perhaps a translation")
    for step in steps:
        if step["type"] not in step:
            raise FormatError(f"{path}: a {step['type']} is not in the metadata but elsewhere; write its numbers out")
        numbers = tuple(float(n) for n in step[step["type"]])
        if len(numbers) != rank or not all(map(math.isfinite, numbers)):
            raise ValueError(f"{step['type']} {numbers} for {rank} axes")
        if step["type"] == "scale":
            if min(numbers) <= 0:
                raise ValueError(f"scale {numbers} is not positive")
            scale = numbers
        else:
            translation = numbers
    return scale, translation


def _total(outer: Transformations, rank: int) -> tuple[float, ...]:
    return next((tuple(map(float, o["scale"])) for o in outer if o["type"] == "scale"), (1.0,) * rank)
