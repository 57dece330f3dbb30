"""The contract: sniffing, names, operator, noise, normaliser, PSF, preview and metrics."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from astropy.io import fits

from gensr.domains.astronomy.psf import FWHM
from gensr.errors import DomainError, PluginError
from gensr.values.grid import Window
from gensr.values.noise import PoissonGaussianNoise, StatedNoise

RNG = np.random.default_rng(11)
SKY = RNG.normal(50.0, 4.0, (200, 200)).astype(np.float32)


def test_importing_the_domain_needs_no_astropy():
    code = (
        "import sys; sys.modules['astropy'] = None\n"
        "from pathlib import Path\n"
        "from gensr.domains.astronomy import Astronomy\n"
        "assert Astronomy().sniff(Path('pyproject.toml')) == 0\n"
        "print('astropy.io' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_missing_astropy_is_named(domain, fits_file, monkeypatch):
    path = fits_file(SKY)
    for name in [m for m in sys.modules if m.startswith("gensr.domains.astronomy.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(PluginError, match="pip install astropy"):
        domain.open(path, {})


def test_sniff_goes_by_content(domain, fits_file, tmp_path):
    path = fits_file(SKY, name="image.dat")
    assert domain.sniff(path) == 3
    (tmp_path / "letter.fits").write_text("Dear sir")
    assert domain.sniff(tmp_path / "letter.fits") == 0
    assert domain.expand(tmp_path) == [path]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.fits", "a"),
        ("a.b.fits.gz", "a.b"),
        ("A.FITS.fz", "A"),
        ("a.fit", "a"),
        ("a.fts", "a"),
        ("a.fz", "a"),
        ("a.dat", "a.dat"),
        (".fits", ".fits"),
    ],
)
def test_stem(name, stem, domain, tmp_path):
    assert domain.stem(tmp_path / name) == stem


def test_operator_sums_flux_and_averages_brightness(domain, opened, fits_file):
    ones = torch.ones(1, 6, 4, dtype=torch.float64)
    flux = opened(fits_file(SKY, [("BUNIT", "adu")])).operator((3, 2))
    assert torch.equal(flux.forward(ones), torch.full((1, 2, 2), 6.0, dtype=torch.float64))
    mean = opened(fits_file(SKY, [("BUNIT", "MJy/sr")])).operator((3, 2))
    assert torch.equal(mean.forward(ones), torch.ones(1, 2, 2, dtype=torch.float64))


def test_noise_of_the_sky_is_measured(domain, opened, fits_file):
    scene = opened(fits_file(SKY))
    facts = scene.metadata()
    assert facts["sky"]["sigma"] == pytest.approx(4.0, rel=0.03)
    assert facts["sky"]["level"] == pytest.approx(50.0, abs=0.2)
    assert scene.noise() is None
    assert "estimated" in facts["noise"]["from"]
    normaliser = scene.normaliser().describe()
    assert normaliser["gain"] == [facts["sky"]["sigma"]]
    assert normaliser["offset"] == [facts["sky"]["level"]]


@pytest.mark.parametrize(
    ("name", "stored"), [("ERR", 5.0), ("RMS", 5.0), ("VAR", 25.0), ("STAT", 25.0), ("IVAR", 1 / 25), ("UNCERT", 5.0)]
)
def test_noise_from_an_error_map(name, stored, domain, opened, fits_file):
    data = np.full(SKY.shape, stored, np.float32)
    data[:20] = 0  # reference pixels without a value
    data[20:30] = np.nan
    scene = opened(fits_file(SKY, more=[fits.ImageHDU(data, name=name)]))
    assert scene.noise() == StatedNoise(pytest.approx(5.0))
    image = scene.read(0, Window(18, 0, 14, 5))
    np.testing.assert_allclose(image.variance[0, 12:], 25.0, rtol=1e-5)
    assert not image.usable[0, :12].any()  # nobody says how far they may be off
    assert image.valid.all()
    assert image.usable[0, 12:].all()


def test_an_error_map_counts_pixel_by_pixel(opened, fits_file):
    """Left 0.8, right 8: the report weighs every residual with its own error."""
    error = np.where(np.arange(SKY.shape[1]) < 100, 0.8, 8.0) * np.ones(SKY.shape)
    scene = opened(fits_file(SKY, more=[fits.ImageHDU(error.astype(np.float32), name="ERR")]))
    image = scene.read(0, Window(3, 98, 2, 4))
    np.testing.assert_allclose(np.sqrt(image.variance[0]), [[0.8, 0.8, 8, 8]] * 2, rtol=1e-6)
    crop = scene.crop(Window(3, 98, 2, 4)).read(0, Window(0, 1, 1, 2))
    np.testing.assert_allclose(np.sqrt(crop.variance[0]), [[0.8, 8]], rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
def test_a_map_that_says_nothing_is_no_noise_map(value, opened, fits_file):
    data = np.full(SKY.shape, value, np.float32)
    data[:5] = 3.0
    scene = opened(fits_file(SKY, more=[fits.ImageHDU(data, name="ERR")]))
    assert scene.noise() is None
    image = scene.read(0, Window(0, 0, 10, 10))
    assert image.variance is None
    assert image.usable.all()


@pytest.mark.parametrize(
    ("cards", "photon"),
    [
        ([("BUNIT", "electron")], 1.0),
        ([("BUNIT", "adu"), ("GAIN", 4.0)], 0.25),
        ([("BUNIT", "ELECTRONS/S"), ("EXPTIME", 10.0)], 0.1),
    ],
)
def test_photon_noise_of_a_credible_gain(cards, photon, domain, opened, fits_file):
    """A sky of 400 photo-electrons with 5 electrons of read noise."""
    electrons = RNG.poisson(400, (300, 300)) + RNG.normal(0, 5, (300, 300))
    noise = opened(fits_file((electrons * photon).astype(np.float32), cards)).noise()
    assert isinstance(noise, PoissonGaussianNoise)
    assert noise.gain == pytest.approx(photon)
    sky = torch.tensor(400.0 * photon)
    assert float(noise.variance(sky)) == pytest.approx((400 + 25) * photon**2, rel=0.05)


@pytest.mark.parametrize(
    "cards",
    [
        [("BUNIT", "electron")],  # 0.003 electrons of noise: the unit is wrong
        [("BUNIT", "adu")],
        [("BUNIT", "adu"), ("GAIN", 0.0)],
        [("BUNIT", "electron/s")],
        [("BUNIT", "Jy"), ("GAIN", 1.0)],
        [("BUNIT", "adu"), ("GAIN", "high")],
    ],
)
def test_a_gain_that_is_not_credible_is_not_used(cards, domain, opened, fits_file):
    assert opened(fits_file((SKY - 50) / 1300, cards)).noise() is None


def test_a_noise_free_image_has_a_gain(domain, opened, fits_file):
    flat = np.zeros((40, 40), np.float32)
    assert opened(fits_file(flat)).normaliser().describe()["gain"] == [1.0]
    flat[10, 10:14] = 500
    assert opened(fits_file(flat)).normaliser().describe()["gain"][0] > 0


def moments(kernel):
    y, x = np.indices(kernel.shape)
    total = kernel.sum()
    cy, cx = (y * kernel).sum() / total, (x * kernel).sum() / total
    return cy, cx, ((y - cy) ** 2 * kernel).sum() / total, ((x - cx) ** 2 * kernel).sum() / total


@pytest.mark.parametrize("factor", [(1, 1), (2, 2), (3, 3), (4, 2)], ids=str)
def test_gaussian_psf_keeps_its_width_on_the_sky(factor, opened, fits_file):
    """The width that is given includes the source pixel; the output has the refined pixel instead."""
    scene = opened(fits_file(SKY), psf_fwhm=3.0)
    kernel = scene.psf.on_grid(factor).astype(np.float64)
    cy, cx, vy, vx = moments(kernel)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert all(n % 2 for n in kernel.shape)
    assert (cy, cx) == pytest.approx([(n - 1) / 2 for n in kernel.shape], abs=1e-5)
    for v, s in ((vy, factor[0]), (vx, factor[1])):
        assert v == pytest.approx(((3.0 / FWHM) ** 2 - 1 / 12) * s**2 + 1 / 12, rel=1e-3)


def test_psf_width_as_an_angle(opened, fits_file):
    cards = [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CDELT1", -1e-4), ("CDELT2", 1e-4)]
    scene = opened(fits_file(SKY, cards), psf_fwhm="0.72 arcsec")
    assert scene.psf.fwhm == pytest.approx((2.0, 2.0))
    assert "2 x 2 source pixels" in scene.metadata()["psf"]


@pytest.mark.parametrize(
    ("value", "words"), [("wide", "no width"), (0.5, "below"), (-1, "no width"), ("1arcsec", "sky")]
)
def test_psf_width_that_is_none(value, words, opened, fits_file):
    with pytest.raises(DomainError, match=words):
        opened(fits_file(SKY), psf_fwhm=value)


def test_psf_from_a_file(opened, fits_file, samples):
    scene = opened(fits_file(SKY), psf=samples / "hst_acs_f814w_psf.fits", psf_oversampling=2)
    kernel = scene.psf.on_grid((4, 4)).astype(np.float64)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    source = fits.getdata(samples / "hst_acs_f814w_psf.fits").astype(np.float64)
    cy, cx, _, _ = moments(kernel)
    half = (np.array(kernel.shape) - 1) / 2
    assert np.hypot(cy - half[0], cx - half[1]) < 0.5
    row, col = np.unravel_index(source.argmax(), source.shape)
    assert kernel.max() * 4 == pytest.approx(source[row, col] / source.sum(), rel=0.1)


@pytest.mark.parametrize("options", [{"psf_oversampling": 0}, {"psf_oversampling": "2"}, {"psf": "x", "psf_fwhm": 2.0}])
def test_psf_options_that_clash(options, opened, fits_file):
    with pytest.raises(DomainError, match="psf"):
        opened(fits_file(SKY), **options)


def test_render_shares_the_stretch_and_greys_what_is_invalid(domain, opened, fits_file):
    scene = opened(fits_file(SKY))
    values = SKY[None].copy()
    values[0, 0, 0] = np.nan
    picture = scene.render(values, values)
    assert picture.shape == (200, 200, 3)
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [110, 110, 110]
    brighter = scene.render(values + 4, values)
    assert (brighter[0, 1:] >= picture[0, 1:]).all()
    assert brighter.mean() > picture.mean() + 5
    empty = np.full_like(values, np.nan)
    assert (scene.render(empty, empty) == 110).all()
