"""A portrait with its physics, and the way back to a picture of its format."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from gensr.errors import DomainError
from gensr.operators import Area, Operator
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.rehearsal import Blank
from gensr.values.grid import Factor
from gensr.values.noise import Noise
from gensr.values.normalise import AffineNormaliser, Normaliser
from gensr.values.precision import Real

from .looks import preview, strip
from .opened import OpenedPhoto
from .writer import SIDE_LIMITS, SUFFIXES, rehearse, write_product

OF_FIELDS = "engression-field"
"""Prior of what is no face."""
_ENDINGS = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "WEBP": (".webp",), "TIFF": (".tif", ".tiff")}


class FaceScene(OpenedPhoto):
    """See `OpenedPhoto`."""

    looked_at: ClassVar[bool] = True

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: pixel integration. A size that the output format cannot hold is refused here."""
        rows, cols = (n * f for n, f in zip(self.grid.shape, factor, strict=True))
        words = self.caption(interpolated=False)
        side = max(rows + (len(strip(words, cols)) if words else 0), cols)
        limit = SIDE_LIMITS.get(self.output_format)
        if limit is not None and side > limit:
            raise DomainError(
                f"{self.path}: {side} pixels a side exceed the {limit} of a {self.output_format}; convert it to PNG"
            )
        return Area(factor)

    def noise(self) -> Noise | None:
        """See `Scene.noise`: unknown, so it is estimated."""
        return None

    def deblurs(self) -> str:
        """See `Scene.deblurs`: a photograph needs no face for that, so a prior for fields of any size."""
        return OF_FIELDS

    def generator(self) -> str:
        """See `Scene.generator`."""
        return "engression-faces"

    def normaliser(self) -> Normaliser:
        """See `Scene.normaliser`: fixed, because codes are display-referred."""
        return AffineNormaliser((float(self.peak),) * len(self.bands), (0.0,) * len(self.bands))

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`; the standard deviation is a float32 TIFF with one page per band."""
        return write_product(self, product, folder, names, self._suffix())

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`: a few pixels with the whole header."""
        rehearse(self, product, folder, names, self._suffix())

    def _suffix(self) -> str:
        own, kind = self.path.suffix, self.output_format
        return own if own.lower() in _ENDINGS[kind] else SUFFIXES[kind]

    def render(self, values: Real, reference: Real) -> Codes:
        """See `Scene.render`; the stretch is fixed, so ``reference`` has no say."""
        return preview(values, self.peak)
