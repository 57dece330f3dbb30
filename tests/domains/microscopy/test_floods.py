"""Small files that claim to be endless."""

from __future__ import annotations

import struct
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
