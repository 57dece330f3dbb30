"""What every opened medical image has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gensr.errors import DomainError
from gensr.operators import Area, Operator
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product, ThroughPlane
from gensr.scenes.provenance import repeated
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import percentile_normaliser
from gensr.values.area import Bounds
from gensr.values.grid import Factor, Window
from gensr.values.noise import Noise
from gensr.values.normalise import AffineNormaliser, Normaliser
from gensr.values.precision import Real

from . import looks
from .options import LARGEST_FACTOR, check_factor
from .through_plane import Stack

BLOCK = 1 << 20
RADIOGRAPHS = frozenset({"CR", "DX"})
CT_LOWEST, CT_RANGE = -1000.0, 2000.0
Source = Callable[[int, Window], Codes | Real]
"""Reads a window of a plane of the mean, of a sample or of the standard deviation."""


class MedicalScene(Scene):
    """An opened NIfTI or DICOM input.

    Attributes:
        modality: DICOM code of the modality ("MR", "CT", "CR", "DX", "PT", ...).
        options: complete options of the domain.
        stack: how planes form volumes.
        display: (lowest, highest) physical value to show, from the file; None where it does not say.
        full_range: physical values of the lowest and highest code of an 8-bit radiograph; None for anything else.
        stackable: slices can be added in the format of the input.
    """

    modality: str
    options: Mapping[str, Any]
    stack: Stack
    display: tuple[float, float] | None
    full_range: tuple[float, float] | None
    stackable: bool = True

    def suggested_slices(self) -> int:
        """Through-plane factor that the spacing asks for and the format and options allow; 1 means not needed."""
        wanted = self.stack.suggestion() if self.stackable else 1
        return wanted if self.options["understood"] else min(wanted, LARGEST_FACTOR)

    def slices_factor(self) -> int:
        """Through-plane factor to use: the option's, or the suggested one.

        Raises:
            DomainError: asked for by number where the slices have no even step, or are not several.
        """
        wanted = self.options["through_plane"]
        if wanted == "off":
            return 1
        if wanted == "auto":
            return self.suggested_slices()
        if self.stack.step is None or self.stack.slices < 2 or not self.stackable:
            raise DomainError(
                f"{self.path.name}: through_plane={wanted} needs several slices with an even step, as a NIfTI volume, "
                "a DICOM series, or an enhanced object with a position per frame; use through_plane=off"
            )
        return int(wanted)

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: pixel integration.

        Raises:
            DomainError: a factor above 4 without ``understood=true``.
        """
        check_factor(factor, self.options)
        return Area(factor)

    def through_plane(self, factor: Factor) -> ThroughPlane | None:
        """See `Scene.through_plane`: the option ``through_plane``.

        Raises:
            DomainError: slices without an even step, or a factor above 4 without ``understood=true``.
        """
        slices = self.slices_factor()
        check_factor(factor, self.options, slices)
        return ThroughPlane(self.stack.slices, slices) if slices > 1 else None

    def cover(self, bounds: Bounds) -> tuple[float, float, float, float]:
        """A box in millimetres says nothing of the axes that it is along, so it is refused.

        Raises:
            DomainError: always.
        """
        raise DomainError(f"{self.path.name}: bounds= is for maps and the sky; use srcwin=, which counts pixels")

    def noise(self) -> Noise | None:
        """None: medical files do not state their noise, so it is estimated from the data."""
        return None

    def generator(self) -> str:
        """See `Scene.generator`.

        Raises:
            DomainError: ``aligned=true`` on anything but a square radiograph.
        """
        if not self.options["aligned"]:
            # Of these the network has seen magnetic resonance only; windows of a mixture presume less of other images.
            return "engression-field" if self.modality == "MR" else "gaussian-brain-mr"
        rows, cols = self.grid.shape
        if self.modality not in RADIOGRAPHS or rows != cols or self.planes != 1:
            raise DomainError(
                f"aligned=true on {self.modality} of {rows} x {cols} pixels and {self.planes} planes: the chest prior "
                "needs one square CR or DX picture of a whole chest; crop it, or leave the option out"
            )
        return "engression-chest-xray"

    def stand_in(self) -> str:
        """See `Scene.stand_in`."""
        return "" if self.options["aligned"] else "gaussian-brain-mr"

    def normaliser(self) -> Normaliser:
        """See `Scene.normaliser`: a fixed window for CT, the code range of 8-bit radiographs, percentiles else."""
        if self.modality == "CT" and self.unit == "HU":
            return AffineNormaliser((CT_RANGE,), (CT_LOWEST,))
        if self.full_range is not None:
            low, high = self.full_range
            return AffineNormaliser((high - low,), (low,))
        return percentile_normaliser(self, 0.5, 99.9)

    def render(self, values: Real, reference: Real) -> Codes:
        """See `Scene.render`."""
        return looks.grey(values[0], *looks.limits(self.modality, self.display, reference))


def outputs(product: Product, names: Names, suffix: str) -> list[tuple[str, str, Source]]:
    """Kind ("mean", "std", "sample1", ...), file name and source of every image to write."""
    found: list[tuple[str, str, Source]] = [("mean", names.mean(suffix), product.mean)]
    if repeated(product.report):
        return found
    found.append(("std", names.std(suffix), product.std))
    for k in range(product.samples):
        found.append((f"sample{k + 1}", names.sample(k, suffix), _sample(product, k)))
    return found


def _sample(product: Product, index: int) -> Source:
    return lambda plane, window: product.sample(index, plane, window)


def row_blocks(shape: tuple[int, int], factor: Factor) -> Iterator[Window]:
    """Windows of whole refined rows that cover a refined plane, each about a million pixels."""
    rows, cols = shape[0] * factor[0], shape[1] * factor[1]
    height = max(1, BLOCK // cols)
    for row in range(0, rows, height):
        yield Window(row, 0, min(height, rows - row), cols)
