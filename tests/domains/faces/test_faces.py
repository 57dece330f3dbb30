"""Portraits in, portraits out: pixels, orientation, profile, resolution, alpha, marks."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from gensr.domains.faces import Faces, centre, whole, writer
from gensr.domains.faces.align import of_box
from gensr.errors import DomainError, UsageError
from gensr.scenes import installed
from gensr.scenes.names import Names
from gensr.scenes.provenance import MARK
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Window

DOMAIN = Faces()
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
OLD_XMP = (
    b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
    b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "
    b"xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6' tiff:Make='Maker'/></rdf:RDF></x:xmpmeta>"
)


def pattern(rows: int = 24, cols: int = 24, bands: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:cols]
    peak = np.iinfo(dtype).max
    planes = [0.1 + 0.8 * x / cols, 0.9 - 0.7 * y / rows, 0.2 + 0.6 * (x + 2 * y) / (cols + 2 * rows), 0.5 + 0 * x]
    data = np.stack([np.rint(p * peak) for p in planes[:bands]], -1).astype(dtype)
    return data[..., 0] if bands == 1 else data


def load(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def replicated(data: np.ndarray, fy: int, fx: int) -> np.ndarray:
    return data.repeat(fy, 0).repeat(fx, 1)


LOSSLESS = [
    ("a.png", 3, np.uint8, {}),
    ("grey.png", 1, np.uint8, {}),
    ("grey16.png", 1, np.uint16, {}),
    ("alpha.png", 4, np.uint8, {}),
    ("a.webp", 3, np.uint8, {"lossless": True}),
    ("alpha.webp", 4, np.uint8, {"lossless": True, "exact": True}),
    ("a.tif", 3, np.uint8, {"compression": "tiff_lzw"}),
    ("grey.tiff", 1, np.uint8, {}),
    ("grey16.tif", 1, np.uint16, {}),
    ("alpha.tif", 4, np.uint8, {}),
]


@pytest.mark.parametrize(("name", "bands", "dtype", "options"), LOSSLESS)
@pytest.mark.parametrize("factor", [2, (3, 1)])
def test_lossless_formats_are_exact(tmp_path, upscale, name, bands, dtype, options, factor) -> None:
    data = pattern(bands=bands, dtype=dtype)
    Image.fromarray(data).save(tmp_path / name, **options)
    before = load(tmp_path / name)
    files = upscale(tmp_path / name, factor)
    fy, fx = factor if isinstance(factor, tuple) else (factor, factor)
    for role in ("mean", "sample"):
        after = load(files[role])
        assert (after.format, after.mode, files[role].suffix) == (before.format, before.mode, Path(name).suffix)
        np.testing.assert_array_equal(np.asarray(after), replicated(data, fy, fx))
    assert files["mean"].name == f"{Path(name).stem}_x{fy}_generated{Path(name).suffix}"


@pytest.mark.parametrize("bands", [1, 3])
def test_jpeg_stays_jpeg_at_the_best_quality(tmp_path: Path, upscale, bands: int) -> None:
    path = tmp_path / "a.JPG"
    Image.fromarray(pattern(64, 64, bands)).save(path, "JPEG", quality=90)
    expected = replicated(np.asarray(load(path)), 2, 2).astype(int)
    after = load(upscale(path)["mean"])
    assert (after.format, after.mode) == ("JPEG", "L" if bands == 1 else "RGB")
    assert np.abs(np.asarray(after).astype(int) - expected).max() <= 4
    if bands == 3:
        assert [component[1:3] for component in after.layer] == [(1, 1)] * 3  # 4:4:4
    exact = load(upscale(path, lossless="true")["mean"])
    assert exact.format == "PNG"
    np.testing.assert_array_equal(np.asarray(exact), expected)
    assert "lossless=true" in DOMAIN.open(path, {}).metadata()["output"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(tmp_path: Path, upscale, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    exif[270] = "a sitter"
    exif.get_ifd(0x8769)[0xA002] = 32
    options = {"quality": 95} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    Image.fromarray(pattern(16, 32)).save(tmp_path / name, exif=exif, **options)
    upright = np.asarray(ImageOps.exif_transpose(load(tmp_path / name)))
    scene = DOMAIN.open(tmp_path / name, {"aligned": True})
    assert scene.grid.shape == ((16, 32) if orientation < 5 else (32, 16)) == upright.shape[:2]
    assert scene.metadata()["orientation_undone"] == orientation
    after = load(upscale(tmp_path / name, 2, aligned="true")["mean"])
    difference = np.abs(np.asarray(after).astype(int) - replicated(upright, 2, 2)).max()
    assert difference <= (4 if name == "a.jpg" else 0)
    assert after.getexif()[274] == 1
    if name != "a.tif":  # the TIFF writer keeps descriptive tags, not the camera directory
        assert after.getexif().get_ifd(0x8769)[0xA002] == (64 if orientation < 5 else 32)
    assert after.getexif()[270].startswith(f"a sitter; posterior mean; {MARK}")
    assert after.getexif()[305].startswith("gensr ")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_profile_and_resolution(tmp_path: Path, upscale, name: str) -> None:
    options: dict[str, Any] = {"icc_profile": ICC} | ({} if name == "a.webp" else {"dpi": (300, 200)})
    Image.fromarray(pattern()).save(tmp_path / name, **options)
    after = load(upscale(tmp_path / name, (2, 3))["mean"])
    assert after.info["icc_profile"] == ICC
    if name != "a.webp":
        assert after.info["dpi"] == pytest.approx((900, 400), abs=0.02)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_no_resolution_is_invented(tmp_path: Path, upscale, name: str) -> None:
    Image.fromarray(pattern()).save(tmp_path / name)
    before, after = load(tmp_path / name), load(upscale(tmp_path / name, 3)["mean"])
    if name != "a.jpg":  # Pillow reports 72 for any EXIF without resolution
        assert after.info.get("dpi") == before.info.get("dpi")
    assert 282 not in after.getexif() or name == "a.tif"
    assert after.info.get("jfif_unit") == before.info.get("jfif_unit")


def test_resolution_follows_a_quarter_turn(tmp_path: Path, upscale) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pattern()).save(tmp_path / "a.png", exif=exif, dpi=(300, 200))
    assert load(upscale(tmp_path / "a.png", (2, 3))["mean"]).info["dpi"] == pytest.approx((600, 600), abs=0.02)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("xmp", [None, OLD_XMP, b"<broken", b"<!DOCTYPE a><a/>"])
def test_marks(tmp_path: Path, upscale, name: str, xmp: bytes | None) -> None:
    options: dict[str, Any] = {}
    if xmp is not None and name == "a.png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif xmp is not None and name == "a.tif":
        options["tiffinfo"] = {700: xmp}
    elif xmp is not None:
        options["xmp"] = xmp
    Image.fromarray(pattern()).save(tmp_path / name, **options)
    for role, title in (("mean", "posterior mean"), ("sample", "posterior sample 1")):
        after = load(upscale(tmp_path / name)[role])
        root = ET.fromstring(after.info["xmp"].decode("utf-8").rstrip("\0"))
        text = ET.tostring(root, encoding="unicode")
        found = [e.attrib.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") for e in root.iter()]
        assert [f for f in found if f] == [SOURCE_TYPE]
        assert f"{title}; {MARK}" in text
        assert ("Maker" in text) == (xmp == OLD_XMP)
        assert "Orientation" not in text
        words = str(after.info.get("Comment", "")) + str(after.info.get("comment", "")) + str(after.getexif().get(270))
        assert f"{title}; {MARK}" in words


def test_running_twice_says_the_source_type_once(tmp_path: Path, upscale) -> None:
    Image.fromarray(pattern()).save(tmp_path / "a.png")
    once = upscale(tmp_path / "a.png")["mean"]
    twice = upscale(once)["mean"]
    assert twice.name == "a_x2_generated_x2_generated.png"
    assert load(twice).info["xmp"].count(SOURCE_TYPE.encode()) == 1


def test_png_text_and_colour_chunks_are_kept(tmp_path: Path, upscale) -> None:
    info = PngInfo()
    info.add_text("Author", "Someone")
    info.add_text("Software", "Editor 1")
    info.add(b"gAMA", (45455).to_bytes(4, "big"))
    Image.fromarray(pattern()).save(tmp_path / "a.png", pnginfo=info)
    after = load(upscale(tmp_path / "a.png")["mean"])
    assert after.text["Author"] == "Someone"
    assert after.text["Original Software"] == "Editor 1"
    assert after.text["Software"].startswith("gensr ")
    assert after.info["gamma"] == pytest.approx(0.45455)


@pytest.mark.parametrize("camera", [{}, {0xA002: 24}, {0xA002: 24, 0xA005: {1: "R98"}}])
def test_a_camera_need_not_say_what_it_works_with(camera, upscale, tmp_path):
    """Some releases of Pillow raise where the directory of interoperability is missing; most photographs lack it."""
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(camera)
    Image.fromarray(pattern()).save(tmp_path / "a.jpg", exif=exif)
    after = load(upscale(tmp_path / "a.jpg")["mean"]).getexif().get_ifd(0x8769)
    assert after.get(0xA002) == (48 if camera else None)
    assert (0xA005 in after) == (0xA005 in camera)


def test_stale_thumbnail_is_dropped(tmp_path: Path, upscale) -> None:
    exif = Image.Exif()
    exif[271] = "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    Image.fromarray(pattern()).save(tmp_path / "a.jpg", exif=exif)
    after = load(upscale(tmp_path / "a.jpg")["mean"]).getexif()
    assert after[271] == "Maker"
    assert after.get_ifd(0x8825) == {1: "N"}
    assert dict(after.get_ifd(1)) == {}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "grey.png"])
def test_standard_deviation_is_a_float_tiff(tmp_path: Path, upscale, name: str) -> None:
    bands = 1 if name == "grey.png" else 3
    Image.fromarray(pattern(bands=bands)).save(tmp_path / name)
    path = upscale(tmp_path / name, 2)["std"]
    assert path.name == f"{Path(name).stem}_x2_generated_std.tif"
    with Image.open(path) as image:
        assert image.n_frames == bands
        for page in range(bands):
            image.seek(page)
            assert (image.mode, image.size) == ("F", (48, 48))
            assert set(np.asarray(image).ravel()) == {2.5}
        assert ("grey" if bands == 1 else "red, green, blue") in image.tag_v2[270]
        assert MARK in image.tag_v2[270]


@pytest.mark.parametrize("name", ["a.png", "alpha.png", "grey.png"])
def test_large_pictures_are_written_line_by_line_in_their_order(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.setattr(writer, "ROWS", 10)
    codes = pattern(bands=1 if name == "grey.png" else 3)
    if name == "alpha.png":
        codes = np.dstack([codes, codes[..., 0]])
    Image.fromarray(codes).save(tmp_path / name)
    scene, asked = DOMAIN.open(tmp_path / name, {}), []

    class Rising(NearestProduct):
        def std(self, plane, window):
            asked.append(window.rows)
            lines = np.arange(window.row, window.row + window.rows, dtype=np.float32)
            values = np.broadcast_to(lines[:, None], (window.rows, window.cols))
            return np.stack([values + 1000 * band for band in range(len(scene.bands))])

    mean, std, *_ = scene.write(Rising(scene, 2, std=0.0), tmp_path, Names("x", 2))
    np.testing.assert_array_equal(np.asarray(load(mean)), replicated(codes, 2, 2))
    assert max(asked) == 10
    with Image.open(std) as image:
        for band in range(image.n_frames):
            image.seek(band)
            expected = np.broadcast_to(np.arange(48)[:, None] + 1000 * band, (48, 48))
            np.testing.assert_array_equal(np.asarray(image), expected)


def test_palettes_and_colour_keys_become_true_colour(tmp_path: Path, upscale) -> None:
    image = Image.fromarray(pattern())
    palette = image.quantize(16)
    palette.save(tmp_path / "p.png")
    palette.save(tmp_path / "t.png", transparency=3)
    image.save(tmp_path / "k.png", transparency=(1, 2, 3))
    for name, mode in (("p.png", "RGB"), ("t.png", "RGBA"), ("k.png", "RGBA")):
        after = load(upscale(tmp_path / name)["mean"])
        assert after.mode == mode
        expected = np.asarray(load(tmp_path / name).convert(mode))
        np.testing.assert_array_equal(np.asarray(after), replicated(expected, 2, 2))
    assert DOMAIN.open(tmp_path / "p.png", {}).metadata()["not_carried"] == [
        "the palette (the picture becomes true colour)"
    ]


def test_transparent_pixels_are_valid(tmp_path: Path) -> None:
    data = pattern(bands=4)
    data[..., 3] = 0
    Image.fromarray(data).save(tmp_path / "a.png")
    scene = DOMAIN.open(tmp_path / "a.png", {})
    image = scene.read(0, Window(3, 4, 5, 6))
    assert image.valid.all()
    assert image.usable.all()
    np.testing.assert_array_equal(image.values, np.moveaxis(data[3:8, 4:10, :3], -1, 0))
    assert scene.bands == ("red", "green", "blue")


def test_encode(tmp_path: Path) -> None:
    Image.fromarray(pattern(bands=1)).save(tmp_path / "a.png")
    scene = DOMAIN.open(tmp_path / "a.png", {})
    values = np.array([[[-3.0, 0.5, 1.5, 254.5, 999.0, np.nan]]], np.float32)
    codes, clipped = scene.encode(0, values, np.array([[[True] * 6]]))
    assert codes.ravel().tolist() == [0, 0, 2, 254, 255, 0]
    assert (codes.dtype, clipped, scene.quantum) == (np.uint8, 2, 1.0)


def test_alignment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(centre, "installed", lambda: False)
    for name, shape in (("a.png", (20, 30)), ("b.png", (20, 20)), ("c.png", (90, 90))):
        Image.fromarray(pattern(*shape)).save(tmp_path / name)
    said = {(n, a): DOMAIN.open(tmp_path / n, {"aligned": a}).covers for n in ("a.png", "b.png") for a in (True, False)}
    assert said == {("a.png", True): True, ("a.png", False): False, ("b.png", True): True, ("b.png", False): False}
    assert not DOMAIN.open(tmp_path / "a.png", {}).covers
    assert DOMAIN.open(tmp_path / "b.png", {}).covers
    assert DOMAIN.open(tmp_path / "c.png", {}).covers  # nothing here could look
    monkeypatch.setattr(centre, "installed", lambda: True)
    monkeypatch.setattr(whole, "find_faces", lambda picture: ())
    assert not DOMAIN.open(tmp_path / "c.png", {}).covers
    face = of_box((12.0, 4.0, 66.0, 84.0))
    for turned, covers in ((face, True), (of_box((5.0, 5.0, 20.0, 26.0)), False)):
        monkeypatch.setattr(whole, "find_faces", lambda picture, turned=turned: (turned,))
        assert DOMAIN.open(tmp_path / "c.png", {}).covers is covers


def test_options_are_checked(tmp_path: Path) -> None:
    Image.fromarray(pattern()).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="no option algined; known: aligned, face, background, caption, lossless"):
        DOMAIN.open(tmp_path / "a.png", {"algined": True})
    with pytest.raises(UsageError, match="aligned='perhaps'"):
        DOMAIN.open(tmp_path / "a.png", {"aligned": "perhaps"})


def test_defaults_of_a_scene(tmp_path: Path) -> None:
    Image.fromarray(pattern()).save(tmp_path / "a.png")
    Image.fromarray(pattern(bands=1, dtype=np.uint16)).save(tmp_path / "b.png")
    for name, bands, peak in (("a.png", 3, 255.0), ("b.png", 1, 65535.0)):
        scene = DOMAIN.open(tmp_path / name, {})
        assert scene.normaliser().describe() == {
            "kind": "affine",
            "gain": [peak] * bands,
            "offset": [0.0] * bands,
        }
        values = torch.from_numpy(scene.read(0, Window(0, 0, 24, 24)).values.copy())[None]
        mapped = scene.normaliser().forward(values)
        assert 0 <= mapped.min() < mapped.max() <= 1
        assert scene.noise() is None
        assert scene.generator() == "engression-faces"
        assert scene.operator((2, 2)).describe()["name"] == "area"
        json.dumps(scene.metadata(), allow_nan=False)
    assert isinstance(installed.domain("faces"), Faces)


def test_sizes_a_format_cannot_hold_are_refused_before_work(tmp_path: Path) -> None:
    Image.fromarray(pattern()).save(tmp_path / "a.webp", lossless=True)
    Image.fromarray(pattern()).save(tmp_path / "a.jpg")
    with pytest.raises(DomainError, match="exceed the 16383 of a WEBP; convert it to PNG"):
        DOMAIN.open(tmp_path / "a.webp", {}).operator((700, 700))
    with pytest.raises(DomainError, match="exceed the 65500 of a JPEG"):
        DOMAIN.open(tmp_path / "a.jpg", {}).operator((2800, 2800))
    assert DOMAIN.open(tmp_path / "a.jpg", {"lossless": True}).operator((2800, 2800)).factor == (2800, 2800)


def test_sniff(tmp_path: Path) -> None:
    small, wide = Image.fromarray(pattern()), Image.fromarray(pattern(20, 30))
    for name, image, level in (("a.png", small, 2), ("a.jpg", small, 2), ("a.webp", small, 2), ("a.tif", small, 2)):
        image.save(tmp_path / name)
        assert DOMAIN.sniff(tmp_path / name) == level
    wide.save(tmp_path / "w.png")
    Image.new("L", (1025, 1025)).save(tmp_path / "big.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "magic.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "sound.webp").write_bytes(b"RIFF\0\0\0\0WAVE")
    found = [
        DOMAIN.sniff(tmp_path / n) for n in ("w.png", "big.png", "text.png", "magic.png", "sound.webp", "none", ".")
    ]
    assert found == [1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(("name", "stem"), [("a.jpg", "a"), ("b.c.PNG", "b.c"), ("d", "d"), ("e.x", "e.x")])
def test_stem(name: str, stem: str) -> None:
    assert DOMAIN.stem(Path(name)) == stem


def test_suffix_follows_the_content(tmp_path: Path, upscale) -> None:
    Image.fromarray(pattern()).save(tmp_path / "a.jpg", "PNG")
    assert upscale(tmp_path / "a.jpg")["mean"].name == "a_x2_generated.png"


def test_preview(tmp_path: Path) -> None:
    data = pattern(bands=1, dtype=np.uint16)
    Image.fromarray(data).save(tmp_path / "a.png")
    scene = DOMAIN.open(tmp_path / "a.png", {})
    values = scene.read(0, Window(0, 0, 24, 24)).values.copy()
    values[0, 0, 0] = np.nan
    shown = scene.render(values, values)
    assert (shown.dtype, shown.shape, shown[0, 0].tolist()) == (np.uint8, (24, 24, 3), [128] * 3)
    np.testing.assert_array_equal(shown[1:, :, 1], np.rint(data[1:] / 257.0))


@given(
    data=hnp.arrays(np.uint8, st.integers(1, 12).map(lambda n: (n, n, 3)))
    | hnp.arrays(np.uint8, st.integers(1, 12).map(lambda n: (n, n, 4)))
    | hnp.arrays(st.sampled_from([np.uint8, np.uint16]), st.integers(1, 12).map(lambda n: (n, n))),
    factor=st.integers(1, 3),
    suffix=st.sampled_from([".png", ".tif"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_picture_round_trips(tmp_path: Path, upscale, data: np.ndarray, factor: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(data).save(path)
    np.testing.assert_array_equal(np.asarray(load(upscale(path, factor)["mean"])), replicated(data, factor, factor))


def test_real_faces(corpus: Path, tmp_path: Path, upscale) -> None:
    with zipfile.ZipFile(corpus / "test.zip") as pack:
        for member in sorted(pack.namelist())[:3]:
            path = tmp_path / Path(member).name
            path.write_bytes(pack.read(member))
            assert DOMAIN.sniff(path) == 2
            expected = replicated(np.asarray(Image.open(io.BytesIO(pack.read(member)))), 4, 4)
            after = load(upscale(path, 4, lossless=True)["mean"])
            np.testing.assert_array_equal(np.asarray(after), expected)


def test_damaged_exif_is_left_out_and_said(tmp_path: Path, upscale) -> None:
    exif = Image.Exif()
    exif[271], exif[37500] = "Maker", b"\xff" * 61000
    Image.fromarray(pattern()).save(tmp_path / "a.png", exif=exif)
    assert DOMAIN.open(tmp_path / "a.png", {}).metadata()["not_carried"] == ["EXIF (damaged or too long)"]
    after = load(upscale(tmp_path / "a.png")["mean"]).getexif()
    assert 271 not in after
    assert (after[274], MARK in after[270]) == (1, True)


def test_a_write_error_is_ours(tmp_path: Path) -> None:
    from gensr.errors import OutputError
    from gensr.scenes.names import Names
    from gensr.scenes.testing import NearestProduct

    Image.fromarray(pattern()).save(tmp_path / "a.png")
    scene = DOMAIN.open(tmp_path / "a.png", {})
    with pytest.raises(OutputError, match="PNG cannot be written"):
        scene.write(NearestProduct(scene, 2), tmp_path / "missing folder", Names("a", 2))
