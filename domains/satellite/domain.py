"""The satellite domain: how gensr reads, models and writes georeferenced rasters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from gensr.scenes import stores
from gensr.scenes.domain import ArrayWords, Domain
from gensr.scenes.scene import Scene

from . import options as settings
from . import signature
from .kinds import ENDINGS
from .preview import HIGH, LOW
from .safe import is_safe

_MAPPED = ("projection_x_coordinate", "projection_y_coordinate", "longitude", "latitude")
"""Standard names of CF conventions of what lies on the Earth."""


class Satellite(Domain):
    """GeoTIFF, COG, JPEG 2000 and Sentinel-2 SAFE; plain TIFF, JPEG and PNG when asked for by name."""

    name: ClassVar[str] = "satellite"
    description: ClassVar[str] = "satellite and aerial imagery: GeoTIFF, COG, JPEG 2000, NetCDF, Zarr, Sentinel-2 SAFE"
    suffixes: ClassVar[tuple[str, ...]] = (".tiff", ".tif", ".jp2", ".j2k", ".jpeg", ".jpg", ".png", *ENDINGS)
    prior: ClassVar[str] = "engression-field"
    contrast: ClassVar[tuple[float, float]] = (LOW, HIGH)
    full_scale: ClassVar[bool] = True
    stand_in: ClassVar[str] = "gaussian-satellite"
    defaults: ClassVar[Mapping[str, Any]] = settings.DEFAULTS

    def sniff(self, path: Path) -> int:
        """See `gensr.scenes.domain.Domain.sniff`; 1 for a TIFF without georeference, which may be microscopy."""
        return signature.confidence(path)

    def knows(self, source: object) -> int:
        """See `Domain.knows`: arrays of xarray that lie on the ground; others when it is asked for by name."""
        from .objects import knows

        return knows(source)

    def lay_down(self, source: object, folder: Path) -> list[Path]:
        """See `Domain.lay_down`."""
        from .objects import lay_down

        return lay_down(source, folder)

    def claims(self, words: ArrayWords) -> int:
        """See `gensr.scenes.domain.Domain.claims`: a coordinate system proves it, map coordinates make it likely."""
        attrs = words.get("", {})
        if any("crs_wkt" in own or "spatial_ref" in own for own in words.values()) or "crs" in attrs:
            return 3
        return 2 if any(own.get("standard_name") in _MAPPED for own in words.values()) else 0

    def expand(self, folder: Path) -> list[Path]:
        """See `gensr.scenes.domain.Domain.expand`: a Sentinel-2 product is one input, also inside a folder."""
        if is_safe(folder) or stores.looks_like(folder):
            return [folder] if self.sniff(folder) else []
        return [p for p in sorted(folder.iterdir()) if (p.is_file() or p.is_dir()) and self.sniff(p) > 0]

    def open(self, path: Path, options: Mapping[str, Any]) -> Scene:
        """See `gensr.scenes.domain.Domain.open`; options: `gensr.domains.satellite.options.DEFAULTS`."""
        from .reader import open_scene

        return open_scene(Path(path), settings.parse(options))

    def stem(self, path: Path) -> str:
        """See `gensr.scenes.domain.Domain.stem`."""
        for suffix in (".safe.zip", ".safe", ".zarr.zip", ".zarr", ".zip", *self.suffixes):
            if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
                return path.name[: -len(suffix)]
        return path.name
