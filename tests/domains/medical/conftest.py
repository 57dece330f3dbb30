"""Small synthetic medical files, made with the format libraries, and the place of the real samples."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

PATIENT = ("Secretname^Hildegard", "PID987654")
CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "PT": PositronEmissionTomographyImageStorage,
}


@pytest.fixture(scope="session")
def samples():
    """Folder of the real medical samples; skips where they are not installed."""
    given = os.environ.get("GENSR_SHARED")
    roots = [Path(given)] if given else [p / "shared" for p in Path(__file__).resolve().parents]
    for root in roots:
        if (root / "samples" / "medical").is_dir():
            return root / "samples" / "medical"
    pytest.skip("real samples are not beside this checkout; set GENSR_SHARED to their folder")


def dataset(modality="MR", uid="1.2.3.4", series="1.2.3", number=1):
    """A single-frame data set without pixels, with a named patient, a private element and an overlay."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CLASSES[modality]
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CLASSES[modality], uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.9", series, "1.2.8"
    ds.PatientName, ds.PatientID = PATIENT
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, 7, number
    ds.SeriesDescription = "t1 axial"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    block = ds.private_block(0x0029, "SECRET VENDOR", create=True)
    block.add_new(0x10, "LO", "Secretname")
    return ds


def put_pixels(ds, codes, bits=None):
    """Store codes (rows, cols) or (frames, rows, cols)."""
    ds.Rows, ds.Columns = codes.shape[-2:]
    ds.BitsAllocated = codes.dtype.itemsize * 8
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(codes.dtype.kind == "i")
    if codes.ndim == 3:
        ds.NumberOfFrames = len(codes)
    raw = codes.tobytes()
    ds.add_new(0x7FE00010, "OW" if codes.dtype.itemsize > 1 else "OB", raw + b"\0" * (len(raw) % 2))
    return ds


def put_place(ds, position, spacing=(0.8, 0.5), x=(1, 0, 0), y=(0, 1, 0), thickness=3.0):
    ds.PixelSpacing = [str(v) for v in spacing]
    ds.ImageOrientationPatient = [f"{v:.13g}" for v in (*x, *y)]
    ds.ImagePositionPatient = [f"{v:.10g}" for v in position]
    ds.SliceThickness = str(thickness)
    return ds


def save(ds, path):
    ds.save_as(path, enforce_file_format=True)
    return path


def oblique(degrees=20.0):
    """Direction cosines of an oblique slice, as (X, Y, normal)."""
    a, b = np.deg2rad([degrees, 0.6 * degrees])
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    spin = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    axes = (spin @ turn).T
    return axes[0], axes[1], np.cross(axes[0], axes[1])


def series(folder, slices=4, volumes=1, step=5.0, thickness=3.0, shape=(9, 7), seed=3, names="random"):
    """A series whose file names and instance numbers disagree with the slice order.

    Returns:
        codes (volume, slice, rows, cols) int16, and the first position and normal.
    """
    rng = np.random.default_rng(seed)
    x, y, n = oblique()
    origin = np.array([-40.0, 12.5, 100.0])
    codes = rng.integers(0, 2000, (volumes, slices, *shape)).astype(np.int16)
    shuffled = rng.permutation(slices)
    folder.mkdir(exist_ok=True)
    for t in range(volumes):
        for z in range(slices):
            number = t * slices + int(shuffled[z]) + 1
            ds = dataset("MR", f"1.2.3.4.{t}.{z + 1}", number=number)
            ds.TemporalPositionIdentifier = t + 1
            put_place(ds, origin + z * step * n, (0.8, 0.5), x, y, thickness)
            ds.SpacingBetweenSlices = str(step)
            ds.SliceLocation = f"{float((origin + z * step * n) @ n):.10g}"
            put_pixels(ds, codes[t, z])
            save(ds, folder / f"im{number:03d}.dcm")
    return codes, origin, (x, y, n)


def enhanced(path, frames=4, shape=(6, 5), per_frame=True, seed=5):
    """Enhanced MR: geometry per frame, two rescale pairs.

    Returns:
        codes (frames, rows, cols) uint16, slopes, intercepts, positions, axes.
    """
    rng = np.random.default_rng(seed)
    x, y, n = oblique(15.0)
    codes = rng.integers(10, 900, (frames, *shape)).astype(np.uint16)
    ds = dataset("MR", "1.2.3.4.99")
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    put_pixels(ds, codes, 12)
    slopes = [1.0 if f < frames // 2 else 2.5 for f in range(frames)]
    intercepts = [0.0 if f < frames // 2 else -40.0 for f in range(frames)]
    positions = [np.array([-30.0, 5.0, 20.0]) + f * 4.0 * n for f in range(frames)]
    groups = []
    for f in range(frames):
        group = Dataset()
        group.PlanePositionSequence = Sequence([Dataset()])
        group.PlanePositionSequence[0].ImagePositionPatient = [f"{v:.10g}" for v in positions[f]]
        transform = Dataset()
        transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = slopes[f], intercepts[f], "US"
        group.PixelValueTransformationSequence = Sequence([transform])
        frame_type = Dataset()
        frame_type.FrameType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
        group.MRImageFrameTypeSequence = Sequence([frame_type])
        groups.append(group)
    shared = Dataset()
    for holder in groups if per_frame else [shared]:
        measures, plane = Dataset(), Dataset()
        measures.PixelSpacing, measures.SliceThickness = ["0.8", "0.5"], "4"
        plane.ImageOrientationPatient = [f"{v:.13g}" for v in (*x, *y)]
        holder.PixelMeasuresSequence = Sequence([measures])
        holder.PlaneOrientationSequence = Sequence([plane])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    save(ds, path)
    return codes, slopes, intercepts, positions, (x, y, n)


def nifti(path, data, affine=None, q=2, s=1, slope=None, inter=0.0, big=False, version=1, extension=None):
    """A NIfTI file with exact form codes; scaling fields set raw, as scanners do."""
    affine = np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine
    kind = {1: nib.Nifti1Header, 2: nib.Nifti2Header}[version]
    header = kind(endianness=">" if big else "<")
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_zooms([*np.linalg.norm(affine[:3, :3], axis=0)[: min(3, data.ndim)], *[2.5] * max(0, data.ndim - 3)])
    header.set_qform(affine, q)
    header.set_sform(affine, s)
    if s == 0:
        header["srow_x"] = header["srow_y"] = header["srow_z"] = 0
    header.set_xyzt_units("mm", "sec")
    header["descrip"] = b"made for a test"
    header["scl_slope"], header["scl_inter"] = (np.nan, np.nan) if slope is None else (slope, inter)
    extensions = b"" if extension is None else extension
    header["vox_offset"] = header["sizeof_hdr"] + 4 + len(extensions)
    header["magic"] = {1: b"n+1\0", 2: b"n+2\0"}[version]
    flag = b"\1\0\0\0" if extensions else b"\0\0\0\0"
    body = header.binaryblock + flag + extensions + data.astype(header.get_data_dtype()).tobytes(order="F")
    if path.name.endswith(".gz"):
        import gzip

        path.write_bytes(gzip.compress(body, 1))
    else:
        path.write_bytes(body)
    return path


class Make:
    """The builders above, for tests that get them as a fixture."""

    PATIENT = PATIENT
    dataset = staticmethod(dataset)
    put_pixels = staticmethod(put_pixels)
    put_place = staticmethod(put_place)
    save = staticmethod(save)
    oblique = staticmethod(oblique)
    series = staticmethod(series)
    enhanced = staticmethod(enhanced)
    nifti = staticmethod(nifti)
    UID = UID


@pytest.fixture(scope="session")
def make():
    return Make


@pytest.fixture(scope="session")
def medical():
    from gensr.domains.medical import Medical

    return Medical()


@pytest.fixture
def upscale(medical, tmp_path):
    """Open, replicate pixels, write; returns the scene and the written paths by kind."""
    from gensr.scenes.names import Names
    from gensr.scenes.testing import NearestProduct

    count = iter(range(1000))

    def run(path, factor=2, options=None, product=None, std=1.5):
        scene = medical.open(path, options or {})
        out = tmp_path / f"out{next(count)}"
        out.mkdir()
        product = product(scene) if product else NearestProduct(scene, factor, std=std)
        names = Names(medical.stem(path), max(product.factor))
        written = scene.write(product, out, names)
        kinds = {}
        for p in written:
            assert p.parent == out
            assert p.exists()
            kind = "std" if "generated_std" in p.name else "sample" if "sample" in p.name else "mean"
            kinds[kind + ("_json" if p.suffix == ".json" else "")] = p
        assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in written)
        return scene, kinds

    return run
