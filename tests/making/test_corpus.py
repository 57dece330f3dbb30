"""Training images: every form that people have, and one line for what cannot be used."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gensr.errors import FormatError, UsageError
from gensr.making import corpus
from gensr.values.limits import LIMITS, Limit

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOUR = np.stack([GREY, GREY + 20, GREY + 40], -1)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def read(path, domain="microscopy"):
    return list(corpus.read(path, domain))


def test_a_folder_of_pictures_and_files_of_the_domain(tmp_path):
    (tmp_path / "a.png").write_bytes(png(GREY))
    (tmp_path / "b.png").write_bytes(png(COLOUR))
    tifffile.imwrite(tmp_path / "c.tif", GREY.astype(np.uint16) * 100)
    (tmp_path / "notes.txt").write_text("not an image")
    grey, colour, micrograph = read(tmp_path)
    np.testing.assert_array_equal(grey, GREY[None])
    np.testing.assert_array_equal(colour, COLOUR.transpose(2, 0, 1))
    np.testing.assert_array_equal(micrograph, GREY[None] * np.float32(100))
    assert {a.dtype for a in (grey, colour, micrograph)} == {np.dtype(np.float32)}


def test_pictures_of_sixteen_bits_keep_their_values(tmp_path):
    deep = GREY.astype(np.uint16) * 5000
    Image.fromarray(deep).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path)[0], deep[None])


def test_a_zip_is_read_in_the_order_of_its_names(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b/2.png", png(GREY + 1))
        archive.writestr("a/1.png", png(GREY))
        archive.writestr("readme.md", "text")
    first, second = read(tmp_path / "a.zip")
    assert (first[0, 0, 0], second[0, 0, 0]) == (0, 1)


def test_arrays_with_and_without_bands(tmp_path):
    np.savez(tmp_path / "a.npz", grey=np.ones((2, 8, 9)), bands=np.zeros((1, 3, 8, 8)), ids=np.arange(4))
    assert [a.shape for a in read(tmp_path / "a.npz")] == [(1, 8, 9), (1, 8, 9), (3, 8, 8)]


def test_jpeg_streams_give_only_their_training_split(tmp_path):
    pictures = [png(GREY + i) for i in range(3)]
    stream = np.frombuffer(b"".join(pictures), np.uint8)
    offset = np.cumsum([0, *map(len, pictures)])
    np.savez(tmp_path / "a.npz", jpeg=stream, offset=offset, split=np.array([0, 1, 0]))
    assert [a[0, 0, 0] for a in read(tmp_path / "a.npz")] == [0, 2]
    np.savez(tmp_path / "b.npz", jpeg=stream, offset=offset)
    assert [a[0, 0, 0] for a in read(tmp_path / "b.npz")] == [0, 1, 2]


def test_anscombe_codes_are_steps_of_the_noise():
    """Neighbouring codes differ by a twentieth of the deviation of photon and read noise at that flux."""
    exposure, sky = 2028.0, 0.07
    flux = corpus.anscombe_flux(np.array([-40, 0, 400, 4000], np.int16))
    after = corpus.anscombe_flux(np.array([-39, 1, 401, 4001], np.int16))
    electrons = (flux.astype(np.float64) + sky) * exposure
    deviation = np.sqrt(electrons + 100) / exposure
    np.testing.assert_allclose((after - flux) / deviation, 0.05, rtol=0.02)
    assert flux[1] == 0


@pytest.mark.parametrize("name", ["a.zip", "a.npz", "a.png", "a.tif"])
@pytest.mark.parametrize("data", [b"", b"no image at all, only text", b"PK\x03\x04broken", b"\x89PNG\r\n\x1a\nbroken"])
def test_damaged_files_are_named(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=name):
        read(tmp_path / name)


def test_objects_in_npz_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([[[{}]]], object))
    with pytest.raises(FormatError, match=r"unreadable npz"):
        read(tmp_path / "a.npz")


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "corpus", Limit(40, "bytes"))
    (tmp_path / "a.png").write_bytes(png(GREY))
    with pytest.raises(FormatError, match=r"a.png: claims \d+ bytes"):
        read(tmp_path / "a.png")
    monkeypatch.setitem(LIMITS, "corpus", Limit(300, "bytes"))
    wide = png(np.zeros((100, 100), np.uint8))
    assert len(wide) < 300
    (tmp_path / "a.png").write_bytes(wide)
    with pytest.raises(FormatError, match=r"a.png: not a readable picture .*100 x 100 pixels is too large"):
        read(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(1000))
    with pytest.raises(FormatError, match=r"bomb\.png: claims 1000 bytes"):
        read(tmp_path / "a.zip")
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((4, 16, 16)))
    with pytest.raises(FormatError, match=r"a\.npy: claims 8320 bytes"):
        read(tmp_path / "a.npz")


def test_zeros_that_unpack_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "believed", Limit(1 << 16, "bytes"))
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((4, 256, 256), np.uint8))
    with pytest.raises(
        FormatError, match=r"a\.npy: claims 262272 bytes in \d+; an empty image or a decompression bomb"
    ):
        read(tmp_path / "a.npz")
    noise = np.random.default_rng(0).integers(0, 255, (4, 256, 256), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", a=noise)
    assert len(read(tmp_path / "a.npz")) == 4


def header(shape="(2, 8, 8)", descr="'|u1'", order="False", size=128):
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(size)


@pytest.mark.parametrize(
    "data",
    [
        header("(10**12, 8, 8)"), header("(1000000000000, 8, 8)"), header("(-1, -8, 16)"), header("(2, 8)"),
        header("'x'"), header("[2, 8, 8]"), header(descr="'O'"), header(descr="'<U4'"), header(descr="[('a', 'u1')]"),
        header(descr="'?x'"), header(order="3"), header("(" * 3000 + ")" * 3000), header(size=3),
        b"\x93NUMPY\x09\x00" + bytes(100), b"\x93NUMPY\x01\x00\xff\xff{", b"",
    ],
)  # fmt: skip
def test_headers_of_arrays_are_not_believed(tmp_path, data):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(FormatError, match=r"a\.npz/a: unreadable npz") as caught:
        read(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.zip", "a.npz"])
@pytest.mark.parametrize("spoil", ["encrypted", "method", "checksum", "size", "deflate", "name", "cut"])
def test_archives_that_are_damaged_in_any_way(tmp_path, name, spoil):
    path = tmp_path / name
    if name == "a.npz":
        np.savez_compressed(path, a=np.arange(512, dtype=np.uint8).reshape(2, 16, 16))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.png", png(np.arange(3600).reshape(60, 60).astype(np.uint8)))
    raw = bytearray(path.read_bytes())
    central, body = raw.index(b"PK\1\2"), 30 + raw[26] + raw[28]
    if spoil == "encrypted":
        raw[central + 8] |= 1
        raw[6] |= 1
    elif spoil == "method":
        raw[central + 10 : central + 12] = raw[8:10] = b"\x63\0"
    elif spoil == "checksum":
        raw[central + 16] ^= 1
    elif spoil == "size":
        raw[central + 24] ^= 1
    elif spoil == "deflate":
        raw[body + 20 : body + 60] = bytes(40)
    elif spoil == "name":
        raw[30] ^= 255
    else:
        del raw[body + 10 : body + 30]
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=name):
        read(path)


@pytest.mark.parametrize("offset", [np.zeros((2, 2), int), np.zeros(0, int), np.zeros(3), np.array(3)])
def test_offsets_of_jpeg_streams_are_not_believed(tmp_path, offset):
    np.savez(tmp_path / "a.npz", jpeg=np.zeros(10, np.uint8), offset=offset)
    with pytest.raises(FormatError, match=r"a\.npz: unreadable npz \(offset"):
        read(tmp_path / "a.npz")


def test_offsets_beyond_the_stream_are_one_line(tmp_path):
    np.savez(tmp_path / "a.npz", jpeg=np.zeros(10, np.uint8), offset=np.array([0, 10**15, -5]))
    with pytest.raises(FormatError, match="not a readable picture"):
        read(tmp_path / "a.npz")


def test_pipes_devices_and_nobodys_home(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UsageError, match="is a device or pipe"):
        read(tmp_path / "a.png")
    with pytest.raises(UsageError, match="no image found"):
        read(tmp_path)  # the pipe in the folder is left alone
    with pytest.raises(UsageError, match="no such file"):
        read(Path("~nobody-of-that-name/a.zip"))


def test_nothing_to_train_on_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "missing")
    with pytest.raises(UsageError, match="no image found"):
        read(tmp_path)
    np.savez(tmp_path / "a.npz", ids=np.arange(3))
    with pytest.raises(UsageError, match="no image found"):
        read(tmp_path / "a.npz")


def test_images_with_invalid_pixels_are_left_out(tmp_path):
    with_hole = GREY.astype(np.float32)
    with_hole[1, 1] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", with_hole)
    tifffile.imwrite(tmp_path / "b.tif", GREY.astype(np.float32))
    assert len(read(tmp_path)) == 1
