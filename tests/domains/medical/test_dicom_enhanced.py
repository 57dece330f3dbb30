"""Enhanced multi-frame objects: geometry and rescale live in functional groups."""

import numpy as np
import pydicom
import pytest

from gensr.errors import DomainError, FormatError
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Window


def group(ds, frame, keyword):
    """The group of a frame, per frame or shared."""
    for holder in (ds.PerFrameFunctionalGroupsSequence[frame], ds.SharedFunctionalGroupsSequence[0]):
        if keyword in holder:
            return holder[keyword].value[0]
    raise AssertionError(f"no {keyword}")


def box(ds, frame):
    """Outer corners (4, 3) of a frame in mm."""
    dr, dc = (float(v) for v in group(ds, frame, "PixelMeasuresSequence").PixelSpacing)
    cosines = group(ds, frame, "PlaneOrientationSequence").ImageOrientationPatient
    x, y = np.array(cosines, float).reshape(2, 3)
    origin = np.array(group(ds, frame, "PlanePositionSequence").ImagePositionPatient, float)
    ends = [(r, c) for r in (-0.5, ds.Rows - 0.5) for c in (-0.5, ds.Columns - 0.5)]
    return np.array([origin + c * dc * x + r * dr * y for r, c in ends])


@pytest.mark.parametrize("per_frame", [True, False])
@pytest.mark.parametrize("factor", [2, (3, 4)])
def test_geometry_and_rescale_of_every_frame(make, upscale, tmp_path, per_frame, factor):
    path = tmp_path / "a.dcm"
    codes, slopes, intercepts, _, _ = make.enhanced(path, per_frame=per_frame)
    scene, kinds = upscale(path, factor)
    fy, fx = factor if isinstance(factor, tuple) else (factor, factor)
    before, after = pydicom.dcmread(path), pydicom.dcmread(kinds["mean"])
    assert int(after.NumberOfFrames) == 4
    assert (after.Rows, after.Columns) == (6 * fy, 5 * fx)
    assert after.BitsStored == 12
    pixels = after.pixel_array
    for f in range(4):
        np.testing.assert_allclose(box(after, f), box(before, f), atol=1e-6)
        np.testing.assert_array_equal(pixels[f], np.repeat(np.repeat(codes[f], fy, 0), fx, 1))
        transform = group(after, f, "PixelValueTransformationSequence")
        assert (float(transform.RescaleSlope), float(transform.RescaleIntercept)) == (slopes[f], intercepts[f])
        assert group(after, f, "PixelMeasuresSequence").SliceThickness == 4
        frame_type = group(after, f, "MRImageFrameTypeSequence").FrameType
        assert list(frame_type) == list(after.ImageType) == ["DERIVED", "PRIMARY", "M", "RESAMPLED"]
        values = scene.read(f, Window(0, 0, 6, 5)).values[0]
        np.testing.assert_allclose(values, codes[f] * slopes[f] + intercepts[f])
        mean = pixels[f].mean() * slopes[f] + intercepts[f]
        assert mean == pytest.approx(float(values.mean()), rel=1e-3)
    assert after.SyntheticData == "YES"
    assert after.ContentQualification == "RESEARCH"
    assert after.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    evidence = after.SourceImageEvidenceSequence[0]
    assert evidence.StudyInstanceUID == before.StudyInstanceUID
    assert evidence.ReferencedSeriesSequence[0].SeriesInstanceUID == before.SeriesInstanceUID
    assert scene.metadata()["rescale"] == [[1.0, 0.0], [2.5, -40.0]]
    assert scene.metadata()["slice_step_mm"] == pytest.approx(4.0)


def test_std_has_one_rescale_for_all_frames(make, upscale, tmp_path):
    make.enhanced(tmp_path / "a.dcm")
    _, kinds = upscale(tmp_path / "a.dcm", 2, std=12.5)
    ds = pydicom.dcmread(kinds["std"])
    for f in range(4):
        assert "PixelValueTransformationSequence" not in ds.PerFrameFunctionalGroupsSequence[f]
        slope = float(group(ds, f, "PixelValueTransformationSequence").RescaleSlope)
        np.testing.assert_allclose(ds.pixel_array[f] * slope, 12.5, rtol=1e-5)


def test_odd_frame_bytes_are_padded_once(make, upscale, tmp_path):
    ds = make.put_pixels(make.dataset("DX"), np.arange(45, dtype=np.uint8).reshape(3, 5, 3))
    _, kinds = upscale(make.save(ds, tmp_path / "a.dcm"), (1, 3))
    out = pydicom.dcmread(kinds["mean"])
    assert len(out.PixelData) == 3 * 5 * 9 + 1
    np.testing.assert_array_equal(out.pixel_array[:, :, ::3], np.arange(45).reshape(3, 5, 3))


def test_frames_in_any_order_are_planes(make, medical, tmp_path):
    path = tmp_path / "a.dcm"
    make.enhanced(path)
    ds = pydicom.dcmread(path)
    groups = ds.PerFrameFunctionalGroupsSequence
    groups[1], groups[3] = groups[3], groups[1]
    ds.save_as(path)
    scene = medical.open(path, {})
    assert scene.planes == 4
    assert any("even stack" in w for w in scene.metadata()["warnings"])


def indexed(path, reverse):
    """Dimension indices of slices (forwards or backwards) and of a second dimension that does not count them."""
    ds = pydicom.dcmread(path)
    ds.DimensionIndexSequence = [pydicom.Dataset(), pydicom.Dataset()]
    ds.DimensionIndexSequence[0].DimensionIndexPointer = 0x00209056  # Stack ID
    ds.DimensionIndexSequence[1].DimensionIndexPointer = 0x00209057  # In-Stack Position Number
    count = len(ds.PerFrameFunctionalGroupsSequence)
    for frame, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        content = pydicom.Dataset()
        number = count - frame if reverse else frame + 1
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", number, [1, number]
        group.FrameContentSequence = [content]
    ds.RepresentativeFrameNumber = 3
    ds.save_as(path)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("per_frame", [False, True])
def test_frames_are_added_between_slices(make, medical, tmp_path, per_frame, reverse):
    """Slice z at p + z n 4 mm becomes slices at p + z n 4 + n (-1.5, -0.5, 0.5, 1.5), 1 mm thick."""
    from gensr.scenes.names import Names
    from gensr.scenes.product import ThroughPlane

    path = tmp_path / "a.dcm"
    codes, slopes, intercepts, positions, (x, y, n) = make.enhanced(path, per_frame=per_frame)
    indexed(path, reverse)
    scene = medical.open(path, {})
    assert scene.suggested_slices() == 4
    (tmp_path / "out").mkdir()
    product = NearestProduct(scene, 2, std=2.0, samples=0, through_plane=ThroughPlane(scene.stack.slices, 4))
    mean, std = scene.write(product, tmp_path / "out", Names("a", 2))
    out, deviation = pydicom.dcmread(mean), pydicom.dcmread(std)
    assert (int(out.NumberOfFrames), out.Rows, out.Columns) == (16, 12, 10)
    assert len(out.PerFrameFunctionalGroupsSequence) == 16
    assert out.RepresentativeFrameNumber == 9
    numbers = []
    for frame, own in enumerate(out.PerFrameFunctionalGroupsSequence):
        z, part = divmod(frame, 4)
        assert np.array_equal(out.pixel_array[frame], codes[z].repeat(2, 0).repeat(2, 1))
        place = np.array(own.PlanePositionSequence[0].ImagePositionPatient, float)
        meant = positions[z] + (part - 1.5) * 1.0 * n - 0.25 * 0.5 * x - 0.25 * 0.8 * y
        assert np.abs(place - meant).max() < 1e-6
        rescale = own.PixelValueTransformationSequence[0]
        assert (rescale.RescaleSlope, rescale.RescaleIntercept) == (slopes[z], intercepts[z])
        measures = group(out, frame, "PixelMeasuresSequence")
        thickness = float(measures.SliceThickness), float(measures.SpacingBetweenSlices)
        assert thickness == pytest.approx((1.0, 1.0), abs=1e-8)
        assert [float(v) for v in measures.PixelSpacing] == [0.4, 0.25]
        content = own.FrameContentSequence[0]
        assert content.InStackPositionNumber == content.DimensionIndexValues[1]
        assert content.DimensionIndexValues[0] == 1
        numbers.append(int(content.InStackPositionNumber))
    assert numbers == list(range(16, 0, -1) if reverse else range(1, 17))
    assert int(deviation.NumberOfFrames) == 16
    assert len({str(d.SOPInstanceUID) for d in (out, deviation)}) == 2


def test_refusals(make, medical, tmp_path):
    path = tmp_path / "a.dcm"
    make.enhanced(path)
    turned = pydicom.dcmread(path)
    groups = turned.PerFrameFunctionalGroupsSequence
    groups[1], groups[3] = groups[3], groups[1]
    turned.save_as(tmp_path / "turned.dcm")
    scene = medical.open(tmp_path / "turned.dcm", {"through_plane": 2})
    assert scene.suggested_slices() == 1
    with pytest.raises(DomainError, match="position per frame"):
        scene.through_plane((2, 2))
    (tmp_path / "turned.dcm").unlink()
    ds = pydicom.dcmread(path)
    del ds.PerFrameFunctionalGroupsSequence[3]
    ds.save_as(tmp_path / "b.dcm")
    with pytest.raises(FormatError, match="3 frame groups, 4 frames"):
        medical.open(tmp_path / "b.dcm", {})
    (tmp_path / "b.dcm").unlink()
    other = make.put_pixels(make.dataset("MR", "1.2.3.5"), np.ones((6, 5), np.uint16))
    make.save(other, tmp_path / "c.dcm")
    with pytest.raises(FormatError, match="multi-frame object among 2"):
        medical.open(tmp_path, {})
