"""Units do not matter: samples times powers of ten, and about an offset, get the same answer in those units."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

import gensr

RNG = np.random.default_rng(11)
ROWS, COLS = np.mgrid[:20, :24]
BUMPS = sum(
    a * np.exp(-((ROWS - r) ** 2 + (COLS - c) ** 2) / 6) for r, c, a in RNG.uniform((2, 2, 0.2), (18, 22, 1), (7, 3))
)
IMAGE = 0.2 + BUMPS + 0.02 * RNG.normal(size=BUMPS.shape)
LIKE = {"factor": 2, "search": "fast", "samples": 1, "seed": 3}
TOLERANCE = 1e-5
"""Of the range: what the issue of units asks for."""


def answer(source, **words):
    found = gensr.upsample(source, **{**LIKE, **words})
    return found.mean, found.std, *found.samples, found.report


def same(found, reference, scale, offset=0.0, digits=1.0):
    """Mean, deviation, sample and residual in the units of the reference.

    Args:
        found: answer in other units.
        reference: answer.
        scale: units of ``found`` per unit of ``reference``.
        offset: what 0 of the reference is.
        digits: factor on the tolerance where the input itself was rounded; draws and the noise that is estimated
            amplify the rounding of float32 a thousand times.
    """
    span = float(np.ptp(reference[0]))
    for name, a, b, shift in zip(
        ("mean", "std", "sample"), found[:-1], reference[:-1], (offset, 0.0, offset), strict=False
    ):
        wide = (np.asarray(a, np.float64) - shift) / scale
        assert np.abs(wide - np.asarray(b, np.float64)).max() <= TOLERANCE * digits * span, name
    rms = found[-1]["consistency"]["rms"], reference[-1]["consistency"]["rms"]
    assert rms[0] / scale == pytest.approx(rms[1], rel=1e-3, abs=TOLERANCE * digits * span)
    said = [part[-1]["noise"]["source"].split(":")[0] for part in (found, reference)]
    assert said[0] == said[1]
    assert found[-1]["noise"]["sigma"] / scale == pytest.approx(reference[-1]["noise"]["sigma"], rel=1e-4)


@pytest.fixture(scope="module")
def estimated():
    return answer(IMAGE)


@pytest.fixture(scope="module")
def given():
    return answer(IMAGE, noise="2%")


@pytest.mark.parametrize("power", [-42, 40])
def test_noise_is_estimated_in_any_unit(power, estimated):
    same(answer(IMAGE * 10.0**power), estimated, 10.0**power)


@pytest.mark.parametrize("power", [-60, -30, -22, -9, 9, 21, 30, 60])
def test_arrays_times_powers_of_ten(power, given):
    found = answer(IMAGE * 10.0**power, noise="2%")
    assert found[0].dtype == np.float64
    same(found, given, 10.0**power)


def test_single_precision_times_powers_of_two():
    """Bit by bit: nothing is rounded on the way in."""
    image = IMAGE.astype(np.float32)
    plain = answer(image)
    for power in (-90, 20, 90):
        found = answer(np.ldexp(image, power).astype(np.float32))
        for a, b in zip(found[:3], plain[:3], strict=True):
            assert np.array_equal(a, np.ldexp(b, power))


@pytest.mark.parametrize("generator", [None, "engression-field"])
def test_draws_of_single_precision_times_powers_of_ten(generator):
    """A network in float32 passes on the rounding of the file; bfloat16 makes a thousand times as much of it."""
    like = {"precision": "float32", "generator": generator, "domain": "satellite" if generator else None}
    for words in ({**like, "noise": "2%"}, like):
        plain = answer(IMAGE.astype(np.float32), **words)
        for power in (-30, 30, 1):
            same(answer((IMAGE * 10.0**power).astype(np.float32), **words), plain, 10.0**power)


@pytest.mark.parametrize("power", [-30, 30])
def test_single_precision_times_powers_of_ten(power):
    single = answer(IMAGE.astype(np.float32), noise="2%", samples=0)
    found = answer((IMAGE * 10.0**power).astype(np.float32), noise="2%", samples=0)
    assert found[0].dtype == np.float32
    same(found, single, 10.0**power)


@pytest.mark.parametrize(("offset", "scale"), [(2.45e6, 0.05), (1e8, 100.0), (-1e30, 1e26), (1e-22, 1e-30)])
def test_arrays_about_an_offset(offset, scale, given):
    same(answer(offset + scale * IMAGE, noise="2%"), given, scale, offset, digits=100.0)


def test_noise_is_said_in_the_units_of_the_image():
    plain = answer(IMAGE, noise=0.05)
    same(answer(1e8 * (1 + IMAGE), noise=0.05e8), plain, 1e8, 1e8)
    same(answer(1e-40 * IMAGE, noise=0.05e-40), plain, 1e-40)


def test_gaps_do_not_know_the_zero_of_the_units():
    holed = IMAGE.copy()
    holed[5:8, 9:14] = np.nan
    plain = answer(holed, noise="2%")
    found = answer(2.45e6 + 0.05 * holed, noise="2%")
    gap = np.isnan(plain[0])
    assert gap.sum() == 4 * 15
    assert np.array_equal(np.isnan(found[0]), gap)
    parts = [
        [np.where(gap, zero, a[0]), np.where(gap, 0, a[1]), np.where(gap, zero, a[2]), a[3]]
        for a, zero in ((found, 2.45e6), (plain, 0))
    ]
    same(*parts, 0.05, 2.45e6, digits=100.0)


def fits_answer(path, data, unit=""):
    hdu = fits.PrimaryHDU(data)
    if unit:
        hdu.header["BUNIT"] = unit
    hdu.writeto(path, overwrite=True)
    found = gensr.upsample(path, output=path.parent / f"{path.stem}_out", **LIKE)
    mean, sample = found.files[:2]
    with fits.open(mean) as hdus:
        assert hdus[0].header["BITPIX"] == hdus["UNCERT"].header["BITPIX"]
        return hdus[0].data, hdus["UNCERT"].data, fits.getdata(sample), found.report


@pytest.mark.parametrize(
    ("unit", "dtype", "scale", "offset"),
    [
        ("K", "f4", 3e21, 0),
        ("adu", "f4", 1e-22, 0),
        ("adu", "f8", 1e40, 0),
        ("K", "f8", 1e-42, 0),
        ("K", "f8", 9.0, 1e8),
    ],
)
def test_fits(unit, dtype, scale, offset, tmp_path):
    noise = np.random.default_rng(5).normal(size=IMAGE.shape)
    image = IMAGE + 0.05 * noise
    plain = fits_answer(tmp_path / "plain.fits", image.astype(dtype), unit)
    digits = 100.0 if dtype == "f4" or offset else 1.0
    same(
        fits_answer(tmp_path / "scaled.fits", (offset + scale * image).astype(dtype), unit),
        plain,
        scale,
        offset,
        digits,
    )


def test_geotiff_about_an_offset(tmp_path):
    import rasterio

    ramp = 2.45e6 + 0.05 * IMAGE
    profile = {"driver": "GTiff", "height": 20, "width": 24, "count": 1, "dtype": "float64", "crs": "EPSG:32631"}
    with rasterio.open(tmp_path / "jd.tif", "w", transform=rasterio.Affine(9, 0, 0, 0, -9, 0), **profile) as out:
        out.write(ramp[None])
    found = gensr.upsample(tmp_path / "jd.tif", output=tmp_path / "out", noise=1e-5, **{**LIKE, "samples": 0})
    with rasterio.open(found.files[0]) as mean, rasterio.open(found.files[1]) as std:
        assert {*mean.dtypes, *std.dtypes} == {"float64"}
        coarse = mean.read(1).reshape(20, 2, 24, 2).mean((1, 3))
        assert 0 < std.read(1).max() < 0.05
    assert np.abs(coarse - ramp).max() < 5e-3
