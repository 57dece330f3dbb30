"""Cards of a window of an image: whatever counts pixels counts them from its corner, before anything is refined.

A 1-based pixel coordinate ``p`` of an axis whose first ``o`` pixels are left out becomes ``p - o``. That is all that a
linear system needs; SIP is counted from CRPIX. Lookup tables and plates are anchored at pixels of their own.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.wcs.utils import proj_plane_pixel_scales

from gensr.errors import DomainError
from gensr.values.area import Bounds
from gensr.values.grid import PixelGrid, Window

from .headers import cut_comments, number
from .pixel_cards import IMAGE_SECTIONS, read_section, written_section

_REFERENCE = re.compile(r"^CRPIX(\d{1,2})([A-Z]?)$")
_ALTERNATE = re.compile(r"^(?:CTYPE|CRVAL|CDELT)\d{1,2}([A-Z]?)$")
DETECTOR_SECTIONS = ("CCDSEC", "DETSEC", "AMPSEC")
SAMPLES = 65
"""Points along a side of a box on the sky."""
SAME_PLACE = 1e-3
"""Degrees by which the way to pixels and back may miss; behind the plane of a projection it misses by far."""
TORN = 6.0
"""Diagonal of a cell, in its side, beyond which the projection has torn it."""


def crop_header(header: Any, window: Window, rows: int, columns: int) -> Any:  # noqa: ANN401
    """A copy of a header for a window of its image.

    Args:
        header: an ``astropy.io.fits.Header``; it is not changed.
        window: what is left.
        rows: FITS axis of image rows.
        columns: FITS axis of image columns.

    Raises:
        FormatError: if a card that must change holds no number.
    """
    cut, left = header.copy(), {rows: window.row, columns: window.col}
    alternates = {m[2] for m in map(_REFERENCE.match, header) if m} | {m[1] for m in map(_ALTERNATE.match, header) if m}
    with cut_comments():
        for axis, first in left.items():
            for alternate in sorted(alternates):
                key = f"CRPIX{axis}{alternate}"
                cut[key] = number(header, key, 0.0) - first  # absent it is 0, and no longer after the cut
            if f"CNPIX{axis}" in header:
                cut[f"CNPIX{axis}"] = number(header, f"CNPIX{axis}", 0.0) + first
            if any(key.startswith(("LTM", "LTV")) for key in header):
                cut[f"LTV{axis}"] = number(header, f"LTV{axis}", 0.0) - first
        for key, size in (("IMAGEW", window.cols), ("IMAGEH", window.rows)):
            if key in header:
                cut[key] = size
    _sections(cut, window)
    return cut


def _sections(cut: Any, window: Window) -> None:  # noqa: ANN401
    """Sections of the image are cut with it; those of the detector say where the whole image was."""
    for key in IMAGE_SECTIONS:
        found = read_section(cut[key]) if isinstance(cut.get(key), str) else None
        if found is None:
            continue
        x = _inside(*found[:2], window.col, window.cols)
        y = _inside(*found[2:], window.row, window.rows)
        if x is None or y is None:
            del cut[key]
        else:
            cut[key] = written_section(*x, *y)
    for key in DETECTOR_SECTIONS:
        if key in cut:
            cut.add_history(f"{key} = {cut[key]!r} was that of the whole image; srcwin and bounds cut it")
            del cut[key]


def _inside(first: int, last: int, offset: int, size: int) -> tuple[int, int] | None:
    """The part of a span of 1-based pixels, which may run backwards, that lies in a window; None if there is none."""
    if max(first, last) - offset < 1 or min(first, last) - offset > size:
        return None
    low, high = max(min(first, last) - offset, 1), min(max(first, last) - offset, size)
    return (low, high) if first <= last else (high, low)


def sky_points(bounds: Bounds) -> npt.NDArray[np.float64]:
    """Places (2, n, n) in degrees, longitude first, all over a box or square on the sky.

    A box goes from its left longitude eastward to its right one, through 0 where the right one is smaller. A square
    about a centre has sides along great circles, so it is one at the poles as well.

    Raises:
        DomainError: a latitude beyond a pole.
    """
    if min(bounds.bottom, bounds.top) < -90 or max(bounds.bottom, bounds.top) > 90:
        raise DomainError(f"bounds={bounds.text}: a declination lies beyond a pole; give RA,Dec,RA,Dec in degrees")
    if bounds.size is not None:
        side = np.linspace(-bounds.size / 2, bounds.size / 2, SAMPLES)
        east, north = np.meshgrid(side, side)
        centre = SkyCoord(bounds.left, bounds.bottom, unit="deg")
        place = centre.directional_offset_by(np.arctan2(east, north) * units.rad, np.hypot(east, north) * units.deg)
        return np.stack([place.ra.deg, place.dec.deg])
    width = (bounds.right - bounds.left) % 360.0 or 360.0
    longitude = bounds.left + np.linspace(0.0, width, SAMPLES)
    return np.stack(np.meshgrid(longitude, np.linspace(bounds.bottom, bounds.top, SAMPLES)))


def sky_extent(sky: Any, bounds: Bounds, grid: PixelGrid) -> tuple[float, float, float, float]:  # noqa: ANN401
    """The extent of the image that covers a box on the sky: first row and column, and their ends.

    The box is cut into small cells, and those that meet the image count: a projection may tear a box apart, or show
    what is behind its plane in front of it.

    Args:
        sky: celestial ``astropy.wcs.WCS`` of the whole image.
        bounds: the box.
        grid: of the image or a part of it; its transform counts pixels.

    Returns:
        Counted from the corner of the grid; infinite where no cell meets it.
    """
    world = sky_points(bounds)
    flat = world.reshape(2, -1)[[0, 1] if sky.wcs.lng == 0 else [1, 0]]
    with np.errstate(all="ignore"):
        pixel = np.stack(sky.all_world2pix(*flat, 0, quiet=True))
        back = np.stack(sky.all_pix2world(*pixel, 0))
    miss = np.abs((back - flat + 180) % 360 - 180)
    miss[sky.wcs.lng] *= np.cos(np.deg2rad(flat[sky.wcs.lat]))
    seen = np.isfinite(pixel).all(0) & (miss.max(0) < SAME_PLACE)
    place = np.where(seen, pixel + 0.5, np.nan).reshape(world.shape)  # the first pixel spans 0 to 1
    cells = np.stack([place[:, :-1, :-1], place[:, 1:, :-1], place[:, :-1, 1:], place[:, 1:, 1:]])
    low, high = cells.min(0).reshape(2, -1), cells.max(0).reshape(2, -1)
    side = max(float(np.ptp(world[1])), bounds.size or (bounds.right - bounds.left) % 360.0 or 360.0) / (SAMPLES - 1)
    whole = np.hypot(*(high - low)) < TORN * side / float(min(proj_plane_pixel_scales(sky)))
    first = np.array([[grid.transform.c], [grid.transform.f]])
    meets = whole & ((high > first) & (low < first + np.array([[grid.shape[1]], [grid.shape[0]]]))).all(0)
    if not meets.any():
        return (math.inf,) * 4
    (left, top), (right, bottom) = (low[:, meets] - first).min(1), (high[:, meets] - first).max(1)
    return float(top), float(left), float(bottom), float(right)
