"""The Domain contract: what a field of science must bring so that one flow serves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from gensr.scenes.scene import Scene


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
    takes_arrays: ClassVar[bool] = False
    """Whether arrays that say nothing of themselves are taken for images of this domain."""

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
