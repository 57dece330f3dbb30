"""Written files, checked by astropy and by our own arithmetic, never by our reader."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS

from gensr.domains.astronomy.stream import FitsStream, encode_sum, ones_sum
from gensr.scenes.names import Names
from gensr.scenes.provenance import MARK, sentence
from gensr.scenes.testing import NearestProduct

IMAGE = np.random.default_rng(2).normal(100, 3, (6, 8)).astype(np.float32)
FLUX = {
    "acs_distortion_lookup",
    "bok_90prime_tpv_rice",
    "hst_acs_cosmos_f814w",
    "hst_wfc3_a2744_group_f105w",
    "hst_wfc3_ima_sci_err_dq",
    "sip_uint16",
}


def repeated(data, fy, fx):
    return data.repeat(fy, -2).repeat(fx, -1)


@pytest.mark.parametrize("factor", [2, 3, (4, 2)], ids=str)
def test_every_sample(sample, factor, refined, same_sky):
    """Field of view, values, total flux, layers, checksums and provenance of every sample."""
    fy, fx = factor if isinstance(factor, tuple) else (factor, factor)
    paths = refined(sample, factor)
    packed = sample.name.endswith(".gz")
    assert all(path.name.endswith(".fits.gz" if packed else ".fits") for path in paths)
    index = 1 if sample.name.split(".")[0] in ("acs_distortion_lookup", "bok_90prime_tpv_rice", "m13_hcompress") else 0
    index = 1 if "compressed_float" in sample.name or "_ima_" in sample.name else index
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = fits.open(sample)
        before, data = source[index].header, source[index].data.astype(np.float64)
    with source, fits.open(paths[0], checksum=True) as hdus:
        hdus.verify("exception")
        after = hdus[0].header
        assert after["BITPIX"] == (-64 if before["BITPIX"] in (32, 64, -64) else -32)
        assert not {"BSCALE", "BZERO", "BLANK"} & set(after)
        flux = sample.name.split(".")[0] in FLUX
        expected = repeated(data, fy, fx) / (fy * fx if flux else 1)
        seen = np.isfinite(hdus[0].data)
        np.testing.assert_allclose(hdus[0].data[seen], expected[seen], rtol=3e-7)
        kept = seen[..., ::fy, ::fx] & np.isfinite(data)
        total = hdus[0].data[seen].sum(dtype=np.float64)
        assert total == pytest.approx(data[kept].sum() * (1 if flux else fy * fx), rel=1e-5, abs=1e-5)
        invalid = np.isnan(data)
        if "_ima_" in sample.name:
            invalid |= (source["DQ"].data & (1 + 2 + 4 + 8 + 16 + 4096 + 8192)) > 0
            assert np.array_equal(hdus["DQ"].data, repeated(source["DQ"].data, fy, fx))
            assert np.array_equal(hdus["ERR_LR"].data, source["ERR"].data)
        assert np.array_equal(np.isnan(hdus[0].data), repeated(invalid, fy, fx))
        assert np.array_equal(hdus["MASK"].data == 1, np.isnan(hdus[0].data))
        assert hdus["UNCERT"].header["UTYPE"] == "StdDevUncertainty"
        assert np.array_equal(np.isnan(hdus["UNCERT"].data), np.isnan(hdus[0].data))
        history = " ".join(str(after["HISTORY"]).split("\n"))
        assert "not a measurement" in history
        assert after["GENERATD"] is True
        assert "nearest" in hdus["PROVENANCE"].data["REPORT"][0]
        if "CTYPE1" in before:
            scale = {1: fx, 2: fy}
            error = same_sky(before, after, data.shape, scale, source, hdus)
            assert error < 1e-9
            if data.ndim == 2 and "azp" not in sample.name:
                assert_same_pixels(before, after, data.shape, (fy, fx), source, hdus)
            assert same_sky(before, hdus["UNCERT"].header, data.shape, scale, source, hdus) < 1e-9
    with fits.open(paths[1], checksum=True) as hdus:
        assert hdus[0].shape == (*data.shape[:-2], data.shape[-2] * fy, data.shape[-1] * fx)
        assert "posterior sample 1" in " ".join(str(hdus[0].header["HISTORY"]).split("\n"))


def assert_same_pixels(before, after, shape, factor, source, hdus):
    """The sky of a refined pixel, sent back through the source's coordinates, is the pixel it came from (1e-6 px)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        w0, w1 = WCS(before, fobj=source), WCS(after, fobj=hdus)
        assert w0.calc_footprint(center=False, axes=shape[::-1]) == pytest.approx(
            w1.calc_footprint(center=False, axes=(shape[1] * factor[1], shape[0] * factor[0])), abs=1e-9
        )
        x = np.array([0.0, shape[1] * factor[1] - 1, 5.5])
        y = np.array([0.0, shape[0] * factor[0] - 1, 3.5])
        back = w0.all_world2pix(*w1.all_pix2world(x, y, 0), 0, tolerance=1e-8)
    np.testing.assert_allclose(back[0], (x + 0.5) / factor[1] - 0.5, atol=1e-6)
    np.testing.assert_allclose(back[1], (y + 0.5) / factor[0] - 0.5, atol=1e-6)


def test_ccddata_reads_everything(sample, refined):
    """`CCDData.read(file)` is enough: unit, mask, uncertainty and coordinates come along."""
    path = refined(sample, 2)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as hdus:
            known = "BUNIT" in hdus[0].header
            sky = "CTYPE1" in hdus[0].header
        ccd = CCDData.read(path) if known else CCDData.read(path, unit="adu")
    assert ccd.unit is not None
    assert isinstance(ccd.uncertainty, StdDevUncertainty)
    assert ccd.mask.dtype == bool
    assert ccd.mask.shape == ccd.uncertainty.array.shape == ccd.shape
    lookup = "acs_distortion" in sample.name  # its reader passes no file to WCS, which lookup tables need
    assert (ccd.wcs is not None) == (sky and not lookup)


def test_unit_is_spelt_for_fits(fits_file, refined):
    path = refined(fits_file(IMAGE, [("BUNIT", "ELECTRONS/S")]))[0]
    ccd = CCDData.read(path)
    assert ccd.unit == u.electron / u.s
    assert "ELECTRONS/S" in " ".join(str(ccd.meta["HISTORY"]).split("\n"))


def test_absent_unit_stays_absent(fits_file, refined):
    header = fits.getheader(refined(fits_file(IMAGE))[0])
    assert "BUNIT" not in header
    assert "assumed" in "".join(header["HISTORY"])


def test_flux_is_shared_and_brightness_kept(fits_file, refined):
    for options, total in (({"values": "flux"}, 1.0), ({"values": "brightness"}, 6.0)):
        out = fits.getdata(refined(fits_file(IMAGE), (2, 3), **options)[0])
        assert out.sum(dtype=np.float64) / IMAGE.sum(dtype=np.float64) == pytest.approx(total, rel=1e-6)


def test_errors_flags_weights_and_psf(fits_file, refined):
    flags = np.zeros((6, 8), np.int16)
    flags[1, 2], flags[3, 4], flags[0, 0] = 4, 5, 256
    psf = np.zeros((9, 9), np.float32)
    psf[4, 4] = 2.0
    more = [
        fits.ImageHDU(IMAGE, name="SCI"),
        fits.ImageHDU(IMAGE * 0 + 2, name="ERR"),
        fits.ImageHDU(flags, name="DQ"),
        fits.ImageHDU(IMAGE * 0 + 7, name="WHT"),
        fits.ImageHDU(psf, name="PSF"),
    ]
    for hdu in more[:4]:
        hdu.header["CTYPE1"], hdu.header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        hdu.header["CRPIX1"], hdu.header["CD1_1"], hdu.header["CD2_2"] = 3.0, 1e-4, 1e-4
    path = refined(fits_file(None, [("TELESCOP", "HST"), ("FILTER", "F814W")], more=more), 4)[0]
    with fits.open(path) as hdus:
        names = [hdu.name for hdu in hdus]
        assert names == ["SCI", "MASK", "UNCERT", "PSFIMAGE", "DQ", "ERR_LR", "WHT_LR", "PROVENANCE"]
        assert hdus[0].header["FILTER"] == "F814W"
        assert np.array_equal(hdus["DQ"].data, repeated(flags, 4, 4))
        assert hdus["DQ"].header["CRPIX1"] == hdus[0].header["CRPIX1"] == 10.5
        assert np.array_equal(hdus["ERR_LR"].data, IMAGE * 0 + 2)
        assert hdus["ERR_LR"].header["CRPIX1"] == 3.0
        bad, silent = repeated(flags & 4 > 0, 4, 4), repeated(flags & 256 > 0, 4, 4)
        assert np.array_equal(np.isnan(hdus[0].data), bad)
        assert np.array_equal(hdus["MASK"].data, bad * 1 + silent * 2)
        assert hdus["PSFIMAGE"].data.sum() == pytest.approx(1, abs=1e-6)


def test_a_bit_mask_called_mask_keeps_its_bits(fits_file, refined):
    flags = np.arange(48, dtype=np.int32).reshape(6, 8)
    more = [fits.ImageHDU(IMAGE, name="IMAGE"), fits.ImageHDU(flags, name="MASK")]
    with fits.open(refined(fits_file(None, more=more), 2)[0]) as hdus:
        assert np.array_equal(hdus["MASK_SRC"].data, repeated(flags, 2, 2))
        assert np.array_equal(hdus["MASK"].data, repeated(flags > 0, 2, 2))


def test_our_own_output_can_be_refined_again(fits_file, refined, domain, opened, tmp_path):
    cards = [("BUNIT", "MJy/sr"), ("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CDELT1", 1e-4), ("CDELT2", 1e-4)]
    data = IMAGE.copy()
    data[2, 2] = np.nan
    first = refined(fits_file(data, cards), 2, std=0.25)[0]
    scene = opened(first)
    assert scene.noise().typical(0) == pytest.approx(0.25)
    second = scene.write(NearestProduct(scene, 2), tmp_path, Names("again", 2))[0]
    assert np.array_equal(fits.getdata(second), repeated(data, 4, 4), equal_nan=True)
    with fits.open(second, checksum=True) as hdus:
        assert [h.name for h in hdus].count("UNCERT") == 1
        assert [h.name for h in hdus].count("MASK") == 1


def test_tables_are_copied_with_a_warning(fits_file, refined):
    columns = [fits.Column("X_IMAGE", "E", array=np.arange(3.0)), fits.Column("FLUX", "E", array=np.arange(3.0))]
    table = fits.BinTableHDU.from_columns(columns, name="CATALOG")
    with fits.open(refined(fits_file(IMAGE, more=[table]))[0], checksum=True) as hdus:
        assert np.array_equal(hdus["CATALOG"].data["X_IMAGE"], np.arange(3.0))
        history = "".join(hdus[0].header["HISTORY"])
    assert "X_IMAGE" in history
    assert "FLUX" not in history


def test_asdf_is_dropped_with_a_note(fits_file, refined):
    column = fits.Column("ASDF_METADATA", "10B", array=np.zeros((1, 10), np.uint8))
    asdf = fits.BinTableHDU.from_columns([column], name="ASDF")
    science = fits.ImageHDU(IMAGE, name="SCI")
    with fits.open(refined(fits_file(None, more=[science, asdf]))[0]) as hdus:
        assert "ASDF" not in [hdu.name for hdu in hdus]
        assert "GWCS" in " ".join("".join(hdus[0].header["HISTORY"]).split())


def test_a_cube_whose_first_axis_is_the_wavelength(fits_file, refined):
    cube = np.random.default_rng(1).normal(size=(6, 8, 5)).astype(np.float32)
    cards = [("CTYPE1", "WAVE"), ("CUNIT1", "m"), ("CDELT1", 1e-9), ("CTYPE2", "RA---TAN"), ("CTYPE3", "DEC--TAN")]
    out = refined(fits_file(cube, [*cards, ("CDELT2", -1e-4), ("CDELT3", 1e-4)]), (3, 2))[0]
    with fits.open(out, checksum=True) as hdus:
        assert np.array_equal(hdus[0].data, cube.repeat(3, 0).repeat(2, 1))
        assert hdus["UNCERT"].shape == hdus["MASK"].shape == (18, 16, 5)
        assert "CRPIX1" not in hdus[0].header
        assert hdus[0].header["CDELT1"] == 1e-9
        assert (hdus[0].header["CRPIX2"], hdus[0].header["CRPIX3"]) == (-0.5, -1.0)


def test_long_strings_hierarch_and_comments_survive(refined, tmp_path):
    hdu = fits.PrimaryHDU(IMAGE)
    hdu.header["LONG"] = "x" * 150
    hdu.header["HIERARCH ESO DET CHIP"] = 5
    hdu.header["COMMENT"] = "kept"
    hdu.header["OBSERVER"] = ("A", "comment")
    path = tmp_path / "cards.fits"
    hdu.writeto(path)
    header = fits.getheader(refined(path)[0])
    assert header["LONG"] == "x" * 150
    assert header["ESO DET CHIP"] == 5
    assert "kept" in list(header["COMMENT"])
    assert header.comments["OBSERVER"] == "comment"


def test_old_checksums_do_not_survive(samples, refined):
    source = samples / "checksum.fits"
    path = refined(source)[0]
    assert fits.getheader(source)["CHECKSUM"] != fits.getheader(path)["CHECKSUM"]
    with fits.open(path, checksum=True) as hdus:
        assert all(hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus)


def test_blocks_do_not_show(fits_file, domain, opened, monkeypatch, tmp_path):
    """The same file whatever the height of the blocks that are written."""
    scene = opened(fits_file(IMAGE, [("BUNIT", "adu")]))
    files = []
    for pixels in (1, 96, 1 << 20):
        monkeypatch.setattr("gensr.domains.astronomy.writer.BLOCK_PIXELS", pixels)
        product = NearestProduct(scene, 2, total=True)
        files.append(scene.write(product, tmp_path, Names(f"b{pixels}", 2))[0].read_bytes())
    assert files[0] == files[1] == files[2]


def test_every_sample_file_is_named_and_counted(fits_file, refined):
    paths = refined(fits_file(IMAGE), samples=3)
    assert [path.name for path in paths] == [
        "image_x2_generated.fits",
        "image_x2_generated_sample1.fits",
        "image_x2_generated_sample2.fits",
        "image_x2_generated_sample3.fits",
    ]
    assert all(path.is_file() for path in paths)


def test_gzip_output_is_reproducible(samples, domain, opened, tmp_path):
    scene = opened(samples / "acs_distortion_lookup.fits.gz")
    written = [scene.write(NearestProduct(scene, 2), tmp_path, Names(f"r{i}", 2))[0] for i in (1, 2)]
    assert written[0].read_bytes() == written[1].read_bytes()
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.is_file()) == [".gz"] * 4


def test_provenance_sentence_is_in_the_header(fits_file, refined, opened):
    path = fits_file(IMAGE)
    report = NearestProduct(opened(path), 2).report
    history = "".join(line.ljust(72) for line in fits.getheader(refined(path)[0])["HISTORY"])
    assert MARK in history
    assert sentence(report) in history


def test_checksum_arithmetic_against_astropy():
    rng = np.random.default_rng(4)
    for _ in range(50):
        block = rng.integers(0, 256, 2880, dtype=np.uint8)
        hdu = fits.PrimaryHDU(block.reshape(40, 72))
        hdu.add_checksum()
        assert ones_sum(block.tobytes()) == int(hdu.header["DATASUM"])
        total = int(rng.integers(0, 1 << 32))
        assert encode_sum(total) == hdu._char_encode(~np.uint32(total))


def test_big_reserved_arrays_are_written_in_place(tmp_path):
    """A stream never holds an array: reserve, fill two corners, seal."""
    stream = FitsStream(tmp_path / "big.fits")
    slot = stream.image(fits.Header(), (3000, 4000), -32)
    slot.put((slice(0, 1), slice(0, 2)), np.array([[1.0, 2.0]]))
    slot.put((slice(2999, 3000), slice(3999, 4000)), np.array([[3.0]]))
    stream.seal()
    with fits.open(tmp_path / "big.fits", checksum=True) as hdus:
        assert hdus[0].data[0, 0] == 1
        assert hdus[0].data[-1, -1] == 3
        assert hdus[0].data.sum() == 6
