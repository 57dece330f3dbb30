"""BUNIT decides: is a pixel value an amount per pixel (divided among new pixels) or a brightness (kept)?

astropy cannot be the judge: it fails on ELECTRONS/S, the spelling of Hubble files, and on counts, ADU, JY/BEAM or
nanomaggies. So the words of the unit are compared with tables first.
"""

from __future__ import annotations

import re
from enum import Enum

from gensr.errors import DomainError


class Values(Enum):
    """What refining a pixel does to its value."""

    FLUX = "flux"
    """An amount per pixel: new pixels share it, so the sum over the field stays."""
    BRIGHTNESS = "brightness"
    """Surface brightness or another intensive quantity: new pixels have it too, so the mean stays."""


_LOG = {"mag", "mags", "magnitude", "magnitudes", "dex", "db", "decibel", "log", "log10", "ln", "abmag", "stmag"}
_PER_AREA = {
    "sr",
    "ster",
    "steradian",
    "beam",
    "bm",
    "arcsec",
    "arcsec2",
    "sqarcsec",
    "asec",
    "arcmin",
    "deg",
    "degree",
}
_PER_PIXEL = {"pix", "pixel", "pixels", "px", "spaxel"}
_COUNTS = {"electron", "electrons", "e", "count", "counts", "ct", "cts", "cps", "dn", "adu", "photon", "photons", "ph"}
_PREFIXED = re.compile(r"^(?:[yzafpnumcdhk]|da)?(?:jy|jansky|janskys|maggy|maggies|mgy|erg|ergs|w|watt|watts|nmgy)$")
_FLUX_WORDS = {"nanomaggy", "nanomaggies", "microjansky", "millijansky", "nanojansky"}
_TEMPERATURE = {"k", "mk", "uk", "kelvin", "rayleigh", "rayleighs"}
_NUMBER = re.compile(r"(?<![a-z])[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
_WORD = re.compile(r"[a-z]+(?:2(?![0-9]))?")
_INTENSIVE = ({"km", "s"}, {"m", "s"}, {"ratio"}, {"percent"})
_NONE = {"", "1", "none", "unitless", "dimensionless", "unknown", "undefined", "n/a", "-"}


def words(unit: str) -> list[str]:
    """Words of a unit string in lower case, numbers removed.

    >>> words("10**(-20)*erg/s/cm**2/Angstrom")
    ['erg', 's', 'cm', 'angstrom']
    """
    return _WORD.findall(_NUMBER.sub(" ", unit.lower()))


def classify(unit: str) -> Values | None:
    """Class of a BUNIT, None if it is missing, dimensionless or unknown.

    Args:
        unit: the card's value, any case, with or without blanks.

    Raises:
        DomainError: for logarithmic units, where a pixel is not the sum or mean of its parts.

    >>> classify("ELECTRONS/S"), classify("MJy/sr"), classify("UNITLESS")
    (<Values.FLUX: 'flux'>, <Values.BRIGHTNESS: 'brightness'>, None)
    """
    if unit.strip().lower() in _NONE:
        return None
    found = words(unit)
    bare = [w.rstrip("2") for w in found]
    if _LOG.intersection(bare):
        raise DomainError(
            f"BUNIT {unit.strip()!r} is logarithmic, where pixel integration is not linear; convert the image to a "
            "linear unit (for example 10**(-0.4*mag)) first"
        )
    if _PER_AREA.intersection(found) or _PER_AREA.intersection(bare):
        # An angle alone (a map of position angles) is no surface brightness: it needs something per area.
        return Values.BRIGHTNESS if len(found) > 1 else None
    if _PER_PIXEL.intersection(bare) or _COUNTS.intersection(bare) or _FLUX_WORDS.intersection(bare):
        return Values.FLUX
    if any(_PREFIXED.match(w) for w in bare):
        return Values.FLUX
    if _TEMPERATURE.intersection(found) or set(bare) in _INTENSIVE:
        return Values.BRIGHTNESS
    return None


def decide(unit: str, option: str) -> tuple[Values, str]:
    """Class of the values, and how it was found.

    Args:
        unit: BUNIT, "" if absent.
        option: ``auto``, ``flux`` or ``brightness``.

    Raises:
        DomainError: for an unknown option or a logarithmic unit.

    >>> decide("", "auto")[1]
    'assumed: BUNIT is absent; pass values=flux or values=brightness'
    """
    known = classify(unit)
    if option in (Values.FLUX.value, Values.BRIGHTNESS.value):
        chosen = Values(option)
        if known is not None and known is not chosen:
            return chosen, f"option values={option}, against BUNIT {unit.strip()!r} ({known.value})"
        return chosen, f"option values={option}"
    if option != "auto":
        raise DomainError(f"values={option!r} is unknown; use auto, flux (amount per pixel) or brightness (kept)")
    if known is not None:
        return known, f"BUNIT {unit.strip()!r}"
    seen = f"{unit.strip()!r} does not tell" if unit.strip() else "is absent"
    return Values.BRIGHTNESS, f"assumed: BUNIT {seen}; pass values=flux or values=brightness"


_CANONICAL = {
    "electrons": "electron",
    "e-": "electron",
    "counts": "count",
    "cts": "count",
    "ct": "count",
    "dn": "DN",
    "adu": "adu",
    "photons": "photon",
    "jy": "Jy",
    "ujy": "uJy",
    "njy": "nJy",
    "beam": "beam",
    "sr": "sr",
    "pix": "pix",
    "pixel": "pix",
    "sec": "s",
    "s": "s",
    "seconds": "s",
}


def canonical(unit: str) -> str:
    """The unit in a spelling that astropy (and so ``CCDData.read``) parses, or unchanged if there is none.

    >>> canonical("ELECTRONS/S"), canonical("JY/BEAM"), canonical("nanomaggies")
    ('electron / s', 'Jy / beam', 'nanomaggies')
    """
    from astropy import units as u

    text = unit.strip()
    if not text or _parses(text):
        return text

    def swap(match: re.Match[str]) -> str:
        return _CANONICAL.get(match[0].lower(), match[0])

    trial = re.sub(r"[A-Za-z]+-?(?![A-Za-z0-9])", swap, text)
    if re.fullmatch(r"(?i)mjy\s*/\s*sr", text):  # MJY/SR: nobody writes millijansky per steradian in capitals
        trial = "MJy / sr"
    return str(u.Unit(trial).to_string()) if _parses(trial) else text


def _parses(text: str) -> bool:
    from astropy import units as u

    try:
        u.Unit(text)
    except (ValueError, TypeError):
        return False
    return True
