"""Hostile and odd files: refused with one clear line, or read right."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gensr.domains.microscopy import Microscopy
from gensr.errors import DomainError, FormatError, GensrError
from gensr.values.grid import Window

DOMAIN = Microscopy()


def header(entries: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    """A little-endian classic TIFF with one directory of inline values."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0) + tail


def sized(width: int, height: int, offset: int = 200, count: int = 4) -> bytes:
    rows = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    return header([*rows, (273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, count)], b"\1" * 400)


HOSTILE = {
    "empty": b"",
    "text": b"hello, I am no TIFF at all",
    "png": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    "magic only": b"II*\0",
    "directory outside": b"II*\0" + struct.pack("<I", 10_000_000),
    "directory in itself": header([])[:10] + struct.pack("<I", 8) * 4,
    "no entries": header([]),
    "zero width": sized(0, 20),
    "huge plane": sized(1_000_000, 1_000_000),
    "pixels outside": sized(2, 2, offset=100_000),
    "short strip": sized(64, 64),
    "random": b"II*\0" + np.random.default_rng(0).bytes(4000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(FormatError, match=r"a\.tif: ") as caught:
        DOMAIN.open(path, {})
    assert "\n" not in str(caught.value)
    assert DOMAIN.sniff(path) in (0, 2)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.tif: no such file"):
        DOMAIN.open(tmp_path / "none.tif", {})
    with pytest.raises(FormatError, match=r"holds no OME-Zarr image.*give one image file") as caught:
        DOMAIN.open(tmp_path, {})
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("kind_name", ["M1 bigtiff", "M5 hyperstack", "M10 saturated", "planar", "M4 stack"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_never_open(make, kind_name: str, share: float) -> None:
    path = make(kind_name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FormatError):
        DOMAIN.open(path, {})


@pytest.mark.parametrize("kind_name", ["M1 bigtiff", "M10 saturated"])
def test_damaged_segments_are_named(make, kind_name: str) -> None:
    path = make(kind_name)
    with tifffile.TiffFile(path) as tif:
        start, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\xff" * count
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"page 0: strip or tile 0 cannot be decoded"):
        DOMAIN.open(path, {})


def test_flipped_bytes_never_crash(make) -> None:
    path = make("M4 stack")
    content = path.read_bytes()
    rng = np.random.default_rng(11)
    opened = 0
    for _ in range(60):
        broken = bytearray(content)
        for place in rng.integers(4, 3000, 4):
            broken[place] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            scene = DOMAIN.open(path, {})
        except GensrError:
            continue
        rows, cols = scene.grid.shape
        assert scene.read(scene.planes - 1, Window(0, 0, rows, cols)).values.shape == (1, rows, cols)
        scene.close()
        opened += 1
    assert opened < 60


def xml_file(path: Path, xml: str, pages: int = 1) -> Path:
    data = np.random.default_rng(0).integers(0, 255, (pages, 16, 16), dtype=np.uint8)
    with tifffile.TiffWriter(path, ome=False) as tif:
        tif.write(data, description=xml.encode(), metadata=None, photometric="minisblack")
    return path


def pixels(sizes: str, data: str = "<TiffData/>", root: str = "") -> str:
    return (
        f"<OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06' {root}><Image ID='Image:0'><Pixels ID='P' "
        f"DimensionOrder='XYZCT' Type='uint8' {sizes}>{data}</Pixels></Image></OME>"
    )


SIZES = "SizeX='16' SizeY='16' SizeZ='1' SizeC='1' SizeT='1'"
BAD_XML = {
    "entities": ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + pixels(SIZES), "declares entities"),
    "a billion planes": (pixels(SIZES.replace("SizeT='1'", "SizeT='1000000000'")), "claims 1000000000 planes"),
    "absurd count": (pixels(SIZES, "<TiffData IFD='0' PlaneCount='99999999'/>"), "places 99999999 of 1 planes"),
    "other file": (
        pixels(SIZES, "<TiffData IFD='0'><UUID FileName='../../etc/secret.tif'>urn:uuid:2</UUID></TiffData>"),
        r"another file \(secret.tif\)",
    ),
    "companion": ("<OME><BinaryOnly MetadataFile='a.companion.ome' UUID='b'/></OME>", "companion file"),
    "wrong size": (pixels(SIZES.replace("SizeX='16'", "SizeX='99'")), "does not fit its pages"),
    "missing planes": (pixels(SIZES.replace("SizeZ='1'", "SizeZ='5'")), "missing"),
    "an endless side": (pixels(SIZES.replace("SizeY='16'", "SizeY='4294967295'")), "claims 268435455 planes"),
    "not well formed": (pixels(SIZES)[:-9] + "</OME>", "damaged TIFF"),
    "no sizes": (pixels(""), "damaged TIFF"),
}


@pytest.mark.parametrize("name", BAD_XML)
def test_bad_ome_xml(tmp_path: Path, name: str) -> None:
    xml, message = BAD_XML[name]
    with pytest.raises(FormatError, match=message):
        DOMAIN.open(xml_file(tmp_path / "a.ome.tif", xml), {})


def test_deflate_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, np.zeros((4000, 4000), np.uint8), compression="zlib", rowsperstrip=4000, metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        rows, length = tif.pages[0].tags[278], tif.pages[0].tags[257]
        places = [(rows.valueoffset, rows.dtype), (length.valueoffset, length.dtype)]
    for offset, dtype in places:
        content[offset : offset + (2 if int(dtype) == 3 else 4)] = struct.pack("<H" if int(dtype) == 3 else "<I", 60000)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="expands more than 1100 times"):
        DOMAIN.open(path, {})


def test_vendor_kinds_and_colour_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    rng = np.random.default_rng(0)
    tifffile.imwrite(path, rng.integers(0, 255, (9, 9, 4), np.uint8), photometric="separated", metadata=None)
    with pytest.raises(FormatError, match="colour model"):
        DOMAIN.open(path, {})
    tifffile.imwrite(path, rng.integers(0, 255, (4, 9, 9), np.uint8), volumetric=True, photometric="minisblack")
    with pytest.raises(FormatError, match="ImageDepth"):
        DOMAIN.open(path, {})


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_tiny_planes(tmp_path: Path, upscale, shape: tuple[int, int]) -> None:
    data = np.arange(7, dtype=np.uint16)[: shape[0] * shape[1]].reshape(shape)
    tifffile.imwrite(tmp_path / "a.tif", data, metadata=None)
    written = tifffile.imread(upscale(tmp_path / "a.tif", 3)["mean"])
    np.testing.assert_array_equal(written.reshape(shape[0] * 3, shape[1] * 3), data.repeat(3, 0).repeat(3, 1))


def test_all_invalid(tmp_path: Path, upscale) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 9), np.nan, np.float32), metadata=None)
    files = upscale(tmp_path / "a.tif", 2)
    assert np.isnan(tifffile.imread(files["mean"])).all()
    assert np.isnan(tifffile.imread(files["std"])).all()


def test_imagej_types_without_a_home(tmp_path: Path) -> None:
    data = np.zeros((9, 9), np.int16)
    tifffile.imwrite(tmp_path / "a.tif", data, description="ImageJ=1.53\nunit=um\n", metadata=None)
    with pytest.raises(DomainError, match="ImageJ cannot hold int16"):
        DOMAIN.open(tmp_path / "a.tif", {})


def test_single_directory_stack_is_read_whole(tmp_path: Path) -> None:
    """ImageJ writes stacks above 4 GB as one directory followed by raw planes."""
    data = np.random.default_rng(0).integers(0, 60000, (5, 12, 10), dtype=np.uint16)
    text = "ImageJ=1.53\nimages=5\nslices=5\n"
    tifffile.imwrite(tmp_path / "a.tif", data[0], description=text, byteorder=">", metadata=None)
    with (tmp_path / "a.tif").open("ab") as stream:
        stream.write(data[1:].astype(">u2").tobytes())
    scene = DOMAIN.open(tmp_path / "a.tif", {})
    assert scene.planes == 5
    np.testing.assert_array_equal(scene.read(4, Window(0, 0, 12, 10)).values[0], data[4])
    scene.close()
