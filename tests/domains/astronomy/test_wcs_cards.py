"""Every kind of world coordinate header: sky positions of pixel corners do not move."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.data import get_pkg_data_filename, get_pkg_data_filenames
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from gensr.domains.astronomy.pixel_cards import refine_header, refine_section
from gensr.domains.astronomy.wcs_cards import refuse_unknown
from gensr.errors import FormatError

SHAPE = (60, 100)
TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.1,
    "CRVAL2": 2.2,
    "CRPIX1": 33.0,
    "CRPIX2": 21.5,
}
CD = {"CD1_1": -1e-4, "CD1_2": 3e-5, "CD2_1": 2.5e-5, "CD2_2": 1.1e-4}
SIP = {
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 3,
    "A_2_0": 2e-5,
    "A_1_1": -3e-5,
    "A_0_3": 4e-8,
    "A_2_1": 1e-8,
    "B_ORDER": 2,
    "B_0_2": 5e-5,
    "B_2_0": -1e-5,
    "AP_ORDER": 2,
    "AP_2_0": -2e-5,
    "AP_1_0": 1e-6,
    "BP_ORDER": 2,
    "BP_0_2": -5e-5,
    "A_DMAX": 0.5,
}
KINDS = {
    "cd": TAN | CD,
    "pc rotated": TAN | {"CDELT1": -1e-4, "CDELT2": 2e-4, "PC1_1": 0.9, "PC1_2": -0.43, "PC2_1": 0.43, "PC2_2": 0.9},
    "old pc": TAN
    | {"CDELT1": -1e-4, "CDELT2": 2e-4, "PC001001": 0.9, "PC001002": -0.43, "PC002001": 0.43, "PC002002": 0.9},
    "cdelt": TAN | {"CDELT1": -1e-4, "CDELT2": 2e-4},
    "crota": TAN | {"CDELT1": -1e-4, "CDELT2": 2e-4, "CROTA2": 33.0},
    "crota swapped axes": {
        "CTYPE1": "DEC--TAN",
        "CTYPE2": "RA---TAN",
        "CRVAL1": 2.2,
        "CRVAL2": 150.1,
        "CRPIX1": 3.0,
        "CRPIX2": 5.0,
        "CDELT1": 2e-4,
        "CDELT2": -1e-4,
        "CROTA1": 33.0,
    },
    "sip": TAN | CD | SIP,
    "sip with pc": TAN | SIP | {"CDELT1": -1e-4, "CDELT2": 1e-4, "PC1_2": 0.2, "PC2_1": -0.2},
    "tpv": TAN
    | CD
    | {
        "CTYPE1": "RA---TPV",
        "CTYPE2": "DEC--TPV",
        "PV1_0": 1e-4,
        "PV1_1": 1.01,
        "PV1_4": 0.3,
        "PV2_1": 0.99,
        "PV2_5": -0.2,
    },
    "zpn": TAN | CD | {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0, "PV2_3": 0.05},
    "car galactic": TAN | CD | {"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", "CRVAL2": 0.0, "CRPIX2": -388.5},
    "crpix absent": {k: v for k, v in (TAN | CD).items() if not k.startswith("CRPIX")},
    "cdelt absent": {k: v for k, v in TAN.items() if k != "CRPIX1"} | {"PC1_1": 1e-4, "PC2_2": 1e-4, "PC1_2": 2e-5},
    "everything absent": {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
    "swapped axes": {
        "CTYPE1": "DEC--TAN",
        "CTYPE2": "RA---TAN",
        "CRVAL1": 2.2,
        "CRVAL2": 150.1,
        "CD1_1": 1e-4,
        "CD2_2": -2e-4,
        "CD1_2": 1e-5,
    },
    "third world axis without pixels": TAN
    | CD
    | {"WCSAXES": 3, "CTYPE3": "WAVE", "CRVAL3": 500e-9, "CUNIT3": "m", "CD3_3": 1e-9, "CD3_1": 2e-10},
    "third axis coupled by pc": TAN
    | {"WCSAXES": 3, "CTYPE3": "WAVE", "CUNIT3": "m", "CRVAL3": 5e-7, "CDELT1": -1e-4, "CDELT2": 1e-4, "CDELT3": 1e-9}
    | {"PC3_1": 0.4, "PC1_3": 0.01},
}
FACTORS = [(1, 1), (2, 2), (3, 3), (4, 4), (2, 4), (5, 3)]


def header_of(cards):
    header = fits.PrimaryHDU(np.zeros(SHAPE, np.float32)).header
    if "WCSAXES" in cards:
        header["WCSAXES"] = cards["WCSAXES"]
    for key, value in cards.items():
        header[key] = value
    return header


def through_text(header):
    return fits.Header.fromstring(header.tostring())


@pytest.mark.parametrize("factor", FACTORS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_corners_stay_on_the_sky(kind, factor, same_sky):
    before = header_of(KINDS[kind])
    scale = {2: factor[0], 1: factor[1]}
    after = through_text(refine_header(before, scale, flux=False).header)
    assert same_sky(before, after, SHAPE, scale) < 1e-10


def test_the_source_header_is_not_changed():
    before = header_of(KINDS["sip"])
    text = before.tostring()
    refine_header(before, {1: 4, 2: 4}, flux=True)
    assert before.tostring() == text


@pytest.mark.parametrize("factor", [(2, 2), (4, 2)], ids=str)
def test_sip_inverse_terms_scale_too(factor):
    header = header_of(KINDS["sip"])
    edit = refine_header(header, {2: factor[0], 1: factor[1]}, flux=False)
    sip0, sip1 = WCS(header).sip, WCS(edit.header).sip
    scale = np.array(factor[::-1])
    offset = np.array([[12.0, -7.0], [30.0, 20.0]])
    crpix = np.array([33.0, 21.5])
    coarse = sip0.foc2pix(offset, 1) - crpix  # AP, BP: intermediate offset to pixel offset
    fine = sip1.foc2pix(offset * scale, 1) - ((crpix - 0.5) * scale + 0.5)
    np.testing.assert_allclose(fine, coarse * scale, atol=1e-9)
    assert edit.header["A_DMAX"] == 0.5 * scale[0]


def test_untouched_sip_would_be_seen(same_sky):
    """The check itself: forgetting the SIP rule moves the sky by far more than the tolerance."""
    before = header_of(KINDS["sip"])
    wrong = refine_header(before, {1: 4, 2: 4}, flux=False).header
    wrong["A_2_0"] = before["A_2_0"]
    assert same_sky(before, wrong, SHAPE, {1: 4, 2: 4}) > 1e-7


def test_leftover_sip_is_scaled_and_told():
    header = header_of(TAN | CD | {"A_ORDER": 2, "A_2_0": 1e-5})
    edit = refine_header(header, {1: 2, 2: 2}, flux=False)
    assert edit.header["A_2_0"] == 1e-5 / 2
    assert any("SIP" in note for note in edit.notes)


@pytest.mark.parametrize("factor", [(4, 4), (2, 3)], ids=str)
def test_alternate_systems_follow(factor, same_sky):
    cards = TAN | CD | {k + "A": v for k, v in (TAN | CD | {"CRVAL1": 10.0}).items()}
    cards |= {"WCSNAMEP": "PHYSICAL", "CTYPE1P": "X", "CTYPE2P": "Y", "CRVAL1P": 100.0, "CDELT1P": 2.0}
    before = header_of(cards)
    scale = {2: factor[0], 1: factor[1]}
    after = through_text(refine_header(before, scale, flux=False).header)
    for key in (" ", "A", "P"):
        assert same_sky(before, after, SHAPE, scale, key=key) < 1e-10


@pytest.mark.parametrize("factor", [(2, 2), (4, 3)], ids=str)
def test_dss_plate_solution(factor, same_sky):
    path = get_pkg_data_filename("data/dss.14.29.56-62.41.05.fits.gz", package="astropy.wcs.tests")
    scale = {2: factor[0], 1: factor[1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its cards are of 1994
        with gzip.open(path) as stream, fits.open(stream) as hdus:
            before = hdus[0].header.copy()
        after = through_text(refine_header(before, scale, flux=False).header)
    assert same_sky(before, after, (before["NAXIS2"], before["NAXIS1"]), scale) < 1e-10


def test_table_coordinates_stay(same_sky):
    path = get_pkg_data_filename("data/tab-time-last-axis.fits", package="astropy.wcs.tests")
    with fits.open(path) as hdus:
        before = hdus[0].header.copy()
        after = refine_header(before, {1: 4, 2: 4}, flux=False).header
        assert same_sky(before, after, (1, 1, 1), {1: 4, 2: 4}, hdus, hdus) < 1e-10


@pytest.mark.parametrize(
    "path", sorted(get_pkg_data_filenames("data/maps", package="astropy.wcs.tests", pattern="*.hdr"))
)
def test_every_projection(path, same_sky):
    with open(path, "rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = fits.Header.fromstring(stream.read().decode("ascii"))
    after = through_text(refine_header(before, {1: 3, 2: 3}, flux=False).header)
    assert same_sky(before, after, (before["NAXIS2"], before["NAXIS1"]), {1: 3, 2: 3}) < 1e-10


def test_no_coordinates_stay_none():
    after = refine_header(header_of({}), {1: 4, 2: 4}, flux=False).header
    assert not any(key.startswith(("CRPIX", "CDELT", "CD1")) for key in after)


@pytest.mark.parametrize(
    "cards",
    [{"CPDIS1": "POLYNOMIAL"}, {"CQDIS1": "LOOKUP"}, {"CTYPE1": "RA---TPD"}, {"AXISCORR": 1}, {"CPDIS2": "TPD"}],
    ids=str,
)
def test_unknown_distortions_are_refused_by_name(cards):
    with pytest.raises(FormatError, match=next(iter(cards))):
        refuse_unknown(header_of(TAN | cards), "x.fits")


def test_a_coordinate_that_is_no_number_is_refused():
    header = header_of(TAN)
    header["CRPIX1"] = "middle"
    with pytest.raises(FormatError, match="CRPIX1"):
        refine_header(header, {1: 2, 2: 2}, flux=False)


def test_iraf_physical_coordinates():
    header = header_of({"LTM1_1": 0.5, "LTM2_2": 0.5, "LTV1": -374.0})
    after = refine_header(header, {1: 4, 2: 2}, flux=False).header
    for axis, s, ltv in ((1, 4, -374.0), (2, 2, 0.0)):
        for physical in (10.0, 700.0):
            logical = 0.5 * physical + ltv
            fine = after[f"LTM{axis}_{axis}"] * physical + after[f"LTV{axis}"]
            assert fine == pytest.approx((logical - 0.5) * s + 0.5)


@given(a=st.integers(1, 5000), b=st.integers(1, 5000), s=st.integers(1, 8))
def test_sections_cover_the_same_field(a, b, s):
    refined = refine_section(f"[{a}:{b},1:7]", s, 1)
    x, y = refined.strip("[]").split(",")
    first, last = (int(v) for v in x.split(":"))
    assert y == "1:7"
    assert (first <= last) == (a <= b) or s * (max(a, b) - min(a, b) + 1) == 1
    low, high = min(first, last), max(first, last)
    assert (low - 0.5) == (min(a, b) - 1) * s + 0.5
    assert (high + 0.5) == max(a, b) * s + 0.5


def test_cards_that_count_pixels():
    cards = {
        "DATASEC": "[1:100,5:60]",
        "CCDSEC": "[1001:1100,5:60]",
        "CCDSUM": "2 2",
        "PIXSCALE": 0.4,
        "PIXSCAL2": 0.8,
        "PIXAR_A2": 0.16,
        "XPIXSZ": 9.0,
        "SATURATE": 64000.0,
        "MDRIZSKY": 32.0,
        "GAIN": 1.5,
        "DATAMAX": 5.0,
        "EXPTIME": 30.0,
    }
    edit = refine_header(header_of(cards), {1: 4, 2: 4}, flux=True)
    after = edit.header
    assert after["DATASEC"] == "[1:400,17:240]"
    assert after["CCDSEC"] == "[1001:1100,5:60]"
    assert "CCDSUM" not in after
    assert any("2 2" in note for note in edit.notes)
    assert (after["PIXSCALE"], after["PIXSCAL2"], after["XPIXSZ"]) == (0.1, 0.2, 2.25)
    assert (after["PIXAR_A2"], after["SATURATE"], after["MDRIZSKY"]) == (0.01, 4000.0, 2.0)
    assert (after["GAIN"], after["EXPTIME"]) == (1.5, 30.0)
    assert "DATAMAX" not in after


def test_brightness_keeps_amounts_per_pixel():
    after = refine_header(header_of({"SATURATE": 64000.0}), {1: 4, 2: 4}, flux=False).header
    assert after["SATURATE"] == 64000.0


def test_one_scale_for_two_factors_is_kept_and_told():
    edit = refine_header(header_of({"PIXSCALE": 0.4}), {1: 4, 2: 2}, flux=False)
    assert edit.header["PIXSCALE"] == 0.4
    assert any("PIXSCALE" in note for note in edit.notes)
