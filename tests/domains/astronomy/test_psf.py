"""PSFs that the user names act: they are part of the operator, whatever their sampling."""

import numpy as np
import pytest
import torch
from astropy.io import fits

from gensr.errors import DomainError
from gensr.operators import Area, GaussianPSF, MeasuredPSF, PixelResponse

SKY = np.random.default_rng(0).normal(100, 3, (40, 40)).astype(np.float32)
WIDTH = 1.3
"""Of a star's image, source pixels, pixel included."""


def star(side, row, col, step=1.0):
    """Pixels of the effective PSF of a star at (row, col), sampled every ``step`` source pixels."""
    y, x = np.mgrid[:side, :side].astype(float)
    image = np.exp(-0.5 * ((y - row) ** 2 + (x - col) ** 2) * (step / WIDTH) ** 2)
    return image / image.sum()


@pytest.fixture
def psf_file(tmp_path):
    def make(image, name="psf.fits"):
        path = tmp_path / name
        if name.endswith(".npy"):
            np.save(path, image)
        else:
            fits.PrimaryHDU(image.astype(np.float32)).writeto(path)
        return path

    return make


@pytest.mark.parametrize("factor", [(2, 2), (3, 3), (4, 2), (1, 1)], ids=str)
@pytest.mark.parametrize("name", ["psf.fits", "psf.npy"])
@pytest.mark.parametrize("side", [15, 16])
def test_a_point_becomes_the_star_that_was_measured(factor, name, side, opened, fits_file, psf_file):
    """A delta on the fine grid, at a place between source pixels, against the star's own formula there."""
    scene = opened(fits_file(SKY), psf=psf_file(star(side, (side - 1) / 2, (side - 1) / 2), name))
    operator = scene.operator(factor)
    assert isinstance(operator, PixelResponse)
    (fy, fx), fine = factor, (20 * factor[0] + 1, 22 * factor[1])
    x = torch.zeros(40 * fy, 40 * fx, dtype=torch.float64)
    x[fine] = 1.0
    row, col = (fine[0] + 0.5) / fy - 0.5, (fine[1] + 0.5) / fx - 0.5
    expected = star(40, row, col) / (fy * fx)
    np.testing.assert_allclose(operator.forward(x).numpy(), expected, atol=4e-3 * expected.max())


def test_an_oversampled_psf_is_summed_over_the_pixel(opened, fits_file, psf_file):
    """Sampled thrice a pixel with pixels of a third: a source pixel is nine of them."""
    fine = star(45, 22, 22, 1 / 3)
    scene = opened(fits_file(SKY), psf=psf_file(fine), psf_oversampling=3)
    x = torch.zeros(120, 120, dtype=torch.float64)
    x[61, 58] = 1.0
    expected = np.zeros((120, 120))
    expected[61 - 22 : 61 + 23, 58 - 22 : 58 + 23] = fine
    expected = expected.reshape(40, 3, 40, 3).sum((1, 3)) / 9
    np.testing.assert_allclose(scene.operator((3, 3)).forward(x).numpy(), expected, atol=1e-6)


def test_fluxes_stay_sums(opened, fits_file, psf_file):
    path = psf_file(star(15, 7, 7))
    for cards, gain in (([("BUNIT", "electron")], 6.0), ([("BUNIT", "MJy/sr")], 1.0)):
        operator = opened(fits_file(SKY, cards), psf=path).operator((3, 2))
        assert operator.gain == gain
        flat = operator.forward(torch.ones(120, 80, dtype=torch.float64))
        np.testing.assert_allclose(flat.numpy(), gain, rtol=1e-9)


def test_a_width_is_that_of_the_optics_without_the_pixel(opened, fits_file):
    operator = opened(fits_file(SKY), psf_fwhm=3.0).operator((2, 2))
    assert isinstance(operator, GaussianPSF)
    assert operator.sigma == pytest.approx(((3 / 2.354820045) ** 2 - 1 / 12) ** 0.5)
    cards = [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CRVAL1", 10.0), ("CRVAL2", 0.0), ("CRPIX1", 20.0),
             ("CRPIX2", 20.0), ("CDELT1", -1e-4), ("CDELT2", 2e-4)]  # fmt: skip
    uneven = opened(fits_file(SKY, cards), psf_fwhm="1.5 arcsec").operator((2, 2))
    assert isinstance(uneven, MeasuredPSF)


def test_the_psf_of_the_file_acts_when_asked(opened, fits_file):
    more = [fits.ImageHDU(star(15, 7, 7).astype(np.float32), name="PSF")]
    path = fits_file(SKY, more=more)
    assert isinstance(opened(path).operator((2, 2)), Area)
    assert "kept" in opened(path).metadata()["psf"]
    asked = opened(path, psf="own")
    assert isinstance(asked.operator((2, 2)), PixelResponse)
    assert "undone" in asked.metadata()["psf"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"psf": "own"}, "psf=own: the file holds no PSF image"),
        ({"psf": "nowhere.fits"}, "psf=nowhere.fits: no such file"),
        ({"psf_oversampling": 2}, "psf_oversampling=2: there is no PSF to sample"),
        ({"psf_fwhm": 2.0, "psf_oversampling": 2}, "leave one out"),
    ],
)
def test_words_that_could_not_act_are_refused(options, message, opened, fits_file):
    with pytest.raises(DomainError, match=message):
        opened(fits_file(SKY), **options)


def test_arrays_that_are_no_psf_are_refused(opened, fits_file, psf_file, tmp_path):
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    for path, message in (
        (tmp_path / "bad.npy", "cannot be read as a PSF"),
        (psf_file(np.zeros(5), "line.npy"), "holds no 2-D PSF"),
        (psf_file(np.zeros((5, 5)), "dark.npy"), "sum 0 is none"),
    ):
        with pytest.raises(DomainError, match=message):
            opened(fits_file(SKY), psf=path)
