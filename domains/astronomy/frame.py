"""What astropy makes of the world coordinates: which pixel axes are the sky, pixel size, centre."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from gensr.values.grid import Window

from .container import Container, opened
from .headers import recorded


@dataclass(frozen=True)
class Frame:
    """The coordinate system of an image.

    Attributes:
        rows: 1-based FITS axis of image rows (y).
        columns: 1-based FITS axis of image columns (x).
        sky: whether both are celestial.
        pixel_size: arcsec per (row, column), None if unknown.
        centre: longitude and latitude of the centre in degrees, None if unknown.
        summary: CTYPE and the kinds of distortion.
        notes: repairs and doubts.
        celestial: ``astropy.wcs.WCS`` of both axes in the order (column, row), None if they are not the sky.
    """

    rows: int
    columns: int
    sky: bool
    pixel_size: tuple[float, float] | None
    centre: tuple[float, float] | None
    summary: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    celestial: Any = None

    def crop(self, window: Window) -> Frame:
        """The same sky as seen by a window; only the centre moves, the system stays that of the whole image."""
        if self.celestial is None:
            return self
        place = _place(self.celestial, window.col + (window.cols - 1) / 2, window.row + (window.rows - 1) / 2)
        return replace(self, centre=place)


def find_frame(container: Container, header: Any, shape: tuple[int, ...]) -> Frame:  # noqa: ANN401
    """Read the coordinate system of an image; a broken one is noted, not fatal.

    Args:
        container: the file (lookup tables are in other HDUs).
        header: of the image.
        shape: NumPy order.
    """
    notes: list[str] = []
    rows, columns = 2, 1
    wcs = _wcs(container, header, notes)
    if wcs is None:
        return Frame(rows, columns, False, None, None, {"ctype": []}, notes)
    summary: dict[str, Any] = {"ctype": [str(c) for c in wcs.wcs.ctype], "distortion": _distortions(wcs, header)}
    axes = sky_axes(wcs, len(shape))
    if axes is None:
        return Frame(rows, columns, False, None, None, summary, notes)
    columns, rows = axes
    if axes != tuple(sorted((wcs.wcs.lng + 1, wcs.wcs.lat + 1))):
        notes.append(f"pixel axes {columns} and {rows} are the sky: the coordinate matrix permutes the axes")
    sky = _celestial(wcs, columns - 1, rows - 1)
    size, centre = _sky(sky, shape[-rows], shape[-columns], notes)
    return Frame(rows, columns, True, size, centre, summary, notes, sky)


def sky_axes(wcs: Any, count: int) -> tuple[int, int] | None:  # noqa: ANN401
    """1-based pixel axes along which the sky coordinates change, ascending; None if they are not the sky.

    Coordinate axes are numbered by the header, pixel axes by the array, and the matrix between them may permute them:
    the pair whose steps span the largest area of sky is meant.

    Args:
        wcs: an ``astropy.wcs.WCS``.
        count: axes of the array.
    """
    lng, lat = wcs.wcs.lng, wcs.wcs.lat
    if lng < 0 or lat < 0:
        return None
    matrix = np.asarray(wcs.pixel_scale_matrix, np.float64)
    own = (min(lng, lat), max(lng, lat))
    pairs = [own, *itertools.combinations(range(matrix.shape[1]), 2)]
    areas = [abs(np.linalg.det(matrix[np.ix_((lng, lat), pair)])) for pair in pairs]
    first, second = pairs[int(np.argmax(areas))]
    return (first + 1, second + 1) if second < count else None


def _celestial(wcs: Any, column: int, row: int) -> Any:  # noqa: ANN401
    """The two-dimensional system of 0-based pixel axes (column, row)."""
    own = sorted((wcs.wcs.lng, wcs.wcs.lat))
    if own == [column, row]:
        return wcs.celestial
    flat = WCS(naxis=2)
    flat.wcs.crpix = wcs.wcs.crpix[[column, row]]
    flat.wcs.cd = wcs.pixel_scale_matrix[np.ix_(own, (column, row))]
    flat.wcs.crval = wcs.wcs.crval[own]
    flat.wcs.ctype = [wcs.wcs.ctype[i] for i in own]
    flat.wcs.cunit = [wcs.wcs.cunit[i] for i in own]
    flat.wcs.set_pv([(own.index(i - 1) + 1, m, value) for i, m, value in wcs.wcs.get_pv() if i - 1 in own])
    flat.wcs.lonpole, flat.wcs.latpole = wcs.wcs.lonpole, wcs.wcs.latpole
    flat.wcs.radesys, flat.wcs.equinox = wcs.wcs.radesys, wcs.wcs.equinox
    flat.wcs.set()
    return flat


def _wcs(container: Container, header: Any, notes: list[str]) -> Any:  # noqa: ANN401
    try:
        with recorded(notes), opened(container.plain) as hdus:
            return WCS(header, fobj=hdus)
    except Exception as error:  # astropy raises whatever a malformed card leads to
        notes.append(
            f"world coordinates not understood ({' '.join(str(error).split())[:160]}); cards are refined all the same"
        )
        return None


def _sky(
    sky: Any,  # noqa: ANN401
    height: int,
    width: int,
    notes: list[str],
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    try:
        with recorded(notes), np.errstate(all="ignore"):
            step = proj_plane_pixel_scales(sky) * 3600.0
        centre = _place(sky, (width - 1) / 2, (height - 1) / 2)
    except (ValueError, TypeError) as error:
        notes.append(f"centre of the field unknown ({' '.join(str(error).split())[:160]})")
        return None, None
    size = (float(step[1]), float(step[0])) if np.all(np.isfinite(step)) and np.all(step > 0) else None
    return size, centre


def _place(sky: Any, column: float, row: float) -> tuple[float, float] | None:  # noqa: ANN401
    """Longitude and latitude of a 0-based pixel, None outside the projection."""
    with recorded([]), np.errstate(all="ignore"):
        # `celestial` keeps the axis order of the file: columns first, latitude perhaps before longitude.
        world = sky.all_pix2world(column, row, 0)
    place = float(world[sky.wcs.lng]), float(world[sky.wcs.lat])
    return place if np.all(np.isfinite(place)) else None


def _distortions(wcs: Any, header: Any) -> list[str]:  # noqa: ANN401
    kinds = {
        "SIP": wcs.sip is not None,
        "CPDIS": wcs.cpdis1 is not None or wcs.cpdis2 is not None,
        "D2IM": wcs.det2im1 is not None or wcs.det2im2 is not None,
        "TPV": "TPV" in str(header.get("CTYPE1", "")),
        "TNX/ZPX": any(code in str(header.get("CTYPE1", "")) for code in ("-TNX", "-ZPX")),
        "DSS plate": "AMDX1" in header,
    }
    return [name for name, present in kinds.items() if present]
