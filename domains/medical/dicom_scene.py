"""Opening a DICOM file or series, and the way back to derived images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.rehearsal import Blank
from gensr.values.grid import Window

from .dicom_files import guarded
from .dicom_opened import OpenedDicom
from .dicom_rehearsal import rehearse
from .dicom_series import load_series
from .dicom_write import write


class DicomScene(OpenedDicom):
    """See `OpenedDicom`."""

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`; a series becomes one folder per output."""
        return write(self, product, folder, names)

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`: headers are encoded in memory."""
        rehearse(self, product, names)


def open_dicom(path: Path, options: Mapping[str, Any]) -> DicomScene:
    """Open a DICOM file or a folder that holds one series.

    Raises:
        FormatError: see `load_series`; also a first frame that cannot be decoded.
        DomainError: lossy pixels that were not accepted.
    """

    def action() -> DicomScene:
        scene = DicomScene(path, options, load_series(path, options))
        scene.metadata()  # every element it quotes is parsed now, where a damaged one is still a refusal
        scene.read(0, Window(0, 0, 1, 1))  # so a missing codec or a damaged stream shows now, not after an hour
        return scene

    return guarded(path.name, "reading the DICOM elements", action)
