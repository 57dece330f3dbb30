"""Cards that count pixels or say something of one pixel, by name and by comment; what looks like one and is unknown."""

from __future__ import annotations

import pytest
from astropy.io import fits

from gensr.domains.astronomy.card_rules import KINDS, RULES
from gensr.domains.astronomy.pixel_cards import refine_header

SCALE = {1: 4, 2: 4}
TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4}


def refined(key, value, comment="", flux=True, scale=SCALE, **more):
    header = fits.Header([("NAXIS", 2), *more.items(), (key, value, comment)])
    return refine_header(header, scale, flux)


@pytest.mark.parametrize(
    ("key", "value", "comment", "expected"),
    [
        ("SOLAR_R", 372.0, "", 1488.0),
        ("SOLAR_R", 968.0, "[arcsec] radius of the Sun", 968.0),
        ("R_SUN", 1600.0, "", 6400.0),
        ("R_SUN", 695700000.0, "", 695700000.0),
        ("R_SUN", 960.0, "arcsec", 960.0),
        ("FNDLMBMA", 400.0, "", 1600.0),
        ("FWHM", 3.5, "Median FWHM in pixels", 14.0),
        ("FWHM", 3.5, "", 14.0),
        ("FWHM", 0.9, "[arcsec]", 0.9),
        ("SEEING", 2.1, "[pix] mean", 8.4),
        ("SEEING", 1.1, "", 1.1),
        ("SEEING", 1.1, "Average seeing (arcsec)", 1.1),
        ("PIXSCALE", 0.4, "", 0.1),
        ("SCALE", 0.4, "arcsec/pixel", 0.1),
        ("PIXSCAL1", 0.4, "", 0.1),
        ("PIXSCALX", 0.4, "", 0.1),
        ("XPIXSZ", 3.76, "", 0.94),
        ("YPIXSZ", 3.76, "", 0.94),
        ("PIXAR_SR", 1.6e-13, "", 1e-14),
        ("SKYBRITE", 1600.0, "", 100.0),
        ("SKYBRITE", 21.3, "mag/arcsec2", 21.3),
        ("AVSKY", 1600.0, "Average of sky", 100.0),
        ("L1MEDIAN", 160.0, "[counts]", 10.0),
        ("PEDESTAL", -160.0, "", -10.0),
        ("DATAMEAN", 16.0, "", 1.0),
        ("SATURATE", 64000.0, "", 4000.0),
    ],
)
def test_flux(key, value, comment, expected):
    assert refined(key, value, comment).header[key] == pytest.approx(expected, rel=1e-12)


def test_amounts_per_pixel_stay_where_values_are_brightness():
    assert refined("AVSKY", 1600.0, flux=False).header["AVSKY"] == 1600.0
    assert refined("SOLAR_R", 372.0, flux=False).header["SOLAR_R"] == 1488.0


@pytest.mark.parametrize("key", ["SKYSIGMA", "AVSIG", "L1SIGMA"])
@pytest.mark.parametrize("flux", [False, True])
def test_noise_of_a_source_pixel_goes_into_the_history(key, flux):
    edit = refined(key, 12.5, flux=flux)
    assert key not in edit.header
    assert any(f"{key} = 12.5" in note for note in edit.notes)


def test_scale_that_agrees_with_the_coordinates_is_per_pixel():
    assert refined("SCALE", 0.36, **TAN).header["SCALE"] == pytest.approx(0.09)
    plate = refined("SCALE", 67.1, "plate scale, arcsec/mm", **TAN)
    assert plate.header["SCALE"] == 67.1
    assert any("SCALE" in note for note in plate.notes)
    sun = {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CDELT1": 2.6, "CDELT2": 2.6, "CUNIT1": "arcsec"}
    assert refined("SCALE", 2.6, **sun).header["SCALE"] == pytest.approx(0.65)


def test_one_number_for_two_refinements_is_kept_and_said():
    edit = refined("SOLAR_R", 372.0, scale={1: 4, 2: 2})
    assert edit.header["SOLAR_R"] == 372.0
    assert any("two refinements" in note for note in edit.notes)
    assert refined("AVSKY", 800.0, scale={1: 4, 2: 2}).header["AVSKY"] == 100.0


def test_what_was_taken_for_pixels_is_said():
    assert any("FWHM = 3.5 was taken" in note for note in refined("FWHM", 3.5).notes)
    assert not any("taken" in note for note in refined("FWHM", 3.5, "pixels").notes)


def test_strangers_are_named_and_kept():
    edit = refined("PSFSKYX", 7.5)
    assert edit.header["PSFSKYX"] == 7.5
    assert any("PSFSKYX" in note and "kept" in note for note in edit.notes)
    assert any("HALO" in note for note in refined("HALO", 11, "size in pixels").notes)
    quiet = refined("AIRMASS", 1.2, "mean", **TAN, BSCALE=1.0)
    assert quiet.notes == []
    assert refined("BKGNOTE", "none").notes == []


@pytest.mark.parametrize("value", ["unknown", True])
def test_words_and_logical_values_stay(value):
    for key in ("SOLAR_R", "PIXSCALE", "AVSKY"):
        assert refined(key, value).header[key] == value


def test_every_rule_names_its_source_and_every_key_has_one_kind():
    assert all(rule.source for rule in RULES)
    assert len(KINDS) == sum(len(rule.keys) for rule in RULES)
    assert all(len(key) <= 10 for key in KINDS)
