"""Real files, checked with nibabel and pydicom and own geometry, at three factors."""

import hashlib

import nibabel as nib
import numpy as np
import pydicom
import pytest

from gensr.values.grid import Window

NIFTI = "open_ms_patient01_study1_FLAIR_crop.nii.gz"
SINGLE = ["CT_small.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "dx_image_monochrome1.dcm"]
PIXELS = {
    "CT_small.dcm": "7a481f6ffff833aef4d8bd54819bd8f472aaa7232090208e056c90eacf079926",
    "MR_small_jp2klossless.dcm": "88617aaa46138fb1b6e2a951e762d962382354d69f47f8c04d4abff2f6a6a63e",
    "MR_small_jpeg_ls_lossless.dcm": "88617aaa46138fb1b6e2a951e762d962382354d69f47f8c04d4abff2f6a6a63e",
}


def ends(shape):
    return np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape], indexing="ij")).reshape(len(shape), -1)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("name", SINGLE)
def test_single_files(samples, upscale, name, factor):
    _scene, kinds = upscale(samples / name, factor)
    source, out = pydicom.dcmread(samples / name), pydicom.dcmread(kinds["mean"])
    codes = source.pixel_array
    if name in PIXELS:
        assert hashlib.sha256(codes.astype("<i2").tobytes()).hexdigest() == PIXELS[name]
    assert out.pixel_array.dtype == codes.dtype
    np.testing.assert_array_equal(out.pixel_array, np.repeat(np.repeat(codes, factor, 0), factor, 1))
    ratio = np.array(out.PixelSpacing, float) * factor / np.array(source.PixelSpacing, float)
    np.testing.assert_allclose(ratio, 1, rtol=1e-12)
    for keyword in ("PhotometricInterpretation", "BitsStored", "RescaleSlope", "WindowCenter", "SliceThickness"):
        assert out.get(keyword) == source.get(keyword)
    if "ImagePositionPatient" in source:
        x, y = np.array(source.ImageOrientationPatient, float).reshape(2, 3)
        corners = []
        for ds in (source, out):
            dr, dc = np.array(ds.PixelSpacing, float)
            rows, cols = ends((ds.Rows, ds.Columns))
            corners.append(np.array(ds.ImagePositionPatient, float) + np.outer(cols * dc, x) + np.outer(rows * dr, y))
        np.testing.assert_allclose(corners[1], corners[0], atol=1e-6)


@pytest.mark.parametrize("factor", [2, 3])
def test_oblique_mr_series(samples, upscale, factor):
    scene, kinds = upscale(samples / "dicom_series", factor)
    assert scene.planes == 24
    assert scene.metadata()["slice_step_mm"] == pytest.approx(0.6666667, abs=1e-6)
    boxes, volumes = [], []
    for folder in (samples / "dicom_series", kinds["mean"]):
        slices = [pydicom.dcmread(p) for p in folder.iterdir()]
        x, y = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
        slices.sort(key=lambda d: float(np.array(d.ImagePositionPatient, float) @ np.cross(x, y)))
        dr, dc = np.array(slices[0].PixelSpacing, float)
        first, last = (np.array(slices[i].ImagePositionPatient, float) for i in (0, -1))
        rows, cols, depth = ends((slices[0].Rows, slices[0].Columns, len(slices)))
        step = (last - first) / (len(slices) - 1)
        boxes.append(first + np.outer(cols * dc, x) + np.outer(rows * dr, y) + np.outer(depth, step))
        volumes.append(np.stack([d.pixel_array for d in slices]))
    assert (dr, dc) == pytest.approx((0.6666667 / factor, 0.6999878 / factor), abs=1e-6)
    np.testing.assert_allclose(boxes[1], boxes[0], atol=1e-3)
    blocks = volumes[1].reshape(24, 384, factor, 274, factor).mean((2, 4))
    assert np.abs(blocks - volumes[0]).max() < 0.5


@pytest.mark.parametrize("factor", [2, 3])
def test_oblique_nifti(samples, upscale, factor):
    _, kinds = upscale(samples / NIFTI, factor)
    before, after = nib.load(samples / NIFTI), nib.load(kinds["mean"])
    assert after.shape == (223 * factor, 283 * factor, 30)
    assert after.get_data_dtype() == np.uint16
    assert (int(after.header["qform_code"]), int(after.header["sform_code"])) == (2, 1)
    for form in (nib.Nifti1Image.get_qform, nib.Nifti1Image.get_sform):
        a, b = form(before), form(after)
        old = a[:3, :3] @ ends(before.shape) + a[:3, 3:]
        new = b[:3, :3] @ ends(after.shape) + b[:3, 3:]
        np.testing.assert_allclose(new, old, atol=1e-3)
        np.testing.assert_allclose(new.mean(1), old.mean(1), atol=1e-4)
        tilt = [nib.affines.obliquity(m) for m in (a, b)]
        np.testing.assert_allclose(np.degrees(tilt[1]), np.degrees(tilt[0]), atol=1e-4)
    data = np.asarray(after.dataobj)
    np.testing.assert_array_equal(data[factor - 1 :: factor, ::factor], np.asarray(before.dataobj))
    np.testing.assert_allclose(after.header.get_zooms()[2], 4.0, atol=1e-5)


def test_the_bright_side_of_a_radiograph_is_shown_bright(samples, medical):
    scene = medical.open(samples / "dx_image_monochrome1.dcm", {})
    image = scene.read(0, Window(0, 0, *scene.grid.shape))
    stored = pydicom.dcmread(samples / "dx_image_monochrome1.dcm").pixel_array
    shown = scene.render(image.values, image.values)[..., 0].astype(float)
    assert np.corrcoef(shown.ravel(), stored.ravel())[0, 1] < -0.99


def test_no_patient_word_leaves_the_samples(samples, medical):
    for path in sorted(samples.iterdir()):
        scene = medical.open(path, {})
        text = repr(scene.metadata()).lower()
        for word in ("jane", "doe", "avery", "compressedsamples", "veterinarian"):
            assert word not in text
