"""Samples by name, small FITS files, and an independent check of sky coordinates through astropy."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from gensr.domains.astronomy import Astronomy

from gensr.domain import Names
from gensr.testing import NearestProduct

SAMPLES = (
    "acs_distortion_lookup.fits.gz",
    "blank_integer.fits",
    "bok_90prime_tpv_rice.fits",
    "bscale_int16.fits",
    "checksum.fits",
    "compressed_float_nan.fits",
    "cube_sfl.fits",
    "cube_stokes_4d.fits",
    "hst_acs_cosmos_f814w.fits",
    "hst_acs_f814w_psf.fits",
    "hst_wfc3_a2744_group_f105w.fits.gz",
    "hst_wfc3_ima_sci_err_dq.fits",
    "m13_hcompress.fits",
    "parkes_azp_nan.fits",
    "sip_uint16.fits",
    "spitzer_irac_glimpse_crop.fits",
)


def shared() -> Path | None:
    """Folder with sample files, found beside a parent of the tests or through GENSR_SHARED."""
    named = os.environ.get("GENSR_SHARED")
    places = [Path(named)] if named else [parent / "shared" for parent in Path(__file__).resolve().parents]
    return next((p / "samples" / "astronomy" for p in places if (p / "samples" / "astronomy").is_dir()), None)


def pytest_generate_tests(metafunc):
    if "sample" in metafunc.fixturenames:
        metafunc.parametrize("sample", SAMPLES, indirect=True, ids=[s.split(".")[0] for s in SAMPLES])


@pytest.fixture
def sample(request):
    folder = shared()
    if folder is None:
        pytest.skip("sample files are not here; set GENSR_SHARED to the folder that holds samples/")
    return folder / request.param


@pytest.fixture
def samples():
    folder = shared()
    if folder is None:
        pytest.skip("sample files are not here; set GENSR_SHARED to the folder that holds samples/")
    return folder


@pytest.fixture
def domain():
    return Astronomy()


@pytest.fixture
def opened(domain):
    """Open scenes that are closed after the test."""
    scenes = []

    def make(path, **options):
        scenes.append(domain.open(path, options))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.close()


@pytest.fixture
def refined(domain, opened, tmp_path):
    """Refine a file by pixel replication; returns the paths written."""

    def make(path, factor=2, samples=1, std=1.0, **options):
        scene = opened(path, **options)
        total = scene.facts()["values"] == "flux"
        product = NearestProduct(scene, factor, total=total, samples=samples, std=std)
        folder = tmp_path / "out"
        folder.mkdir(exist_ok=True)
        return domain.write(scene, product, folder, Names(domain.stem(path), 2))

    return make


@pytest.fixture
def same_sky():
    """Compare two world coordinate systems at random pixels and at the corners: returns the largest error.

    The error is in degrees (or the unit of the axis), relative for axes whose values are large, for example velocities.
    """

    def compare(before, after, shape, scale, hdus_before=None, hdus_after=None, key=" "):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            w0 = WCS(before, fobj=hdus_before, key=key)
            w1 = WCS(after, fobj=hdus_after, key=key)
        assert w0.naxis == w1.naxis
        size = np.array([*shape[::-1], *[1] * w0.naxis][: w0.naxis])
        rng = np.random.default_rng(5)
        coarse = rng.uniform(-0.5, size - 0.5, (64, w0.naxis))
        coarse[:4, :2] = [(-0.5, -0.5), (size[0] - 0.5, -0.5), (size[0] - 0.5, size[1] - 0.5), (-0.5, size[1] - 0.5)]
        s = np.array([scale.get(axis + 1, 1) for axis in range(w0.naxis)])
        fine = (coarse + 0.5) * s - 0.5
        with np.errstate(all="ignore"):
            sky0, sky1 = w0.all_pix2world(coarse, 0), w1.all_pix2world(fine, 0)
        assert np.array_equal(np.isnan(sky0), np.isnan(sky1))
        assert np.isfinite(sky0).any()
        return float(np.nanmax(np.abs(sky0 - sky1) / np.maximum(1.0, np.abs(sky0) / 360)))

    return compare


@pytest.fixture
def fits_file(tmp_path):
    """Write an image (and more HDUs) with astropy and return its path."""

    def make(data, cards=(), name="image.fits", more=()):
        primary = fits.PrimaryHDU(data)
        for card in cards:
            primary.header[card[0]] = card[1]
        path = tmp_path / name
        fits.HDUList([primary, *more]).writeto(path, overwrite=True)
        return path

    return make
