"""Decoding strips and tiles of TIFF in the child process: a file that imports nothing of gensr."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt


def segment(path: str, place: int, index: int, tables: str | None, data: bytes = b"") -> tuple[npt.NDArray[Any], Any]:
    """Decoded samples of one strip or tile, with its place and shape; no samples if it is empty.

    Args:
        path: of the file.
        place: byte where the directory of its key page begins.
        index: number of the strip or tile.
        tables: JPEG tables of its own page as hexadecimal digits, None for other codecs.
        data: the stored bytes.
    """
    page = _page(path, os.stat(path).st_mtime_ns, place)
    more = {} if tables is None else {"jpegtables": bytes.fromhex(tables) or None}
    found, at, shape = page.decode(data, index, **more)
    if found is None:
        return np.zeros(0, np.uint8), None
    return found, [[int(n) for n in at], [int(n) for n in shape]]


@lru_cache(maxsize=4)
def _page(path: str, changed: int, place: int) -> Any:  # noqa: ANN401
    import tifffile

    logging.getLogger("tifffile").disabled = True
    tif = tifffile.TiffFile(path, _multifile=False)
    tif.filehandle.seek(place)
    return tifffile.TiffPage(tif, 0)
