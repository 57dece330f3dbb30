"""Training images: every form that people have, and one line for what cannot be used."""

import io
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from gensr.errors import FormatError, UsageError
from gensr.making import corpus

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
    monkeypatch.setattr(corpus, "LIMIT", 40)
    (tmp_path / "a.png").write_bytes(png(GREY))
    with pytest.raises(FormatError, match="too large"):
        read(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(1000))
    with pytest.raises(FormatError, match=r"bomb\.png: 1000 bytes is too large"):
        read(tmp_path / "a.zip")
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((4, 16, 16)))
    with pytest.raises(FormatError, match="too large"):
        read(tmp_path / "a.npz")


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
