"""Slices that became several: locations and numbers run as those of the source did; another reader sees one volume."""

import subprocess

import nibabel as nib
import numpy as np
import pydicom
import pytest

from gensr.scenes.product import ThroughPlane
from gensr.scenes.testing import NearestProduct

SLICES, FACTOR = 4, 2


@pytest.fixture
def stack(make, tmp_path):
    """Factory: a series of slices 5 mm apart whose headers are changed by index and position."""

    def build(change, modality="PT", volumes=1):
        folder = tmp_path / "series"
        folder.mkdir()
        for t in range(volumes):
            for z in range(SLICES):
                ds = make.dataset(modality, f"1.2.3.{t}.{z + 1}", number=t * SLICES + z + 1)
                ds.TemporalPositionIdentifier = t + 1
                make.put_place(ds, (0.0, 0.0, 5.0 * z), (2.0, 2.0), thickness=5.0)
                make.put_pixels(ds, np.random.default_rng(z).integers(0, 900, (10, 12)).astype(np.int16))
                change(ds, t, z)
                make.save(ds, folder / f"{t}_{z}.dcm")
        return folder

    return build


def refined(upscale, folder, factor=FACTOR):
    def product(scene):
        return NearestProduct(scene, 2, through_plane=ThroughPlane(scene.stack.slices, factor))

    _, kinds = upscale(folder, product=product, options={"through_plane": factor})
    return [pydicom.dcmread(p) for p in sorted(kinds["mean"].iterdir())]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (lambda z: 5.0 * z + 7, [5.75 + 2.5 * i for i in range(8)]),
        (lambda z: -5.0 * z + 7, [8.25 - 2.5 * i for i in range(8)]),
        (lambda z: 4.0 * z, [-1.0 + 2.0 * i for i in range(8)]),  # measured along another axis
    ],
)
def test_slice_location_has_the_sign_of_the_source(stack, upscale, location, expected):
    def change(ds, t, z):
        ds.SliceLocation = f"{location(z):g}"

    written = refined(upscale, stack(change))
    assert [float(ds.SliceLocation) for ds in written] == pytest.approx(expected, abs=1e-6)
    assert [float(ds.ImagePositionPatient[2]) for ds in written] == pytest.approx([-1.25 + 2.5 * i for i in range(8)])


def test_a_location_that_follows_nothing_goes(stack, upscale):
    def change(ds, t, z):
        ds.SliceLocation = str([3, 1, 8, 2][z])

    assert not any("SliceLocation" in ds for ds in refined(upscale, stack(change)))


@pytest.mark.parametrize("backwards", [False, True])
def test_pet_counts(stack, upscale, backwards):
    def change(ds, t, z):
        ds.NumberOfSlices, ds.NumberOfTimeSlices, ds.ImagesInAcquisition = SLICES, 2, 2 * SLICES
        ds.NumberOfStudyRelatedInstances, ds.NumberOfSeriesRelatedInstances = 99, 2 * SLICES
        ds.NumberOfTemporalPositions = 2
        ds.ImageIndex = t * SLICES + (SLICES - z if backwards else z + 1)

    written = refined(upscale, stack(change, volumes=2))
    order = list(range(8, 0, -1)) if backwards else list(range(1, 9))
    assert [ds.ImageIndex for ds in written] == order + [n + 8 for n in order]
    assert {ds.NumberOfSlices for ds in written} == {SLICES * FACTOR}
    assert {(ds.ImagesInAcquisition, ds.NumberOfSeriesRelatedInstances) for ds in written} == {(16, 16)}
    assert {(ds.NumberOfTimeSlices, ds.NumberOfTemporalPositions) for ds in written} == {(2, 2)}
    assert [ds.InstanceNumber for ds in written] == list(range(1, 17))
    assert {float(ds.SpacingBetweenSlices) for ds in written} == {2.5}
    assert not any("NumberOfStudyRelatedInstances" in ds for ds in written)


def test_in_the_plane_nothing_is_counted_anew(stack, upscale):
    def change(ds, t, z):
        ds.NumberOfSlices, ds.ImageIndex, ds.SliceLocation = SLICES, z + 1, f"{-5.0 * z:g}"

    _, kinds = upscale(stack(change), options={"through_plane": "off"})
    written = [pydicom.dcmread(p) for p in sorted(kinds["mean"].iterdir())]
    assert [(ds.NumberOfSlices, ds.ImageIndex) for ds in written] == [(SLICES, n) for n in range(1, 5)]
    assert [float(ds.SliceLocation) for ds in written] == [0, -5, -10, -15]


def test_dcm2niix_sees_one_volume_with_our_grid(stack, upscale, tmp_path):
    dcm2niix = pytest.importorskip("dcm2niix", reason="an independent reader, of the extra test")

    def change(ds, t, z):
        ds.SliceLocation, ds.StudyDate = f"{-5.0 * z:g}", "20200101"

    folder = stack(change, modality="MR")
    _, kinds = upscale(
        folder,
        product=lambda scene: NearestProduct(scene, 2, through_plane=ThroughPlane(scene.stack.slices, 2)),
        options={"through_plane": 2},
    )
    out = tmp_path / "nii"
    out.mkdir()
    subprocess.run([dcm2niix.bin, "-o", str(out), "-f", "a", str(kinds["mean"])], check=True, capture_output=True)
    (path,) = out.glob("*.nii")
    image = nib.load(path)
    assert image.shape == (24, 20, 8)
    np.testing.assert_allclose(image.header.get_zooms(), (1.0, 1.0, 2.5), atol=1e-6)
    corner = image.affine @ [0, image.shape[1] - 1, 0, 1]  # it turns rows over
    np.testing.assert_allclose(corner[:3] * [-1, -1, 1], (-0.5, -0.5, -1.25), atol=1e-5)
