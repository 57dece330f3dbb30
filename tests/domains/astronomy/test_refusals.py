"""What FITS calls an image and is none, and headers that no image has; axes that the coordinate matrix permutes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gensr.errors import DomainError, FormatError
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct

IMAGE = np.arange(48, dtype=np.float32).reshape(6, 8)


@pytest.mark.parametrize("card", [("BAYERPAT", "RGGB"), ("COLORTYP", "gbrg"), ("CFAPAT", "CYGM"), ("COLORTYP", "CFA")])
def test_mosaics_of_colour_cameras(card, opened, fits_file):
    with pytest.raises(DomainError, match=rf"image\.fits: {card[0]} = .*debayer"):
        opened(fits_file(IMAGE.astype(np.uint16), [card]))
    more = [fits.ImageHDU(IMAGE)]
    with pytest.raises(DomainError, match="debayer"):
        opened(fits_file(None, [card], more=more))  # extensions inherit


@pytest.mark.parametrize("card", [("BAYERPAT", ""), ("COLORTYP", "MONO"), ("BAYERPAT", "NONE"), ("COLORTYP", 5)])
def test_cards_that_name_no_pattern(card, opened, fits_file):
    assert opened(fits_file(IMAGE, [card])).planes == 1


def test_a_debayered_cube_is_an_image(opened, fits_file):
    assert opened(fits_file(np.stack([IMAGE] * 3), [("BAYERPAT", "RGGB")])).planes == 3


def spectra(*more):
    return [fits.ImageHDU(IMAGE, name="B_FLUX"), *more]


def fibres(name, rows):
    return fits.BinTableHDU(np.zeros(rows, dtype=[("TARGET", "i4")]), name=name)


@pytest.mark.parametrize(
    "more",
    [
        [fits.ImageHDU(np.arange(8.0), name="B_WAVELENGTH")],
        [fits.ImageHDU(np.arange(8.0), name="WAVE")],
        [fibres("FIBERMAP", 6)],
        [fibres("PLUGMAP", 6)],
    ],
)
def test_spectra_side_by_side(more, opened, fits_file):
    with pytest.raises(DomainError, match="6 spectra side by side"):
        opened(fits_file(None, more=spectra(*more)))


@pytest.mark.parametrize(
    "cards", [[("COEFF0", 3.58), ("COEFF1", 1e-4)], [("APNUM1", "1 1 50 60")], [("WAT0_001", "system=multispec")]]
)
def test_spectra_by_their_cards(cards, opened, fits_file):
    with pytest.raises(DomainError, match="spectra side by side"):
        opened(fits_file(IMAGE, cards))


@pytest.mark.parametrize(
    "more", [[], [fits.ImageHDU(np.arange(5.0), name="WAVE")], [fibres("FIBERMAP", 3)], [fibres("CATALOG", 6)]]
)
def test_images_beside_other_lists(more, opened, fits_file):
    assert opened(fits_file(None, more=spectra(*more))).planes == 1


def test_a_cube_with_wavelengths_is_an_image(opened, fits_file):
    more = [fits.ImageHDU(np.stack([IMAGE] * 5), name="FLUX"), fits.ImageHDU(np.arange(8.0), name="WAVE")]
    assert opened(fits_file(None, more=more)).planes == 5


@pytest.mark.parametrize(
    ("card", "value"), [("CRPIX1", 1e308), ("CRPIX2", -1e200), ("CDELT1", 1e150), ("CDELT2", False), ("CRPIX1A", 1e300)]
)
def test_cards_beyond_numbers_are_named(card, value, opened, fits_file):
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 3.0, "CDELT1": -1e-4, "CDELT2": 1e-4, "CRVAL1": 5.0}
    with pytest.raises(FormatError, match=f"card {card} = "):
        opened(fits_file(IMAGE, list({**cards, card: value}.items())))


def test_axes_without_end(opened, fits_file):
    path = fits_file(IMAGE)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"NAXIS   =                    2", b"NAXIS   =                  999"))
    with pytest.raises(FormatError):
        opened(path)
    cube = fits_file(np.zeros((1,) * 17 + (4, 4), np.float32), name="cube.fits")
    with pytest.raises(FormatError, match="claims 19 axes"):
        opened(cube)


def permuted():
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "FREQ", "CRVAL1": 150.0, "CRVAL2": 2.2})
    header.update({"CRVAL3": 1.4e9, "CDELT1": -2e-4, "CDELT2": 2e-4, "CDELT3": 1e6})
    header.update({"CRPIX1": 2.0, "CRPIX2": 3.0, "CRPIX3": 4.5, "CUNIT1": "deg", "CUNIT2": "deg", "CUNIT3": "Hz"})
    header.update({"PC1_1": 0.0, "PC1_3": 1.0, "PC3_3": 0.0, "PC3_1": 1.0, "PC2_2": 1.0})
    return header


def test_the_matrix_says_which_pixel_axes_are_the_sky(opened, fits_file, tmp_path):
    cube = np.random.default_rng(0).normal(size=(9, 6, 4)).astype(np.float32)
    scene = opened(fits_file(cube, list(permuted().items())))
    assert scene.grid.shape == (9, 6)
    assert scene.planes == 4
    facts = scene.metadata()
    assert facts["axes"] == {"rows": "NAXIS3", "columns": "NAXIS2"}
    assert facts["wcs"]["pixel_size_arcsec"] == pytest.approx([0.72, 0.72])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = WCS(permuted())
        centre = before.all_pix2world(0, 2.5, 4.0, 0)
        assert facts["wcs"]["centre_deg"] == pytest.approx([float(centre[0]), float(centre[1])], abs=1e-9)
        path = scene.write(NearestProduct(scene, 3), tmp_path, Names("cube", 3))[0]
        after = WCS(fits.getheader(path))
        rng = np.random.default_rng(1)
        corner = rng.uniform(-0.5, 3.5, (20, 3))
        fine = np.stack([corner[:, 0], *((corner[:, i] + 0.5) * 3 - 0.5 for i in (1, 2))], 1)
        np.testing.assert_allclose(after.all_pix2world(fine, 0), before.all_pix2world(corner, 0), rtol=1e-12)
    assert fits.getdata(path).shape == (27, 18, 4)
    assert np.array_equal(fits.getdata(path)[::3, ::3], cube)


@pytest.mark.parametrize("unit", ["", "UNITLESS"])
def test_a_unit_that_does_not_tell_is_said(unit, opened, refined, fits_file):
    path = fits_file(IMAGE, [("BUNIT", unit)] if unit else [])
    said = opened(path).cautions()
    assert len(said) == 1
    assert "values=flux" in said[0]
    assert (f"{unit!r} does not tell" if unit else "no BUNIT") in said[0]
    assert opened(path, values="flux").cautions() == []
    assert opened(fits_file(IMAGE, [("BUNIT", "adu")], name="adu.fits")).cautions() == []
    history = " ".join(str(fits.getheader(refined(path)[0])["HISTORY"]).split())
    assert "values=flux keeps sums" in history.replace(" ", " ")


def test_cases_from_the_field(opened, cases):
    with pytest.raises(DomainError, match="debayer"):
        opened(cases / "bayer_raw.fits")
    with pytest.raises(FormatError, match="card CRPIX1"):
        opened(cases / "wcs_inf.fits")
    assert opened(cases / "pc_permuted.fits").metadata()["axes"] == {"rows": "NAXIS3", "columns": "NAXIS2"}
    assert opened(cases / "zp_nobunit.fits").cautions()


def test_the_radius_of_the_sun_in_the_field(refined, cases):
    before = fits.getheader(cases / "eit.fits")
    after = fits.getheader(refined(cases / "eit.fits")[0])
    assert after["SOLAR_R"] * after["CDELT1"] == pytest.approx(before["SOLAR_R"] * before["CDELT1"])
