"""Small files that claim to be endless."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gensr.errors import FormatError
from gensr.scenes import installed
from gensr.scenes.inputs import guess


@pytest.mark.parametrize("name", ["microscopy", "faces", "satellite"])
def test_directories_in_a_loop(tmp_path: Path, name: str) -> None:
    path = tmp_path / "loop.tif"
    tifffile.imwrite(path, np.zeros((3, 16, 16), np.uint8), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[0].offset, tif.pages[2]
        link = last.offset + 2 + 12 * len(last.tags)
    raw = bytearray(path.read_bytes())
    assert struct.unpack_from("<I", raw, link) == (0,)
    struct.pack_into("<I", raw, link, first)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="directories run in a loop"):
        installed.domain(name).open(path, {})
    guess(path)  # comes back


@pytest.mark.parametrize(
    "flood", ["<Plane TheZ='0' TheC='0' TheT='0'/>", "<TiffData IFD='0' PlaneCount='1'/>", "<a></a>"]
)
def test_elements_of_ome_xml_without_end(tmp_path: Path, flood: str) -> None:
    """More elements than the pages of the file can need; with many pages the same number is read."""
    path = tmp_path / "flood.ome.tif"
    head = "<OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'><Image ID='Image:0'><Pixels ID='Pixels:0' "
    head += "DimensionOrder='XYCZT' Type='uint8' SizeX='16' SizeY='16' SizeZ='1' SizeC='1' SizeT='1'>"
    text = f"{head}<Channel ID='Channel:0:0' SamplesPerPixel='1'/><TiffData/>{flood * 100_000}</Pixels></Image></OME>"
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8), description=text.encode(), metadata=None)
    started = time.monotonic()
    with pytest.raises(FormatError, match=r"flood.ome.tif: claims \d+ elements of XML, .*GENSR_LIMIT=2"):
        installed.domain("microscopy").open(path, {})
    assert time.monotonic() - started < 10
