"""A FITS image with its physics: levels of the sky, noise, operator, and the way back to a file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from gensr.operators import Area, Operator
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.rehearsal import Blank
from gensr.values.grid import Factor
from gensr.values.noise import Noise
from gensr.values.normalise import AffineNormaliser, Normaliser
from gensr.values.precision import Real

from .facts import PRIOR, scene_facts
from .levels import Sky, find_noise, measure
from .looks import grey
from .opened import OpenedFits
from .units import Values
from .writer import rehearse, write_product


class FitsScene(OpenedFits):
    """See `OpenedFits`; opening it measures nothing."""

    @cached_property
    def sky(self) -> Sky:
        """Levels of the sky, measured at first use."""
        return measure(self)

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        return scene_facts(self, self.sky)

    def operator(self, factor: Factor) -> Operator:
        """Pixel integration, and the PSF that was asked to be undone: sums for amounts, means for brightness."""
        total = self.values is Values.FLUX
        return self.psf.operator(factor, total) if self.psf and self.psf.undone else Area(factor, total)

    def noise(self) -> Noise | None:
        """See `Scene.noise`: the file's error map, or gain and unit where they agree with the image."""
        return find_noise(self, self.sky)[0]

    def generator(self) -> str:
        """See `Scene.generator`."""
        return PRIOR

    def normaliser(self) -> Normaliser:
        """Sky at 0 and one noise sigma at 1, both per source pixel."""
        return AffineNormaliser((self.sky.gain,), (self.sky.level,))

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`."""
        return write_product(self, product, folder, names)

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`: files without pixels, which astropy reads back."""
        rehearse(self, product, folder, names)

    def render(self, values: Real, reference: Real) -> Codes:
        """See `Scene.render`: asinh stretch, rows in storage order."""
        return grey(values[0], reference[0])
