"""Cards without a standard that count pixels, or say something of one pixel: what each is, and who writes it.

Where the comment of a card names its unit, the comment decides: the same word is pixels here and arcseconds there. What
looks like one of them and is not in the table is kept, and named.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from astropy.io import fits

from .wcs_cards import Edit, is_wcs_card


class Kind(Enum):
    """What refining pixels does to a card."""

    LENGTH = "a length in pixels: it grows with the factor"
    SIZE = "an angle or length per pixel: it shrinks with the factor"
    AREA = "an area per pixel: it shrinks with both factors"
    AMOUNT = "an amount per pixel: it is shared as the values are"
    NOISE = "the noise of one source pixel: of refined pixels the deviation says it"
    STALE = "it describes the stored bytes"


@dataclass(frozen=True)
class Rule:
    """What cards of a name are.

    Attributes:
        kind: see `Kind`.
        keys: their names.
        source: who writes them.
    """

    kind: Kind
    keys: tuple[str, ...]
    source: str


RULES = (
    Rule(Kind.LENGTH, ("SOLAR_R",), "SOHO EIT and LASCO, Kanzelhoehe; sunpy: rsun_obs = solar_r * cdelt1"),
    Rule(Kind.LENGTH, ("R_SUN",), "SDO AIA and HMI (JSOC keywords): radius of the Sun in pixels of the detector"),
    Rule(Kind.LENGTH, ("FNDLMBMA", "FNDLMBMI"), "NSO GONG: axes of the ellipse fitted to the limb, pixels"),
    Rule(Kind.LENGTH, ("FWHM", "FWHM_PIX", "FWHMPIX", "MEDFWHM", "PSF_FWHM"), "DES and DECam pipelines, SExtractor"),
    Rule(Kind.LENGTH, ("SEEING", "SEEPIX"), "ZTF and CASU: pixels; most others: arcsec, see `ANGLES`"),
    Rule(Kind.SIZE, ("PIXSCALE", "SECPIX", "PIXSIZE", "PIXELSCL", "PIXSCL", "IMGSCALE"), "IRAF, SCAMP, many"),
    Rule(Kind.SIZE, ("SCALE",), "amateur cameras and plate solvers: arcsec per pixel; others: anything, see `scales`"),
    Rule(Kind.SIZE, ("IDCSCALE", "D001SCAL"), "HST: drizzle"),
    Rule(Kind.AREA, ("PIXAR_SR", "PIXAR_A2"), "JWST"),
    Rule(Kind.AMOUNT, ("SATURATE", "SATURATA", "SATURATB", "SATLEVEL", "SATURLVL", "MAXLIN", "LINLIMIT"), "many"),
    Rule(
        Kind.AMOUNT, ("SKYLEVEL", "BACKGROUND", "BACKGRND", "SKYVAL", "SKYMED", "SKYMEAN", "SKYMODE", "SKYADU"), "many"
    ),
    Rule(Kind.AMOUNT, ("SKYBRITE", "AVSKY", "MEANSKY", "MEDSKY", "BACKVAL", "SKY"), "DES and DECam pipelines, IRAF"),
    Rule(Kind.AMOUNT, ("MDRIZSKY", "MEANDARK", "GOODMIN", "GOODMAX", "GOODMEAN"), "HST"),
    Rule(Kind.AMOUNT, ("L1MEAN", "L1MEDIAN"), "LCO BANZAI"),
    Rule(Kind.AMOUNT, ("DATAMEAN", "DATAMEDN", "DATAMED"), "SDO (JSOC keywords), SOLARNET"),
    Rule(Kind.AMOUNT, ("PEDESTAL", "CBLACK", "CWHITE"), "SBFITSEXT 1.0"),
    Rule(Kind.NOISE, ("SKYSIGMA", "AVSIG", "SKYSIG", "SKYDEV", "SKYRMS", "BACKSIG", "L1SIGMA", "DATARMS"), "the same"),
    Rule(Kind.STALE, ("DATAMIN", "DATAMAX", "CHECKSUM", "DATASUM", "NPIX1", "NPIX2", "PIXVALUE"), "FITS standard"),
)
KINDS = {key: rule.kind for rule in RULES for key in rule.keys}
ANGLES = ("SEEING", "PSF_FWHM")
"""Lengths that are angles unless their comment says pixels."""
METRES = 1e5
"""A solar radius above this is one in metres or kilometres."""
_PIXELS = re.compile(r"(?i)\b(pix(el)?s?|px)\b")
_ANGLE = re.compile(r"(?i)\b(arc ?-?sec(ond)?s?|asec|arcmin|deg(ree)?s?|mas)\b|\"")
_LENGTH = re.compile(r"(?i)\b(mm|cm|km|m|met(er|re)s?|microns?|um)\b")
_MAGNITUDE = re.compile(r"(?i)\bmag")
_LOOKS = re.compile(r"PIX|FWHM|SEEING|SKY|BACKG|BKG|SATUR|RADIUS|SCALE")
_FREE = re.compile(r"^(BSCALE|NAXIS\d*|BITPIX|BINNING|[XY]BINNING|HISTORY|COMMENT)$")


def refine_rules(edit: Edit, flux: bool, original: Any) -> None:  # noqa: ANN401
    """Apply the table.

    Args:
        edit: the header being refined, coordinates done.
        flux: values are amounts per pixel.
        original: the header before it.
    """
    for key in list(dict.fromkeys(edit.header)):
        kind = KINDS.get(key)
        if kind is Kind.STALE:
            edit.header.remove(key, ignore_missing=True, remove_all=True)
        elif kind is not None:
            _refine(edit, key, kind, flux, original)


def strangers(original: Any, refined: Any) -> str:  # noqa: ANN401
    """A note on cards that look as if they counted pixels and are kept, "" if there are none.

    Args:
        original: a header.
        refined: after all rules.
    """
    found = [
        key
        for key in dict.fromkeys(original)
        if key in refined
        and key not in KINDS
        and not is_wcs_card(key)
        and not _FREE.match(key)
        and numeric(original, key)
        and original[key] == refined[key] != 0
        and (_LOOKS.search(key) or _PIXELS.search(str(original.comments[key])))
    ]
    return f"{', '.join(found)} may count source pixels or be amounts per source pixel; kept as found" if found else ""


def numeric(header: Any, key: str) -> bool:  # noqa: ANN401
    """Whether a card holds a number."""
    try:
        value = header.get(key)
    except (fits.VerifyError, ValueError):
        return False
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refine(edit: Edit, key: str, kind: Kind, flux: bool, original: Any) -> None:  # noqa: ANN401
    factors, area = sorted(set(edit.scale.values())), math.prod(edit.scale.values())
    if not numeric(edit.header, key):
        if kind in (Kind.LENGTH, Kind.SIZE, Kind.AREA):
            edit.notes.append(f"{key} is no number and was kept")
        return
    comment, value = str(edit.header.comments[key]), edit.header[key]
    if kind is Kind.NOISE:
        del edit.header[key]
        edit.notes.append(f"{key} = {value!r} was the noise of a source pixel; UNCERT has that of the refined ones")
    elif kind is Kind.AMOUNT:
        if flux and not _MAGNITUDE.search(comment) and not _ANGLE.search(comment):
            edit.multiply(key, 1 / area)
    elif kind is Kind.AREA:
        edit.multiply(key, 1 / area)
    elif kind is Kind.LENGTH and not in_pixels(key, value, comment):
        return
    elif kind is Kind.SIZE and key == "SCALE" and not scales(value, comment, original):
        edit.notes.append(f"SCALE = {value!r} does not say that it is per pixel and was kept")
    elif len(factors) > 1:
        edit.notes.append(f"{key} has one value for two refinements and was kept")
    else:
        edit.multiply(key, factors[0] if kind is Kind.LENGTH else 1 / factors[0])
        if kind is Kind.LENGTH and not _PIXELS.search(comment):
            edit.notes.append(f"{key} = {value!r} was taken for source pixels")


def in_pixels(key: str, value: float, comment: str) -> bool:
    """Whether a card of a length is one in pixels.

    >>> in_pixels("FWHM", 3.1, ""), in_pixels("SEEING", 1.1, ""), in_pixels("SEEING", 3.1, "[pix] median")
    (True, False, True)
    """
    if _PIXELS.search(comment):
        return True
    if _ANGLE.search(comment) or _LENGTH.search(comment):
        return False
    return key not in ANGLES and abs(value) < METRES


def scales(value: float, comment: str, header: Any) -> bool:  # noqa: ANN401
    """Whether a card called SCALE is arcsec per pixel: its comment says so, or the coordinates agree.

    >>> scales(0.4, "arcsec/pixel", {}), scales(0.36, "", {"CDELT1": 1e-4}), scales(2.0, "", {"CDELT1": 1e-4})
    (True, True, False)
    """
    if _PIXELS.search(comment):
        return True
    steps = [header.get(key) for key in ("CD1_1", "CD2_1")]
    if not all(isinstance(step, int | float) for step in steps):
        steps = [header.get("CDELT1")]
    if not all(isinstance(step, int | float) for step in steps):
        return False
    unit = 1.0 if str(header.get("CUNIT1", "deg")).strip().lower() == "arcsec" else 3600.0
    step = math.hypot(*(float(step) for step in steps)) * unit
    return bool(abs(step - value) < 0.1 * abs(value))
