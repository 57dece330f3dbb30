"""Tiles of compressed images that lie about where they are or how large they are end in one line, never in zeros."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gensr.domains.astronomy import Astronomy
from gensr.errors import FormatError
from gensr.values.grid import Window

DOMAIN = Astronomy()
CODECS = ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS")
ROWS, COLS, TILE = 41, 32, 16


def picture() -> np.ndarray:
    rng = np.random.default_rng(2)
    values = np.where(rng.random((ROWS, COLS)) < 0.2, rng.integers(1, 9, (ROWS, COLS)), 0)
    values[:, 5:20] = 6000  # a level beyond 12 bits, with a word of its own in lists of PLIO
    return values.astype(np.int16)


class Packed:
    """A file of one compressed image and where its parts lie."""

    def __init__(self, path: Path, codec: str) -> None:
        self.path = path
        hdu = fits.CompImageHDU(picture(), compression_type=codec, tile_shape=(TILE, COLS))
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
        with fits.open(path, disable_image_compression=True) as hdus:
            header, self.table = hdus[1].header, hdus[1].fileinfo()["datLoc"]
            self.width = header["NAXIS1"]
            self.heap = self.table + self.width * header["NAXIS2"]
            self.size = 2 if "I" in header["TFORM1"] else 1
        self.raw = bytearray(path.read_bytes())

    def descriptor(self, tile: int) -> tuple[int, int]:
        count, offset = struct.unpack_from(">ii", self.raw, self.table + tile * self.width)
        return count, offset

    def describe(self, tile: int, count: int, offset: int) -> None:
        struct.pack_into(">ii", self.raw, self.table + tile * self.width, count, offset)

    def stream(self, tile: int) -> memoryview:
        count, offset = self.descriptor(tile)
        return memoryview(self.raw)[self.heap + offset : self.heap + offset + count * self.size]

    def codes(self) -> np.ndarray:
        self.path.write_bytes(self.raw)
        scene = DOMAIN.open(self.path, {})
        try:
            return scene.read(0, Window(0, 0, ROWS, COLS)).values[0]
        finally:
            scene.close()

    def refused(self, match: str) -> None:
        with pytest.raises(FormatError, match=match) as caught:
            self.codes()
        assert self.path.name in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def packed(tmp_path):
    return lambda codec: Packed(tmp_path / "packed.fits", codec)


@pytest.mark.parametrize("codec", CODECS)
def test_good_tiles_are_read(packed, codec):
    assert np.array_equal(packed(codec).codes(), picture())


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("tile", [0, 2])
@pytest.mark.parametrize("wrong", ["far", "behind the end", "before", "negative count", "huge count"])
def test_places_outside_the_heap(packed, codec, tile, wrong):
    file = packed(codec)
    count, offset = file.descriptor(tile)
    count, offset = {
        "far": (count, 2**30),
        "behind the end": (count, offset + len(file.raw) - file.heap - count * file.size),
        "before": (count, -5),
        "negative count": (-count, offset),
        "huge count": (2**30, offset),
    }[wrong]
    file.describe(tile, count, offset)
    file.refused(rf"tile {tile}: -?\d+ values at byte -?\d+ lie outside the heap")


@pytest.mark.parametrize("codec", CODECS)
def test_streams_that_end_early(packed, codec):
    file = packed(codec)
    count, offset = file.descriptor(1)
    file.describe(1, count // 3, offset)
    file.refused("cannot be decoded")


@pytest.mark.parametrize("codec", CODECS)
def test_streams_of_another_tile(packed, codec):
    """The last tile has 9 rows, the others 16."""
    file = packed(codec)
    file.describe(2, *file.descriptor(0))
    file.refused(r"tile 2 of \[9, 32\] pixels|cannot reshape|unused bytes")


@pytest.mark.parametrize("codec", ["GZIP_1", "GZIP_2"])
def test_gzip_that_swells(packed, codec):
    file = packed(codec)
    place = file.heap + file.descriptor(0)[1]
    bomb = gzip.compress(bytes(1 << 15), mtime=0)
    assert len(bomb) < file.descriptor(0)[0]
    file.raw[place : place + len(bomb)] = bomb
    file.describe(0, len(bomb), place - file.heap)
    file.refused(rf"tile 0 of \[16, 32\] pixels unpacks to more than {8 * 16 * 32} bytes")


def test_hcompress_that_claims_more_pixels(packed):
    """Its decoder writes as many pixels as the stream says."""
    file = packed("HCOMPRESS_1")
    struct.pack_into(">ii", file.stream(1), 2, 4000, 4000)
    file.refused(r"tile 1 of \[16, 32\] pixels is a stream of \[4000, 4000\]")
    file.stream(1)[:2] = b"\0\0"
    file.refused("tile 1 is no stream of HCOMPRESS")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({3: 30000}, "a list of 30000 words from 7"),
        ({3: 0}, "a list of 0 words"),
        ({1: 20000}, "words from 20000"),
        ({1: -3}, "words from -3"),
        ({2: 31000}, "a list of 31000 words from 3"),
        ({4: 9}, r"a list of \d{6} words"),
        ({7: 4095}, r"tile 1 of \[16, 32\] pixels is a list of \d+"),
        ({8: 0x5003}, r"tile 1 of \[16, 32\] pixels is a list of \d+"),
        ({7: -1}, "words that are no instruction"),
        ({-1: 0x1000}, "its last value is cut"),
    ],
)
def test_lists_of_plio_that_lie(packed, words, match):
    file = packed("PLIO_1")
    stream = file.stream(1)
    for place, word in words.items():
        struct.pack_into(">h", stream, place * 2 if place >= 0 else len(stream) + place * 2, word)
    file.refused(match)


def test_rows_that_their_columns_do_not_fill(packed):
    file = packed("RICE_1")
    at = file.raw.index(b"THEAP") if b"THEAP" in file.raw else file.raw.index(b"TFIELDS")
    file.raw[at : at + 80] = b"THEAP   =                    8".ljust(80)
    file.refused("not readable|cannot be decoded")
