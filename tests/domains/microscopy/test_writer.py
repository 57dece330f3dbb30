"""Writing: an independent reader finds the same kind of file on the refined grid."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gensr.domains.microscopy import Microscopy
from gensr.errors import DomainError
from gensr.scenes.provenance import MARK

OME = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}


def replicated(data: np.ndarray, axes: str, fy: int, fx: int) -> np.ndarray:
    return data.repeat(fy, axes.index("Y")).repeat(fx, axes.index("X"))


def field_of_view(tif: tifffile.TiffFile) -> tuple[float, ...]:
    """Extent in x and y from the file's own metadata: size times pixel size, in its unit."""
    page = tif.pages[0]
    if tif.is_ome:
        pixels = ET.fromstring(tif.ome_metadata).find(".//o:Pixels", OME)
        assert pixels is not None
        return tuple(int(pixels.get(f"Size{a}", 0)) * float(pixels.get(f"PhysicalSize{a}", 0)) for a in "XY")
    found = []
    for code, size in ((282, page.imagewidth), (283, page.imagelength)):
        tag = page.tags.get(code)
        found.append(size * tag.value[1] / tag.value[0] if tag is not None else 0.0)
    return tuple(found)


def check_output(before: Path, after: Path, fy: int, fx: int) -> None:
    with tifffile.TiffFile(before) as a, tifffile.TiffFile(after) as b:
        old, new = a.series[0], b.series[0]
        assert (b.is_ome, b.is_imagej, b.is_bigtiff, b.byteorder) == (a.is_ome, a.is_imagej, a.is_bigtiff, a.byteorder)
        assert (len(b.series), new.axes, new.dtype, new.kind) == (1, old.axes, old.dtype, old.kind)
        values = old.asarray()
        np.testing.assert_array_equal(new.asarray(), replicated(values, old.axes, fy, fx))
        assert a.pages[0].photometric == b.pages[0].photometric
        assert (a.pages[0].tags.get(296) is None) or a.pages[0].tags[296].value == b.pages[0].tags[296].value
        if 282 in a.pages[0].tags:
            assert field_of_view(b) == pytest.approx(field_of_view(a), rel=1e-9)
        assert MARK in str(b.pages[0].tags[270].value) + str(b.imagej_metadata)
        assert str(b.pages[0].tags[305].value).startswith("gensr ")


@pytest.mark.parametrize("factor", [2, 3, (1, 4)])
def test_the_kind_that_came_in_goes_out(kind: SimpleNamespace, upscale, factor: Any) -> None:
    fy, fx = factor if isinstance(factor, tuple) else (factor, factor)
    files = upscale(kind.path, factor)
    check_output(kind.path, files["mean"], fy, fx)
    check_output(kind.path, files["sample"], fy, fx)


@pytest.mark.parametrize("factor", [2, 4])
def test_real_samples(sample: Path, upscale, factor: int) -> None:
    check_output(sample, upscale(sample, factor)["mean"], factor, factor)


def test_standard_deviation_is_a_float_file_of_the_same_kind(kind: SimpleNamespace, upscale) -> None:
    files = upscale(kind.path, 2)
    with tifffile.TiffFile(files["mean"]) as mean, tifffile.TiffFile(files["std"]) as std:
        assert (std.is_ome, std.is_imagej, std.byteorder) == (mean.is_ome, mean.is_imagej, mean.byteorder)
        values = std.series[0].asarray()
        assert values.dtype == (np.float64 if mean.series[0].dtype == np.float64 else np.float32)
        assert values.size == mean.series[0].size
        assert np.all((values == 3.5) | np.isnan(values))
        assert np.isnan(values).sum() == (4 if kind.name == "M9 movie" else 0)
        assert field_of_view(std) == field_of_view(mean)
    assert "_generated_std." in files["std"].name


def test_imagej_metadata_survives(make, upscale) -> None:
    path = make("M5 hyperstack")
    files = upscale(path, (2, 4))
    with tifffile.TiffFile(path) as a, tifffile.TiffFile(files["mean"]) as b:
        old, new = a.imagej_metadata, b.imagej_metadata
        for key in (
            "unit",
            "spacing",
            "mode",
            "min",
            "max",
            "Ranges",
            "Labels",
            "slices",
            "channels",
            "images",
            "hyperstack",
        ):
            assert new[key] == old[key], key
        for x, y in zip(old["LUTs"], new["LUTs"], strict=True):
            np.testing.assert_array_equal(x, y)
        assert new["Info"].startswith("objective 63x\n")
        assert "ROI" in old
        assert "ROI" not in new  # its coordinates would be wrong
        assert new["xorigin"] == (3.0 + 0.5) * 4 - 0.5
        resolution = [np.divide(*b.pages[0].tags[code].value) for code in (282, 283)]
        assert resolution == [4 * 4, 5 * 2]
        assert b.filehandle.size == files["mean"].stat().st_size
    with tifffile.TiffFile(files["std"]) as s:
        assert "Ranges" not in s.imagej_metadata
        assert s.imagej_metadata["unit"] == old["unit"]


def test_imagej_movie_keeps_its_interval(make, upscale) -> None:
    with tifffile.TiffFile(upscale(make("M9 movie"), 2)["mean"]) as tif:
        assert tif.imagej_metadata["finterval"] == 60.0
        assert tif.imagej_metadata["frames"] == 6


def test_imagej_order_becomes_tzc_with_labels_in_step(tmp_path: Path, upscale) -> None:
    rng = np.random.default_rng(5)
    data = rng.integers(0, 60000, (3, 2, 12, 14), dtype=np.uint16)  # channels outside slices: order "zct" of stacks
    path = tmp_path / "order.tif"
    labels = [f"c{c} z{z}" for c in range(3) for z in range(2)]
    header = "ImageJ=1.53\nimages=6\nchannels=3\nslices=2\norder=zct\nhyperstack=true\nmode=grayscale\n"
    tags = tifffile.tifffile.imagej_metadata_tag({"Labels": labels}, "<")
    tifffile.imwrite(path, data.reshape(6, 12, 14), description=header, metadata=None, extratags=tags)
    with tifffile.TiffFile(path) as tif:
        assert tif.series[0].axes == "CZYX"
    with tifffile.TiffFile(upscale(path, 2)["mean"]) as tif:
        assert tif.series[0].axes == "ZCYX"
        expected = data.swapaxes(0, 1).repeat(2, 2).repeat(2, 3)
        np.testing.assert_array_equal(tif.series[0].asarray(), expected)
        assert tif.imagej_metadata["Labels"] == [f"c{c} z{z}" for z in range(2) for c in range(3)]


def test_imagej_look_up_table_survives(tmp_path: Path, upscale) -> None:
    data = np.random.default_rng(0).integers(0, 255, (20, 24), dtype=np.uint8)
    table = (np.stack([np.arange(256)] * 3) * 257).astype(np.uint16)
    table[1:] = 0
    tifffile.imwrite(tmp_path / "lut.tif", data, imagej=True, colormap=table, metadata={"unit": "um"})
    with tifffile.TiffFile(upscale(tmp_path / "lut.tif", 2)["mean"]) as tif:
        assert tif.is_imagej
        np.testing.assert_array_equal(tif.pages[0].colormap, table)
        np.testing.assert_array_equal(tif.asarray(), data.repeat(2, 0).repeat(2, 1))


def test_imagej_over_four_gigabytes_is_refused_before_work(make) -> None:
    domain = Microscopy()
    scene = domain.open(make("M5 hyperstack"), {})
    with pytest.raises(DomainError, match=r"at most 4 GB; use container=ome"):
        scene.operator((1200, 1200))
    scene.close()
    scene = domain.open(make("M5 hyperstack"), {"container": "ome"})
    assert scene.operator((1200, 1200)).factor == (1200, 1200)
    scene.close()


def test_imagej_to_ome(make, upscale) -> None:
    path = make("M5 hyperstack")
    files = upscale(path, 2, container="ome")
    assert files["mean"].name.endswith(".ome.tif")
    with tifffile.TiffFile(path) as a, tifffile.TiffFile(files["mean"]) as b:
        assert b.is_ome
        np.testing.assert_array_equal(b.series[0].asarray(), a.series[0].asarray().repeat(2, -1).repeat(2, -2))
        pixels = ET.fromstring(b.ome_metadata).find(".//o:Pixels", OME)
        assert pixels is not None
        assert [float(pixels.get(f"PhysicalSize{x}", 0)) for x in "XYZ"] == [0.125, 0.1, 0.5]
        assert b.series[0].axes == a.series[0].axes == "ZCYX"


@pytest.mark.parametrize("kind_name", ["M12 rgb48", "rgb imagej", "planar", "M9 movie", "pages"])
def test_everything_can_leave_as_ome(make, upscale, kind_name: str) -> None:
    path = make(kind_name)
    with tifffile.TiffFile(path) as a, tifffile.TiffFile(upscale(path, 2, container="ome")["mean"]) as b:
        assert b.is_ome
        assert [s.kind for s in b.series] == ["ome"]
        expected = replicated(a.series[0].asarray(), a.series[0].axes, 2, 2)
        np.testing.assert_array_equal(b.series[0].asarray(), expected)


RICH = """<?xml version="1.0" encoding="UTF-8"?>
<ome:OME xmlns:ome="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">
<ome:Instrument ID="Instrument:0"><ome:Objective ID="Objective:0" LensNA="1.4"/></ome:Instrument>
<ome:Image ID="Image:0" Name="cells µ"><ome:Description>first</ome:Description><ome:InstrumentRef ID="Instrument:0"/>
<ome:Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="20" SizeY="10" SizeZ="1" SizeC="2" SizeT="1"
 PhysicalSizeX="100" PhysicalSizeXUnit="nm" PhysicalSizeY="0.1" PhysicalSizeYUnit="µm" SignificantBits="8">
<ome:Channel ID="Channel:0:0" Name="DAPI" Color="65535" EmissionWavelength="461"/>
<ome:Channel ID="Channel:0:1" Name="GFP"/>
<ome:TiffData IFD="0" FirstC="0" PlaneCount="1"><ome:UUID FileName="old.tif">urn:uuid:1</ome:UUID></ome:TiffData>
<ome:TiffData IFD="1" FirstC="1" PlaneCount="1"><ome:UUID FileName="old.tif">urn:uuid:1</ome:UUID></ome:TiffData>
<ome:Plane TheZ="0" TheT="0" TheC="0" PositionX="5" PositionXUnit="µm" PositionY="0.002" PositionYUnit="mm"/>
<ome:Plane TheZ="0" TheT="0" TheC="1" PositionX="5" PositionY="7"><ome:HashSHA1>0</ome:HashSHA1></ome:Plane>
</ome:Pixels><ome:ROIRef ID="ROI:0"/></ome:Image>
<ome:StructuredAnnotations><ome:XMLAnnotation ID="Annotation:0"><ome:Value><own xmlns="">kept</own></ome:Value>
</ome:XMLAnnotation></ome:StructuredAnnotations>
<ome:ROI ID="ROI:0"><ome:Union><ome:Rectangle ID="Shape:0" X="1" Y="2" Width="3" Height="4"/>
<ome:Polygon ID="Shape:1" Points="1,2 3.5,4"/><ome:Mask ID="Shape:2" X="0" Y="0" Width="1" Height="1"/>
</ome:Union></ome:ROI></ome:OME>
"""


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    data = np.random.default_rng(4).integers(0, 255, (2, 10, 20), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "rich.ome.tif", ome=False) as tif:
        tif.write(data, description=RICH.encode(), metadata=None, photometric="minisblack")
    return tmp_path / "rich.ome.tif"


def test_ome_xml_is_edited_not_rebuilt(rich: Path, upscale) -> None:
    with tifffile.TiffFile(upscale(rich, (4, 2))["mean"]) as tif:
        root = ET.fromstring(tif.ome_metadata)
        np.testing.assert_array_equal(tif.asarray(), tifffile.imread(rich).repeat(4, 1).repeat(2, 2))
    pixels = root.find("o:Image/o:Pixels", OME)
    assert pixels is not None
    attributes = {k: pixels.get(k) for k in ("SizeX", "SizeY", "SizeC", "SignificantBits", "Type", "DimensionOrder")}
    assert attributes == dict(
        SizeX="40", SizeY="40", SizeC="2", SignificantBits="8", Type="uint8", DimensionOrder="XYCZT"
    )
    assert [float(pixels.get(f"PhysicalSize{a}", 0)) for a in "XY"] == [50.0, 0.025]
    assert [pixels.get(f"PhysicalSize{a}Unit") for a in "XY"] == ["nm", "µm"]
    channels = root.findall(".//o:Channel", OME)
    assert [c.get("Name") for c in channels] == ["DAPI", "GFP"]
    assert (channels[0].get("Color"), channels[0].get("EmissionWavelength")) == ("65535", "461")
    objective, own = root.find(".//o:Objective", OME), root.find(".//own")
    assert objective is not None
    assert objective.get("LensNA") == "1.4"
    assert own is not None
    assert own.text == "kept"
    first, second = root.findall(".//o:Plane", OME)
    # the first pixel centre moves by (1/s - 1)/2 coarse pixels: -0.25 * 0.1 um and -0.375 * 0.1 um
    assert float(first.get("PositionX", 0)) == pytest.approx(5 - 0.025, abs=1e-12)
    assert float(first.get("PositionY", 0)) == pytest.approx(0.002 - 0.0000375, abs=1e-12)
    assert (second.get("PositionX"), second.get("PositionY")) == ("5", "7")  # no length unit: cannot be moved
    assert root.find(".//o:HashSHA1", OME) is None
    assert root.get("UUID") != "urn:uuid:1"
    order = [child.tag.split("}")[1] for child in root]
    assert order == ["Instrument", "Image", "StructuredAnnotations", "ROI"]
    rectangle, polygon = root.find(".//o:Rectangle", OME), root.find(".//o:Polygon", OME)
    assert rectangle is not None
    assert polygon is not None
    assert [float(rectangle.get(k, 0)) for k in ("X", "Y", "Width", "Height")] == [2, 8, 6, 16]
    assert polygon.get("Points") == "2.0,8.0 7.0,16.0"
    assert root.find(".//o:Mask", OME) is None
    annotation = root.find(".//o:MapAnnotation", OME)
    assert annotation is not None
    notes = {m.get("K"): m.text for m in annotation.findall("o:Value/o:M", OME)}
    assert notes["mark"] == MARK
    assert (notes["generator"], notes["operator"], notes["factor"], notes["seed"]) == ("nearest", "area", "4 x 2", "0")
    assert notes["dropped"] == "1 mask regions"
    references = [r.get("ID") for r in root.findall("o:Image/o:AnnotationRef", OME)]
    assert references == [annotation.get("ID")]
    description = root.find("o:Image/o:Description", OME)
    assert description is not None
    assert (description.text or "").startswith("first\nposterior mean; " + MARK)


def test_positions_can_be_kept(rich: Path, upscale) -> None:
    with tifffile.TiffFile(upscale(rich, 2, positions="keep")["mean"]) as tif:
        plane = ET.fromstring(tif.ome_metadata).find(".//o:Plane", OME)
    assert plane is not None
    assert (plane.get("PositionX"), plane.get("PositionY")) == ("5", "0.002")


def test_large_output_is_tiled_with_pyramid(tmp_path: Path, upscale) -> None:
    ramp = (np.arange(1100, dtype=np.uint16)[:, None] * 3 + np.arange(150, dtype=np.uint16)).astype(np.uint16)
    path = tmp_path / "large.ome.tif"
    tifffile.imwrite(path, np.stack([ramp, ramp[::-1]]), ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    with tifffile.TiffFile(upscale(path, 4)["mean"]) as tif:
        page = tif.pages[0]
        assert (page.tilelength, page.tilewidth) == (512, 512)
        shapes = [level.shape for level in tif.series[0].levels]
        assert shapes == [(2, 4400, 600), (2, 2200, 300), (2, 1100, 150), (2, 550, 75)]
        np.testing.assert_array_equal(tif.series[0].asarray(), np.stack([ramp, ramp[::-1]]).repeat(4, 1).repeat(4, 2))
        np.testing.assert_array_equal(tif.series[0].levels[2].asarray()[0], ramp)
    scene = Microscopy().open(tmp_path / "out4" / "large_x4_generated.ome.tif", {})
    assert scene.grid.shape == (4400, 600)  # the pyramid is not a second image
    scene.close()


def test_lossy_compression_becomes_lossless(tmp_path: Path, upscale) -> None:
    pytest.importorskip("imagecodecs")
    data = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "j.tif", data, compression="jpeg", photometric="rgb", tile=(32, 32), metadata=None)
    with tifffile.TiffFile(tmp_path / "j.tif") as a, tifffile.TiffFile(upscale(tmp_path / "j.tif", 2)["mean"]) as b:
        assert b.pages[0].compression.name == "ADOBE_DEFLATE"
        np.testing.assert_array_equal(b.asarray(), a.asarray().repeat(2, 0).repeat(2, 1))


def test_descriptive_tags_are_carried(tmp_path: Path, upscale) -> None:
    data = np.random.default_rng(0).integers(0, 255, (20, 20), dtype=np.uint8)
    tags = [(271, 2, 0, "Maker", True), (315, 2, 0, "Someone", True), (65000, 3, 1, 7, True)]
    tifffile.imwrite(tmp_path / "t.tif", data, description="note", extratags=tags, metadata=None, resolution=(72, 72))
    scene = Microscopy().open(tmp_path / "t.tif", {})
    assert scene.metadata()["not_carried"] == ["TIFF tag 65000 65000"]
    scene.close()
    with tifffile.TiffFile(upscale(tmp_path / "t.tif", 3)["mean"]) as tif:
        tags = tif.pages[0].tags
        assert (tags[271].value, tags[315].value, tags[282].value, tags[296].value) == ("Maker", "Someone", (216, 1), 2)
        assert tags[270].value.startswith("note\nposterior mean; ")


@given(
    data=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    ),
    factor=st.integers(1, 3),
    form=st.sampled_from(["ome", "plain"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_stack_round_trips(tmp_path: Path, upscale, data: np.ndarray, factor: int, form: str) -> None:
    path = tmp_path / ("a.ome.tif" if form == "ome" else "a.tif")
    kwargs: dict[str, Any] = {"ome": True, "metadata": {"axes": "ZYX"}} if form == "ome" else {"metadata": None}
    tifffile.imwrite(path, data, photometric="minisblack", **kwargs)
    written = tifffile.imread(upscale(path, factor)["mean"])
    expected = np.where(np.isfinite(data), data, np.nan).astype(data.dtype) if data.dtype.kind == "f" else data
    expected = expected.repeat(factor, 1).repeat(factor, 2)
    np.testing.assert_array_equal(written.reshape(expected.shape), expected)


@pytest.mark.parametrize("space", ["", 'xmlns:SA="http://www.openmicroscopy.org/Schemas/SA/2011-06"'])
def test_old_schemas_get_a_comment_in_their_own_namespace(tmp_path: Path, upscale, space: str) -> None:
    holder = "<SA:StructuredAnnotations/>" if space else ""
    xml = f"""<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2011-06" {space}><Image ID="Image:0">
    <Pixels ID="P" DimensionOrder="XYZCT" Type="uint8" SizeX="9" SizeY="8" SizeZ="1" SizeC="1" SizeT="1"
    PhysicalSizeX="0.5" PhysicalSizeY="0.5"><TiffData/></Pixels></Image>{holder}</OME>"""
    data = np.random.default_rng(0).integers(0, 255, (8, 9), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "old.ome.tif", data, description=xml.encode(), metadata=None)
    with tifffile.TiffFile(upscale(tmp_path / "old.ome.tif", 2)["mean"]) as tif:
        root = ET.fromstring(tif.ome_metadata)
    names = {
        "o": "http://www.openmicroscopy.org/Schemas/OME/2011-06",
        "s": "http://www.openmicroscopy.org/Schemas/SA/2011-06",
    }
    value = root.find("s:StructuredAnnotations/s:CommentAnnotation/s:Value", names)
    assert value is not None
    assert MARK in (value.text or "")
    assert root.find("o:Image/s:AnnotationRef", names) is not None


def test_imagej_unit_in_latin_letters(tmp_path: Path, upscale) -> None:
    data = np.random.default_rng(0).integers(0, 60000, (9, 8), dtype=np.uint16)
    text = "ImageJ=1.40\nunit=\xb5m\nkey\xe9=1\n".encode("latin-1")
    tifffile.imwrite(
        tmp_path / "a.tif", data, description=text, resolution=(4, 4), resolutionunit="NONE", metadata=None
    )
    scene = Microscopy().open(tmp_path / "a.tif", {})
    assert (scene.grid.frame, scene.grid.pixel_size) == ("um", (0.25, 0.25))
    scene.close()
    with tifffile.TiffFile(upscale(tmp_path / "a.tif", 2)["mean"]) as tif:
        assert tif.imagej_metadata["unit"] == "\\u00B5m"
        assert tif.pages[0].tags[282].value == (8, 1)


def test_imagej_sixteen_bit_colour_becomes_channels(tmp_path: Path, upscale) -> None:
    data = np.random.default_rng(0).integers(0, 60000, (9, 8, 3), dtype=np.uint16)
    text = "ImageJ=1.53\nunit=um\n"
    tifffile.imwrite(tmp_path / "a.tif", data, description=text, photometric="rgb", metadata=None)
    with tifffile.TiffFile(upscale(tmp_path / "a.tif", 2)["mean"]) as tif:
        assert (tif.is_imagej, tif.series[0].axes) == (True, "CYX")
        np.testing.assert_array_equal(tif.asarray(), np.moveaxis(data, -1, 0).repeat(2, 1).repeat(2, 2))


def test_imagej_stack_without_named_axes_becomes_time(tmp_path: Path, upscale) -> None:
    data = np.random.default_rng(0).integers(0, 60000, (5, 9, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, description="ImageJ=1.53\nimages=5\n", metadata=None)
    with tifffile.TiffFile(upscale(tmp_path / "a.tif", 2)["mean"]) as tif:
        assert (tif.is_imagej, tif.imagej_metadata["frames"]) == (True, 5)
        np.testing.assert_array_equal(tif.series[0].asarray(), data.repeat(2, 1).repeat(2, 2))
