"""The Domain contract: what a field of science must bring so that one flow serves it.

A *scene* is an opened file: planes (time, depth, channel, slice) of one shape, each with one or more bands.
The core reads windows of it, reconstructs them and keeps the results in a `Product`; the domain writes the product
in the format that came in. Domains never see tiles, generators or search; the core never sees a file format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from gensr.operators import Operator
from gensr.values.grid import Factor, PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import Noise
from gensr.values.normalise import Normaliser

Codes = npt.NDArray[Any]


@dataclass(frozen=True)
class Across:
    """How planes form volumes that are refined across their slices too, after every plane was refined for itself.

    Attributes:
        slices: slices of one volume; plane ``t * slices + z`` of the scene is slice ``z`` of volume ``t``.
        factor: refined slices per slice; slice ``z`` becomes ``z * factor`` to ``z * factor + factor - 1``.
    """

    slices: int
    factor: int

    def coarse(self, plane: int) -> int:
        """Plane of the scene that refined plane ``plane`` lies in."""
        volume, fine = divmod(plane, self.slices * self.factor)
        return volume * self.slices + fine // self.factor


class Scene(ABC):
    """An opened input.

    Attributes:
        path: the file or folder.
        planes: number of planes that are reconstructed one by one.
        bands: band names of every plane.
        grid: grid of a plane.
        dtype: dtype of stored values.
        unit: unit of physical values, "" if unknown.
        quantum: physical size of one stored code step, 0 for floating point files.
    """

    path: Path
    planes: int
    bands: tuple[str, ...]
    grid: PixelGrid
    dtype: np.dtype[Any]
    unit: str
    quantum: float

    @abstractmethod
    def read(self, plane: int, window: Window) -> Image:
        """Read a window that lies inside the grid, in physical units (float32), with masks."""

    @abstractmethod
    def encode(self, plane: int, values: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """Physical values (band, y, x) of any window to stored codes of ``dtype``.

        Integers are rounded to nearest and clipped; invalid pixels become the format's own invalid value; a valid
        pixel never becomes that value.

        Returns:
            The codes (band, y, x), and how many valid values were clipped or moved off the nodata code.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What was understood, for ``gensr info`` and the report: JSON-able, no personal data."""

    def close(self) -> None:  # noqa: B027
        """Release the file."""


class Product(Protocol):
    """Finished results of one scene on the refined grid, read window by window."""

    @property
    def factor(self) -> Factor:
        """Refinement of rows and columns."""

    @property
    def slices(self) -> int:
        """Refinement across planes (see `Across`): there are this many times as many planes as in the scene."""

    @property
    def samples(self) -> int:
        """Number of posterior samples."""

    @property
    def report(self) -> Mapping[str, Any]:
        """What was done."""

    def mean(self, plane: int, window: Window) -> Codes:
        """Posterior mean as stored codes (band, y, x); the window is in refined pixels."""

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """Posterior sample ``index`` (0-based) as stored codes (band, y, x)."""

    def std(self, plane: int, window: Window) -> npt.NDArray[np.float32]:
        """Posterior standard deviation in physical units (band, y, x), NaN where invalid."""


@dataclass(frozen=True)
class Names:
    """File names of one output set: ``<stem>_x<factor>_generated<suffix>`` and its relatives."""

    stem: str
    factor: int

    def mean(self, suffix: str) -> str:
        """Name of the posterior mean."""
        return f"{self.stem}_x{self.factor}_generated{suffix}"

    def std(self, suffix: str) -> str:
        """Name of the standard deviation."""
        return f"{self.stem}_x{self.factor}_generated_std{suffix}"

    def sample(self, index: int, suffix: str) -> str:
        """Name of sample ``index`` (0-based here, 1-based in the name)."""
        return f"{self.stem}_x{self.factor}_generated_sample{index + 1}{suffix}"


class Domain(ABC):
    """A field of science: its files, instruments, values and looks. Stateless."""

    name: ClassVar[str]
    description: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    """File name endings it writes or reads, longest first (".nii.gz" before ".gz")."""
    defaults: ClassVar[Mapping[str, Any]]
    """Options of `open` with their default values; an unknown option is refused by name."""

    @abstractmethod
    def sniff(self, path: Path) -> int:
        """How sure the domain is that it reads this file or folder, from its content.

        Returns:
            0 not mine, 1 can read it, 2 likely mine, 3 certainly mine. Never raises for a damaged file.
        """

    def expand(self, folder: Path) -> list[Path]:
        """Inputs inside a folder that this domain reads (a DICOM series folder is one input)."""
        return [p for p in sorted(folder.iterdir()) if p.is_file() and self.sniff(p) > 0]

    @abstractmethod
    def open(self, path: Path, options: Mapping[str, Any]) -> Scene:
        """Open an input.

        Raises:
            FormatError: damaged, unsafe or unsupported file; the message names file, cause and fix.
            DomainError: values or options that the domain refuses.
        """

    @abstractmethod
    def stem(self, path: Path) -> str:
        """Name of an input without its (possibly double) extension."""

    @abstractmethod
    def operator(self, scene: Scene, factor: Factor) -> Operator:
        """Default forward operator, acting on physical values."""

    def across(self, scene: Scene, factor: Factor) -> Across | None:
        """Refinement across planes that follows the refinement within them; None, the default, leaves planes alone.

        Raises:
            DomainError: asked for, but not possible for this scene.
        """
        return None

    @abstractmethod
    def noise(self, scene: Scene) -> Noise | None:
        """Noise known from the file, in physical units; None lets the core estimate it from the data."""

    @abstractmethod
    def generator(self, scene: Scene) -> str:
        """Name of the default generator."""

    @abstractmethod
    def normaliser(self, scene: Scene) -> Normaliser:
        """Map between physical values and the range of the domain's generators, from statistics of the scene."""

    @abstractmethod
    def write(self, scene: Scene, product: Product, folder: Path, names: Names) -> list[Path]:
        """Write mean, std and samples into ``folder`` (a staging folder; the core renames the files when whole).

        Returns:
            The files or folders written.
        """

    @abstractmethod
    def render(self, scene: Scene, values: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Codes:
        """Preview of physical values (band, y, x) as uint8 RGB (y, x, 3).

        Args:
            scene: the opened input.
            values: what to show; NaN where invalid.
            reference: values that set the display limits, so that panels share one stretch.
        """

    def metrics(self, truth: npt.NDArray[np.float32], estimate: npt.NDArray[np.float32]) -> dict[str, float]:
        """Field-specific scores of an estimate (band, y, x) against a truth in physical units."""
        return {}
