"""Samples by name, small FITS files, and an independent check of sky coordinates through astropy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from astropy.io import fits

from gensr.domains.astronomy import Astronomy
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct

sys.path.insert(0, str(Path(__file__).parents[2]))
from headers import sky

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
def cases():
    """Folder with inputs that earlier versions got wrong."""
    folder = shared()
    if folder is None or not (folder.parents[1] / "cases").is_dir():
        pytest.skip("cases are not here; set GENSR_SHARED to the folder that holds cases/")
    return folder.parents[1] / "cases"


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
        total = scene.metadata()["values"] == "flux"
        product = NearestProduct(scene, factor, total=total, samples=samples, std=std)
        folder = tmp_path / "out"
        folder.mkdir(exist_ok=True)
        return scene.write(product, folder, Names(domain.stem(path), 2))

    return make


@pytest.fixture
def same_sky():
    """Compare two world coordinate systems; see `headers.sky.same_sky`."""
    return sky.same_sky


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
