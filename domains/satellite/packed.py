"""A dataset whose pixels are compressed: they are decoded in the child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gensr.scenes.decoding import decoded

from . import unpack

Place = tuple[tuple[int, int], tuple[int, int]]


class Packed:
    """A rasterio dataset of which only the header is read in this process.

    Args:
        dataset: opened.
        path: of the file that the child opens.
        settings: of GDAL there.
        masked: masks lie in a file beside it, which is read here: it is a TIFF of zeros and ones.
    """

    def __init__(self, dataset: Any, path: Path, settings: Mapping[str, Any], masked: bool) -> None:  # noqa: ANN401
        self._dataset, self._masked = dataset, masked
        self._words = [str(path.absolute()), dataset.driver, dict(settings)]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Whatever the header says."""
        return getattr(self._dataset, name)

    def read(self, indexes: int | Sequence[int] | None = None, window: Place | None = None) -> Any:  # noqa: ANN401
        """See rasterio."""
        return self._decoded(indexes, window, False)

    def read_masks(self, indexes: int | Sequence[int] | None = None, window: Place | None = None) -> Any:  # noqa: ANN401
        """See rasterio."""
        if self._masked:
            return self._dataset.read_masks(indexes, window=window)
        return self._decoded(indexes, window, True)

    def _decoded(self, indexes: int | Sequence[int] | None, window: Place | None, masks: bool) -> Any:  # noqa: ANN401
        dataset = self._dataset
        bands = indexes if isinstance(indexes, int) else list(dataset.indexes if indexes is None else indexes)
        place = window or ((0, dataset.height), (0, dataset.width))
        first = bands if isinstance(bands, int) else bands[0]
        dtype = np.dtype(np.uint8 if masks else dataset.dtypes[first - 1])
        (top, bottom), (left, right) = place
        shape = (() if isinstance(bands, int) else (len(bands),)) + (bottom - top, right - left)
        most = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        codes, _ = decoded(unpack.window, [*self._words, bands, place, masks], most)
        if codes.shape != shape or codes.dtype != dtype:
            raise ValueError(f"decodes to {codes.dtype} {codes.shape}, expected {dtype} {shape}")
        return codes
