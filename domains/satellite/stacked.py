"""Files of one band each as if they were the bands of one file: what a product keeps apart is one scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import FormatError

from . import gdal
from .checks import check_file, check_structure
from .safe import Folder, Stack
from .signature import driver_of


class Stacked:
    """Opened rasterio datasets of one band; what says nothing of single bands is that of the first.

    Args:
        found: the bands, their files and what their codes mean.
        folder: that they lie in; closed with them.

    Raises:
        FormatError: a file is damaged, or another grid than the first.
    """

    def __init__(self, found: Stack, folder: Folder) -> None:
        self._found, self._folder = found, folder
        self._parts: list[Any] = []
        try:
            for file in found.files.values():
                driver = driver_of(file)
                part = gdal.opened(file, driver, check_file(file, driver))
                self._parts.append(part)
                check_structure(file, part)
                self._check_alike(file, part)
        except BaseException:
            self.close()
            raise
        self.count, self.indexes = len(self._parts), tuple(range(1, len(self._parts) + 1))
        self.descriptions = tuple(found.files)
        self.scales = (found.product.scale,) * self.count
        self.offsets = tuple(found.product.offsets.get(band, 0.0) for band in found.files)
        self.nodatavals = (found.product.nodata,) * self.count
        self.dtypes = tuple(p.dtypes[0] for p in self._parts)
        self.units = ("",) * self.count

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Whatever says nothing of single bands."""
        return getattr(self._parts[0], name)

    @property
    def driver(self) -> str:
        """What it is called in reports."""
        return f"Sentinel-2 L{self._found.product.level} SAFE, {self._found.resolution} m"

    @property
    def block_shapes(self) -> list[tuple[int, int]]:
        """Per band."""
        return [p.block_shapes[0] for p in self._parts]

    @property
    def colorinterp(self) -> tuple[Any, ...]:
        """Per band: red, green and blue where those bands are there."""
        interp = gdal.load().enums.ColorInterp
        colours = {"B02": interp.blue, "B03": interp.green, "B04": interp.red}
        return tuple(colours.get(band, interp.undefined) for band in self._found.files)

    @property
    def mask_flag_enums(self) -> tuple[Any, ...]:
        """Per band: nodata says what is valid."""
        flags = gdal.load().enums.MaskFlags
        return ([flags.nodata],) * self.count

    def tags(self, bidx: int = 0, ns: str | None = None) -> dict[str, str]:
        """Facts of the product, or of a band; see rasterio."""
        if ns is not None:
            return {}
        if not bidx:
            own: dict[str, str] = self._parts[0].tags()
            return {**own, **self._found.product.tags}
        band = self.descriptions[bidx - 1]
        wave = self._found.product.wavelengths.get(band)
        return {"BANDNAME": band, **({"CENTRAL_WAVELENGTH_NM": wave} if wave else {})}

    def tag_namespaces(self, bidx: int = 0) -> list[str]:
        """See rasterio: none but the default."""
        return []

    def read(self, indexes: int | Sequence[int] | None = None, **how: Any) -> Any:  # noqa: ANN401
        """See rasterio."""
        if isinstance(indexes, int):
            return self._parts[indexes - 1].read(1, **how)
        return np.stack([self._parts[i - 1].read(1, **how) for i in (self.indexes if indexes is None else indexes)])

    def close(self) -> None:
        """Close every file and remove what was unpacked."""
        for part in self._parts:
            part.close()
        self._folder.close()

    def _check_alike(self, file: Path, part: Any) -> None:  # noqa: ANN401
        first = self._parts[0]
        same = {
            "one band": part.count == 1,
            "the same size": (part.width, part.height) == (first.width, first.height),
            "the same place": part.transform == first.transform and part.crs == first.crs,
            "the same dtype": part.dtypes[0] == first.dtypes[0],
        }
        wrong = [word for word, good in same.items() if not good]
        if wrong:
            raise FormatError(
                f"{file}: expected {' and '.join(wrong)} as {next(iter(self._found.files))}; it is damaged"
            )
