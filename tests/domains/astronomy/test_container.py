"""Hostile files: every one ends in one line that names the file, never in a library's exception or in garbage."""

from __future__ import annotations

import gzip
import random

import numpy as np
import pytest
from astropy.io import fits

from gensr.errors import DomainError, FormatError, GensrError, UsageError
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct
from gensr.values.limits import LIMITS, Limit

IMAGE = np.arange(48, dtype=np.float32).reshape(6, 8)


def block(*cards):
    return "".join(card.ljust(80) for card in (*cards, "END")).ljust(2880).encode()


def card(key, value):
    return f"{key:<8}= {value!s:>20}"


def primary(*cards):
    return block(card("SIMPLE", "T"), *(card(k, v) for k, v in cards))


HUGE = (("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", 10**6), ("NAXIS2", 10**6))
BAD = {
    "empty": (b"", "empty"),
    "text": (b"This is a letter, not an image.\n" * 100, "no FITS file"),
    "tiff": (b"II*\0" + bytes(5000), "no FITS file"),
    "SIMPLE = F": (block(card("SIMPLE", "F"), card("BITPIX", 8), card("NAXIS", 0)), "no FITS file"),
    "first card only": (card("SIMPLE", "T").ljust(80).encode(), "END"),
    "no END": (primary(("BITPIX", 8), ("NAXIS", 0)).replace(b"END", b"AND"), "END"),
    "header without end for megabytes": (card("SIMPLE", "T").ljust(80).encode() + b" " * (5 << 20), "END"),
    "a million pixels squared": (primary(*HUGE) + bytes(2880), "truncated"),
    "one byte short": (primary(("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 10), ("NAXIS2", 10)) + bytes(99), "truncated"),
    "negative size": (
        primary(("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", -9), ("NAXIS2", 9)),
        "negative size",
    ),
    "zero size": (primary(("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 0), ("NAXIS2", 10)), "no image"),
    "no pixels": (primary(("BITPIX", 8), ("NAXIS", 0)), "no image"),
    "odd BITPIX": (primary(("BITPIX", 12), ("NAXIS", 2), ("NAXIS1", 10), ("NAXIS2", 10)) + bytes(2880), "BITPIX 12"),
    "random groups": (
        primary(
            ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 0), ("NAXIS2", 10), ("GROUPS", "T"), ("PCOUNT", 0), ("GCOUNT", 1)
        )
        + bytes(2880),
        "random groups",
    ),
    "gzip of nothing": (gzip.compress(b""), "no FITS file"),
    "gzip cut short": (gzip.compress(primary(*HUGE) + bytes(random.Random(1).randbytes(50000)))[:20000], "damaged"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(kind, opened, domain, tmp_path):
    data, words = BAD[kind]
    path = tmp_path / ("bad.fits.gz" if kind.startswith("gzip") else "bad.fits")
    path.write_bytes(data)
    assert domain.sniff(path) in (0, 3)
    with pytest.raises(FormatError) as raised:
        opened(path)
    message = str(raised.value)
    assert message.startswith(path.name)
    assert "\n" not in message
    assert words in message


def test_gzip_bomb(opened, tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "gunzipped", Limit(1 << 20, "bytes"))
    path = tmp_path / "bomb.fits.gz"
    path.write_bytes(gzip.compress(primary(*HUGE) + b"\0" * (8 << 20)))
    with pytest.raises(FormatError, match="bomb"):
        opened(path)


def test_compressed_bomb(opened, tmp_path):
    """A small tile table whose header claims a huge image."""
    path = tmp_path / "bomb.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(IMAGE, compression_type="GZIP_2", quantize_level=0)]).writeto(
        path
    )
    text = path.read_bytes()
    start = text.index(b"ZNAXIS1 ")
    path.write_bytes(text[:start] + card("ZNAXIS1", 10**9).ljust(80).encode() + text[start + 80 :])
    with pytest.raises(FormatError, match="tiles"):
        opened(path)


@pytest.mark.parametrize("name", ["DQ", "WHT", "CATALOG"])
def test_a_truncated_companion_stops_at_once(name, opened, fits_file):
    """Not after an hour of search, and never by going on without its flags."""
    extra = fits.ImageHDU(np.zeros((6, 8), np.int16), name=name)
    if name == "CATALOG":
        extra = fits.BinTableHDU.from_columns([fits.Column("A", "E", array=np.arange(9.0))], name=name)
    path = fits_file(None, more=[fits.ImageHDU(IMAGE, name="SCI"), extra])
    path.write_bytes(path.read_bytes()[:-2870])
    with pytest.raises(FormatError, match=f"{name},1.*truncated"):
        opened(path)


def test_table_only(opened, samples):
    with pytest.raises(FormatError, match="no image to super-resolve; the file holds 1 table"):
        opened(samples / "table_only.fits")


def test_spectrum_only(opened, tmp_path):
    path = tmp_path / "spectrum.fits"
    fits.PrimaryHDU(np.arange(10.0)).writeto(path)
    with pytest.raises(FormatError, match="1 spectrum"):
        opened(path)


def test_missing_file_and_folder(opened, domain, tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        opened(tmp_path / "none.fits")
    assert domain.sniff(tmp_path) == 0
    assert domain.sniff(tmp_path / "none.fits") == 0


def test_unknown_option_is_named(opened, fits_file):
    with pytest.raises(UsageError, match=r"'colour'.*values"):
        opened(fits_file(IMAGE), colour="red")


@pytest.mark.parametrize("hdu", [5, "ERR", "SCI,2"])
def test_missing_hdu_lists_the_images(hdu, opened, fits_file):
    path = fits_file(None, more=[fits.ImageHDU(IMAGE, name="SCI"), fits.ImageHDU(IMAGE, name="OTHER")])
    with pytest.raises(FormatError, match=r"SCI,1.*OTHER,1"):
        opened(path, hdu=hdu)


def test_bscale_zero_is_refused(opened, fits_file):
    path = fits_file(IMAGE.astype(np.int16))
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"] = 0.0
    with pytest.raises(FormatError, match="BSCALE 0"):
        opened(path)


def test_a_damaged_place_is_refused_and_a_damaged_remark_dropped(opened, tmp_path):
    base = [("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 10), ("NAXIS2", 10)]
    path = tmp_path / "card.fits"
    path.write_bytes(primary(*base, ("CRPIX1", "'half")) + bytes(2880))
    with pytest.raises(FormatError, match="CRPIX1"):
        opened(path)
    path.write_bytes(primary(*base, ("OBSERVER", "\x01\x02")) + bytes(2880))
    assert any("OBSERVER" in note for note in opened(path).metadata()["notes"])


def test_cards_with_control_characters(refined, tmp_path):
    path = tmp_path / "control.fits"
    header = primary(("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 10), ("NAXIS2", 10)).replace(b"END" + b" " * 77, b"", 1)
    dirty = b"HISTORY " + bytes(range(7, 79)).ljust(72)[:72]
    path.write_bytes((header.rstrip().ljust(400) + dirty.ljust(80) + b"END").ljust(2880) + bytes(2880))
    (written, _) = refined(path)
    with fits.open(written) as hdus:
        hdus.verify("exception")


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1), (2, 2)])
def test_thin_images(shape, refined, fits_file):
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    (written, _) = refined(fits_file(data), factor=3)
    assert np.array_equal(fits.getdata(written), data.repeat(3, 0).repeat(3, 1))


def test_all_invalid(refined, domain, opened, fits_file):
    path = fits_file(np.full((6, 8), np.nan, np.float32))
    scene = opened(path)
    assert scene.metadata()["sky"]["usable_pixels"] == 0
    assert scene.noise() is None
    assert scene.normaliser().describe()["gain"] == [1.0]
    (written, _) = refined(path)
    assert np.isnan(fits.getdata(written)).all()
    assert (fits.getdata(written, "MASK") == 1).all()


def test_temporary_files_are_removed(domain, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = tmp_path / "a.fits.gz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(IMAGE, compression_type="GZIP_2", quantize_level=0)]).writeto(
        path
    )
    scene = domain.open(path, {})
    assert len(list((tmp_path / "tmp").iterdir())) == 2
    scene.close()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_damage_gives_another_exception(domain, tmp_path):
    """Cut, overwrite and shuffle cards of a file with three HDUs: it opens, or it is refused in one line."""
    path = tmp_path / "source.fits"
    science = fits.ImageHDU(IMAGE, name="SCI")
    for key, value in (
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CRPIX1", 3.0),
        ("CD1_1", 1e-4),
        ("CD2_2", 1e-4),
    ):
        science.header[key] = value
    science.header["BUNIT"] = "adu"
    flags = fits.ImageHDU(np.zeros((6, 8), np.int16), name="DQ")
    fits.HDUList([fits.PrimaryHDU(), science, flags]).writeto(path)
    clean, rng = path.read_bytes(), random.Random(7)
    outcomes = {"opened": 0, "refused": 0}
    for _ in range(120):
        data = bytearray(clean)
        match rng.randrange(3):
            case 0:
                data = data[: rng.randrange(len(data))]
            case 1:
                for _ in range(rng.randrange(1, 12)):
                    data[rng.randrange(len(data))] = rng.randrange(256)
            case _:
                at = 80 * rng.randrange(60)
                data[at + 10 : at + 30] = rng.choice(
                    [b"1e400", b"-1", b"'abc'", b"T", b"99999999999999999999", b""]
                ).rjust(20)
        bad = tmp_path / "bad.fits"
        bad.write_bytes(data)
        try:
            scene = domain.open(bad, {})
            scene.metadata()
            scene.write(NearestProduct(scene, 2), tmp_path, Names("out", 2))
            scene.close()
            outcomes["opened"] += 1
        except GensrError as error:
            outcomes["refused"] += str(error).startswith("bad.fits") and "\n" not in str(error)
    assert sum(outcomes.values()) == 120
    assert min(outcomes.values()) > 20


def test_nan_at_valid_pixels_is_an_error(opened, fits_file):
    scene = opened(fits_file(IMAGE))
    with pytest.raises(DomainError, match="NaN"):
        scene.encode(0, np.full((1, 2, 2), np.nan, np.float32), np.ones((1, 2, 2), bool))
