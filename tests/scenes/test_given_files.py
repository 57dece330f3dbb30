"""Files as people give them: read where that is safe, else refused by what they are, with what to do. Add rows."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import gensr
from gensr.errors import DomainError, FormatError, GensrError
from gensr.scenes.inputs import guess
from gensr.values.grid import Window
from gensr.values.limits import LIMITS, Limit
from tests.kinds import IMAGES, levels, smooth

PHOTO = np.stack([levels(smooth(32, 2, k), 256) for k in range(3)], -1).astype(np.uint8)
GREY = PHOTO[..., 0]
RAMP = np.stack([np.zeros(256), np.arange(256) * 257, np.zeros(256)]).astype(np.uint16)
RANDOM = np.random.default_rng(0).integers(0, 65535, (3, 256)).astype(np.uint16)
VRT = "<VRTDataset rasterXSize='9' rasterYSize='9'><VRTRasterBand/></VRTDataset>"

STRANGERS: dict[str, tuple[str, bytes, str]] = {
    "HEIC": ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0", r"a\.heic: is HEIC.*export it as PNG"),
    "HEIC with another name": ("a.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0", r"a\.jpg: is HEIF"),
    "AVIF": ("a.avif", b"\0\0\0\x1cftypavif\0\0\0\0", "is AVIF"),
    "VRT": ("a.vrt", VRT.encode(), r"a\.vrt: is a VRT, which points to other files; make a GeoTIFF"),
    "VRT in a .tif": ("a.tif", VRT.encode(), r"a\.tif: is a VRT"),
    "Photoshop": ("a.psd", b"8BPS\0\1", "Photoshop"),
    "PDF": ("a.pdf", b"%PDF-1.7", "is a PDF"),
    "SVG": ("a.svg", b"<?xml version='1.0'?><svg/>", "SVG"),
    "NRRD": ("a.nrrd", b"NRRD0004\n", "NRRD; convert it to NIfTI"),
    "CZI": ("a.czi", b"ZISRAWFILE\0", "Zeiss CZI; convert it to OME-TIFF"),
    "LIF": ("a.lif", b"\x70\0\0\0\x20\0", "Leica LIF"),
    "NumPy": ("a.npy", b"\x93NUMPY\1\0", "numpy.load"),
    "gzip of text": ("a.gz", gzip.compress(b"words"), "gunzip it"),
    "bzip2 of text": ("a.bz2", bz2.compress(b"words"), "bunzip2 it"),
    "7z": ("a.7z", b"7z\xbc\xaf\x27\x1c", "unpack it"),
}


@pytest.mark.parametrize("row", STRANGERS)
def test_strangers_are_refused_by_name(tmp_path, row):
    name, content, words = STRANGERS[row]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=words) as caught:
        guess(tmp_path / name)
    assert "\n" not in str(caught.value)


def fits_bytes(tmp_path: Path, data: np.ndarray) -> bytes:
    module = pytest.importorskip("astropy.io.fits")
    module.writeto(tmp_path / "plain", data)
    return (tmp_path / "plain").read_bytes()


def zipped(content: bytes, path: Path, *more: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.fits", content)
        archive.writestr("__MACOSX/._image.fits", b"x")
        for name in more:
            archive.writestr(name, b"x")


PACKERS: dict[str, Callable[[bytes, Path], object]] = {
    "a.fits.bz2": lambda data, path: path.write_bytes(bz2.compress(data)),
    "a.fits.xz": lambda data, path: path.write_bytes(lzma.compress(data)),
    "a.fits.zip": zipped,
    "a.fits.gz": lambda data, path: path.write_bytes(gzip.compress(data)),
}


@pytest.mark.parametrize("name", PACKERS)
def test_packed_fits_is_read(tmp_path, name):
    data = IMAGES["stars and noise"]()[:40, :50].astype(np.int16)
    path = tmp_path / name
    PACKERS[name](fits_bytes(tmp_path, data), path)
    domain = guess(path)
    assert (domain.name, domain.stem(path)) == ("astronomy", "a")
    with gensr.open(path, options={"values": "flux"}) as scene:
        assert np.array_equal(scene.read(0, Window(0, 0, 40, 50)).values[0], data)


@pytest.mark.parametrize("name", PACKERS)
def test_damaged_and_swollen_packings_are_refused(tmp_path, name, monkeypatch):

    path = tmp_path / name
    PACKERS[name](fits_bytes(tmp_path, np.zeros((1000, 500), np.int32)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"a\.fits"):
        gensr.open(path, domain="astronomy")
    path.write_bytes(whole)
    # 2 MB of zeros take less than 8 kB in each of these packings.
    monkeypatch.setitem(LIMITS, "gunzipped", Limit(1000, "bytes"))
    assert 200 * len(whole) + 1000 < 2_000_000
    with pytest.raises(FormatError, match="decompression bomb"):
        gensr.open(path, domain="astronomy")


def test_a_zip_of_several_files_is_no_image(tmp_path):
    zipped(fits_bytes(tmp_path, GREY), tmp_path / "a.zip", "b.txt")
    with pytest.raises(FormatError, match=r"a\.zip: is a zip archive"):
        guess(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["a.bmp", "a.gif"])
def test_bmp_and_gif_are_read_and_go_out_as_png(tmp_path, name):
    pillow = pytest.importorskip("PIL.Image")
    pillow.fromarray(PHOTO).save(tmp_path / name)
    with pillow.open(tmp_path / name) as source:
        expected = np.asarray(source.convert("RGB"))
    with gensr.open(tmp_path / name) as scene:
        assert scene.path.name == name
        assert np.array_equal(scene.read(0, Window(0, 0, 32, 32)).values, np.moveaxis(expected, -1, 0))
    result = gensr.upsample(tmp_path / name, factor=2, search="fast", samples=0, output=tmp_path / "out")
    with pillow.open(result.files[0]) as written:
        assert (written.format, written.size) == ("PNG", (64, 64))


def test_an_animation_is_refused(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    frames = [pillow.fromarray(PHOTO), pillow.fromarray(255 - PHOTO)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(FormatError, match="2 pictures"):
        gensr.open(tmp_path / "a.gif")


def micrograph(tmp_path: Path, data: np.ndarray, **how) -> Path:
    pytest.importorskip("tifffile").imwrite(tmp_path / "a.tif", data, **{"metadata": None, **how})
    return tmp_path / "a.tif"


def test_grey_with_a_colour_ramp_keeps_it(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    path = micrograph(tmp_path, GREY, photometric="palette", colormap=RAMP)
    result = gensr.upsample(path, domain="microscopy", factor=2, search="fast", samples=0, output=tmp_path / "out")
    with tifffile.TiffFile(result.files[0]) as written:
        page = written.pages.first
        assert (int(page.photometric), page.dtype) == (3, np.uint8)
        assert np.array_equal(page.colormap, RAMP)
    with tifffile.TiffFile(result.files[1]) as written:
        assert int(written.pages.first.photometric) == 1


def test_a_palette_of_unlike_colours_is_labels(tmp_path):
    path = micrograph(tmp_path, GREY, photometric="palette", colormap=RANDOM)
    with pytest.raises(DomainError, match="a palette of unlike colours"):
        gensr.settle(gensr.Request(path, domain="microscopy", search="fast"))
    result = gensr.upsample(path, domain="microscopy", factor=2, labels="nearest", output=tmp_path / "out")
    with pytest.importorskip("tifffile").TiffFile(result.files[0]) as written:
        assert np.array_equal(written.asarray(), GREY.repeat(2, 0).repeat(2, 1))
        assert np.array_equal(written.pages.first.colormap, RANDOM)


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.float16])
def test_wide_counts_and_half_precision_are_read(tmp_path, dtype):
    data = (smooth(48, 3, 4) * (255_000 if np.dtype(dtype).kind != "f" else 1000)).astype(dtype)
    path = micrograph(tmp_path, data)
    result = gensr.upsample(path, domain="microscopy", factor=2, search="fast", samples=0, output=tmp_path / "out")
    written = pytest.importorskip("tifffile").imread(result.files[0])
    assert written.dtype == dtype
    means = written.astype(np.float64).reshape(48, 2, 48, 2).mean((1, 3))
    assert np.abs(means - data.astype(np.float64)).max() < 0.05 * float(data.max())


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "one bit": (lambda folder: micrograph(folder, GREY > 99), "one bit per sample, a mask or a scan"),
    "complex": (lambda folder: micrograph(folder, GREY.astype(np.complex64)), "complex64 samples are not supported"),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED)
def test_refusals_say_what_it_is(tmp_path, row):
    make, words = REFUSED[row]
    with pytest.raises(GensrError, match=words) as caught:
        gensr.settle(gensr.Request(make(tmp_path), domain="microscopy", search="fast", samples=0))
    assert "labels)" not in str(caught.value)


def test_half_precision_has_no_place_in_ome(tmp_path):
    path = micrograph(tmp_path, smooth(32, 3, 4).astype(np.float16))
    with pytest.raises(DomainError, match="no word for 16-bit floats"):
        gensr.settle(gensr.Request(path, domain="microscopy", search="fast", options={"container": "ome"}))


def test_old_jpeg_is_called_so(tmp_path):
    path = micrograph(tmp_path, GREY, rowsperstrip=32)
    content = bytearray(path.read_bytes())
    with pytest.importorskip("tifffile").TiffFile(path) as tif:
        place = tif.pages.first.tags[259].valueoffset
    content[place : place + 2] = (6).to_bytes(2, "little")
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"old-style JPEG.*re-save"):
        gensr.open(path, domain="microscopy")


def test_dicom_without_pixels_is_called_so(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", generate_uid()
    found.Modality, found.SeriesInstanceUID = "MR", generate_uid()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(tmp_path / "a.dcm", found, enforce_file_format=True)
    with pytest.raises(FormatError, match="holds no pixel data"):
        gensr.open(tmp_path / "a.dcm", domain="medical")
