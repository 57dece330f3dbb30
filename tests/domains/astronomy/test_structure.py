"""Headers that would keep a reader busy for ever are refused before any library reads them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gensr.domains.astronomy import Astronomy
from gensr.domains.astronomy.structure import check_structure
from gensr.errors import FormatError

DOMAIN = Astronomy()


def card(key: str, value: object) -> bytes:
    return f"{key:<8}= {value!s:>20}".ljust(80).encode()


def write(path: Path, cards: list[bytes], data: bytes = bytes(2880)) -> Path:
    header = b"".join(cards) + b"END".ljust(80)
    path.write_bytes(header + b" " * (-len(header) % 2880) + data)
    return path


PLAIN = [card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", 2), card("NAXIS1", 40), card("NAXIS2", 72)]


@pytest.mark.parametrize("count", [1000, 99999999999, -1])
@pytest.mark.parametrize("key", ["NAXIS", "ZNAXIS", "TFIELDS"])
def test_counts_beyond_the_standard(tmp_path, key, count):
    cards = [c for c in PLAIN if not c.startswith(f"{key:<8}".encode())] + [card(key, count)]
    path = write(tmp_path / "a.fits", cards)
    started = time.monotonic()
    with pytest.raises(FormatError, match=f"a.fits: claims {key} = {count}, at most 999"):
        DOMAIN.open(path, {})
    assert time.monotonic() - started < 5


def test_counts_in_a_later_header(tmp_path):
    first = write(tmp_path / "one.fits", PLAIN).read_bytes()
    second = [card("XTENSION", "'IMAGE   '"), card("BITPIX", 8), card("NAXIS", 10**9)]
    path = write(tmp_path / "a.fits", second)
    path.write_bytes(first + path.read_bytes())
    with pytest.raises(FormatError, match="claims NAXIS = 1000000000"):
        DOMAIN.open(path, {})


@pytest.mark.parametrize("key", ["CONTINUE", "HISTORY"])
def test_floods_of_cards(tmp_path, key):
    flood = [b"LONG    = 'a&'".ljust(80)] + [f"{key:<8}  'text&'".ljust(80).encode()] * (
        60_000 if key == "HISTORY" else 20_000
    )
    path = write(tmp_path / "a.fits", PLAIN + flood)
    started = time.monotonic()
    with pytest.raises(FormatError, match=r"claims \d+ (cards of a FITS header|CONTINUE cards)|no END card"):
        DOMAIN.open(path, {})
    assert time.monotonic() - started < 5


def test_real_files_pass(tmp_path):
    """Groups, tables, cubes, compressed images, long texts."""
    header = fits.Header({"LONG": "text " * 300})
    table = fits.BinTableHDU.from_columns([fits.Column("a", "PJ()", array=np.array([[1, 2], [3]], object))])
    groups = fits.GroupsHDU(
        fits.GroupData(np.zeros((3, 1, 4, 4), np.float32), bitpix=-32, parnames=["a"], pardata=[[1, 2, 3]])
    )
    packed = fits.CompImageHDU(np.arange(900, dtype=np.int16).reshape(30, 30))
    for hdus in (
        [fits.PrimaryHDU(np.zeros((3, 4, 5)), header), table, packed],
        [groups, fits.ImageHDU(np.zeros((7, 9)))],
    ):
        fits.HDUList(hdus).writeto(tmp_path / "a.fits", overwrite=True)
        check_structure(tmp_path / "a.fits", "a.fits")
        raw = (tmp_path / "a.fits").read_bytes()
        broken = raw.replace(b"XTENSION", b"XTENSION".lower(), 1) if len(hdus) > 2 else raw[:-2880]
        (tmp_path / "b.fits").write_bytes(broken)
        check_structure(tmp_path / "b.fits", "b.fits")  # what is no header is for the reader to judge


def test_the_last_header_is_reached(tmp_path):
    """Sizes of the data between headers are counted as the standard does."""
    groups = fits.GroupsHDU(
        fits.GroupData(np.zeros((3, 1, 4, 4), np.float32), bitpix=-32, parnames=["a"], pardata=[[1, 2, 3]])
    )
    table = fits.BinTableHDU.from_columns([fits.Column("a", "PJ()", array=np.array([[1] * 900, [3]], object))])
    fits.HDUList([groups, table, fits.ImageHDU(np.zeros((70, 90)))]).writeto(tmp_path / "a.fits")
    raw = (tmp_path / "a.fits").read_bytes()
    at = raw.rindex(b"NAXIS   =")
    (tmp_path / "a.fits").write_bytes(raw[:at] + card("NAXIS", 12345)[:80] + raw[at + 80 :])
    with pytest.raises(FormatError, match="NAXIS = 12345"):
        check_structure(tmp_path / "a.fits", "a.fits")


@pytest.mark.parametrize("text", ["'electron'", "1e-320", "T", "", "12x"])
@pytest.mark.parametrize("key", ["NAXIS1", "NAXIS2", "BITPIX", "PCOUNT", "GCOUNT"])
def test_sizes_that_are_no_whole_number(tmp_path, key, text):
    """A reader multiplies what stands there: a text of 8 letters by two thousand million is 16 GiB."""
    cards = [c for c in PLAIN if not c.startswith(f"{key:<8}".encode())] + [card(key, text)]
    path = write(tmp_path / "a.fits", cards)
    with pytest.raises(FormatError, match=rf"a\.fits: claims {key} = .*, no whole number"):
        DOMAIN.open(path, {})


@pytest.mark.parametrize(("key", "number"), [("GCOUNT", -5), ("NAXIS2", -1), ("PCOUNT", -2880), ("NAXIS1", 41)])
def test_sizes_that_are_negative_or_said_twice(tmp_path, key, number):
    path = write(tmp_path / "a.fits", [*PLAIN, card("GCOUNT", 1), card(key, number)])
    started = time.monotonic()
    with pytest.raises(FormatError, match=rf"a\.fits: claims {key} = {number}.*damaged"):
        DOMAIN.open(path, {})
    assert time.monotonic() - started < 5


def test_whole_numbers_with_a_point_and_the_same_number_twice_pass(tmp_path):
    path = write(tmp_path / "a.fits", [*PLAIN, card("NAXIS2", 72), card("GCOUNT", "1."), card("PCOUNT", 0)])
    check_structure(path, "a.fits")


@pytest.mark.parametrize(
    "line",
    [
        "A*B     = 1",
        "WHAT?   = 1",
        "ab...   = 1",
        "H[?     =                    1",
        "HIERARCH a*a*a*b = 3",
        "\xe9T\xe9     = 1",
    ],
)
def test_names_that_readers_take_for_patterns(tmp_path, line):
    path = write(tmp_path / "a.fits", [*PLAIN, line.ljust(80).encode("latin-1")])
    with pytest.raises(FormatError, match=r"a\.fits: has a card named .*, which no keyword may be; rename it"):
        DOMAIN.open(path, {})


def test_patterns_in_values_and_remarks_pass(tmp_path):
    lines = ["COMMENT what? 2*3 ...", "HISTORY a*b", "OBJECT  = 'M31 ?...*' / what?", "HIERARCH ESO A = '*' / ?"]
    check_structure(write(tmp_path / "a.fits", [*PLAIN, *(line.ljust(80).encode() for line in lines)]), "a.fits")
