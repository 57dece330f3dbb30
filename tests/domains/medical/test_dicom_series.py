"""Series folders: slice order, spacing, volumes, geometry of the written stack, refusals."""

import numpy as np
import pydicom
import pytest

from gensr.errors import DomainError, FormatError
from gensr.scenes.product import ThroughPlane
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Window


def stack(folder):
    """Independent stack builder: sort by IPP.n, corners of the box in LPS, pixels (slice, rows, cols)."""
    found = []
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        x, y = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        found.append((float(np.array(ds.ImagePositionPatient, float) @ np.cross(x, y)), ds))
    found.sort(key=lambda item: (item[0], item[1].get("TemporalPositionIdentifier", 0)))
    return [ds for _, ds in found]


def corners(slices):
    """Outer corners (8, 3) in mm of a stack of data sets."""
    first, last = slices[0], slices[-1]
    x, y = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    dr, dc = (float(v) for v in first.PixelSpacing)
    a, b = (np.array(d.ImagePositionPatient, float) for d in (first, last))
    positions = np.unique(np.round([np.array(d.ImagePositionPatient, float) for d in slices], 6), axis=0)
    step = (b - a) / max(1, len(positions) - 1)
    found = []
    for end in (a - step / 2, b + step / 2):
        for row in (-0.5, first.Rows - 0.5):
            for col in (-0.5, first.Columns - 0.5):
                found.append(end + col * dc * x + row * dr * y)
    return np.array(found)


@pytest.mark.parametrize("factor", [2, 3, (2, 4)])
def test_written_series_covers_the_same_box(make, upscale, tmp_path, factor):
    codes, _, _ = make.series(tmp_path / "in", slices=5)
    scene, kinds = upscale(tmp_path / "in", factor)
    fy, fx = factor if isinstance(factor, tuple) else (factor, factor)
    before, after = stack(tmp_path / "in"), stack(kinds["mean"])
    assert kinds["mean"].is_dir()
    assert len(after) == 5
    np.testing.assert_allclose(corners(after), corners(before), atol=1e-6)
    for old, new, pixels in zip(before, after, codes[0], strict=True):
        np.testing.assert_allclose([float(v) for v in new.PixelSpacing], [0.8 / fy, 0.5 / fx])
        assert list(new.ImageOrientationPatient) == list(old.ImageOrientationPatient)
        assert (new.SliceThickness, new.SpacingBetweenSlices) == (old.SliceThickness, old.SpacingBetweenSlices)
        assert new.InstanceNumber == old.InstanceNumber
        np.testing.assert_array_equal(new.pixel_array, np.repeat(np.repeat(pixels, fy, 0), fx, 1))
        assert new.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert len({str(d.SeriesInstanceUID) for d in after}) == 1
    assert len({str(d.SOPInstanceUID) for d in after}) == 5
    assert scene.metadata()["slice_step_mm"] == pytest.approx(5.0)


def test_slices_are_ordered_by_position_not_by_number(make, medical, tmp_path):
    codes, _, _ = make.series(tmp_path / "in", slices=6, seed=11)
    scene = medical.open(tmp_path / "in", {})
    for plane in range(6):
        image = scene.read(plane, Window(2, 1, 4, 5))
        np.testing.assert_array_equal(image.values[0], codes[0, plane, 2:6, 1:6])


def test_time_series_keep_their_volumes(make, upscale, medical, tmp_path):
    codes, _, _ = make.series(tmp_path / "in", slices=3, volumes=4)
    scene, kinds = upscale(tmp_path / "in", 2)
    assert (scene.metadata()["slices"], scene.metadata()["volumes"], scene.planes) == (3, 4, 12)
    for t in range(4):
        for z in range(3):
            np.testing.assert_array_equal(scene.read(3 * t + z, Window(0, 0, 9, 7)).values[0], codes[t, z])
    again = medical.open(kinds["mean"], {})
    assert (again.metadata()["slices"], again.metadata()["volumes"]) == (3, 4)
    assert again.metadata()["slice_step_mm"] == pytest.approx(5.0)
    assert again.metadata()["slice_thickness_mm"] == 3.0


def test_through_plane_writes_new_slices_between(make, upscale, tmp_path):
    codes, _, _ = make.series(tmp_path / "in", slices=3, volumes=2)
    scene, kinds = upscale(
        tmp_path / "in", product=lambda s: NearestProduct(s, 2, through_plane=ThroughPlane(s.stack.slices, 4))
    )
    assert scene.metadata()["through_plane_factor_suggested"] == 4
    before, after = stack(tmp_path / "in"), stack(kinds["mean"])
    assert len(after) == 24
    np.testing.assert_allclose(corners(after), corners(before), atol=1e-6)
    for ds in after:
        assert (float(ds.SliceThickness), float(ds.SpacingBetweenSlices)) == pytest.approx((1.25, 1.25), abs=1e-7)
        x, y = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        place = float(np.array(ds.ImagePositionPatient, float) @ np.cross(x, y))
        assert float(ds.SliceLocation) == pytest.approx(place, abs=1e-6)
    volume = [d for d in after if d.TemporalPositionIdentifier == 2]
    for index, ds in enumerate(volume):
        np.testing.assert_array_equal(ds.pixel_array[::2, ::2], codes[1, index // 4])
    assert sorted(d.InstanceNumber for d in after) == list(range(1, 25))
    assert len({str(d.SOPInstanceUID) for d in after}) == 24


def test_several_series_are_named_and_chosen(make, medical, tmp_path):
    make.series(tmp_path / "in", slices=3)
    other = make.put_pixels(make.dataset("CT", "1.2.3.4.77", series="1.2.77"), np.ones((4, 4), np.int16))
    make.save(other, tmp_path / "in" / "zz.dcm")
    with pytest.raises(FormatError, match=r"2 series.*1\.2\.3 .MR, 3 files.*1\.2\.77 .CT, 1 files.*series=UID"):
        medical.open(tmp_path / "in", {})
    assert medical.open(tmp_path / "in", {"series": "1.2.77"}).planes == 1
    assert medical.open(tmp_path / "in", {"series": "1.2.3"}).planes == 3
    with pytest.raises(FormatError, match=r"no series 5\.5"):
        medical.open(tmp_path / "in", {"series": "5.5"})


def edit(folder, change, index=1):
    path = sorted(folder.iterdir())[index]
    ds = pydicom.dcmread(path)
    change(ds)
    ds.save_as(path)


def turned(ds):
    ds.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]


def coarser(ds):
    ds.PixelSpacing = [1.6, 1.0]


def smaller(ds):
    ds.PixelData = ds.pixel_array[:-1].tobytes()
    ds.Rows -= 1


def scout(ds):
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def beside(ds):
    position = [float(v) for v in ds.ImagePositionPatient]
    ds.ImagePositionPatient = [position[0] + 3, *position[1:]]


def crooked(ds):
    ds.ImageOrientationPatient = [1, 0, 0, 0.5, 1, 0]


def blank_spacing(ds):
    ds.PixelSpacing = None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (turned, "orientation differs"),
        (coarser, "pixel spacing differs"),
        (smaller, "8 x 7 pixels"),
        (scout, "localiser"),
        (crooked, "orthonormal"),
        (blank_spacing, "without Pixel Spacing"),
    ],
)
def test_slices_that_do_not_belong_are_refused(make, medical, tmp_path, change, words):
    make.series(tmp_path / "in")
    edit(tmp_path / "in", change)
    with pytest.raises(FormatError, match=words):
        medical.open(tmp_path / "in", {})


def test_missing_images_of_a_time_series_are_noticed(make, medical, tmp_path):
    make.series(tmp_path / "in", slices=3, volumes=2)
    sorted((tmp_path / "in").iterdir())[0].unlink()
    with pytest.raises(FormatError, match="images are missing"):
        medical.open(tmp_path / "in", {})


def test_the_same_image_twice_is_refused(make, medical, tmp_path):
    make.series(tmp_path / "in", slices=3)
    first = sorted((tmp_path / "in").iterdir())[0]
    (tmp_path / "in" / "copy.dcm").write_bytes(first.read_bytes())
    with pytest.raises(FormatError, match="same image"):
        medical.open(tmp_path / "in", {})


def test_uneven_slices_are_processed_in_the_plane_only(make, upscale, medical, tmp_path):
    make.series(tmp_path / "in", slices=5)
    names = {pydicom.dcmread(p).SOPInstanceUID: p for p in (tmp_path / "in").iterdir()}
    names["1.2.3.4.0.3"].unlink()
    scene, _ = upscale(tmp_path / "in", 2)
    assert scene.planes == 4
    assert scene.metadata()["slice_step_mm"] is None
    assert any("unevenly" in w for w in scene.metadata()["warnings"])
    assert scene.suggested_slices() == 1
    from gensr.scenes.names import Names

    with pytest.raises(DomainError, match="even step"):
        scene.write(
            NearestProduct(scene, 2, through_plane=ThroughPlane(scene.stack.slices, 2)), tmp_path, Names("a", 2)
        )


def test_slightly_skewed_cosines_are_orthonormalised(make, upscale, tmp_path):
    ds = make.put_pixels(make.dataset("MR"), np.ones((4, 6), np.int16))
    make.put_place(ds, (1, 2, 3), x=(1, 0.0004, 0), y=(0, 1.0002, 0))
    scene, kinds = upscale(make.save(ds, tmp_path / "a.dcm"), 2)
    x, y = np.array(pydicom.dcmread(kinds["mean"]).ImageOrientationPatient, float).reshape(2, 3)
    np.testing.assert_allclose([x @ x, y @ y, x @ y], [1, 1, 0], atol=1e-12)
    assert any("orthonormalised" in w for w in scene.metadata()["warnings"])


def test_images_without_positions_are_separate_planes(make, upscale, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for n, name in ((2, "a"), (1, "b")):
        ds = make.put_pixels(make.dataset("DX", f"1.2.5.{n}", number=n), np.full((4, 4), n, np.uint16), 12)
        make.save(ds, folder / name)
    scene, kinds = upscale(folder, 2)
    assert [scene.read(p, Window(0, 0, 1, 1)).values.item() for p in range(2)] == [1, 2]
    assert any("InstanceNumber" in w for w in scene.metadata()["warnings"])
    assert len(list(kinds["mean"].iterdir())) == 2


def test_empty_folder_and_folder_of_other_files(medical, tmp_path):
    (tmp_path / "notes.txt").write_text("no images here")
    assert medical.sniff(tmp_path) == 0
    with pytest.raises(FormatError, match="no DICOM files"):
        medical.open(tmp_path, {})


def test_expand_sees_series_folders_and_volumes(make, medical, tmp_path):
    make.series(tmp_path / "t1")
    make.nifti(tmp_path / "b.nii.gz", np.ones((2, 2, 2), np.int16))
    (tmp_path / "notes.txt").write_text("no image")
    assert medical.expand(tmp_path) == [tmp_path / "t1", tmp_path / "b.nii.gz"]
    assert medical.expand(tmp_path / "t1") == [tmp_path / "t1"]
    assert medical.sniff(tmp_path / "t1") == 3
