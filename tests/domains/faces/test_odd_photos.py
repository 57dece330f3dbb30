"""Odd photos: the right result, or one clear line; never anything else."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

import gensr
from gensr.domains.faces import centre


def field(rows, cols, bands=3):
    y, x = np.mgrid[:rows, :cols]
    planes = [np.clip(120 + 90 * np.sin(x / 7 + k) * np.cos(y / 9), 0, 255) for k in range(max(1, bands))]
    codes = np.stack(planes, -1).astype(np.uint8)
    return codes if bands > 1 else codes[..., 0]


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(rows, cols, bands=3):
    return Image.fromarray(field(rows, cols, bands))


def turned(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return saved(rgb(30, 40), "JPEG", exif=exif, quality=95)


def frames(kind):
    return saved(rgb(12, 12), kind, save_all=True, append_images=[Image.new("RGB", (12, 12), "red")])


def bomb(side):
    """A PNG of a few hundred bytes that claims to be a wall of pixels."""
    good = bytearray(saved(Image.new("L", (8, 8)), "PNG"))
    good[16:24] = struct.pack(">II", side, side)
    good[29:33] = struct.pack(">I", zlib.crc32(bytes(good[12:29])))
    return bytes(good)


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RESULTS = {
    "wide.png": (saved(rgb(3, 20000), "PNG"), (3, 6, 40000)),
    "tall.png": (saved(rgb(5000, 3), "PNG"), (3, 10000, 6)),
    "line.png": (saved(rgb(1, 50), "PNG"), (3, 2, 100)),
    "grey.jpg": (saved(rgb(30, 41, 1), "JPEG"), (60, 82)),
    "cmyk.jpg": (saved(rgb(30, 40).convert("CMYK"), "JPEG"), (3, 60, 80)),
    "cmyk.tif": (saved(rgb(30, 40).convert("CMYK"), "TIFF"), (3, 60, 80)),
    "palette.gif": (saved(rgb(30, 40).quantize(200), "GIF"), (3, 60, 80)),
    "grey16.png": (saved(Image.fromarray(field(20, 30, 1).astype(np.uint16) * 257), "PNG"), (40, 60)),
    "alpha.png": (saved(rgb(30, 40).convert("RGBA"), "PNG"), (3, 60, 80)),
    "photo.webp": (saved(rgb(30, 40), "WEBP", lossless=True), (3, 60, 80)),
    "photo.bmp": (saved(rgb(30, 40), "BMP"), (3, 60, 80)),
    "progressive.jpg": (saved(rgb(30, 40), "JPEG", progressive=True), (3, 60, 80)),
    "pixel.png": (saved(rgb(1, 1), "PNG"), (3, 2, 2)),
    "two.jpg": (saved(rgb(2, 1), "JPEG"), (3, 4, 2)),
    "holes.png": (saved(rgb(30, 40).quantize(200), "PNG", transparency=3), (3, 60, 80)),
    "profile.jpg": (saved(rgb(30, 40), "JPEG", icc_profile=PROFILE), (3, 60, 80)),
    "grey_alpha.png": (saved(rgb(30, 40, 1).convert("LA"), "PNG"), (60, 80)),
    "interlaced.png": (saved(rgb(30, 40), "PNG", interlace=1), (3, 60, 80)),
    "black.png": (saved(Image.new("RGB", (40, 30)), "PNG"), (3, 60, 80)),
    **{f"turned{k}.jpg": (turned(k), (3, 60, 80) if k < 5 else (3, 80, 60)) for k in range(1, 9)},
}
REFUSED = {
    "animation.gif": (frames("GIF"), "holds 2 pictures"),
    "animation.png": (frames("PNG"), "holds 2 pictures"),
    "animation.webp": (frames("WEBP"), "holds 2 pictures"),
    "pages.tif": (frames("TIFF"), "holds 2 pictures"),
    "lab.tif": (saved(rgb(9, 9).convert("LAB"), "TIFF"), "LAB"),
    "bits.png": (saved(rgb(9, 9).convert("1"), "PNG"), "1 bit"),
    "cut.jpg": (saved(rgb(90, 90), "JPEG")[:900], "damaged"),
    "cut.png": (saved(rgb(90, 90), "PNG")[:300], "damaged"),
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"<html>no picture</html>", "not"),
    "bomb.png": (bomb(60_000), "pixels"),
    "floats.tif": (saved(Image.fromarray(field(9, 9, 1).astype(np.float32)), "TIFF"), "mode F"),
}


@pytest.fixture
def nothing_is_looked_for(monkeypatch):
    monkeypatch.setattr(centre, "installed", lambda: False)


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.usefixtures("nothing_is_looked_for")
def test_odd_photos_come_out_right(tmp_path, name):
    data, shape = RESULTS[name]
    (tmp_path / name).write_bytes(data)
    result = gensr.upsample(tmp_path / name, domain="faces", factor=2, search="fast", labels="image")
    assert result.mean.shape == shape
    assert result.report["consistency"]["largest"] <= 0.51
    if name.startswith("cmyk"):
        assert any("became sRGB" in text for text in result.report["warnings"])


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.usefixtures("nothing_is_looked_for")
def test_others_are_refused_in_one_line(tmp_path, name):
    data, words = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(gensr.GensrError, match=words) as caught:
        gensr.upsample(tmp_path / name, domain="faces", factor=2, search="fast", labels="image")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def person():
    """A portrait by NASA that scikit-image carries, cut to the face and shoulders."""
    data = pytest.importorskip("skimage.data", reason="the benchmarks' scikit-image is not installed")
    if not centre.installed():
        pytest.skip("the extra photos is not installed")
    return data.astronaut()[:256, 96:352]


def answered(path, picture, **words):
    Image.fromarray(picture).save(path)
    return gensr.upsample(path, domain="faces", factor=2, search="fast", **words)


def test_fifty_faces_are_fifty_answers(person, tmp_path):
    small = np.asarray(Image.fromarray(person).resize((64, 64), Image.Resampling.LANCZOS))
    crowd = np.tile(small, (5, 10, 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = answered(tmp_path / "crowd.png", crowd, options={"face": "all"})
    assert result.mean.shape == (3, 640, 1280)
    found = result.report["parts"]
    assert 48 <= len(found) <= 52
    assert result.report["consistency"]["largest"] <= 0.51
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def test_a_face_cut_by_the_border(person, tmp_path):
    result = answered(tmp_path / "cut.png", person[:, 130:])
    assert result.mean.shape == (3, 512, 252)
    assert result.report["consistency"]["largest"] <= 0.51


def test_a_face_of_twelve_pixels(person, tmp_path):
    tiny = np.asarray(Image.fromarray(person).resize((24, 24), Image.Resampling.LANCZOS))
    scene = np.full((120, 160, 3), 90, np.uint8)
    scene[40:64, 60:84] = tiny
    result = answered(tmp_path / "tiny.png", scene, options={"face": "66,42,12,14"})
    assert [part["number"] for part in result.report["parts"]] == [1]
    assert result.report["consistency"]["largest"] <= 0.51


def test_no_face_is_said(person, tmp_path):
    result = answered(tmp_path / "none.png", np.ascontiguousarray(person[:, ::-1][200:, :60]))
    assert any("nothing is generated" in text for text in result.report["warnings"])
