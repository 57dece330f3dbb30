"""The Scene contract: an opened input, its physics, and the way back to a file of its format.

A scene has planes (time, depth, channel, slice) of one shape, each with one or more bands. The pipeline reads windows,
reconstructs them and keeps the results in a `Product`; the scene writes the product in the format that came in. Scenes
never see tiles, generators or search; the pipeline never sees a file format.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError
from gensr.operators.base import Operator
from gensr.scenes.labelled import Labelled
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product, ThroughPlane
from gensr.scenes.provenance import content_digest
from gensr.scenes.rehearsal import WHOLE, Blank
from gensr.values.area import Bounds
from gensr.values.grid import IDENTITY, Factor, PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import Noise
from gensr.values.normalise import Normaliser
from gensr.values.precision import SINGLE, Real


class Folder:
    """A temporary folder that is removed with the last object that holds it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="gensr-"))
        weakref.finalize(self, shutil.rmtree, self.path, True)


class Reference(ABC):
    """How to open a scene again, in a few hundred bytes that any process can read."""

    @abstractmethod
    def scene(self) -> Scene:
        """The scene; one process opens it once.

        Raises:
            FormatError: the input is gone or has changed.
        """

    def moved(self, folder: Path) -> Reference:
        """The same input from a copy in ``folder``; itself where there is nothing to copy."""
        return self


@dataclass(frozen=True)
class Part:
    """Pixels of a scene that are of one kind: a band, or a channel of several planes.

    Attributes:
        name: for messages.
        band: 0-based.
        planes: that it lies in.
        names: texts that may say what it is: of the file, band, extension.
        declared: what the file says that proves labels, in words that follow "it is a label image or mask: "; "" else.
        index: codes stand for colours or classes, so that they cannot be taken for an image.
    """

    name: str
    band: int
    planes: Sequence[int]
    names: tuple[str, ...] = ()
    declared: str = ""
    index: bool = False


class Scene(ABC):
    """An opened input.

    A scene pickles as its `reference`: another process opens the input again when it first needs it.

    Attributes:
        path: the file or folder.
        planes: number of planes that are reconstructed one by one.
        bands: band names of every plane.
        grid: grid of a plane.
        dtype: dtype of stored values.
        unit: unit of physical values, "" if unknown.
        quantum: physical size of one stored code step, 0 for floating point files.
        precision: dtype of physical values in memory, see `gensr.values.precision`.
        reference: set by `gensr.scenes.inputs.open_scene`; None for a scene that a domain opened directly.
        origin: row and column of the input where the grid begins; (0, 0) unless it is a part, see `crop`.
        kept: the temporary folder that ``path`` lies in, for an object in memory that was laid down as a file.
        doubt: what speaks for another domain, where it was guessed and that was close.
        judged: what was said when labels were looked for and not found, see `gensr.scenes.labels.Survey`.
        labels: of an array of xarray; results get theirs from them.
        repeated: (plane, band) of labels whose pixels are repeated; no statistics are made of them.
    """

    path: Path
    planes: int
    bands: tuple[str, ...]
    grid: PixelGrid
    dtype: np.dtype[Any]
    unit: str
    quantum: float
    precision: np.dtype[Any] = SINGLE
    reference: Reference | None = None
    origin: tuple[int, int] = (0, 0)
    kept: Folder | None = None
    labels: Labelled | None = None
    counts_photons: ClassVar[bool] = False
    """Whether noise may grow with the signal as that of detectors that count photons does: then that is looked for."""
    looked_at: ClassVar[bool] = False
    """Whether people look at features of it, such as those of a face: then several answers lie on a sheet."""
    doubt: str = ""
    judged: tuple[str, ...] = ()
    repeated: frozenset[tuple[int, int]] = frozenset()

    @abstractmethod
    def read(self, plane: int, window: Window) -> Image:
        """Read a window that lies inside the grid, in physical units (dtype ``precision``), with masks."""

    @abstractmethod
    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """Physical values (band, y, x) of any window to stored codes of ``dtype``.

        Integers are rounded to nearest and clipped; invalid pixels become the format's own invalid value; a valid
        pixel never becomes that value.

        Returns:
            The codes (band, y, x), and how many valid values were clipped or moved off the nodata code.
        """

    def read_bands(self, plane: int, window: Window, first: int, end: int) -> Image:
        """Bands ``first`` to ``end - 1`` of a window; a scene of many bands reads no others."""
        return self.read(plane, window).select(first, end)

    def encode_bands(
        self, plane: int, values: Real, valid: npt.NDArray[np.bool_], first: int, end: int
    ) -> tuple[Codes, int]:
        """What `encode` makes of bands ``first`` to ``end - 1`` alone; a scene of many bands looks at no others."""
        whole = np.zeros((len(self.bands), *values.shape[1:]), values.dtype)
        known = np.zeros(whole.shape, np.bool_)
        whole[first:end], known[first:end] = values, valid
        codes, moved = self.encode(plane, whole, known)
        return codes[first:end], moved

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """Codes (band, y, x) as they are stored, and where they are valid; physical values unless a scene knows better.

        A scene that hands out codes of ``dtype`` has its labels repeated to the last bit.
        """
        image = self.read(plane, window)
        return image.values, image.valid

    def parts(self) -> tuple[Part, ...]:
        """What is judged by itself when labels are told from images: every band, with its name and that of the file."""
        return tuple(
            Part(name, band, range(self.planes), (self.path.name, name)) for band, name in enumerate(self.bands)
        )

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """What was understood, for ``gensr info`` and the report: JSON-able, no personal data."""

    def cautions(self) -> list[str]:
        """What a user should know of every run on this input, one sentence each: said with the result."""
        return []

    @abstractmethod
    def operator(self, factor: Factor) -> Operator:
        """Default forward operator, acting on physical values.

        Raises:
            DomainError: an output of that size has no place in the format, or is refused.
        """

    def through_plane(self, factor: Factor) -> ThroughPlane | None:
        """Refinement through planes that follows the refinement within them; None, the default, leaves planes alone.

        Raises:
            DomainError: asked for, but not possible for this scene.
        """
        return None

    @abstractmethod
    def noise(self) -> Noise | None:
        """Noise known from the file, in physical units; None lets the pipeline estimate it from the data."""

    @abstractmethod
    def generator(self) -> str:
        """Name of the default generator."""

    def stand_in(self) -> str:
        """Name of the generator for what the usual one cannot serve; "" for the one that it names itself."""
        return ""

    def deblurs(self) -> str:
        """Name of the generator that undoes blurs on the grid of the input; "" for what serves at other factors."""
        return ""

    def people(self) -> list[npt.NDArray[np.bool_]]:
        """Where each person is (rows, cols), apart from each other, from back to front, as far as they can be found."""
        return []

    @abstractmethod
    def normaliser(self) -> Normaliser:
        """Map between physical values and the range of the domain's generators, from statistics of the scene."""

    @abstractmethod
    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """Write mean, std and samples into ``folder`` (a staging folder; the pipeline renames the files when whole).

        Returns:
            The files or folders written.
        """

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See that `write` will succeed, before anything is computed: write every header and read it back.

        What a scene of large files overrides it with takes a moment whatever the size. The default writes small
        outputs whole and trusts in `write` for others.

        Args:
            product: of zeros, with the shape and the report of the one that will be written.
            folder: an empty one, which is thrown away.
            names: of the outputs.

        Raises:
            GensrError: what `write` would raise.
        """
        if product.size <= WHOLE:
            self.write(product, folder, names)

    @abstractmethod
    def render(self, values: Real, reference: Real) -> Codes:
        """Preview of physical values (band, y, x) as uint8 RGB (y, x, 3).

        Args:
            values: what to show; NaN where invalid.
            reference: values that set the display limits, so that panels share one stretch.
        """

    def crop(self, window: Window) -> Scene:
        """The part of the input that a window covers, as a scene whose geometry moved with it.

        The part takes over what was opened: closing either closes it. It reads no pixel outside the window.

        Args:
            window: inside the grid of a whole input.

        Raises:
            DomainError: such an input cannot be cut.
        """
        raise DomainError(f"{self.path.name}: srcwin= and bounds= do not cut such an input; cut it beforehand")

    def cover(self, bounds: Bounds) -> tuple[float, float, float, float]:
        """The extent that covers a box in coordinates of the grid's frame: first row and column, and their ends.

        Raises:
            DomainError: the input has no such coordinates, or the box is empty in them.
        """
        name = self.path.name
        if self.grid.transform == IDENTITY:
            raise DomainError(f"{name}: has no coordinates that bounds= could mean; srcwin= counts pixels")
        left, bottom, right, top = bounds.box()
        if bounds.angle or left >= right:
            what = "arcsec, arcmin and deg are for the sky" if bounds.angle else "left is not below right"
            raise DomainError(f"{name}: bounds={bounds.text}: {what}; give left,bottom,right,top in its coordinates")
        places = [self.grid.to_pixel(x, y) for x in (left, right) for y in (bottom, top)]
        cols, rows = [p[0] for p in places], [p[1] for p in places]
        return min(rows), min(cols), max(rows), max(cols)

    @property
    def kept_dims(self) -> tuple[bool, bool]:
        """Whether arrays of results keep the plane axis and the band axis: where there are several of them."""
        return self.planes > 1, len(self.bands) > 1

    def hand(self, codes: Codes, valid: npt.NDArray[np.bool_]) -> Codes:
        """Results (plane, band, y, x) as an array of the form in which the input came.

        Args:
            codes: stored codes, or deviations.
            valid: where they mean something, same shape.
        """
        if self.labels is not None:
            return np.asarray(self.labels.form.back(codes))
        planes, bands = self.kept_dims
        codes = codes if bands else codes[:, 0]
        return codes if planes else codes[0]

    def content(self) -> str:
        """Digest of the input: what has the same, and is asked the same, gives the same result."""
        return content_digest(self.path)

    def spill(self, folder: Path) -> None:
        """Make sure that another process can open the scene: what is only in memory is written into ``folder``."""
        if self.kept is not None and self.reference is not None:
            self.reference = self.reference.moved(folder)

    def close(self) -> None:  # noqa: B027
        """Release the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __copy__(self) -> Self:
        """A scene that shares what was opened; pickling would open it again."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __reduce__(self) -> tuple[Callable[[Reference], Scene], tuple[Reference]]:
        if self.reference is None:
            raise DomainError(f"{self.path}: was opened without gensr.open, so no other process can open it again")
        return _reopened, (self.reference,)


def _reopened(reference: Reference) -> Scene:
    return reference.scene()
