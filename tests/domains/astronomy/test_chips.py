"""All chips of a camera in one run: each with its own coordinates, flags and file, read by astropy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import gensr
from gensr.cli.main import main
from gensr.errors import DomainError
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Window
from gensr.values.noise import StatedNoise


def camera(
    path: Path, skies: tuple[float, ...] = (100.0, 101.0), noises: tuple[float, ...] = (5.0, 5.0), **more: Any
) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    hdus: list[Any] = [fits.PrimaryHDU()]
    chips = []
    for version, (sky, noise) in enumerate(zip(skies, noises, strict=True), 1):
        values = rng.normal(sky, noise, (24, 30)).astype(np.float32)
        hdu = fits.ImageHDU(values, name="SCI", ver=version)
        hdu.header.update({"BUNIT": "electron", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0 + version})
        hdu.header.update({"CRVAL2": 5.0, "CRPIX1": 15.0, "CRPIX2": 12.0, "CDELT1": -1e-4, "CDELT2": 1e-4})
        hdu.header.update({k.upper(): v for k, v in more.items() if version == 2})
        flags = np.zeros((24, 30), np.int16)
        flags[version, 3] = 4
        hdus += [hdu, fits.ImageHDU(flags, name="DQ", ver=version)]
        chips.append(values)
    fits.HDUList(hdus).writeto(path)
    return chips


@pytest.mark.parametrize("area", [None, "4,6,10,8"])
def test_every_chip_is_a_file_with_its_own_sky(area, tmp_path):
    chips = camera(tmp_path / "a.fits")
    out = tmp_path / "out"
    out.mkdir()
    with gensr.open(tmp_path / "a.fits", options={"hdu": "all", "dq_bits": 0}, srcwin=area) as scene:
        assert scene.planes == 2
        assert scene.metadata()["images"] == ["HDU 1 (SCI,1)", "HDU 3 (SCI,2)"]
        assert np.array_equal(
            scene.read(1, Window(2, 3, 4, 5)).values[0], scene.members[1].read(0, Window(2, 3, 4, 5)).values[0]
        )
        files = scene.write(NearestProduct(scene, 2, total=True, samples=0), out, Names("a", 2))
    assert [f.name for f in files] == ["a-1_x2_generated.fits", "a-2_x2_generated.fits"]
    row, col, rows, cols = (6, 4, 8, 10) if area else (0, 0, 24, 30)
    with fits.open(tmp_path / "a.fits") as source:
        for number, file in enumerate(files):
            with fits.open(file) as found:
                part = chips[number][row : row + rows, col : col + cols]
                assert found[0].data == pytest.approx(part.repeat(2, 0).repeat(2, 1) / 4, rel=1e-6)
                new, old = WCS(found[0].header), WCS(source["SCI", number + 1].header)
                place = old.all_pix2world([[col - 0.25, row - 0.25]], 0)
                assert np.abs(new.all_pix2world([[0, 0]], 0) - place).max() < 1e-10
                flags = source["DQ", number + 1].data[row : row + rows, col : col + cols]
                assert np.array_equal(found["DQ"].data, flags.repeat(2, 0).repeat(2, 1))


def test_chips_that_do_not_belong_together(tmp_path):
    camera(tmp_path / "unit.fits", bunit="Jy")
    with pytest.raises(DomainError, match=r"HDU 3 \(SCI,2\) has another unit"):
        gensr.open(tmp_path / "unit.fits", options={"hdu": "all"})
    camera(tmp_path / "sky.fits", skies=(100.0, 160.0))
    with (
        gensr.open(tmp_path / "sky.fits", options={"hdu": "all"}) as scene,
        pytest.raises(DomainError, match="differ too much"),
    ):
        scene.normaliser()
    camera(tmp_path / "noise.fits", noises=(5.0, 20.0))
    with (
        gensr.open(tmp_path / "noise.fits", options={"hdu": "all"}) as scene,
        pytest.raises(DomainError, match="differ too much"),
    ):
        scene.normaliser()
    with pytest.raises(DomainError, match="every chip looks elsewhere"):
        gensr.open(tmp_path / "sky.fits", options={"hdu": "all"}, bounds="11,5,30arcsec")


def test_one_image_is_that_image(tmp_path):
    camera(tmp_path / "a.fits", skies=(100.0,), noises=(5.0,))
    with gensr.open(tmp_path / "a.fits", options={"hdu": "all"}) as scene:
        assert (scene.planes, scene.layer.index) == (1, 1)


def test_command(tmp_path):
    camera(tmp_path / "a.fits")
    out = tmp_path / "out"
    words = ["factor=2", "search=fast", "samples=0", "domain.hdu=all", f"output={out}"]
    assert main(["upsample", str(tmp_path / "a.fits"), *words]) == 0
    for number in (1, 2):
        with fits.open(out / f"a-{number}_x2_generated.fits") as found:
            assert found[0].data.shape == (48, 60)
            assert found[0].header["CRVAL1"] == 10.0 + number


def noisy(path: Path, gains: tuple[float | None, float | None], errors: tuple[float, float] = (0.0, 0.0)) -> None:
    """Two chips in ADU under a sky of 400 electrons; of each a gain, electrons per ADU, or none, or an error map."""
    rng = np.random.default_rng(7)
    hdus: list[Any] = [fits.PrimaryHDU()]
    for version, (gain, error) in enumerate(zip(gains, errors, strict=True), 1):
        values = rng.normal(200, 10.0, (24, 30)).astype(np.float32)
        hdu = fits.ImageHDU(values, name="SCI", ver=version)
        hdu.header.update({"BUNIT": "adu", **({"GAIN": gain} if gain else {})})
        hdus.append(hdu)
        if error:
            hdus.append(fits.ImageHDU(np.full((24, 30), error, np.float32), name="ERR", ver=version))
    fits.HDUList(hdus).writeto(path)


WHOLE = Window(0, 0, 24, 30)


def all_chips(path: Path) -> Any:
    return gensr.open(path, domain="astronomy", options={"hdu": "all"})


def test_every_chip_has_the_noise_of_its_own_gain(tmp_path):
    noisy(tmp_path / "a.fits", (2.0, 4.0))
    with all_chips(tmp_path / "a.fits") as scene:
        alone = [chip.noise() for chip in scene.chips]
        assert [law.gain for law in alone] == [0.5, 0.25]
        assert isinstance(scene.noise(), StatedNoise)
        assert scene.noise().sigma == pytest.approx(10.0, rel=0.1)
        for plane, law in enumerate(alone):
            image = scene.read(plane, WHOLE)
            expected = np.maximum(image.values.astype(np.float64), 0) * law.gain + law.sigma**2
            assert image.variance == pytest.approx(expected, rel=1e-12)
        assert "gain of the header" in scene.metadata()["noise"]["from"]


def test_an_error_map_of_one_chip_is_not_that_of_another(tmp_path):
    noisy(tmp_path / "a.fits", (2.0, 2.0), (9.0, 12.0))
    with all_chips(tmp_path / "a.fits") as scene:
        assert [float(scene.read(plane, WHOLE).variance.max()) for plane in (0, 1)] == [81.0, 144.0]
    noisy(tmp_path / "b.fits", (2.0, 2.0), (9.0, 0.0))
    with all_chips(tmp_path / "b.fits") as scene:
        first, second = (scene.read(plane, WHOLE).variance for plane in (0, 1))
        assert float(first.max()) == 81.0
        assert float(np.median(second)) == pytest.approx(100.0, rel=0.2)
    out = tmp_path / "out"
    words = ["factor=2", "search=fast", "samples=0", "domain=astronomy", "domain.hdu=all", f"output={out}"]
    assert main(["upsample", str(tmp_path / "b.fits"), *words]) == 0
    deviations = [np.nanmedian(fits.getdata(out / f"b-{n}_x2_generated.fits", "UNCERT")) for n in (1, 2)]
    assert deviations[0] < deviations[1]


def test_equal_chips_have_one_noise_and_one_that_says_none_is_measured(tmp_path):
    noisy(tmp_path / "a.fits", (None, 2.0))
    with all_chips(tmp_path / "a.fits") as scene:
        assert scene.noise() is None
        assert scene.read(1, WHOLE).variance is None
        assert scene.metadata()["noise"]["from"].startswith("no error map")
    camera(tmp_path / "b.fits")
    with all_chips(tmp_path / "b.fits") as scene:
        laws = [chip.noise() for chip in scene.chips]
        assert (scene.noise() == laws[0]) is (laws[0] == laws[1])


def test_chips_of_different_optics_are_not_undone_together(tmp_path):
    camera(tmp_path / "a.fits", cdelt1=-2e-4, cdelt2=2e-4)
    options = {"hdu": "all", "psf_fwhm": "1arcsec"}
    with (
        gensr.open(tmp_path / "a.fits", options=options) as scene,
        pytest.raises(DomainError, match="its 2 images have different PSFs"),
    ):
        scene.operator((2, 2))
