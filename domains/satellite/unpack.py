"""Decoding windows with GDAL in the child process: a file that imports nothing of gensr."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt


def look(path: str, driver: str, settings: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """Open a file, so that what a damaged header does is done here first.

    Args:
        path: of the file.
        driver: GDAL's name, the only one that may open it.
        settings: of GDAL.
    """
    import rasterio

    with rasterio.Env(**settings):
        _dataset(path, os.stat(path).st_mtime_ns, driver)
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
