"""Objects of nibabel and pydicom as files, and refined files as objects.

`knows` looks at names alone, so that a library is loaded only for what came from it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import FormatError, UsageError
from gensr.scenes.objects import STEM, kind_of

KINDS = ("nibabel", "pydicom")


def knows(source: object) -> int:
    """3 for an object of nibabel or pydicom, or a list of data sets, also for one that will be refused; else 0.

    >>> knows([1, 2])
    0
    """
    first = source[0] if isinstance(source, list | tuple) and source else source
    return 3 if {c.__module__.split(".")[0] for c in type(first).__mro__} & set(KINDS) else 0


def lay_down(source: Any, folder: Path) -> Path:  # noqa: ANN401
    """See `gensr.scenes.domain.Domain.lay_down`.

    Raises:
        UsageError: no image.
        FormatError: a data set that its own library does not write.
    """
    first = source[0] if isinstance(source, list | tuple) else source
    if kind_of(first).startswith("nibabel.") and first is source:
        return _nifti(source, folder / f"{STEM}.nii")
    if kind_of(first).startswith("nibabel."):
        raise UsageError("a list of nibabel images is several inputs; give one, or nibabel.concat_images of them")
    if first is source:
        return _dicom(source, folder / f"{STEM}.dcm")
    series = folder / STEM
    series.mkdir()
    for number, dataset in enumerate(source):
        _dicom(dataset, series / f"{number + 1:05d}.dcm")
    return series


def _nifti(source: Any, path: Path) -> Path:  # noqa: ANN401
    """Codes, slope and header as they are: nibabel itself would choose a new slope when it saves."""
    import nibabel as nib
    from nibabel.spatialimages import SpatialImage

    if not isinstance(source, SpatialImage):
        raise UsageError(f"a {kind_of(source)} is no volume; give a nibabel image with an affine, such as Nifti1Image")
    proxy: Any = source.dataobj
    stored = not isinstance(proxy, np.ndarray) and isinstance(source, nib.Nifti1Pair)
    codes = np.asanyarray(proxy.get_unscaled() if stored else proxy)
    made: Any = nib.Nifti2Image if isinstance(source.header, nib.Nifti2Header) else nib.Nifti1Image
    try:
        if isinstance(source, nib.Nifti1Pair):
            image = made(codes, source.affine, source.header, dtype=codes.dtype)
            image.header["sform_code"] = source.header["sform_code"]
        else:
            image = made(codes, source.affine, dtype=codes.dtype)
            image.header.set_zooms(source.header.get_zooms()[: codes.ndim])
            image.header.set_xyzt_units("mm")
        image.header.set_slope_inter(*((proxy.slope, proxy.inter) if stored else (1.0, 0.0)))
        image.to_filename(path)
    except (ValueError, TypeError, nib.spatialimages.HeaderDataError) as error:
        text = " ".join(str(error).split())[:200]
        raise FormatError(f"a {kind_of(source)} of {codes.dtype} cannot be written as NIfTI ({text})") from error
    return path


def _dicom(source: Any, path: Path) -> Path:  # noqa: ANN401
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    from .dicom_files import guarded

    if not isinstance(source, Dataset):
        raise UsageError(f"a {kind_of(source)} is no image; give a pydicom Dataset, or a list of them for a series")
    dataset = copy.copy(source)
    meta = getattr(source, "file_meta", None)
    dataset.file_meta = copy.copy(meta) if meta is not None else FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = source.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    guarded("the pydicom Dataset", "writing it as DICOM", lambda: dcmwrite(path, dataset, enforce_file_format=True))
    return path


def take_up(kind: str, paths: Sequence[Path]) -> object:
    """See `gensr.scenes.domain.Domain.take_up`: an image of nibabel; a Dataset of pydicom, or a list for a series.

    Raises:
        UsageError: the result is of the other format.
    """
    first = paths[0]
    nifti = first.name.endswith((".nii", ".nii.gz"))
    if kind == "nibabel" and not nifti:
        raise UsageError("the input was DICOM, so the result is one: use to_pydicom()")
    if kind == "pydicom" and nifti:
        raise UsageError("the input was NIfTI, so the result is one: use to_nibabel()")
    if nifti:
        import nibabel as nib

        found: Any = nib.load(first)
        # Read now: the file goes. Codes stay codes, with their slope.
        return type(found).from_bytes(_plain(first))
    from pydicom import dcmread

    members = sorted(first.iterdir()) if first.is_dir() else [first]
    sets = [dcmread(member) for member in members]
    return sets if first.is_dir() else sets[0]


def _plain(path: Path) -> bytes:
    import gzip

    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
