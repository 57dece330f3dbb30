"""Decoding windows with GDAL in the child process: a file that imports nothing of gensr."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

_ASKED = ("interleaving", "photometric", "compression", "gcps", "rpcs", "mask_flag_enums", "block_shapes",
          "colorinterp", "nodatavals", "scales", "offsets", "units", "descriptions", "subdatasets")  # fmt: skip


def look(path: str, driver: str, settings: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """Open a file and ask what will be asked of its header, so that what a damaged one does is done here first.

    Args:
        path: of the file.
        driver: GDAL's name, the only one that may open it.
        settings: of GDAL.
    """
    import rasterio

    with rasterio.Env(**settings):
        dataset = _dataset(path, os.stat(path).st_mtime_ns, driver)
        for name in _ASKED:  # GDAL reads some of it late: the codestream of a JPEG 2000 for how it is interleaved
            with contextlib.suppress(Exception):  # what raises does so again where it is needed
                getattr(dataset, name)
        for band in (0, *dataset.indexes):
            for space in dataset.tag_namespaces(band):
                dataset.tags(band, ns=space)
    return np.zeros(0, np.uint8)


def window(
    path: str,
    driver: str,
    settings: Mapping[str, Any],
    bands: int | list[int],
    place: Sequence[Sequence[int]],
    masks: bool,
) -> npt.NDArray[Any]:
    """Codes, or masks, of a window.

    Args:
        path: see `look`.
        driver: see `look`.
        settings: see `look`.
        bands: numbers from 1.
        place: first row and row behind the last, first column and column behind the last.
        masks: whether masks are asked for.
    """
    import rasterio

    with rasterio.Env(**settings):
        dataset = _dataset(path, os.stat(path).st_mtime_ns, driver)
        where = ((place[0][0], place[0][1]), (place[1][0], place[1][1]))
        return np.asarray((dataset.read_masks if masks else dataset.read)(bands, window=where))


@lru_cache(maxsize=1)
def _dataset(path: str, changed: int, driver: str) -> Any:  # noqa: ANN401
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rasterio.open(path, driver=driver)
