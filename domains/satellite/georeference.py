"""Where an image lies on the ground: affine, ground control points or rational polynomials, and their refinement.

GDAL's affine and GCPs count from the outer corner, also where AREA_OR_POINT is Point (the half pixel is applied on
read): they scale by ``s``. RPC lines and samples count from pixel centres: ``(x + 0.5) s - 0.5``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gensr.errors import DomainError, FormatError, GridError
from gensr.values.grid import IDENTITY, Affine, Factor, PixelGrid, Window, refine_centre

from . import gdal


@dataclass(frozen=True)
class Georeference:
    """Georeference of an opened dataset.

    Attributes:
        grid: shape and affine; the identity where there is no affine.
        affine: whether ``grid.transform`` is a georeference.
        crs: rasterio CRS of the affine, or None.
        gcps: rasterio ground control points.
        gcp_crs: rasterio CRS of the points, or None.
        rpcs: rasterio RPC, or None.
        word: AREA_OR_POINT of the source, "" if absent.
        notes: what a user should know.
    """

    grid: PixelGrid
    affine: bool
    crs: Any
    gcps: tuple[Any, ...]
    gcp_crs: Any
    rpcs: Any
    word: str
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Human name of what locates the image."""
        parts = ["affine"] * self.affine + ["gcps"] * bool(self.gcps) + ["rpc"] * (self.rpcs is not None)
        return "+".join(parts) or "none"

    def refine(self, factor: Factor) -> Georeference:
        """The same ground under ``factor`` times smaller pixels."""
        control = gdal.load().control
        fy, fx = factor
        gcps = tuple(
            control.GroundControlPoint(p.row * fy, p.col * fx, p.x, p.y, p.z, id=p.id, info=p.info) for p in self.gcps
        )
        return replace(self, grid=self.grid.refine(factor), gcps=gcps, rpcs=_refine_rpc(self.rpcs, factor))

    def crop(self, window: Window) -> Georeference:
        """The same ground as seen by a window: points and polynomials are counted from its corner."""
        control = gdal.load().control
        row, col = window.row, window.col
        gcps = tuple(
            control.GroundControlPoint(p.row - row, p.col - col, p.x, p.y, p.z, id=p.id, info=p.info) for p in self.gcps
        )
        grid = self.grid.crop(window) if self.affine else PixelGrid((window.rows, window.cols), frame=self.grid.frame)
        return replace(self, grid=grid, gcps=gcps, rpcs=_crop_rpc(self.rpcs, row, col))

    def creation(self) -> dict[str, Any]:
        """Keyword arguments of ``rasterio.open`` in write mode."""
        arguments: dict[str, Any] = {}
        if self.affine:
            t = self.grid.transform
            arguments["transform"] = gdal.load().Affine(t.a, t.b, t.c, t.d, t.e, t.f)
        if self.crs is not None:
            arguments["crs"] = self.crs
        if self.gcps:
            arguments["gcps"] = list(self.gcps)
            # rasterio writes no points without a CRS, but an empty one it does
            arguments["crs"] = gdal.load().CRS() if self.gcp_crs is None else self.gcp_crs
        if self.rpcs is not None:
            arguments["rpcs"] = self.rpcs
        return arguments

    @property
    def written_word(self) -> str:
        """AREA_OR_POINT to write: points drift by a pixel per copy when written as Point."""
        return "Area" if self.gcps else self.word


def _refine_rpc(rpcs: Any, factor: Factor) -> Any:  # noqa: ANN401
    if rpcs is None:
        return None
    fy, fx = factor
    fields = rpcs.to_dict()
    fields["line_off"] = refine_centre(rpcs.line_off, fy)
    fields["samp_off"] = refine_centre(rpcs.samp_off, fx)
    fields["line_scale"] = rpcs.line_scale * fy
    fields["samp_scale"] = rpcs.samp_scale * fx
    return type(rpcs)(**fields)


def _crop_rpc(rpcs: Any, row: int, col: int) -> Any:  # noqa: ANN401
    if rpcs is None:
        return None
    fields = rpcs.to_dict()
    fields["line_off"], fields["samp_off"] = rpcs.line_off - row, rpcs.samp_off - col
    return type(rpcs)(**fields)


def read(dataset: Any, path: Path, choice: str) -> Georeference:  # noqa: ANN401
    """Understand the georeference of an opened dataset.

    Args:
        dataset: rasterio dataset.
        path: for messages.
        choice: ``"auto"``, ``"affine"`` or ``"gcps"``.

    Raises:
        FormatError: an affine that maps the image to a line or to nowhere.
        DomainError: an affine and GCPs at once.
    """
    t = dataset.transform
    transform = Affine(t.a, t.b, t.c, t.d, t.e, t.f)
    gcps, gcp_crs = dataset.gcps
    affine = transform != IDENTITY or (dataset.crs is not None and not gcps)
    if gcps and affine:
        if choice == "auto":
            raise DomainError(
                f"{path}: has an affine transform and {len(gcps)} ground control points, which may disagree; "
                "choose georeference=affine or georeference=gcps"
            )
        affine, gcps = choice == "affine", gcps if choice == "gcps" else []
    if not affine:
        transform = IDENTITY
    if abs(transform.a * transform.e - transform.b * transform.d) == 0:
        raise FormatError(f"{path}: the affine {tuple(transform)} has no area; repair the georeference of the file")
    crs = dataset.crs if affine else None
    try:
        grid = PixelGrid((dataset.height, dataset.width), transform, crs.to_wkt() if crs else "pixel")
    except GridError as error:
        raise FormatError(f"{path}: {error}") from error
    found = Georeference(
        grid, affine, crs, tuple(gcps), gcp_crs if gcps else None, dataset.rpcs, dataset.tags().get("AREA_OR_POINT", "")
    )
    return replace(found, notes=_notes(found))


def _notes(found: Georeference) -> tuple[str, ...]:
    notes = []
    if found.kind == "none":
        notes.append("no georeference: the grid is in pixels")
    elif found.affine and found.crs is None:
        notes.append("no CRS: the affine is kept, its units are unknown")
    if found.gcps and found.word == "Point":
        notes.append("ground control points are written with AREA_OR_POINT=Area; as Point they drift with every copy")
    if found.crs is not None and found.crs.to_epsg() == 3857:
        notes.append("EPSG:3857 was resampled before: its noise is correlated and its blur wider than the sensor's")
    return tuple(notes)
