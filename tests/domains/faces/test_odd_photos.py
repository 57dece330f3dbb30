"""Odd photos: the right result, or one clear line; never anything else."""

import io

import numpy as np
import pytest
from PIL import Image

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
    "floats.tif": (saved(Image.fromarray(field(9, 9, 1).astype(np.float32)), "TIFF"), "mode F"),
}


@pytest.fixture(autouse=True)
def nothing_is_looked_for(monkeypatch):
    monkeypatch.setattr(centre, "installed", lambda: False)


@pytest.mark.parametrize("name", RESULTS)
def test_odd_photos_come_out_right(tmp_path, name):
    data, shape = RESULTS[name]
    (tmp_path / name).write_bytes(data)
    result = gensr.upsample(tmp_path / name, domain="faces", factor=2, search="fast", labels="image")
    assert result.mean.shape == shape
    assert result.report["consistency"]["largest"] <= 0.51
    if name.startswith("cmyk"):
        assert any("became sRGB" in text for text in result.report["warnings"])


@pytest.mark.parametrize("name", REFUSED)
def test_others_are_refused_in_one_line(tmp_path, name):
    data, words = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(gensr.GensrError, match=words) as caught:
        gensr.upsample(tmp_path / name, domain="faces", factor=2, search="fast", labels="image")
    assert "\n" not in str(caught.value)
