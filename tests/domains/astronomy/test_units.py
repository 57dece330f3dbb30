"""BUNIT decides: every spelling of the reference table, and what is refused."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given
from hypothesis import strategies as st

from gensr.domains.astronomy.units import Values, canonical, classify, decide
from gensr.errors import DomainError

COUNTS = [
    "electron",
    "electrons",
    "ELECTRONS",
    "e-",
    "count",
    "counts",
    "cts",
    "ct",
    "DN",
    "ADU",
    "adu",
    "photon",
    "COUNTS",
]
FLUX = [
    *COUNTS,
    *(f"{unit}/s" for unit in COUNTS),
    "electron / s",
    "e-/sec",
    "counts s-1",
    "cps",
    "count / (s pix)",
    "DN/pixel",
    "Jy",
    "mJy",
    "uJy",
    "nJy",
    "Jy/pixel",
    "nanomaggy",
    "nmgy",
    "nanomaggies",
    "erg/s/cm2",
    "erg/s/cm2/A",
    "10**(-20)*erg/s/cm**2/Angstrom",
    "1e-17 erg/s/cm^2/Ang",
    "W/m2",
    "W m-2 um-1",
    "Jy km/s",
]
BRIGHTNESS = [
    "MJy/sr",
    "MJY/SR",
    "Jy/beam",
    "JY/BEAM",
    "Jy beam-1",
    "Jy/arcsec2",
    "uJy/arcsec**2",
    "erg/s/cm2/arcsec2",
    "W/m2/sr",
    "e/s/arcsec2",
    "electron s-1 arcsec-2",
    "K",
    "mK",
    "K km/s",
    "km/s",
    "m/s",
    "ratio",
]
LOGARITHMIC = ["mag", "MAG", "mag/arcsec2", "mag(AB)", "dex", "dB", "log10(erg/s/cm2)"]
UNKNOWN = ["", "  ", "UNITLESS", "unitless", "1", "none", "furlong", "deg", "arcsec"]


@pytest.mark.parametrize("unit", FLUX)
def test_amounts_per_pixel(unit):
    assert classify(unit) is Values.FLUX
    assert classify(f"  {unit}   ") is Values.FLUX


@pytest.mark.parametrize("unit", BRIGHTNESS)
def test_brightness(unit):
    assert classify(unit) is Values.BRIGHTNESS


@pytest.mark.parametrize("unit", LOGARITHMIC)
@pytest.mark.parametrize("option", ["auto", "flux", "brightness"])
def test_logarithmic_units_are_refused(unit, option):
    with pytest.raises(DomainError, match="logarithmic"):
        decide(unit, option)


@pytest.mark.parametrize("unit", UNKNOWN)
def test_unknown_units_are_brightness_with_a_note(unit):
    assert classify(unit) is None
    values, origin = decide(unit, "auto")
    assert values is Values.BRIGHTNESS
    assert origin.startswith("assumed")
    assert decide(unit, "flux")[0] is Values.FLUX


def test_an_option_against_the_unit_wins_and_says_so():
    values, origin = decide("MJy/sr", "flux")
    assert values is Values.FLUX
    assert "against BUNIT 'MJy/sr'" in origin


def test_unknown_option_names_the_known_ones():
    with pytest.raises(DomainError, match="auto, flux"):
        decide("adu", "surface")


@given(st.text(max_size=40))
def test_any_text_has_an_answer(text):
    with contextlib.suppress(DomainError):
        assert classify(text) in (Values.FLUX, Values.BRIGHTNESS, None)


@pytest.mark.parametrize(
    ("unit", "same"),
    [
        ("ELECTRONS", u.electron),
        ("ELECTRONS/S", u.electron / u.s),
        ("e-/s", u.electron / u.s),
        ("COUNTS", u.count),
        ("counts s-1", u.count / u.s),
        ("DN", u.DN),
        ("ADU", u.adu),
        ("JY/BEAM", u.Jy / u.beam),
        ("MJY/SR", u.MJy / u.sr),
        ("MJy/sr", u.MJy / u.sr),
    ],
)
def test_canonical_spelling_is_the_same_unit(unit, same):
    assert np.isclose(u.Unit(canonical(unit)).to(same), 1.0)


@pytest.mark.parametrize("unit", ["nanomaggies", "", "furlong/fortnight*x"])
def test_what_astropy_does_not_know_is_left_alone(unit):
    assert canonical(unit) == unit
