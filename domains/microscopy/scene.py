"""A microscope file with its physics, and the way back to a file of its kind."""

from __future__ import annotations

from pathlib import Path

from gensr.errors import DomainError
from gensr.operators import Operator
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.rehearsal import Blank
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import percentile_normaliser
from gensr.values.grid import Factor
from gensr.values.noise import Noise
from gensr.values.normalise import Normaliser
from gensr.values.precision import Real

from . import imagej
from .container import suffix_of
from .layers import output_kind
from .looks import grey
from .opened import OpenedMicrograph
from .optics import operator_of
from .rehearsal import rehearse
from .writer import write_product
from .zarr_convert import described
from .zarr_write import write_zarr


class MicroscopyScene(OpenedMicrograph):
    """See `OpenedMicrograph`."""

    counts_photons = True

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: pixels, behind optics to be undone. A stack too large for ImageJ is refused here."""
        if output_kind(self) == "imagej":
            imagej.check_size(self, factor)
            imagej.output_shape(self, factor, self.dtype.name)
        if output_kind(self) == "zarr":
            described(self)
        if output_kind(self) == "ome" and self.dtype.name == "float16":
            raise DomainError(f"{self.path}: OME-TIFF has no word for 16-bit floats; convert it to float32")
        return operator_of(self.optics, factor)

    def noise(self) -> Noise | None:
        """See `Scene.noise`: no file says it, so it is estimated."""
        return None

    def generator(self) -> str:
        """See `Scene.generator`."""
        return "engression-field"

    def stand_in(self) -> str:
        """See `Scene.stand_in`."""
        return "gaussian-microscopy"

    def normaliser(self) -> Normaliser:
        """See `Scene.normaliser`: percentiles 1 and 99.9 of the whole scene."""
        return percentile_normaliser(self, 1.0, 99.9)

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`; the standard deviation is a floating point file of the same kind."""
        if output_kind(self) == "zarr":
            return write_zarr(self, *described(self), product, folder, names)
        return write_product(self, product, folder, names, self._suffix())

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`: files without pixels, which are read back."""
        if output_kind(self) == "zarr":
            Scene.rehearse(self, product, folder, names)
        else:
            rehearse(self, product, folder, names, self._suffix())

    def _suffix(self) -> str:
        suffix = suffix_of(self.path) or ".tif"
        if output_kind(self) == "ome" and not suffix.lower().startswith(".ome"):
            suffix = ".ome.tif" if self.container.kind != "ome" else suffix
        return suffix

    def render(self, values: Real, reference: Real) -> Codes:
        """See `Scene.render`."""
        return grey(values, reference, self.white)
