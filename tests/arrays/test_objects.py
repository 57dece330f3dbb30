"""Objects of astropy, nibabel and pydicom, and arrays of NumPy and torch: the same numbers as their files, and back."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from astropy import units
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.table import Table
from astropy.wcs import WCS
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

import gensr
from gensr.errors import FormatError, GensrError, UsageError
from gensr.scenes import installed
from gensr.scenes.objects import knower, open_object
from gensr.values.grid import Window

QUICK: Mapping[str, Any] = {"factor": 2, "search": "fast", "samples": 0}
Y, X = np.mgrid[:14, :12]
PICTURE = (500 + 300 * np.exp(-((Y - 7) ** 2 + (X - 6) ** 2) / 9) + 4 * np.cos(7.0 * X * Y)).astype(np.float32)
MASK = np.zeros(PICTURE.shape, bool)
MASK[3:5, 7] = True
ERROR = (4 + 0.2 * Y).astype(np.float32)
AFFINE = np.array([[0.8, 0.1, 0, -20], [-0.1, 0.8, 0, 13], [0, 0, 3, 7], [0, 0, 0, 1.0]])


def coordinates() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10, 20], [6, 7]
    wcs.wcs.cd = np.array([[-1e-4, 2e-5], [2e-5, 1e-4]])
    wcs.wcs.set()
    return wcs


def ccd(**words: Any) -> CCDData:
    given = {"unit": "electron", "wcs": coordinates(), "mask": MASK, "uncertainty": StdDevUncertainty(ERROR), **words}
    return CCDData(PICTURE.copy(), meta={"EXPTIME": 30.0}, **given)


def header() -> fits.Header:
    cards = fits.Header({"BUNIT": "MJy/sr", "OBJECT": "test"})
    cards.update(coordinates().to_header())
    return cards


def scaled() -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU(np.rint(PICTURE).astype(np.int16), header())
    hdu.header["BLANK"] = -7
    hdu.data[MASK] = -7
    return hdu


def science() -> fits.HDUList:
    flags = fits.ImageHDU(MASK.astype(np.int32), name="DQ")
    return fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(PICTURE, header(), "SCI"), fits.ImageHDU(ERROR, name="ERR"), flags]
    )


def volume(kind: type, dtype: type = np.float32) -> Any:
    image = kind(np.stack([PICTURE + 10 * k for k in range(3)], -1).astype(dtype), AFFINE)
    image.header.set_zooms((0.8, 0.8, 3.0))
    return image


def in_mm(image: Any) -> Any:
    image.header.set_xyzt_units("mm")
    return image


def reloaded(tmp_path: Path) -> Any:
    """An image as people have it: loaded, so that codes, slope and intercept are those of the file."""
    image = volume(nib.Nifti1Image, np.int16)
    image.header.set_slope_inter(0.25, -3)
    path = tmp_path / "loaded.nii"
    image.to_filename(path)
    return nib.load(path)


def dataset(number: int = 0) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID, ds.file_meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = MRImageStorage, f"1.2.3.4.{number + 1}", "MR"
    ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = "1.2.3", "1.2", "1.2.9"
    ds.InstanceNumber, ds.PatientID, ds.PatientName = number + 1, "7", "Name^Test"
    ds.Rows, ds.Columns, ds.PixelSpacing, ds.SliceThickness = *PICTURE.shape, [0.8, 0.5], 3.0
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [1.0, 2.0, 3.0 * number], [1, 0, 0, 0, 1, 0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = np.rint(PICTURE + 10 * number).astype("<u2").tobytes()
    return ds


def write_series(sets: list[Dataset], path: Path) -> None:
    path.mkdir()
    for number, ds in enumerate(sets):
        ds.save_as(path / f"{number}.dcm", enforce_file_format=True)


@dataclass(frozen=True)
class Kind:
    """An object, and its file as its own library writes it."""

    make: Callable[[Path], Any]
    write: Callable[[Any, Path], Any]
    name: str
    domain: str
    more: Mapping[str, Any] = field(default_factory=dict)


def content(made: Any) -> list[object]:
    """What must not change of an object that is only read."""
    if isinstance(made, fits.HDUList):
        return [(repr(hdu.header), hdu.data is not None and hdu.data.tobytes()) for hdu in made]
    if isinstance(made, list):
        return [text for part in made for text in content(part)]
    if isinstance(made, Dataset):
        return [str(made), str(made.file_meta)]
    if isinstance(made, NDData):
        return [made.data.tobytes(), str(made.meta), str(made.unit), repr(made.wcs), repr(made.uncertainty)]
    if isinstance(made, units.Quantity):
        return [made.value.tobytes(), str(made.unit)]
    if isinstance(made, nib.spatialimages.SpatialImage):
        return [np.asarray(made.dataobj).tobytes(), made.header.binaryblock, made.affine.tobytes()]
    return [repr(made.header), made.data.tobytes()]


def to_fits(made: Any, path: Path) -> None:
    made.writeto(path)


KINDS = {
    "CCDData": Kind(lambda _: ccd(), lambda c, p: c.write(p), "a.fits", "astronomy"),
    "NDData": Kind(
        lambda _: NDData(PICTURE, unit="electron", wcs=coordinates(), mask=MASK, uncertainty=StdDevUncertainty(ERROR)),
        lambda _, p: ccd().write(p),
        "a.fits",
        "astronomy",
    ),
    "VarianceUncertainty": Kind(
        lambda _: ccd(uncertainty=VarianceUncertainty(ERROR**2 * 1e6, unit="1e-6 electron2")),
        lambda _, p: ccd().write(p),
        "a.fits",
        "astronomy",
    ),
    "InverseVariance": Kind(
        lambda _: ccd(uncertainty=InverseVariance(1 / ERROR**2)), lambda _, p: ccd().write(p), "a.fits", "astronomy"
    ),
    "PrimaryHDU": Kind(lambda _: scaled(), to_fits, "a.fits", "astronomy"),
    "ImageHDU": Kind(
        lambda _: fits.ImageHDU(PICTURE, header()),
        lambda h, p: fits.PrimaryHDU(h.data, h.header).writeto(p),
        "a.fits",
        "astronomy",
    ),
    "CompImageHDU": Kind(
        lambda _: fits.CompImageHDU(np.rint(PICTURE).astype(np.int16), header(), compression_type="RICE_1"),
        lambda h, p: fits.PrimaryHDU(np.rint(PICTURE).astype(np.int16), header()).writeto(p),
        "a.fits",
        "astronomy",
    ),
    "HDUList": Kind(lambda _: science(), to_fits, "a.fits", "astronomy"),
    "Quantity": Kind(
        lambda _: PICTURE * units.Jy,
        lambda _, p: fits.PrimaryHDU(PICTURE, fits.Header({"BUNIT": "Jy"})).writeto(p),
        "a.fits",
        "astronomy",
    ),
    "Nifti1Image": Kind(lambda _: volume(nib.Nifti1Image), lambda i, p: i.to_filename(p), "a.nii", "medical"),
    "Nifti2Image": Kind(lambda _: volume(nib.Nifti2Image), lambda i, p: i.to_filename(p), "a.nii", "medical"),
    "Nifti1Image with a slope": Kind(
        reloaded, lambda i, p: p.write_bytes(Path(i.get_filename()).read_bytes()), "a.nii", "medical"
    ),
    "MGHImage": Kind(
        lambda _: nib.MGHImage(np.stack([PICTURE] * 3, -1), AFFINE),
        lambda _, p: in_mm(nib.Nifti1Image(np.stack([PICTURE] * 3, -1), AFFINE)).to_filename(p),
        "a.nii",
        "medical",
    ),
    "Dataset": Kind(
        lambda _: dataset(), lambda d, p: d.save_as(p, enforce_file_format=True), "a.dcm", "medical"
    ),
    "list of Datasets": Kind(lambda _: [dataset(k) for k in range(3)], write_series, "series", "medical"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_an_object_is_answered_like_its_file(kind: Kind, tmp_path: Path) -> None:
    made = kind.make(tmp_path)
    kind.write(made, tmp_path / kind.name)
    before = content(made)
    one, other = gensr.upsample(made, **QUICK), gensr.upsample(tmp_path / kind.name, **QUICK)
    assert one.report["input"]["domain"] == kind.domain
    span = float(np.nanmax(other.mean) - np.nanmin(other.mean))
    for name in ("mean", "std"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, atol=1e-6 * span, err_msg=name)
    assert one.grid == other.grid
    assert one.unit == other.unit
    assert one.report["noise"]["source"] == other.report["noise"]["source"]
    for name in ("invalid pixels", "dtype", "planes"):
        assert one.report["output"][name] == other.report["output"][name], name
    for name in ("sum of data", "sum of explained data"):
        assert one.report["consistency"][name] == pytest.approx(other.report["consistency"][name], rel=1e-6)
    assert content(made) == before, "the object was changed"


@pytest.mark.parametrize("name", ["CCDData", "VarianceUncertainty", "InverseVariance"])
def test_a_ccddata_comes_back(name: str, tmp_path: Path) -> None:
    made = KINDS[name].make(tmp_path)
    result = gensr.upsample(made, noise=4.0, **QUICK)
    back = result.to_ccddata()
    assert type(back) is CCDData
    assert back.unit == units.electron
    np.testing.assert_array_equal(back.mask, MASK.repeat(2, 0).repeat(2, 1))
    assert isinstance(back.uncertainty, StdDevUncertainty)
    np.testing.assert_array_equal(back.data, result.mean)
    np.testing.assert_array_equal(back.uncertainty.array[~back.mask], result.std[~back.mask])
    assert back.header["EXPTIME"] == 30.0
    assert np.nansum(back.data) == pytest.approx(PICTURE[~MASK].sum(), rel=0.02)
    # Outer corners of the field do not move on the sky: pixel coordinates -0.5 and n - 0.5, whatever the pixel is.
    (rows, cols), world = PICTURE.shape, coordinates()
    for x, y in ((0, 0), (cols, 0), (cols, rows), (0, rows)):
        was, now = world.pixel_to_world(x - 0.5, y - 0.5), back.wcs.pixel_to_world(2 * x - 0.5, 2 * y - 0.5)
        assert was.separation(now).arcsec < 1e-6


def test_an_hdulist_comes_back(tmp_path: Path) -> None:
    result = gensr.upsample(science(), noise=4.0, **QUICK)
    hdus = result.to_hdulist()
    np.testing.assert_array_equal(hdus[0].data, result.mean)
    assert {"MASK", "UNCERT"} <= {hdu.name for hdu in hdus}
    assert hdus[0].header["OBJECT"] == "test"
    assert hdus[0].header["BUNIT"] == "MJy/sr"


@pytest.mark.parametrize("name", ["Nifti1Image", "Nifti2Image", "Nifti1Image with a slope", "MGHImage"])
def test_a_nibabel_image_comes_back(name: str, tmp_path: Path) -> None:
    made = KINDS[name].make(tmp_path)
    result = gensr.upsample(made, noise=4.0, options={"through_plane": "off"}, **QUICK)
    back = result.to_nibabel()
    assert back.shape == (28, 24, 3)
    assert isinstance(back, nib.Nifti2Image if name == "Nifti2Image" else nib.Nifti1Image)
    half = np.array([-0.25, -0.25, 0, 1])  # the centre of the first fine voxel in coarse voxels
    np.testing.assert_allclose(back.affine[:, 3], made.affine @ half, atol=1e-5)
    np.testing.assert_allclose(back.affine[:3, :2], made.affine[:3, :2] / 2, atol=1e-6)
    slope, offset = (0.25, -3) if "slope" in name else (1, 0)
    values = result.mean.astype(np.float64) * slope + offset  # (plane, row = j, column = i)
    np.testing.assert_allclose(back.get_fdata(), values.transpose(2, 1, 0), rtol=1e-6)
    coarse = back.get_fdata().reshape(14, 2, 12, 2, 3).mean((1, 3))
    assert np.abs(coarse - made.get_fdata()).mean() < 5


def test_slices_in_between_come_back_too(tmp_path: Path) -> None:
    image = volume(nib.Nifti1Image)
    back = gensr.upsample(image, noise=4.0, options={"through_plane": 2}, **QUICK).to_nibabel()
    assert back.shape == (28, 24, 6)
    np.testing.assert_allclose(back.affine @ [-0.5, -0.5, -0.5, 1], image.affine @ [-0.5, -0.5, -0.5, 1], atol=1e-5)


def test_pydicom_comes_back(tmp_path: Path) -> None:
    result = gensr.upsample(dataset(), noise=4.0, **QUICK)
    back = result.to_pydicom()
    np.testing.assert_array_equal(back.pixel_array, result.mean)
    assert list(back.PixelSpacing) == [0.4, 0.25]
    assert back.PatientID == "7"
    assert back.SOPInstanceUID != dataset().SOPInstanceUID
    series = gensr.upsample(
        [dataset(k) for k in range(3)], noise=4.0, options={"through_plane": "off"}, **QUICK
    ).to_pydicom()
    assert [float(ds.ImagePositionPatient[2]) for ds in series] == [0.0, 3.0, 6.0]


def test_a_data_set_without_file_meta_is_taken() -> None:
    bare = Dataset()
    for element in dataset():
        bare.add(copy.deepcopy(element))
    result = gensr.upsample(bare, noise=4.0, **QUICK)
    np.testing.assert_array_equal(result.mean, gensr.upsample(dataset(), noise=4.0, **QUICK).mean)


def test_the_result_of_a_file_becomes_an_object_too(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    ccd().write(path)
    result = gensr.upsample(path, noise=4.0, **QUICK)
    np.testing.assert_array_equal(result.to_ccddata().data, result.mean)
    with pytest.raises(UsageError, match=r"to_nibabel\(\) is for inputs of medical; this one was taken as astronomy"):
        result.to_nibabel()
    ccd(mask=None).write(path, overwrite=True)
    with pytest.raises(FormatError, match="has changed since"):
        result.to_ccddata()


@pytest.mark.parametrize(
    ("source", "domain", "words"),
    [
        (Table({"a": [1]}), None, "astropy.Table holds no image"),
        (ccd(uncertainty=UnknownUncertainty(ERROR)), None, "UnknownUncertainty"),
        (NDData(np.zeros((9, 9), bool)), None, "of bool has no place in FITS"),
        (NDData(np.zeros((9, 9), np.float16)), None, "of float16 has no place in FITS"),
        (np.zeros((32, 32, 4)) * units.Jy, None, "the last axis looks like bands"),
        (np.zeros((9, 9)) * units.mag, None, "mag"),
        (ccd(), "medical", "domain=medical does not take a astropy.CCDData; give domain=astronomy"),
        ([volume(nib.Nifti1Image)] * 2, None, "give one, or nibabel.concat_images"),
        (nib.gifti.GiftiImage(), None, "is no volume"),
        ([1, 2], None, "neither a path nor an array"),
        (torch.zeros(8, 8, requires_grad=True), None, "tensor.detach"),
        (torch.zeros(8, 8).to_sparse(), None, "to_dense"),
        (np.zeros((32, 32, 4)), None, "say dims=y,x,band"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_by_name(source: object, domain: str | None, words: str) -> None:
    with pytest.raises(GensrError, match=words):
        gensr.upsample(source, domain=domain, **QUICK)


def test_words_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dims=y,x is for arrays"):
        gensr.upsample(ccd(), dims="y,x", **QUICK)
    with pytest.raises(UsageError, match="dims=y,x is for arrays"):
        gensr.upsample(tmp_path / "a.tif", dims="y,x", **QUICK)
    with pytest.raises(UsageError, match="hdu: options are of files"):
        gensr.upsample(PICTURE, options={"hdu": 1}, **QUICK)


@pytest.mark.parametrize("dims", ["y,x,band", ("band", "x", "y"), "x,plane,y", "plane,band,plane,y,x"])
def test_any_order_of_axes_gives_the_same_numbers(dims: str | tuple[str, ...]) -> None:
    names = dims.split(",") if isinstance(dims, str) else list(dims)
    whole = np.stack([PICTURE + 10 * k for k in range(4)])[:, None] if "plane" in names else PICTURE[None, None]
    whole = np.repeat(whole, 2, 1) if "band" in names else whole
    lengths = {"plane": [4] if names.count("plane") == 1 else [2, 2], "band": [whole.shape[1]]}
    array = whole.reshape(
        *(lengths["plane"] if "plane" in names else []), *(lengths["band"] if "band" in names else []), *PICTURE.shape
    )
    own = [n for n in ("plane",) * names.count("plane")] + (["band"] if "band" in names else []) + ["y", "x"]
    places = [[i for i, o in enumerate(own) if o == n][names[:k].count(n)] for k, n in enumerate(names)]
    result = gensr.upsample(array.transpose(places), dims=dims, noise=4.0, **QUICK)
    expected = gensr.upsample(whole, dims="plane,band,y,x", noise=4.0, **QUICK).mean
    back = expected.reshape(*array.shape[:-2], 28, 24).transpose(places)
    np.testing.assert_allclose(result.mean, back, rtol=1e-6)


def test_masked_arrays_come_back_masked() -> None:
    array = np.ma.MaskedArray(np.rint(PICTURE).astype(np.uint16), MASK)
    result = gensr.upsample(array, noise=4.0, **QUICK)
    assert isinstance(result.mean, np.ma.MaskedArray)
    assert result.mean.dtype == np.uint16
    np.testing.assert_array_equal(result.mean.mask, MASK.repeat(2, 0).repeat(2, 1))
    holed = np.where(MASK, np.nan, np.rint(PICTURE)).astype(np.float32)
    plain = gensr.upsample(holed, noise=4.0, **QUICK).mean
    np.testing.assert_allclose(result.mean.filled(0)[~result.mean.mask], plain[~result.mean.mask], atol=0.51)


def test_a_part_of_an_object_is_a_part_of_its_file(tmp_path: Path) -> None:
    ccd().write(tmp_path / "a.fits")
    words = {"srcwin": "2,1,8,10", "noise": 4.0, **QUICK}
    result, expected = gensr.upsample(ccd(), **words), gensr.upsample(tmp_path / "a.fits", **words)
    np.testing.assert_array_equal(result.mean, expected.mean)
    back = result.to_ccddata()
    assert back.data.shape == (20, 16)
    assert coordinates().pixel_to_world(1.5, 0.5).separation(back.wcs.pixel_to_world(-0.5, -0.5)).arcsec < 1e-6
    masked = gensr.upsample(np.ma.MaskedArray(PICTURE, MASK), **words).mean
    np.testing.assert_array_equal(masked.mask, MASK[1:11, 2:10].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int16])
def test_tensors_are_arrays(dtype: torch.dtype) -> None:
    tensor = torch.from_numpy(PICTURE).to(dtype)
    same = tensor.float().numpy() if dtype == torch.bfloat16 else tensor.numpy()
    np.testing.assert_array_equal(
        gensr.upsample(tensor, noise=4.0, **QUICK).mean, gensr.upsample(same, noise=4.0, **QUICK).mean
    )


def test_an_object_travels_as_a_file(tmp_path: Path) -> None:
    """On a cluster a worker reads a copy in the folder of the run, not the temporary file."""
    domain = knower(ccd(), None)
    assert domain is installed.domain("astronomy")
    with open_object(domain, ccd(), {}) as scene:
        before, place = scene.read(0, Window(0, 0, 14, 12)), scene.path
        scene.spill(tmp_path)
        sent = pickle.dumps(scene)
    del scene
    assert not place.exists()
    assert len(sent) < 1000
    again = pickle.loads(sent)
    assert again.path.parent == tmp_path
    np.testing.assert_array_equal(again.read(0, Window(0, 0, 14, 12)).values, before.values)


def test_equal_objects_are_equal_inputs() -> None:
    astronomy = installed.domain("astronomy")
    prints = [open_object(astronomy, made, {}).content() for made in (ccd(), ccd(), ccd(mask=None))]
    assert prints[0] == prints[1] != prints[2]
