"""What cannot be written is known before anything is computed, in every domain, whatever the size."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import gensr
from gensr.errors import GensrError, OutputError
from gensr.scenes import installed
from gensr.scenes.names import Names
from gensr.scenes.rehearsal import WHOLE, Blank

REPORT = {"gensr": "test", "generator": {"name": "none", "sha256": "0" * 64}, "seed": 0, "consistency": {"rms": 0.0}}
SIDE = 3000
"""Input pixels a side of files that nobody wants written for a trial."""


def geotiff(path, side):
    rasterio = pytest.importorskip("rasterio")
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4.6e6)}
    size = {"width": side, "height": side, "count": 1, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", compress="DEFLATE", **size, **where) as target:
        target.write(ramp(side)[None].astype(np.uint16))


def ramp(side):
    return np.add.outer(np.arange(side), 2 * np.arange(side)) % 4000 + 50


def ome(path, side):
    import tifffile

    tifffile.imwrite(path, ramp(side).astype(np.uint16), ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.1})


def packed(path, side):
    pytest.importorskip("imagecodecs", reason="packed bits need the extra codecs")
    import tifffile

    tifffile.imwrite(path, ramp(side).astype(np.uint16), bitspersample=12, photometric="minisblack")


def imagej(path, side):
    import tifffile

    tifffile.imwrite(path, ramp(side).astype(np.uint16), imagej=True)


def sky(path, side):
    from astropy.io import fits

    fits.PrimaryHDU(ramp(side).astype(np.float32), fits.Header({"BUNIT": "Jy/beam"})).writeto(path)


def brain(path, side):
    import nibabel as nib

    nib.Nifti1Image(ramp(side).astype(np.int16)[..., None], np.eye(4)).to_filename(path)


def slice_of(path, side):
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.Modality, ds.SeriesNumber = "1.2.4", "1.2.5", "CT", 3
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [1, 2, 3], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.5, 0.5]
    ds.add_new(0x7FE00010, "OW", ramp(side).astype("<u2").tobytes())
    ds.save_as(path, enforce_file_format=True)


def face(path, side):
    from PIL import Image

    grey = (ramp(side) % 256).astype(np.uint8)
    Image.fromarray(np.stack([grey, grey // 2, grey // 3], -1)).save(path, compress_level=0)


FILES = {
    "satellite": ("a.tif", geotiff),
    "ome": ("a.ome.tif", ome),
    "imagej": ("a.tif", imagej),
    "packed": ("a.tif", packed),
    "astronomy": ("a.fits", sky),
    "nifti": ("a.nii", brain),
    "dicom": ("a.dcm", slice_of),
    "faces": ("a.png", face),
}
DOMAINS = {"ome": "microscopy", "packed": "microscopy", "imagej": "microscopy", "nifti": "medical", "dicom": "medical"}


class Untouched(Blank):
    """Refuses to be asked for more than a corner."""

    def mean(self, plane, window):
        assert window.rows * window.cols <= 256
        return super().mean(plane, window)

    def std(self, plane, window):
        assert window.rows * window.cols <= 256
        return super().std(plane, window)


@pytest.mark.parametrize("kind", FILES)
def test_a_rehearsal_writes_no_pixels(tmp_path: Path, kind: str) -> None:
    name, make = FILES[kind]
    make(tmp_path / name, SIDE)
    domain = installed.domain(DOMAINS.get(kind, kind))
    folder = tmp_path / "stage"
    folder.mkdir()
    with domain.open(tmp_path / name, {}) as scene:
        blank = Untouched((scene.planes, len(scene.bands), 4 * SIDE, 4 * SIDE), scene.dtype, (4, 4), 1, 1, REPORT)
        assert blank.size > WHOLE
        scene.rehearse(blank, folder, Names("a", 4))
    assert sum(os.stat(p).st_blocks * 512 for p in folder.rglob("*") if p.is_file()) < 1 << 20


@pytest.mark.parametrize("kind", FILES)
def test_it_is_part_of_settling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    name, make = FILES[kind]
    make(tmp_path / name, 24)
    asked: list[Blank] = []
    domain = installed.domain(DOMAINS.get(kind, kind))
    with domain.open(tmp_path / name, {}) as scene:
        monkeypatch.setattr(type(scene), "rehearse", lambda self, product, folder, names: asked.append(product))
    request = {"factor": 2, "search": "fast", "samples": 2, "domain": domain.name, "noise": 5}
    with gensr.settle(gensr.Request(tmp_path / name, **request)):
        assert not asked  # nothing is to be written
    with gensr.settle(gensr.Request(tmp_path / name, output=tmp_path / "out", **request)):
        (blank,) = asked
    assert blank.factor == (2, 2)
    assert blank.samples == 1
    assert blank.report["output"]["rows"] == 48
    assert not (tmp_path / "out").exists()


def test_a_damaged_slice_deep_in_a_series(tmp_path: Path) -> None:
    series = tmp_path / "series"
    series.mkdir()
    for i in range(5):
        path = series / f"{i}.dcm"
        slice_of(path, 12)
        ds = pydicom.dcmread(path)
        ds.ImagePositionPatient = [0, 0, i]
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{i}"
        ds.save_as(path)
    bad = (series / "3.dcm").read_bytes()
    at = bad.index(b"\x20\x00\x11\x00IS")
    (series / "3.dcm").write_bytes(bad[: at + 8] + b"x " + bad[at + 10 :])
    with pytest.raises(GensrError, match=r"3\.dcm"):
        gensr.settle(gensr.Request(series, factor=2, search="fast", samples=0, output=tmp_path / "out", noise=5))
    assert not (tmp_path / "out").exists()


def test_arrays_and_plugins_without_one_write_small_outputs_whole(tmp_path: Path, monkeypatch) -> None:
    from gensr.scenes.arrays import ArrayScene

    def never(*_):
        raise OutputError("the disk is made of cheese")

    monkeypatch.setattr(ArrayScene, "write", never)
    request = {"factor": 2, "search": "fast", "samples": 0, "noise": 5, "output": tmp_path / "out"}
    with pytest.raises(OutputError, match="cheese"):
        gensr.settle(gensr.Request(ramp(24), **request))
    monkeypatch.setattr("gensr.scenes.scene.WHOLE", 100)
    gensr.settle(gensr.Request(ramp(24), **request)).close()
