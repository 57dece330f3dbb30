"""A raster with its physics, and the way back to a Cloud Optimized GeoTIFF."""

from __future__ import annotations

from pathlib import Path

from gensr.errors import DomainError
from gensr.operators import Area, Operator
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.rehearsal import Blank
from gensr.scenes.statistics import percentile_normaliser
from gensr.values.grid import Factor, Window
from gensr.values.noise import GaussianNoise, Noise
from gensr.values.normalise import Normaliser
from gensr.values.precision import Real

from . import preview
from .opened import OpenedRaster
from .writer import rehearse, write_product

COLOURS = ("red", "green", "blue")


class SatelliteScene(OpenedRaster):
    """See `OpenedRaster`."""

    def operator(self, factor: Factor) -> Operator:
        """Pixel integration; the optics of the sensor are unknown to the file."""
        return Area(factor)

    def noise(self) -> Noise | None:
        """White noise of ``noise_floor`` where given; files carry none, so the pipeline estimates it otherwise."""
        return None if self.noise_floor is None else GaussianNoise(self.noise_floor)

    def generator(self) -> str:
        """See `Scene.generator`: of red, green and blue, in this order, one that knows how they go together."""
        colours = tuple(self.carried.colors[i - 1].name for i in self.layout.data)
        return "engression-land-rgb" if colours == COLOURS and not self.repeated else "engression-field"

    def stand_in(self) -> str:
        """See `Scene.stand_in`."""
        return "gaussian-satellite"

    def normaliser(self) -> Normaliser:
        """The 2nd percentile becomes 0 and the 98th 1, per band.

        Raises:
            DomainError: integers that float64 would round.
        """
        self._check_digits()
        return percentile_normaliser(self, preview.LOW, preview.HIGH)

    def _check_digits(self) -> None:
        if self.dtype.kind == "f" or self.dtype.itemsize <= 4:
            return
        rows, cols = self.grid.shape
        step = max(1, 2**22 // (cols * len(self.bands)))
        for row in range(0, rows, step):
            codes, valid = self.codes(0, Window(row, 0, min(step, rows - row), cols))
            valid[[band for _, band in self.repeated]] = False
            kept = codes[valid]
            if kept.size:
                try:
                    self.coding.check_resolution(int(kept.min()), int(kept.max()))
                except DomainError as error:
                    raise DomainError(f"{self.path}: {error}") from error

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """Cloud Optimized GeoTIFFs of mean, standard deviation (floats in physical units, NaN nodata) and samples."""
        return write_product(self, product, folder, names)

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`: the corner of every file, which holds the whole header."""
        rehearse(self, product, folder, names)

    def render(self, values: Real, reference: Real) -> Codes:
        """See `Scene.render`."""
        return preview.render(self.bands, values, reference, self.carried.white)
