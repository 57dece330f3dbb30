"""The medical domain: MR, CT and radiographs in NIfTI and DICOM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError, FormatError, PluginError
from gensr.operators import Area, Operator
from gensr.scenes.domain import Across, Codes, Domain, Names, Product, Scene
from gensr.scenes.statistics import percentile_normaliser
from gensr.values.grid import Factor
from gensr.values.noise import Noise
from gensr.values.normalise import AffineNormaliser, Normaliser

from . import detect, looks
from .options import DEFAULTS, NOTICE, check_factor, complete
from .scene import MedicalScene

RADIOGRAPHS = frozenset({"CR", "DX"})
CT_LOWEST, CT_RANGE = -1000.0, 2000.0


class Medical(Domain):
    """NIfTI volumes and DICOM images; every slice, frame and volume is a plane of one band."""

    name: ClassVar[str] = "medical"
    description: ClassVar[str] = f"MR, CT and radiographs (NIfTI, DICOM). {NOTICE}"
    suffixes: ClassVar[tuple[str, ...]] = (".nii.gz", ".nii", ".dcm")
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

    def operator(self, scene: Scene, factor: Factor) -> Operator:
        """See `Domain.operator`: pixel integration.

        Raises:
            DomainError: a factor above 4 without ``understood=true``.
        """
        check_factor(factor, self._own(scene).options)
        return Area(factor)

    def across(self, scene: Scene, factor: Factor) -> Across | None:
        """See `Domain.across`: the option ``through_plane``.

        Raises:
            DomainError: slices without an even step, or a factor above 4 without ``understood=true``.
        """
        own = self._own(scene)
        slices = own.slices_factor()
        check_factor(factor, own.options, slices)
        return Across(own.stack.slices, slices) if slices > 1 else None

    def noise(self, scene: Scene) -> Noise | None:
        """None: medical files do not state their noise, so it is estimated from the data."""
        return None

    def generator(self, scene: Scene) -> str:
        """See `Domain.generator`.

        Raises:
            DomainError: ``aligned=true`` on anything but a square radiograph.
        """
        own = self._own(scene)
        if not own.options["aligned"]:
            # The network was trained on magnetic resonance only; windows of a mixture presume less of other images.
            return "flow-brain-mr" if own.modality == "MR" else "gaussian-brain-mr"
        rows, cols = own.grid.shape
        if own.modality not in RADIOGRAPHS or rows != cols or own.planes != 1:
            raise DomainError(
                f"aligned=true on {own.modality} of {rows} x {cols} pixels and {own.planes} planes: the chest prior "
                "needs one square CR or DX picture of a whole chest; crop it, or leave the option out"
            )
        return "flow-chest-xray"

    def normaliser(self, scene: Scene) -> Normaliser:
        """See `Domain.normaliser`: a fixed window for CT, the code range of 8-bit radiographs, percentiles else."""
        own = self._own(scene)
        if own.modality == "CT" and own.unit == "HU":
            return AffineNormaliser((CT_RANGE,), (CT_LOWEST,))
        if own.full_range is not None:
            low, high = own.full_range
            return AffineNormaliser((high - low,), (low,))
        return percentile_normaliser(scene, 0.5, 99.9)

    def write(self, scene: Scene, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Domain.write`; a DICOM series becomes one folder per output."""
        return self._own(scene).write(product, folder, names)

    def render(self, scene: Scene, values: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Codes:
        """See `Domain.render`."""
        own = self._own(scene)
        return looks.grey(values[0], *looks.limits(own.modality, own.display, reference))

    def metrics(self, truth: npt.NDArray[np.float32], estimate: npt.NDArray[np.float32]) -> dict[str, float]:
        """See `Domain.metrics`: scores inside the body."""
        return looks.scores(truth, estimate)

    @staticmethod
    def _own(scene: Scene) -> MedicalScene:
        if not isinstance(scene, MedicalScene):
            raise DomainError(f"{type(scene).__name__} is not a medical scene; open the file with the medical domain")
        return scene
