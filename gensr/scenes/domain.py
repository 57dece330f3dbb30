"""The Domain contract: what a field of science must bring so that one flow serves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from gensr.scenes.scene import Scene

ArrayWords = Mapping[str, Mapping[str, Any]]


class Domain(ABC):
    """A field of science and its files. Stateless; what an opened file needs belongs to its `Scene`."""

    name: ClassVar[str]
    description: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    """File name endings it writes or reads, longest first (".nii.gz" before ".gz")."""
    defaults: ClassVar[Mapping[str, Any]]
    """Options of `open` with their default values; an unknown option is refused by name."""
    prior: ClassVar[str]
    """Name of the generator of its usual images: what arrays are answered with."""
    contrast: ClassVar[tuple[float, float]] = (1.0, 99.9)
    """Percentiles that its normalisers map to 0 and 1; arrays are treated like its files."""
    full_scale: ClassVar[bool] = False
    """Whether the largest code of uint16 means that a pixel was saturated."""
    stand_in: ClassVar[str] = ""
    """Name of the generator for what that one cannot serve; "" for the one that it names itself."""
    takes_arrays: ClassVar[bool] = False
    """Whether arrays that say nothing of themselves are taken for images of this domain."""

    objects: ClassVar[tuple[str, ...]] = ()
    """Kinds of objects in memory that results are handed back as, see `take_up`."""

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

    def claims(self, words: ArrayWords) -> int:
        """How sure the domain is that an array in memory with these words is one of its images, see `sniff`.

        Args:
            words: attributes of the array under "", and those of each of its coordinates under its name.
        """
        return 0

    def knows(self, source: object) -> int:
        """How sure the domain is that an object in memory (not a path) is one of its images, see `sniff`.

        1 is for what must be asked for by name: domains do not compete for it.
        Called for every object that is no plain array: it must not import the library that the object comes from.
        """
        return 0

    def array(self, scene: Scene) -> Scene:
        """What an array that this domain answers is taken for: itself.

        Args:
            scene: of an array without words of its own, a `gensr.scenes.arrays.ArrayScene`.
        """
        return scene

    def lay_down(self, source: object, folder: Path) -> list[Path]:
        """Write an object that the domain `knows` as a file or folder that `open` reads: one way for both.

        Arrays of xarray come as `gensr.scenes.labelled.Labelled`; every other object as it is.

        Args:
            source: the object; it is not changed.
            folder: an empty folder; the file is called ``array`` with an ending.

        Returns:
            The file, or one for each plane.

        Raises:
            UsageError: an object of the library that holds no image, or values that no such file can hold.
        """
        raise NotImplementedError(f"{self.name} knows no objects")

    def take_up(self, kind: str, paths: Sequence[Path]) -> object:
        """An object in memory from the written outputs of a scene (mean first), the inverse of `lay_down`.

        Args:
            kind: one of `objects`.
            paths: what `Scene.write` returned.
        """
        raise NotImplementedError(f"{self.name} makes no objects")
