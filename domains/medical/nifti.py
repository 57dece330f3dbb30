"""Opening a NIfTI file, and the way back to one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.rehearsal import Blank

from .nifti_header import parse
from .nifti_opened import OpenedNifti
from .nifti_source import is_gzip, voxel_file
from .nifti_write import rehearse, write


class NiftiScene(OpenedNifti):
    """See `OpenedNifti`."""

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`."""
        return write(self, product, folder, names)

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`: files without voxels, which are read back."""
        rehearse(self, product, folder, names)


def open_nifti(path: Path, options: Mapping[str, Any]) -> NiftiScene:
    """Open a ``.nii`` or ``.nii.gz`` file.

    Raises:
        FormatError: damaged, truncated, too large or unsupported.
    """
    compressed = is_gzip(path)
    parsed = parse(path, compressed)
    source = voxel_file(path, compressed, parsed.end)
    shape = (*(*parsed.shape, 1, 1)[:3], math.prod(parsed.shape[3:]))
    voxels = np.memmap(source, parsed.dtype, "r", parsed.offset, shape, "F")
    if not isinstance(source, Path):
        source.close()  # the mapping holds its own handle
    return NiftiScene(path, options, parsed, voxels, compressed)
