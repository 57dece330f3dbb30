"""``bands=`` chooses channels: they go out under their own names, colours, ranges and positions, and no others."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import tifffile

import gensr
from gensr.cli.main import main
from gensr.domains.microscopy import Microscopy
from gensr.errors import DomainError, UsageError
from gensr.values.grid import Window

OME = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
NAMES = ("DAPI", "GFP", "Cy5")
WHOLE = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
<Pixels ID="Pixels:0" DimensionOrder="XYCTZ" Type="uint16" SizeX="14" SizeY="10" SizeZ="1" SizeC="3" SizeT="2">
<Channel ID="Channel:0:0" Name="DAPI" Color="65535" EmissionWavelength="461"/>
<Channel ID="Channel:0:1" Name="GFP" Color="16711935" EmissionWavelength="509"/>
<Channel ID="Channel:0:2" Name="Cy5" Color="-16776961" EmissionWavelength="670"/>
<TiffData/>{planes}</Pixels></Image>
<ROI ID="ROI:0"><Union><Point ID="Shape:0" X="1" Y="2" TheC="1"/><Point ID="Shape:1" X="1" Y="2" TheC="2"/>
<Point ID="Shape:2" X="1" Y="2"/></Union></ROI></OME>"""


@pytest.fixture
def stack(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Three channels at two times, each plane with a position of its own; (T, C, Y, X)."""
    data = np.random.default_rng(3).integers(100, 60000, (2, 3, 10, 14), dtype=np.uint16)
    data[:, 1, :4] = 65535  # one channel is saturated
    planes = "".join(
        f'<Plane TheZ="0" TheT="{t}" TheC="{c}" PositionX="{10 * t + c}" ExposureTime="{c + 1}"/>'
        for t in range(2)
        for c in range(3)
    )
    path = tmp_path / "cells.ome.tif"
    with tifffile.TiffWriter(path, ome=False) as tif:
        tif.write(
            data.reshape(6, 10, 14),
            description=WHOLE.format(planes=planes).encode(),
            metadata=None,
            photometric="minisblack",
        )
    return path, data


@pytest.mark.parametrize(
    ("words", "channels"), [("GFP", (1,)), ("3,1", (2, 0)), ("2-3", (1, 2)), ("cy5", (2,)), ("1-3", (0, 1, 2))]
)
def test_channels_of_ome_tiff(words, channels, stack, upscale):
    path, data = stack
    with tifffile.TiffFile(upscale(path, 2, bands=words)["mean"]) as tif:
        found = tif.asarray().reshape(2, len(channels), 20, 28)
        root = ET.fromstring(tif.ome_metadata)
        assert dict(zip(tif.series[0].axes, tif.series[0].shape, strict=True)).get("C", 1) == len(channels)
    np.testing.assert_array_equal(found, data[:, channels].repeat(2, 2).repeat(2, 3))
    pixels = root.find("o:Image/o:Pixels", OME)
    assert (pixels.get("SizeC"), pixels.get("SizeT")) == (str(len(channels)), "2")
    kept = root.findall(".//o:Channel", OME)
    assert [c.get("Name") for c in kept] == [NAMES[c] for c in channels]
    assert [c.get("Color") for c in kept] == [("65535", "16711935", "-16776961")[c] for c in channels]
    assert [c.get("EmissionWavelength") for c in kept] == [("461", "509", "670")[c] for c in channels]
    assert next(iter(pixels)).tag.endswith("Channel")  # the schema has them first
    planes = {
        (p.get("TheT"), p.get("TheC")): (p.get("PositionX"), p.get("ExposureTime")) for p in pixels if "Plane" in p.tag
    }
    assert planes == {
        (str(t), str(new)): (str(10 * t + old), str(old + 1)) for t in range(2) for new, old in enumerate(channels)
    }
    shapes = {s.get("ID"): s.get("TheC") for s in root.findall(".//o:Point", OME)}
    expected = {f"Shape:{n}": str(channels.index(c)) for n, c in ((0, 1), (1, 2)) if c in channels}
    assert shapes == {**expected, "Shape:2": None}


def test_what_is_left_out_plays_no_part(stack):
    path, data = stack
    with gensr.open(path, options={"bands": "Cy5,DAPI"}, srcwin="2,3,8,5") as scene:
        assert (scene.planes, scene.names, scene.loops) == (4, ["Cy5", "DAPI"], (2, 2))
        assert [scene.channel(plane) for plane in range(4)] == [0, 1, 0, 1]
        image = scene.read(3, Window(0, 0, 5, 8))
        assert np.array_equal(image.values[0], data[1, 0, 3:8, 2:10])
        assert image.usable.all()
        assert scene.metadata()["not_carried"] == ["channel GFP, which bands= leaves out"]
        assert scene.metadata()["saturation_code"] == {}
    with gensr.open(path) as scene:
        assert scene.metadata()["saturation_code"] == {"GFP": 65535}


@pytest.mark.parametrize("channel", [0, 1])
def test_channels_of_an_imagej_hyperstack(channel, make, upscale):
    path = make("M5 hyperstack")
    files = upscale(path, 2, bands=channel + 1)
    with tifffile.TiffFile(path) as a, tifffile.TiffFile(files["mean"]) as b:
        old, new = a.imagej_metadata, b.imagej_metadata
        np.testing.assert_array_equal(b.asarray(), a.asarray()[:, channel].repeat(2, 1).repeat(2, 2))
    assert new["images"] == new["slices"] == 4
    assert new.get("channels", 1) == 1
    assert new["Ranges"] == old["Ranges"][2 * channel : 2 * channel + 2]
    (table,) = new["LUTs"] if isinstance(new["LUTs"], list) else [new["LUTs"]]
    np.testing.assert_array_equal(table, old["LUTs"][channel])
    assert new["Labels"] == [f"z{z} c{channel}" for z in range(4)]
    assert (new["unit"], new["spacing"]) == (old["unit"], old["spacing"])
    assert new["mode"] == "grayscale"


def test_channels_in_another_order_keep_what_is_theirs(make, upscale):
    path = make("M5 hyperstack")
    with tifffile.TiffFile(path) as a, tifffile.TiffFile(upscale(path, 2, bands="2,1")["mean"]) as b:
        np.testing.assert_array_equal(b.asarray(), a.asarray()[:, ::-1].repeat(2, 2).repeat(2, 3))
        old, new = a.imagej_metadata, b.imagej_metadata
    assert new["Ranges"] == (*old["Ranges"][2:], *old["Ranges"][:2])
    for table, expected in zip(new["LUTs"], old["LUTs"][::-1], strict=True):
        np.testing.assert_array_equal(table, expected)
    assert new["Labels"] == [f"z{z} c{c}" for z in range(4) for c in (1, 0)]
    assert new["mode"] == "composite"


def test_channels_of_imagej_as_ome(make, upscale):
    with tifffile.TiffFile(upscale(make("M5 hyperstack"), 2, bands=2, container="ome")["mean"]) as tif:
        pixels = ET.fromstring(tif.ome_metadata).find("o:Image/o:Pixels", OME)
        assert (pixels.get("SizeC"), pixels.get("SizeZ")) == ("1", "4")
        assert [c.get("Name") for c in pixels.findall("o:Channel", OME)] == ["C1"]


@pytest.mark.parametrize(
    ("kind", "words", "error", "said"),
    [
        ("M1 bigtiff", "4", UsageError, "there is no band 4; there are 3: DAPI"),
        ("M1 bigtiff", "RFP", UsageError, "there is no band 'RFP'"),
        ("M9 movie", "2", UsageError, "there is no band 2"),
        ("rgb imagej", "1", DomainError, "samples of colour pixels, which stay together"),
        ("planar", "1", DomainError, "samples of colour pixels, which stay together"),
    ],
)
def test_channels_that_there_are_not(kind, words, error, said, make):
    with pytest.raises(error, match=said):
        Microscopy().open(make(kind), {"bands": words})


def test_the_only_channel_may_be_named(make, upscale):
    with tifffile.TiffFile(upscale(make("M9 movie"), 2, bands=1)["mean"]) as tif:
        assert tif.imagej_metadata["frames"] == 6


def test_channels_of_zarr_are_refused_by_name(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}
    group.attrs.update({"multiscales": [{"version": "0.4", "axes": axes, "datasets": [level]}]})
    group.create_array("0", data=np.arange(2 * 9 * 8, dtype=np.uint16).reshape(2, 9, 8))
    with pytest.raises(DomainError, match="of OME-Zarr all are refined"):
        gensr.open(tmp_path / "a.zarr", options={"bands": "1"})


def test_command(stack, tmp_path):
    path, data = stack
    words = ["bands=Cy5", "factor=2", "search=fast", "samples=0", f"output={tmp_path / 'out'}"]
    assert main(["upsample", str(path), *words]) == 0
    found = tifffile.imread(tmp_path / "out" / "cells_x2_generated.ome.tif")
    assert found.shape == (2, 20, 28)
    assert np.median(np.abs(found.reshape(2, 10, 2, 14, 2).mean((2, 4)) - data[:, 2])) < 1  # some clip at 0
    again = tmp_path / "out" / "cells_x2_generated_run.yaml"
    assert re.search(r"^bands: .*Cy5", again.read_text(), re.MULTILINE)
