"""Decoding tile-compressed images of FITS in the child process: a file that imports nothing of gensr."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits


def tile_rows(path: str, index: int) -> npt.NDArray[np.int64]:
    """Length of a tile along the first axis, NumPy order.

    Args:
        path: of the file.
        index: of the HDU.
    """
    return np.asarray([_hdu(path, os.stat(path).st_mtime_ns, index).tile_shape[0]], np.int64)


def rows(path: str, index: int, start: int, stop: int) -> npt.NDArray[Any]:
    """Stored values of a range along the first axis.

    Args:
        path: of the file.
        index: of the HDU.
        start: first index.
        stop: behind the last index.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(_hdu(path, os.stat(path).st_mtime_ns, index).section[start:stop])


@lru_cache(maxsize=1)
def _hdu(path: str, changed: int, index: int) -> Any:  # noqa: ANN401
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.open(path, memmap=False, do_not_scale_image_data=True)[index]
