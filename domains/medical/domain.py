"""The medical domain: MR, CT and radiographs in NIfTI and DICOM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from gensr.errors import FormatError, PluginError
from gensr.scenes.domain import Domain
from gensr.scenes.scene import Scene

from . import detect, objects
from .options import DEFAULTS, NOTICE, complete


class Medical(Domain):
    """NIfTI volumes and DICOM images; every slice, frame and volume is a plane of one band."""

    name: ClassVar[str] = "medical"
    description: ClassVar[str] = f"MR, CT and radiographs (NIfTI, DICOM). {NOTICE}"
    suffixes: ClassVar[tuple[str, ...]] = (".nii.gz", ".nii", ".dcm")
    prior: ClassVar[str] = "engression-field"
    stand_in: ClassVar[str] = "gaussian-brain-mr"
    objects: ClassVar[tuple[str, ...]] = objects.KINDS
    defaults: ClassVar[Mapping[str, Any]] = DEFAULTS

    def sniff(self, path: Path) -> int:
        """See `Domain.sniff`; only content counts, never the file name."""
        if path.is_dir():
            return 3 if detect.holds_dicom(path) else 0
        return 3 if detect.kind(path) else 0

    def expand(self, folder: Path) -> list[Path]:
        """A folder with DICOM files (also one level down) is one input; NIfTI files are inputs of their own."""
        entries = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")]
        found = [folder] if detect.holds_dicom(folder) else []
        found += [p for p in entries if p.is_dir() and detect.holds_dicom(p)]
        return found + [p for p in entries if p.is_file() and detect.kind(p) == detect.NIFTI]

    def open(self, path: Path, options: Mapping[str, Any]) -> Scene:
        """See `Domain.open`."""
        complete_options = complete(options)
        if not path.exists():
            raise FormatError(f"{path.name}: no such file or folder")
        kind = detect.DICOM if path.is_dir() else detect.kind(path)
        if not kind:
            raise FormatError(
                f"{path.name}: neither NIfTI nor DICOM; give .nii, .nii.gz, DICOM files or a series folder"
            )
        try:
            if kind == detect.NIFTI:
                from .nifti import open_nifti

                return open_nifti(path, complete_options)
            from .dicom_scene import open_dicom

            return open_dicom(path, complete_options)
        except ModuleNotFoundError as error:
            raise PluginError(
                f"reading {kind} files needs the package {error.name!r}; pip install {error.name}"
            ) from error

    def stem(self, path: Path) -> str:
        """See `Domain.stem`; a DICOM name that holds the patient's name or number becomes a hash."""
        name = path.name or path.resolve().name
        if path.is_dir() or detect.kind(path) == detect.DICOM:
            try:
                from .dicom_files import safe_name

                name = safe_name(path)
            except ModuleNotFoundError as error:
                raise PluginError(f"reading DICOM needs the package {error.name!r}; pip install pydicom") from error
        return name if path.is_dir() else detect.plain_stem(name)

    def knows(self, source: object) -> int:
        """See `Domain.knows`: images of nibabel, data sets of pydicom."""
        return objects.knows(source)

    def lay_down(self, source: object, folder: Path) -> list[Path]:
        """See `Domain.lay_down`."""
        return [objects.lay_down(source, folder)]

    def take_up(self, kind: str, paths: Sequence[Path]) -> object:
        """See `Domain.take_up`."""
        return objects.take_up(kind, paths)
