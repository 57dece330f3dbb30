"""Hostile and odd pictures: refused with one clear line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gensr.domains.faces import Faces
from gensr.errors import FormatError, GensrError

DOMAIN = Faces()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


HOSTILE = {
    "empty": (b"", "is not a PNG"),
    "text": (b"hello, I am no picture", "is not a PNG"),
    "gif": (b"GIF89a" + b"\0" * 40, "damaged picture"),
    "png magic": (b"\x89PNG\r\n\x1a\n", "damaged picture"),
    "jpeg magic": (b"\xff\xd8\xff\xe0", "damaged picture"),
    "webp magic": (b"RIFF\x10\0\0\0WEBPVP8 ", "damaged picture"),
    "tiff magic": (b"II*\0\x08\0\0\0", "damaged picture"),
    "bomb": (png(60000, 60000, 8, 2, b"\0"), "60000|bomb"),
    "large": (png(9600, 9600, 8, 0, b"\0"), "9600 x 9600|bomb"),
    "zero": (png(0, 5, 8, 2, b"\0"), "damaged picture|is empty"),
    "short rows": (png(9, 9, 8, 2, b"\0" * 20), "damaged picture"),
    "16-bit colour": (png(2, 2, 16, 2, b"\0" * 20), "damaged picture"),
    "16-bit bomb": (png(60000, 60000, 16, 2, b"\0"), "60000|bomb"),
    "1 bit": (png(8, 8, 1, 0, b"\0\0" * 8), "1 bit"),
    "text bomb": (
        png(2, 2, 8, 0, b"\0" * 6, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (1 << 26)))),
        "damaged picture",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE[name]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        DOMAIN.open(path, {})
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert DOMAIN.sniff(path) in (0, 1, 2)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(FormatError, match="no such file"):
            DOMAIN.open(path, {})


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_truncated_pictures_never_open(tmp_path: Path, name: str, share: float) -> None:
    data = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(data).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FormatError):
        DOMAIN.open(tmp_path / name, {})


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_flipped_bytes_never_crash(tmp_path: Path, name: str) -> None:
    data = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274], exif[271] = 3, "Maker"
    Image.fromarray(data).save(tmp_path / name, exif=exif)
    content = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(80):
        broken = bytearray(content)
        for place in rng.integers(4, len(broken), 5):
            broken[place] ^= int(rng.integers(1, 256))
        (tmp_path / name).write_bytes(broken)
        try:
            scene = DOMAIN.open(tmp_path / name, {"aligned": True})
        except GensrError:
            refused += 1
            continue
        assert scene.grid.shape[0] > 0
        scene.close()
    assert refused > 0


@pytest.mark.parametrize(("name", "mode"), [("a.tif", "LAB"), ("a.tif", "1")])
def test_colour_models_are_refused_by_name(tmp_path: Path, name: str, mode: str) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / name)
    with pytest.raises(FormatError, match=mode if mode != "1" else "1 bit"):
        DOMAIN.open(tmp_path / name, {})


@pytest.mark.parametrize("mode", ["F", "I"])
def test_deep_samples_are_refused_by_name(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "a.tif")
    with pytest.raises(FormatError, match=f"mode {mode}"):
        DOMAIN.open(tmp_path / "a.tif", {})


def test_animations_and_pages_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("a.png", "a.webp", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(FormatError, match="holds 2 pictures"):
            DOMAIN.open(tmp_path / name, {})


def test_georeferenced_tiff_is_sent_away(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.tif", tiffinfo={33550: (1.0, 1.0, 0.0)})
    with pytest.raises(FormatError, match="domain=satellite"):
        DOMAIN.open(tmp_path / "a.tif", {})


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_tiny_pictures(tmp_path: Path, upscale, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (9, 8, 7)).save(tmp_path / "a.png")
    with Image.open(upscale(tmp_path / "a.png", 3, aligned=True)["mean"]) as after:
        assert (after.size, after.getpixel((0, 0))) == ((size[0] * 3, size[1] * 3), (9, 8, 7))


def test_pillow_says_nothing_on_the_terminal(tmp_path):
    """A raster of many bands is looked at by every domain; Pillow logs an error about it to whom it may concern."""
    import logging
    import subprocess
    import sys

    import tifffile

    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((8, 8, 60), np.uint16), photometric="minisblack", planarconfig="contig"
    )
    code = "import sys, pathlib, gensr.domains.faces as f; print(f.Faces().sniff(pathlib.Path(sys.argv[1])))"
    words = [sys.executable, "-P", "-c", code, str(tmp_path / "a.tif")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    assert done.stderr == ""
    assert logging.getLogger("PIL").level == logging.NOTSET  # who listens still hears it
