"""Photographs of 16 bits in colour: in, through, and out again by libraries that gensr does not use for them."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

import gensr
from gensr.domains.faces import Faces, centre, deep
from gensr.errors import FormatError, PluginError

imagecodecs = pytest.importorskip("imagecodecs")
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BOX = "10,5,16,20"


def pattern(samples: int = 3, rows: int = 30, cols: int = 44) -> np.ndarray:
    """Values that no 8 bits hold; alpha last."""
    y, x = np.mgrid[:rows, :cols]
    planes = [30000 + 12000 * np.sin(x / 6 + k) + 9000 * np.cos(y / (5 + k)) + 7 * k for k in range(3)]
    planes = planes[:1] if samples == 2 else planes
    planes += [1000 * y + 7 * x] if samples in (2, 4) else []
    return np.rint(np.stack(planes, -1)).astype(np.uint16)


def png(path: Path, pixels: np.ndarray, **beside) -> Path:
    """A PNG of 16 bits; what is saved beside the pixels is made by Pillow."""
    dressed = io.BytesIO()
    Image.new("RGB", (1, 1)).save(dressed, "PNG", **beside)
    deep.save_png(pixels, path, dressed)
    return path


def tiff(path: Path, pixels: np.ndarray, **words) -> Path:
    extra = ["unassalpha"] if pixels.shape[-1] == 4 and "extrasamples" not in words else None
    usual = {"photometric": "rgb", "metadata": None, "extrasamples": extra}
    tifffile.imwrite(path, pixels, **{**usual, **words})
    return path


def read(path: Path) -> np.ndarray:
    return imagecodecs.png_decode(path.read_bytes()) if path.suffix == ".png" else tifffile.imread(path)


def means(pixels: np.ndarray, factor: int) -> np.ndarray:
    rows, cols, bands = pixels.shape
    return pixels.astype(float).reshape(rows // factor, factor, cols // factor, factor, bands).mean((1, 3))


@pytest.mark.parametrize(("name", "samples"), [("a.png", 3), ("a.png", 4), ("a.tif", 3), ("a.tif", 4)])
def test_a_photo_of_16_bits_in_colour_goes_through(tmp_path, monkeypatch, name, samples):
    monkeypatch.setattr(centre, "installed", lambda: False)
    pixels = pattern(samples)
    path = (png if name == "a.png" else tiff)(tmp_path / name, pixels)
    words = {"factor": 2, "domain": "faces", "search": "fast", "samples": 1, "options": {"face": BOX}}
    result = gensr.upsample(path, output=tmp_path / "out", **words)
    assert result.report["input"]["dtype"] == "uint16"
    assert result.report["parts"][0]["restored"]
    made = {file.name: read(file) for file in result.files if file.suffix == path.suffix and "std" not in file.name}
    made = {key: value for key, value in made.items() if "preview" not in key and "answers" not in key}
    assert len(made) == 2
    for answer in made.values():
        assert (answer.dtype, answer.shape) == (np.uint16, (60, 88, samples))
        assert np.abs(means(answer, 2) - pixels)[..., :3].max() <= 0.5
        assert len(np.unique(answer[..., 0] & 255)) > 100  # low bytes are used
        if samples == 4:
            assert (answer[::2, 1::2, 3] == pixels[..., 3]).all()
    plain = gensr.upsample(path, **{**words, "samples": 0, "options": {}})
    mean = made[f"a_x2_generated{path.suffix}"][..., :3]
    assert (mean[:, 70:] == np.moveaxis(plain.mean, 0, -1)[:, 70:]).all()
    assert (mean[20:30, 24:40] != np.moveaxis(plain.mean, 0, -1)[20:30, 24:40]).any()


def test_grey_with_alpha_of_16_bits(tmp_path, upscale):
    pixels = pattern(2)
    made = read(upscale(png(tmp_path / "a.png", pixels))["mean"])
    assert (made == pixels.repeat(2, 0).repeat(2, 1)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_undone_as_those_of_8_bits_are(tmp_path, orientation):
    pixels = pattern(3, 6, 9)
    exif = Image.Exif()
    exif[274] = orientation
    one = png(tmp_path / "a.png", pixels, exif=exif)
    two = tiff(tmp_path / "a.tif", pixels, extratags=[(274, "H", 1, orientation, True)])
    Image.fromarray((pixels >> 8).astype(np.uint8)).save(tmp_path / "b.png", exif=exif)
    wanted = Faces().open(tmp_path / "b.png", {}).photo.codes
    for path in (one, two):
        photo = Faces().open(path, {}).photo
        assert photo.orientation == orientation
        assert (photo.codes >> 8 == wanted).all()


def test_what_lies_beside_the_pixels_is_kept(tmp_path, upscale):
    info = PngInfo()
    info.add_text("Author", "somebody")
    path = png(tmp_path / "a.png", pattern(), pnginfo=info, icc_profile=ICC, dpi=(200, 100))
    with Image.open(upscale(path, (2, 3))["mean"]) as image:
        image.load()
        assert image.info["icc_profile"] == ICC
        assert np.allclose(image.info["dpi"], (600, 200), atol=0.1)
        assert image.text["Author"] == "somebody"
        assert "Contains generated detail" in image.text["Comment"]
        assert "trainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]
        assert image.getexif()[274] == 1
    words = {"iccprofile": ICC, "resolution": (200, 100), "resolutionunit": "INCH", "description": "a lake"}
    artist = [(315, "s", 0, "somebody", True)]
    path = tiff(tmp_path / "a.tif", pattern(), compression="zlib", extratags=artist, **words)
    with tifffile.TiffFile(upscale(path, (2, 3))["mean"]) as file:
        page = file.pages.first
        assert page.iccprofile == ICC
        assert page.get_resolution() == (600, 200)
        assert page.compression.name == "ADOBE_DEFLATE"
        assert page.description.startswith("a lake; ")
        assert "Contains generated detail" in page.description
        assert (page.tags[315].value, page.tags[274].value) == ("somebody", 1)
        assert b"trainedAlgorithmicMedia" in page.tags[700].value


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("text", ['{"shape": [30, 44, 3]}', "ImageJ=1.54f\nimages=1\n"])
def test_a_description_of_the_old_pixels_goes(tmp_path, upscale, text, depth):
    """Kept, it would make readers of the output look for pixels of the old shape."""
    pixels = (pattern() >> (8 if depth is np.uint8 else 0)).astype(depth)
    path = tiff(tmp_path / "a.tif", pixels, description=text)
    made = upscale(path)["mean"]
    assert (tifffile.imread(made) == pixels.repeat(2, 0).repeat(2, 1)).all()
    with tifffile.TiffFile(made) as file:
        assert "shape" not in file.pages.first.description
        assert not file.is_imagej
    assert any("description" in left for left in Faces().open(path, {}).metadata()["not_carried"])


def test_planes_apart_are_read_as_one_picture(tmp_path):
    pixels = pattern()
    path = tiff(tmp_path / "a.tif", np.moveaxis(pixels, -1, 0), planarconfig="separate")
    assert (Faces().open(path, {}).photo.codes == np.moveaxis(pixels, -1, 0)).all()


def test_kinds_that_are_not_read_are_named(tmp_path, monkeypatch):
    def said(path, kind=FormatError):
        with pytest.raises(kind) as caught:
            Faces().open(path, {})
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "not multiplied in" in said(tiff(tmp_path / "a.tif", pattern(4), extrasamples=["assocalpha"]))
    key = png(tmp_path / "key.png", pattern())
    data = key.read_bytes()
    at = data.index(b"IDAT") - 4
    body = b"tRNS" + bytes(6)
    chunk = struct.pack(">I", 6) + body + struct.pack(">I", zlib.crc32(body))
    key.write_bytes(data[:at] + chunk + data[at:])
    assert "one transparent colour" in said(key)
    whole = png(tmp_path / "half.png", pattern())
    whole.write_bytes(whole.read_bytes()[:-400])
    assert "damaged picture" in said(whole)
    whole = png(tmp_path / "whole.png", pattern())
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert "gensr[codecs]" in said(whole, PluginError)
