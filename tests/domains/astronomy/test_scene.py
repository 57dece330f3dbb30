"""Reading: physical values, invalid and unusable pixels, axes of cubes, choice of HDU."""

from __future__ import annotations

import hashlib
import json
import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gensr.errors import DomainError, FormatError, GridError
from gensr.values.grid import Window

IMAGE = np.arange(48, dtype=np.float32).reshape(6, 8)
SKY = [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CD1_1", -1e-4), ("CD2_2", 1e-4), ("CRVAL1", 150.0)]


def whole(scene, plane=0):
    image = scene.read(plane, Window(0, 0, *scene.grid.shape))
    return np.where(image.valid, image.values, np.nan)[0], image


def test_sample_values_and_facts(sample, samples, opened):
    """Values, shape, storage and sky of every sample against facts that another program wrote."""
    known = json.loads((samples / "facts.json").read_text())["samples"]
    entry = next(e for e in known if e["file"] == f"astronomy/{sample.name}")
    hdu = entry["hdus"][entry["first_image_hdu"]]
    scene = opened(sample)
    facts = scene.metadata()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["hdu"] == entry["first_image_hdu"]
    assert facts["stored"]["bitpix"] == hdu["bitpix"]
    assert facts["unit"].strip() == (hdu["bunit"] or "").strip()
    values = np.stack([whole(scene, p)[0] for p in range(scene.planes)]).reshape(hdu["shape"])
    if scene.flags is None:
        assert np.isnan(values).sum() == hdu["nan_count"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = fits.getdata(sample, entry["first_image_hdu"]).astype(np.float64)
    seen = np.isfinite(values)
    np.testing.assert_allclose(values[seen], expected[seen], rtol=2e-7)
    sky = entry["wcs"] or {}
    if "pixel_scale_arcsec" in sky:
        assert sorted(facts["wcs"]["pixel_size_arcsec"]) == pytest.approx(sorted(sky["pixel_scale_arcsec"]), rel=1e-5)
        centre = sky["sky_lon_lat_deg"]["centre"]
        assert facts["wcs"]["centre_deg"] == pytest.approx(centre, abs=1e-9)


def test_scaling_is_done_in_double_precision(samples, opened):
    """The hash of the facts needs BZERO + BSCALE x code in float64; float32 scaling differs in the last bits."""
    scene = opened(samples / "bscale_int16.fits")
    codes = scene.pixels.raw(np.s_[:, :]).astype("<f8")
    values = 1500.0 + 0.045777764213996 * codes
    known = json.loads((samples / "facts.json").read_text())["samples"]
    entry = next(e for e in known if e["file"].endswith("bscale_int16.fits"))
    assert hashlib.sha256(values.astype("<f8").tobytes()).hexdigest() == entry["hdus"][0]["pixel_sha256"]
    assert np.array_equal(whole(scene)[0], values.astype(np.float32))


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
def test_every_stored_type(dtype, opened, fits_file):
    data = np.arange(48).reshape(6, 8).astype(dtype)
    if dtype == "u2":
        data[0, 0] = 65534
    values, image = whole(opened(fits_file(data)))
    assert image.values.dtype == (np.float64 if dtype in ("i4", "u4", "i8", "f8") else np.float32)
    assert np.array_equal(values, data.astype(np.float64))


def test_the_ceiling_of_16_bits_is_unusable_but_valid(opened, fits_file):
    data = np.full((6, 8), 1000, np.uint16)
    data[2, 3] = 65535
    _, image = whole(opened(fits_file(data)))
    assert image.valid.all()
    assert np.argwhere(~image.usable[0]).tolist() == [[2, 3]]


def test_saturate_card(opened, fits_file):
    _, image = whole(opened(fits_file(IMAGE, [("SATURATE", 40.0), ("BUNIT", "adu")])))
    assert np.array_equal(image.usable[0], IMAGE < 40)
    assert image.valid.all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    codes=arrays(np.int16, (5, 7)),
    scale=st.floats(1e-3, 1e3),
    zero=st.floats(-1e4, 1e4),
    blank=st.integers(-32768, 32767),
)
def test_blank_and_scale(codes, scale, zero, blank, fits_file, domain):
    path = fits_file(codes)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"], hdus[0].header["BZERO"], hdus[0].header["BLANK"] = scale, zero, blank
    scene = domain.open(path, {})
    values, image = whole(scene)
    assert np.array_equal(image.valid[0], codes != blank)
    expected = (scale * codes.astype(np.float64) + zero)[image.valid[0]]
    assert np.array_equal(values[image.valid[0]], expected.astype(image.values.dtype))
    assert (np.abs(values[image.valid[0]] - expected) <= scale / 4).all()


def test_nan_infinity_and_overflow_are_invalid(opened, fits_file):
    data = IMAGE.astype(np.float64)
    data[0, :3] = np.nan, np.inf, 1e300
    _, image = whole(opened(fits_file(data)))
    assert np.argwhere(~image.valid[0]).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert np.isfinite(image.values).all()


PACKED = [
    (kind, dtype)
    for kind in ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS")
    for dtype in (np.int16, np.uint16, np.float32)
    if kind != "PLIO_1" or dtype == np.int16  # PLIO packs masks
]


@pytest.mark.parametrize(("kind", "dtype"), PACKED)
def test_compressed(kind, dtype, opened, tmp_path):
    rng = np.random.default_rng(3)
    data = rng.normal(1000, 30, (48, 64)).astype(dtype)
    if dtype == np.float32:
        data[3, 5] = np.nan
    path = tmp_path / "packed.fits.fz"
    lossless = {"quantize_level": 0} if kind in ("GZIP_1", "GZIP_2", "NOCOMPRESS") else {}
    tile = (16, 64) if kind == "HCOMPRESS_1" else None
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(data, compression_type=kind, tile_shape=tile, **lossless)]
    ).writeto(path)
    scene = opened(path)
    values, image = whole(scene)
    if dtype == np.float32 and not lossless:
        assert "quantised" in scene.metadata()["stored"]["compression"]
        if kind != "HCOMPRESS_1":  # its wavelets spread a NaN over the tile
            assert np.argwhere(~image.valid[0]).tolist() == [[3, 5]]
            np.testing.assert_allclose(values[image.valid[0]], data[image.valid[0]], atol=3)
    else:
        assert np.array_equal(values, data.astype(np.float32), equal_nan=True)


def test_compressed_integers_with_blank(opened, tmp_path):
    data = np.arange(64, dtype=np.int16).reshape(8, 8)
    hdu = fits.CompImageHDU(data, compression_type="RICE_1")
    hdu.header["BLANK"] = 9
    path = tmp_path / "blank.fits"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    _, image = whole(opened(path))
    assert np.argwhere(~image.valid[0]).tolist() == [[1, 1]]


def test_windows_agree_with_the_whole(samples, opened):
    scene = opened(samples / "m13_hcompress.fits")
    values, _ = whole(scene)
    window = Window(17, 101, 40, 33)
    part = scene.read(0, window)
    assert np.array_equal(part.values[0], values[17:57, 101:134])
    assert part.grid == scene.grid.crop(window)
    with pytest.raises(GridError):
        scene.read(0, Window(290, 0, 20, 20))


def test_planes_of_a_cube(opened, fits_file):
    cube = np.random.default_rng(1).normal(size=(2, 3, 6, 8)).astype(np.float32)
    scene = opened(fits_file(cube))
    assert scene.planes == 6
    for plane in range(6):
        assert np.array_equal(whole(scene, plane)[0], cube.reshape(6, 6, 8)[plane])


def test_sky_axes_are_read_from_the_header_not_assumed(opened, fits_file):
    """A cube whose first FITS axis is the wavelength: rows and columns are axes 3 and 2."""
    cube = np.random.default_rng(1).normal(size=(6, 8, 5)).astype(np.float32)
    cards = [("CTYPE1", "WAVE"), ("CUNIT1", "m"), ("CDELT1", 1e-9), ("CTYPE2", "RA---TAN"), ("CTYPE3", "DEC--TAN")]
    scene = opened(fits_file(cube, [*cards, ("CDELT2", -1e-4), ("CDELT3", 1e-4)]))
    assert scene.grid.shape == (6, 8)
    assert scene.planes == 5
    assert np.array_equal(whole(scene, 4)[0], cube[:, :, 4])
    assert scene.metadata()["axes"] == {"rows": "NAXIS3", "columns": "NAXIS2"}


def test_unequal_pixels_and_swapped_sky_axes(opened, fits_file):
    plain = opened(fits_file(IMAGE, [*SKY, ("CD2_2", 3e-4)])).metadata()["wcs"]
    assert plain["pixel_size_arcsec"] == pytest.approx([1.08, 0.36])
    cards = [("CTYPE1", "DEC--TAN"), ("CTYPE2", "RA---TAN"), ("CD1_1", 3e-4), ("CD2_2", -1e-4)]
    swapped = opened(fits_file(IMAGE, cards, name="swapped.fits")).metadata()["wcs"]
    assert swapped["pixel_size_arcsec"] == pytest.approx([0.36, 1.08])


def test_science_comes_first_by_name(opened, fits_file):
    path = fits_file(IMAGE, more=[fits.ImageHDU(IMAGE + 100, name="ERR"), fits.ImageHDU(IMAGE + 200, name="SCI")])
    assert whole(opened(path))[0][0, 0] == 200
    assert whole(opened(path, hdu=0))[0][0, 0] == 0
    assert whole(opened(path, hdu="err"))[0][0, 0] == 100


def test_first_image_that_is_no_companion(opened, fits_file):
    more = [fits.ImageHDU(IMAGE, name="DQ"), fits.ImageHDU(IMAGE + 5, name="CHIP")]
    assert whole(opened(fits_file(None, more=more)))[0][0, 0] == 5


def test_only_companions_asks_for_a_name(opened, fits_file):
    path = fits_file(None, more=[fits.ImageHDU(IMAGE, name="ERR")])
    with pytest.raises(FormatError, match="hdu="):
        opened(path)


def chips(telescope=None):
    hdus = []
    for version in (1, 2):
        flags = np.zeros((6, 8), np.int16)
        flags[version, version] = 4 + 16384
        flags[5, 5] = 256
        flags[0, 7] = 64
        for name, data in (("SCI", IMAGE * version), ("ERR", IMAGE * 0 + version / 10), ("DQ", flags)):
            hdus.append(fits.ImageHDU(data, name=name, ver=version))
    primary = fits.PrimaryHDU()
    if telescope:
        primary.header["TELESCOP"] = telescope
    return fits.HDUList([primary, *hdus])


def test_chips_bring_their_own_errors_and_flags(opened, domain, tmp_path):
    path = tmp_path / "chips.fits"
    chips("HST").writeto(path)
    for option, version in ((None, 1), ("SCI,2", 2), (4, 2)):
        scene = opened(path, hdu=option)
        _, image = whole(scene)
        assert np.argwhere(~image.valid[0]).tolist() == [[version, version]]
        assert np.argwhere(~image.usable[0]).tolist() == [[version, version], [5, 5]]
        assert scene.noise().typical(0) == pytest.approx(version / 10)
        assert float(np.sqrt(image.variance[0, 0, 0])) == pytest.approx(version / 10)
        other = next(label for label in scene.metadata()["not_copied"] if f"SCI,{3 - version}" in label)
        assert "hdu=" in other


@pytest.mark.parametrize(
    ("bits", "invalid"),
    [(0, []), (-1, [[0, 7], [1, 1], [5, 5]]), (4, [[1, 1]]), (64 + 256, [[0, 7], [5, 5]])],
)
def test_bits_chosen_by_the_user(bits, invalid, opened, tmp_path):
    path = tmp_path / "chips.fits"
    chips("HST").writeto(path)
    _, image = whole(opened(path, dq_bits=bits))
    assert np.argwhere(~image.valid[0]).tolist() == invalid


@pytest.mark.parametrize("bits", ["4", -2, 1.5, True])
def test_bits_that_are_none(bits, opened, tmp_path):
    path = tmp_path / "chips.fits"
    chips().writeto(path)
    with pytest.raises(DomainError, match="dq_bits"):
        opened(path, dq_bits=bits)


def test_flags_of_an_unknown_mission_exclude(opened, tmp_path):
    path = tmp_path / "chips.fits"
    chips().writeto(path)
    _, image = whole(opened(path))
    assert (~image.valid).sum() == 3


def test_webb_flags(opened, fits_file):
    flags = np.zeros((6, 8), np.uint32)
    flags[0, 0], flags[0, 1], flags[0, 2] = 1 + 2, 2, 4
    more = [fits.ImageHDU(IMAGE, name="SCI"), fits.ImageHDU(flags, name="DQ")]
    _, image = whole(opened(fits_file(None, [("TELESCOP", "JWST")], more=more)))
    assert np.argwhere(~image.valid[0]).tolist() == [[0, 0]]
    assert np.argwhere(~image.usable[0]).tolist() == [[0, 0], [0, 1]]


def test_rubin_mask_planes_do_not_exclude_detections(opened, fits_file):
    flags = np.zeros((6, 8), np.int32)
    flags[:3] = 1 << 5  # DETECTED
    flags[4, 4], flags[5, 5] = 1 << 3, 1 << 1
    mask = fits.ImageHDU(flags, name="MASK")
    for key, bit in (("MP_BAD", 0), ("MP_SAT", 1), ("MP_CR", 3), ("HIERARCH MP_DETECTED", 5)):
        mask.header[key] = bit
    path = fits_file(None, more=[fits.ImageHDU(IMAGE, name="IMAGE"), mask])
    _, image = whole(opened(path))
    assert np.argwhere(~image.valid[0]).tolist() == [[4, 4]]
    assert np.argwhere(~image.usable[0]).tolist() == [[4, 4], [5, 5]]


def test_one_flag_plane_serves_a_cube(opened, fits_file):
    flags = np.zeros((6, 8), np.uint8)
    flags[2, 2] = 1
    scene = opened(fits_file(np.ones((3, 6, 8), np.float32), more=[fits.ImageHDU(flags, name="MASK")]))
    for plane in range(3):
        assert np.argwhere(~whole(scene, plane)[1].valid[0]).tolist() == [[2, 2]]


def test_a_broken_coordinate_system_is_noted(opened, fits_file):
    cards = [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--SIN"), ("CDELT1", 1e-4), ("CDELT2", 1e-4)]
    facts = opened(fits_file(IMAGE, cards)).metadata()
    assert any("not understood" in note for note in facts["notes"])
    assert facts["wcs"]["celestial"] is False


def test_encode_counts_what_it_clips(opened, fits_file):
    scene = opened(fits_file(IMAGE))
    values = np.array([[[1.0, np.inf, -np.inf, np.nan]]], np.float32)
    codes, moved = scene.encode(0, values, np.array([[[True, True, True, False]]]))
    limit = np.finfo(np.float32).max
    assert codes.dtype == scene.dtype == np.float32
    assert codes[0, 0, :3].tolist() == [1.0, limit, -limit]
    assert np.isnan(codes[0, 0, 3])
    assert moved == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(values=arrays(np.float32, (1, 4, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_encode_is_exact(values, fits_file, domain):
    scene = domain.open(fits_file(IMAGE), {})
    codes, moved = scene.encode(0, values, np.ones(values.shape, bool))
    assert moved == 0
    assert np.array_equal(codes, values)
