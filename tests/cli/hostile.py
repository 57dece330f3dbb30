"""Small good files of every format, and ways to spoil them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import astropy.io.fits
import nibabel
import numpy as np
import pydicom
import rasterio
import tifffile
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (8, 8)
Values = np.ndarray


def ramp(dtype: str = "uint16", shape: tuple[int, int] = SHAPE) -> Values:
    return (100 + np.random.default_rng(1).integers(0, 100, shape)).astype(dtype)


def micrograph(path: Path, values: Values) -> Path:
    tifffile.imwrite(path, values, imagej=True, resolution=(10, 10), metadata={"unit": "um"})
    return path


def geotiff(path: Path, values: Values, nodata: float | None = None) -> Path:
    bands = values if values.ndim == 3 else values[None]
    profile = {"driver": "GTiff", "count": len(bands), "dtype": bands.dtype, "crs": "EPSG:32632", "nodata": nodata}
    transform = rasterio.Affine(10, 0, 500000, 0, -10, 5000000)
    with rasterio.open(path, "w", height=bands.shape[1], width=bands.shape[2], transform=transform, **profile) as file:
        file.write(bands)
    return path


def fits(path: Path, values: Values) -> Path:
    astropy.io.fits.PrimaryHDU(values).writeto(path)
    return path


def nifti(path: Path, values: Values) -> Path:
    nibabel.Nifti1Image(values[..., None], np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(path)
    return path


def portrait(path: Path, values: Values) -> Path:
    Image.fromarray(values.astype(np.uint8)).convert("RGB").save(path)
    return path


def dicom(
    path: Path, values: Values, sop_class: str = CTImageStorage, modality: str = "CT", **elements: object
) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    data.Modality, data.PatientName, data.PatientID, data.ImageType = modality, "", "", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Rows, data.Columns = values.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = (
        values.itemsize * 8,
        values.itemsize * 8,
        values.itemsize * 8 - 1,
    )
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.PixelSpacing, data.SliceThickness = [1.0, 1.0], 2.0
    data.ImagePositionPatient, data.ImageOrientationPatient = [0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"
    data.PixelData = values.tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


GOOD: dict[str, Callable[[Path], Path]] = {
    "cells.tif": lambda p: micrograph(p, ramp()),
    "scene.tif": lambda p: geotiff(p, ramp()),
    "field.fits": lambda p: fits(p, ramp("float32")),
    "brain.nii": lambda p: nifti(p, ramp("int16")),
    "brain.nii.gz": lambda p: nifti(p, ramp("int16")),
    "slice.dcm": lambda p: dicom(p, ramp()),
    "face.png": lambda p: portrait(p, ramp("uint8")),
}


def good(folder: Path, name: str) -> Path:
    return GOOD[name](folder / name)


def truncated(folder: Path, name: str) -> Path:
    path = good(folder, name)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    return path


def empty(folder: Path, name: str) -> Path:
    path = folder / name
    path.touch()
    return path


def wrong_magic(folder: Path, name: str) -> Path:
    path = good(folder, name)
    raw = bytearray(path.read_bytes())
    raw[: 352 if name.endswith(".nii") else 132] = bytes(352 if name.endswith(".nii") else 132)
    path.write_bytes(raw)
    return path


def text(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("This is a letter, not an image.\n" * 40)
    return path


def tiff_size(path: Path, width: int, height: int) -> Path:
    """Overwrite ImageWidth and ImageLength of a little-endian classic TIFF."""
    raw = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", raw, 4)
    for i in range(struct.unpack_from("<H", raw, at)[0]):
        entry = at + 2 + 12 * i
        tag = struct.unpack_from("<H", raw, entry)[0]
        if tag in (256, 257):
            struct.pack_into("<HIi", raw, entry + 2, 4, 1, width if tag == 256 else height)
    path.write_bytes(raw)
    return path


def fits_size(path: Path, cols: int, rows: int) -> Path:
    raw = path.read_bytes()
    for key, number in ((b"NAXIS1", cols), (b"NAXIS2", rows)):
        at = raw.index(key)
        raw = raw[:at] + b"%-8s= %20d" % (key, number) + raw[at + 30 :]
    path.write_bytes(raw)
    return path


def nifti_size(path: Path, *size: int) -> Path:
    raw = bytearray(path.read_bytes())
    struct.pack_into(f"<{len(size)}h", raw, 42, *size)
    path.write_bytes(raw)
    return path


def dicom_size(path: Path, rows: int, cols: int, frames: int = 1) -> Path:
    data = pydicom.dcmread(path)
    data.Rows, data.Columns = rows, cols
    if frames != 1:
        data.NumberOfFrames = frames
    data.save_as(path)
    return path


def png_size(path: Path, width: int, height: int) -> Path:
    raw = bytearray(path.read_bytes())
    struct.pack_into(">II", raw, 16, width, height)
    struct.pack_into(">I", raw, 29, zlib.crc32(raw[12:29]))
    path.write_bytes(raw)
    return path


RESIZE: dict[str, Callable[[Path, int], Path]] = {
    "cells.tif": lambda p, n: tiff_size(p, n, n),
    "scene.tif": lambda p, n: tiff_size(p, n, n),
    "field.fits": lambda p, n: fits_size(p, n, n),
    "brain.nii": lambda p, n: nifti_size(p, min(n, 32767), min(n, 32767), min(n, 32767)),
    "slice.dcm": lambda p, n: dicom_size(p, min(n, 65535), min(n, 65535), 1000 if n else 1),
    "face.png": lambda p, n: png_size(p, n, n),
}


def zero_sized(folder: Path, name: str) -> Path:
    return RESIZE[name](good(folder, name), 0)


def huge(folder: Path, name: str) -> Path:
    return RESIZE[name](good(folder, name), 2_000_000_000)
