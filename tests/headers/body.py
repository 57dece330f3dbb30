"""Medical images through nibabel, pydicom and geometry of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom

from .findings import Findings, few

LENGTH_ERROR = 1e-3
KEPT = (
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "Modality",
    "PhotometricInterpretation",
    "BitsStored",
    "BitsAllocated",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "ImageOrientationPatient",
    "PatientPosition",
    "BodyPartExamined",
    "KVP",
    "EchoTime",
    "RepetitionTime",
    "MagneticFieldStrength",
    "PixelPaddingValue",
    "ReconstructionDiameter",
    "AcquisitionMatrix",
    "PixelSpacingCalibrationType",
    "LossyImageCompression",
    "Laterality",
    "ViewPosition",
)


def ends(shape: tuple[int, ...]) -> Any:
    """Index coordinates of the outer corners, (axes, corners)."""
    return np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape], indexing="ij")).reshape(len(shape), -1)


def check_nifti(source: Path, written: list[Path], factor: int, slices: int = 1) -> Findings:
    """Compare a NIfTI volume with its refined output; the third axis counts slices."""
    found = Findings(source.name, "nibabel")
    a, b, std = (nib.load(p) for p in (source, written[0], next(p for p in written if "_std.nii" in p.name)))
    scale = np.array([factor, factor, slices])
    errors, tilt = [], []
    for image in (b, std):
        for form in (nib.Nifti1Image.get_qform, nib.Nifti1Image.get_sform):
            m, n = form(a), form(image)
            old, new = m[:3, :3] @ ends(a.shape[:3]) + m[:3, 3:], n[:3, :3] @ ends(image.shape[:3]) + n[:3, 3:]
            errors.append(float(np.linalg.norm(new - old, axis=0).max()))
            tilt.append(float(np.degrees(np.abs(nib.affines.obliquity(m) - nib.affines.obliquity(n))).max()))
    found.error("field of view", max(errors), LENGTH_ERROR, "mm", ", qform and sform")
    zooms = [np.array(image.header.get_zooms()[:3], float) for image in (a, b)]
    found.say(
        "pixel size",
        " to ".join(" x ".join(f"{z:.4g}" for z in size) for size in zooms) + " mm",
        np.allclose(zooms[1] * scale, zooms[0], rtol=1e-6),
        a.header.get_zooms()[3:] == b.header.get_zooms()[3:],
    )
    dtype = [image.get_data_dtype() for image in (a, b, std)]
    order = {"<": "little", ">": "big"}[a.header.endianness]
    found.say(
        "dtype", f"{dtype[0].name}, {order}; std float32", dtype[0] == dtype[1], dtype[2] == np.float32,
        a.header.endianness == b.header.endianness,
    )  # fmt: skip
    found.say(
        "bands", f"{' x '.join(map(str, a.shape))} to {' x '.join(map(str, b.shape))}", b.shape[3:] == a.shape[3:]
    )
    slopes = [tuple(float(image.header[k]) for k in ("scl_slope", "scl_inter")) for image in (a, b)]
    slope = (
        "no slope"
        if not np.isfinite(slopes[0][0]) or slopes[0][0] == 0
        else f"slope {slopes[0][0]:g}, {slopes[0][1]:g}"
    )
    found.say(
        "units",
        f"{a.header.get_xyzt_units()[0]}, {slope}",
        a.header.get_xyzt_units() == b.header.get_xyzt_units(),
        np.array_equal(slopes[0], slopes[1], equal_nan=True),
    )
    found.say("nodata, mask", "none in the format", bool(np.isfinite(std.get_fdata()).all()))
    codes = [(int(i.header["qform_code"]), int(i.header["sform_code"])) for i in (a, b, std)]
    axes = ["".join(nib.aff2axcodes(image.affine)) for image in (a, b)]
    found.say(
        "orientation",
        f"{axes[0]}, q/s codes {codes[0][0]}/{codes[0][1]}, obliquity kept",
        axes[0] == axes[1],
        codes[0] == codes[1] == codes[2],
        max(tilt) < 1e-4,
    )
    sidecar = json.loads(next(p for p in written if p.name.endswith("_generated.json")).read_text())
    found.say(
        "tags",
        "descrip, intent kept; sidecar; marked",
        b"NOT FOR DIAGNOSIS" in bytes(b.header["descrip"].item()),
        bytes(a.header["descrip"].item())[:20].rstrip() in bytes(b.header["descrip"].item()),
        int(a.header["intent_code"]) == int(b.header["intent_code"]),
        sidecar["SyntheticData"] is True,
        any(b"Contains generated detail" in e.get_content() for e in b.header.extensions),
    )
    return found


def read_stack(path: Path) -> list[Any]:
    """Data sets of a file or folder, sorted along the normal."""
    sets = [pydicom.dcmread(p) for p in (path.iterdir() if path.is_dir() else [path])]
    if len(sets) > 1:
        x, y = np.array(sets[0].ImageOrientationPatient, float).reshape(2, 3)
        sets.sort(key=lambda d: float(np.array(d.ImagePositionPatient, float) @ np.cross(x, y)))
    return sets


def corners(sets: list[Any]) -> Any:
    """Outer corners in mm (corner, 3); those of the slice plane for a single slice."""
    first, last = (np.array(sets[i].ImagePositionPatient, float) for i in (0, -1))
    x, y = np.array(sets[0].ImageOrientationPatient, float).reshape(2, 3)
    dr, dc = np.array(sets[0].PixelSpacing, float)
    rows, cols, depth = ends((sets[0].Rows, sets[0].Columns, len(sets)))
    step = (last - first) / (len(sets) - 1) if len(sets) > 1 else np.zeros(3)
    return first + np.outer(cols * dc, x) + np.outer(rows * dr, y) + np.outer(depth, step)


def check_dicom(source: Path, written: list[Path], factor: int) -> Findings:
    """Compare a DICOM file or series with its refined output and standard deviation."""
    found = Findings(source.name, "pydicom")
    a, b, std = (read_stack(p) for p in (source, written[0], written[1]))
    old, new = a[0], b[0]
    sizes = (old.Rows * factor, old.Columns * factor) == (new.Rows, new.Columns) == (std[0].Rows, std[0].Columns)
    spacing = [np.array(d.PixelSpacing, float) for d in (old, new)]
    if "ImagePositionPatient" in old:
        errors = [float(np.linalg.norm(corners(s) - corners(a), axis=1).max()) for s in (b, std)]
        found.error("field of view", max(errors), LENGTH_ERROR, "mm")
        found.say(
            "orientation",
            "cosines, frame of reference kept",
            all(np.allclose(d.ImageOrientationPatient, old.ImageOrientationPatient, atol=1e-9) for d in b),
            new.FrameOfReferenceUID == old.FrameOfReferenceUID,
        )
    else:
        extent = [np.array([d.Rows, d.Columns]) * s for d, s in zip((old, new), spacing, strict=True)]
        found.error("field of view", float(np.abs(extent[0] - extent[1]).max()), LENGTH_ERROR, "mm", ", size only")
        found.say("orientation", "none stated", "ImageOrientationPatient" not in new)
    found.say(
        "pixel size",
        " to ".join(" x ".join(f"{v:.6g}" for v in s) for s in spacing) + " mm",
        sizes,
        np.allclose(spacing[1] * factor, spacing[0], rtol=1e-9),
        old.get("SliceThickness") == new.get("SliceThickness"),
        old.get("SpacingBetweenSlices") == new.get("SpacingBetweenSlices"),
    )
    kinds = [d.pixel_array.dtype for d in (old, new)]
    found.say(
        "dtype",
        f"{kinds[0].name}, {old.BitsStored} bits stored",
        kinds[0] == kinds[1],
        old.BitsStored == new.BitsStored,
    )
    found.say("bands", f"{len(a)} x {old.PhotometricInterpretation}", len(a) == len(b) == len(std))
    slope = f"slope {old.RescaleSlope:g}, intercept {old.RescaleIntercept:g}" if "RescaleSlope" in old else "no rescale"
    found.say(
        "units",
        slope,
        old.get("RescaleSlope") == new.get("RescaleSlope"),
        old.get("RescaleIntercept") == new.get("RescaleIntercept"),
    )
    padding = old.get("PixelPaddingValue")
    found.say(
        "nodata, mask",
        "none" if padding is None else f"padding {padding} kept",
        new.get("PixelPaddingValue") == padding,
    )
    _labels(found, a, b)
    return found


def _labels(found: Findings, a: list[Any], b: list[Any]) -> None:
    old, new = a[0], b[0]
    present = [k for k in KEPT if k in old]
    changed = [k for k in present if k not in new or new[k].value != old[k].value]
    found.say(
        "tags",
        f"{len(present)} kept; new UIDs; labelled" + (f"; CHANGED {few(changed)}" if changed else ""),
        not changed,
        len({d.SOPInstanceUID for d in [*a, *b]}) == len(a) + len(b),
        new.SeriesInstanceUID != old.SeriesInstanceUID,
        list(new.ImageType)[:2] == ["DERIVED", "SECONDARY"] and list(new.ImageType)[3] == "AI_SR",
        new.SyntheticData == "YES",
        new.ContentQualification == "RESEARCH",
        "NOT FOR DIAGNOSIS" in new.SeriesDescription,
        "Contains generated detail" in new.DerivationDescription,
        new.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian,
        # Numbers that cannot name anybody may stay.
        not [
            e for e in new if e.tag.is_private and not e.tag.is_private_creator and e.VR not in ("DS", "FL", "IS", "SH")
        ],
        {d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in b} == {d.SOPInstanceUID for d in a},
    )
