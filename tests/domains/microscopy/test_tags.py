"""What tags say of pixels: units per axis, scales of electron microscopes, bits, polarity and orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from gensr.domains.microscopy import Microscopy, electron
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct


def codes(high, dtype=np.uint8, shape=(20, 24)):
    return np.random.default_rng(4).integers(0, high, shape).astype(dtype)


def refine(path: Path, out: Path, factor: int = 2, **options):
    """Open and write with repeated pixels; the scene, and the files of mean and deviation."""
    out.mkdir()
    domain = Microscopy()
    scene = domain.open(path, options)
    written = scene.write(NearestProduct(scene, factor, samples=0), out, Names("o", factor))
    scene.close()
    return scene, written[0], written[1]


def tag(path: Path, code: int, page: int = 0):
    with tifffile.TiffFile(path) as file:
        found = file.pages[page].tags.get(code)
        return None if found is None else found.value


def attributes(path: Path) -> dict[str, str]:
    """Of the Pixels element, read without the domain."""
    from xml.etree import ElementTree

    with tifffile.TiffFile(path) as file:
        root = ElementTree.fromstring(file.ome_metadata)
    (pixels,) = [e for e in root.iter() if e.tag.endswith("Pixels")]
    return dict(pixels.attrib)


@pytest.mark.parametrize("container", ["same", "ome"])
def test_units_of_imagej_axes(tmp_path: Path, container: str) -> None:
    stack = codes(4000, np.uint16, (3, 20, 24))
    meta = {"axes": "ZYX", "spacing": 0.5, "unit": "micron", "yunit": "nm", "zunit": "mm"}
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(10, 5), metadata=meta)
    scene, mean, _ = refine(tmp_path / "a.tif", tmp_path / "out", container=container)
    assert (scene.calibration.x, scene.calibration.y, scene.calibration.z) == pytest.approx((0.1, 2e-4, 500.0))
    assert scene.grid.pixel_size == pytest.approx((2e-4, 0.1))
    if container == "ome":
        found = attributes(mean)
        sizes = [float(found[f"PhysicalSize{axis}"]) for axis in "XYZ"]
        assert sizes == pytest.approx([0.05, 1e-4, 500.0])
        assert {found[f"PhysicalSize{axis}Unit"] for axis in "XYZ"} == {"µm"}
    else:
        with tifffile.TiffFile(mean) as file:
            kept = file.imagej_metadata
        assert (kept["unit"], kept["yunit"], kept["zunit"], kept["spacing"]) == ("micron", "nm", "mm", 0.5)
        assert (tag(mean, 282), tag(mean, 283)) == ((20, 1), (10, 1))


def test_an_axis_in_pixels_leaves_the_plane_uncalibrated(tmp_path: Path) -> None:
    meta = {"unit": "micron", "yunit": "pixel"}
    tifffile.imwrite(tmp_path / "a.tif", codes(200), imagej=True, resolution=(10, 5), metadata=meta)
    with Microscopy().open(tmp_path / "a.tif", {}) as scene:
        assert scene.metadata()["pixel_size_um"] is None


FEI = "[User]\nDate=01/01/2020\n[Scan]\nPixelWidth=4.5e-09\nPixelHeight=5e-09\nHorFieldsize=1e-06\n"
ZEISS = "DP_BEAM_TURNED\r\nNo\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 9.7 nm\r\nAP_WD\r\nWD = 4.1 mm\r\n"
SEM = {
    "FEI_SFEG": (34680, FEI, (4.5e-3, 5e-3)),
    "FEI_HELIOS": (34682, FEI, (4.5e-3, 5e-3)),
    "Zeiss": (34118, ZEISS, (9.7e-3, 9.7e-3)),
}


@pytest.mark.parametrize("name", SEM)
@pytest.mark.parametrize("container", ["same", "ome"])
def test_scale_of_an_electron_microscope(tmp_path: Path, name: str, container: str) -> None:
    code, text, (x, y) = SEM[name]
    extra = [(code, 2, len(text) + 1, text, True)]
    image = codes(250, shape=(30, 40))
    tifffile.imwrite(tmp_path / "a.tif", image, resolution=(96, 96), resolutionunit=2, extratags=extra, metadata=None)
    scene, mean, std = refine(tmp_path / "a.tif", tmp_path / "out", 4, container=container)
    assert scene.grid.pixel_size == pytest.approx((y, x), rel=1e-9)
    assert name.split("_")[0] in scene.metadata()["pixel_size_source"]
    for path in (mean, std):
        assert tag(path, 296) == 3
        for number, size in ((282, x), (283, y)):
            above, below = tag(path, number)
            assert 1e4 / (above / below) == pytest.approx(size / 4, rel=1e-6)
        assert tag(path, code) is None  # it speaks of the coarse pixels
    if container == "ome":
        assert float(attributes(mean)["PhysicalSizeX"]) == pytest.approx(x / 4)
    assert any(str(code) in left for left in scene.metadata()["not_carried"])


class Page:
    """As much of a page as the reader asks for."""

    def __init__(self, code: int, value: object) -> None:
        self.tags = {code: type("Tag", (), {"value": value})()}


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (34680, {"Scan": {"PixelWidth": -1e-9}}),
        (34680, {"Scan": {"PixelWidth": "wide"}}),
        (34682, {"Scan": {"PixelWidth": 5e3, "PixelHeight": 5e3}}),
        (34682, "text"),
        (34118, {"ap_image_pixel_size": ("Image Pixel Size", 9.7, "parsec")}),
        (34118, {"ap_image_pixel_size": 3}),
        (34118, {}),
    ],
)
def test_insane_scales_are_not_believed(code: int, value: object) -> None:
    assert electron.pixel_size(Page(code, value)) is None


@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14])
def test_bits_stay_those_of_the_file(tmp_path: Path, bits: int) -> None:
    pytest.importorskip("imagecodecs", reason="packed bits need the extra codecs")
    dtype = np.uint8 if bits <= 8 else np.uint16
    image = codes(1 << bits, dtype, (40, 44))
    image[:4] = (1 << bits) - 1
    tifffile.imwrite(tmp_path / "a.tif", image, bitspersample=bits, photometric="minisblack", metadata=None)
    scene, mean, std = refine(tmp_path / "a.tif", tmp_path / "out")
    with tifffile.TiffFile(mean) as file:
        assert file.pages[0].bitspersample == bits
        assert (file.asarray()[::2, ::2] == image).all()
    with tifffile.TiffFile(std) as file:
        assert file.pages[0].bitspersample == 32
    assert scene.metadata()["bits"] == bits
    brightest = np.full((1, 2, 2), 1e6, np.float32)
    assert scene.encode(0, brightest, np.ones_like(brightest, bool))[0].max() == (1 << bits) - 1
    if bits in (2, 4):  # what Pillow reads of packed grey
        from PIL import Image

        shown = [np.asarray(Image.open(p), np.float64).mean() for p in (tmp_path / "a.tif", mean)]
        assert shown[0] == pytest.approx(shown[1])


def test_bits_in_ome_are_said(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="packed bits need the extra codecs")
    image = codes(4096, np.uint16, (40, 44))
    tifffile.imwrite(tmp_path / "a.tif", image, bitspersample=12, photometric="minisblack", metadata=None)
    _, mean, _ = refine(tmp_path / "a.tif", tmp_path / "out", container="ome")
    assert attributes(mean)["SignificantBits"] == "12"
    assert tag(mean, 258) == 16


@pytest.mark.parametrize("kind", ["plain", "imagej", "ome"])
def test_white_stays_white(tmp_path: Path, kind: str) -> None:
    image = codes(200)
    how = {"plain": {"metadata": None}, "imagej": {"imagej": True}, "ome": {"ome": True}}[kind]
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite", **how)
    scene, mean, std = refine(tmp_path / "a.tif", tmp_path / "out")
    assert int(tag(mean, 262)) == 0
    assert int(tag(std, 262)) == 1  # black where nothing is uncertain
    assert (tifffile.imread(mean)[::2, ::2] == image).all()
    ramp = np.linspace(0, 200, 64, dtype=np.float32).reshape(1, 8, 8)
    shown = scene.render(ramp, ramp)[..., 0]
    assert (shown[0, 0], shown[-1, -1]) == (255, 0)
    assert scene.metadata()["polarity"]


@pytest.mark.parametrize("kind", ["plain", "imagej", "ome"])
def test_orientation_is_kept(tmp_path: Path, kind: str) -> None:
    image = codes(200)
    how = {"plain": {"metadata": None}, "imagej": {"imagej": True}, "ome": {"ome": True}}[kind]
    turned = [(274, 3, 1, 6, True)]
    tifffile.imwrite(
        tmp_path / "a.tif",
        image,
        resolution=(1000, 500),
        resolutionunit=3,
        extratags=turned,
        photometric="minisblack",
        **how,
    )
    scene, mean, std = refine(tmp_path / "a.tif", tmp_path / "out")
    assert scene.metadata()["orientation"] == 6
    for path in (mean, std):
        assert int(tag(path, 274)) == 6
    assert (tifffile.imread(mean)[::2, ::2] == image).all()
    assert (tag(mean, 282), tag(mean, 283)) == ((2000, 1), (1000, 1))  # of rows and columns as they are stored
    from PIL import Image

    if kind == "plain":
        with Image.open(mean) as picture:
            assert picture.size == (40, 48)  # columns and rows after turning
    assert not any("274" in left for left in scene.metadata()["not_carried"])


def test_ordinary_files_have_no_such_tags(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", codes(200), photometric="minisblack", metadata=None)
    scene, mean, _ = refine(tmp_path / "a.tif", tmp_path / "out")
    assert tag(mean, 274) is None
    assert int(tag(mean, 262)) == 1
    assert scene.metadata()["orientation"] is None


def test_a_file_without_resolution_gets_none(tmp_path: Path) -> None:
    """Not the inch that the standard presumes: the library writes one pixel per unit."""
    from PIL import Image

    Image.fromarray(codes(200)).save(tmp_path / "a.tif")
    assert tag(tmp_path / "a.tif", 282) is None
    scene, mean, _ = refine(tmp_path / "a.tif", tmp_path / "out")
    assert scene.metadata()["pixel_size_um"] is None
    with Microscopy().open(mean, {}) as written:
        assert written.metadata()["pixel_size_um"] is None
    assert int(tag(mean, 296)) == 1


def test_what_ome_cannot_count_is_refused_before_computing(tmp_path: Path) -> None:
    import gensr
    from gensr.errors import OutputError

    shape = "<ROI ID='ROI:7'><Union><Rectangle ID='Shape:7:0' X='abc' Y='1' Width='2' Height='3'/></Union></ROI>"
    text = (
        "<OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'><Image ID='Image:0'><Pixels ID='Pixels:0' "
        "DimensionOrder='XYZCT' Type='uint8' SizeX='24' SizeY='20' SizeZ='1' SizeC='1' SizeT='1'>"
        f"<Channel ID='Channel:0:0' SamplesPerPixel='1'/><TiffData/></Pixels></Image>{shape}</OME>"
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", codes(200), description=text, metadata=None)
    request = gensr.Request(
        tmp_path / "a.ome.tif", factor=2, samples=0, search="fast", noise=3, output=tmp_path / "out"
    )
    with pytest.raises(OutputError, match=r"X='abc' in Rectangle Shape:7:0, which is no number"):
        gensr.settle(request)
    assert not (tmp_path / "out").exists()


def test_ome_types_reads_what_is_written(tmp_path: Path) -> None:
    ome_types = pytest.importorskip("ome_types", reason="an independent reader, of the extra test")
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        codes(4000, np.uint16, (2, 20, 24)),
        ome=True,
        metadata={"axes": "CYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.3, "SignificantBits": 12},
    )
    _, mean, _ = refine(tmp_path / "a.ome.tif", tmp_path / "out")
    with tifffile.TiffFile(mean) as file:
        pixels = ome_types.from_xml(file.ome_metadata).images[0].pixels
    assert (pixels.size_x, pixels.size_y, pixels.size_c) == (48, 40, 2)
    assert (pixels.physical_size_x, pixels.physical_size_y) == pytest.approx((0.1, 0.15))
    assert pixels.significant_bits == 12
