"""Identity, labels and privacy of a derived object: reference B4 and B5, read back with pydicom."""

import json

import numpy as np
import pydicom
import pytest

from gensr.errors import FormatError, UsageError

CODES = np.arange(48, dtype=np.int16).reshape(6, 8) * 10


def single(make, path, modality="CT", change=None):
    ds = make.dataset(modality)
    make.put_place(ds, (-10, 20, 30), (0.8, 0.5))
    make.put_pixels(ds, CODES)
    if change:
        change(ds)
    return make.save(ds, path)


def test_every_label_of_a_generated_image(make, upscale, tmp_path):
    path = single(make, tmp_path / "a.dcm")
    source = pydicom.dcmread(path)
    _, kinds = upscale(path, 4)
    seen = set()
    for kind, extra in (("mean", ""), ("std", "std "), ("sample", "sample1 ")):
        ds = pydicom.dcmread(kinds[kind])
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.SOPClassUID == source.SOPClassUID
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
            assert ds[keyword].value == source[keyword].value
        seen |= {ds.SOPInstanceUID, ds.SeriesInstanceUID}
        assert ds.SeriesNumber > 1000
        assert ds.SeriesDescription == f"[AI-SR x4 - NOT FOR DIAGNOSIS] {extra}t1 axial"
        assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "AI_SR"]
        assert ds[0x0008, 0x001C].value == "YES"
        assert ds[0x0018, 0x9004].value == "RESEARCH"
        assert "Contains generated detail" in ds.DerivationDescription
        assert "not for diagnosis" in ds.DerivationDescription
        assert "nearest" in ds.DerivationDescription
        code = ds.DerivationCodeSequence[0]
        assert (code.CodeValue, code.CodingSchemeDesignator) == ("113085", "DCM")
        origin = ds.SourceImageSequence[0]
        assert origin.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert origin.ReferencedSOPClassUID == source.SOPClassUID
        assert origin.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        equipment = ds.ContributingEquipmentSequence[-1]
        assert equipment.Manufacturer == "gensr"
        assert equipment.SoftwareVersions
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert len(ds.InstanceCreationDate) == 8
        assert len(ds.InstanceCreationTime) == 6
        assert not [e for e in ds if e.tag.is_private]
        assert all(len(str(u)) <= 64 for u in (ds.SOPInstanceUID, ds.SeriesInstanceUID))
    assert len(seen) == 6
    assert not seen & {source.SOPInstanceUID, source.SeriesInstanceUID}


def test_uids_are_fresh_or_a_hash(make, upscale, tmp_path):
    path = single(make, tmp_path / "a.dcm")

    def uids(options):
        _, kinds = upscale(path, 2, options)
        return [(str(d.SOPInstanceUID), str(d.SeriesInstanceUID)) for d in map(pydicom.dcmread, kinds.values())]

    assert set(uids({})).isdisjoint(uids({}))
    assert uids({"uids": "hash"}) == uids({"uids": "hash"})


def test_reproducible_bytes_with_hashed_uids_and_a_fixed_clock(make, upscale, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    path = single(make, tmp_path / "a.dcm")
    runs = [[p.read_bytes() for p in upscale(path, 2, {"uids": "hash"})[1].values()] for _ in range(2)]
    assert runs[0] == runs[1]


def test_long_series_descriptions_are_cut_behind_the_label(make, upscale, tmp_path):
    def change(ds):
        ds.SeriesDescription = "x" * 64
        del ds.SeriesNumber
        ds.ImageType = ["ORIGINAL", "PRIMARY"]

    _, kinds = upscale(single(make, tmp_path / "a.dcm", change=change), 2)
    ds = pydicom.dcmread(kinds["mean"])
    assert len(ds.SeriesDescription) == 64
    assert ds.SeriesDescription.startswith("[AI-SR x2 - NOT FOR DIAGNOSIS] xxx")
    assert ds.SeriesNumber == 1000
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "AI_SR"]  # enumerated for CT


def test_digital_x_ray_keeps_the_rules_of_its_class(make, upscale, tmp_path):
    def change(ds):
        ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
        ds.RescaleSlope, ds.RescaleIntercept = "1", "0"

    path = single(make, tmp_path / "a.dcm", "DX", change)
    _, kinds = upscale(path, 2)
    mean, std = pydicom.dcmread(kinds["mean"]), pydicom.dcmread(kinds["std"])
    assert list(mean.ImageType) == ["DERIVED", "SECONDARY", "", "AI_SR"]
    assert mean.SOPClassUID == pydicom.dcmread(path).SOPClassUID
    assert float(mean.RescaleSlope) == 1
    assert std.SOPClassUID == std.file_meta.MediaStorageSOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert float(std.RescaleSlope) != 1
    assert std.SourceImageSequence[0].ReferencedSOPClassUID == mean.SOPClassUID


def test_stale_elements_go_and_windows_stay(make, upscale, tmp_path):
    def change(ds):
        ds.add_new(0x60000010, "US", 6)
        ds.add_new(0x60003000, "OW", b"\0\0\0\0\0\0")
        ds.add_new(0x00280106, "SS", 0)
        ds.WindowCenter, ds.WindowWidth = [40, 300], [400, 1500]
        ds.VOILUTFunction = "LINEAR"
        ds.BurnedInAnnotation, ds.PatientIdentityRemoved = "YES", "YES"
        ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", "12"
        ds.AcquisitionMatrix, ds.ReconstructionDiameter = [0, 6, 8, 0], "250"

    scene, kinds = upscale(single(make, tmp_path / "a.dcm", change=change), 2)
    ds = pydicom.dcmread(kinds["mean"])
    assert not [e for e in ds if 0x6000 <= e.tag.group <= 0x60FF]
    assert "SmallestImagePixelValue" not in ds
    assert list(ds.WindowCenter) == [40, 300]
    assert list(ds.WindowWidth) == [400, 1500]
    assert (ds.VOILUTFunction, ds.BurnedInAnnotation, ds.PatientIdentityRemoved) == ("LINEAR", "YES", "YES")
    assert (ds.LossyImageCompression, ds.LossyImageCompressionRatio) == ("01", 12)
    assert list(ds.AcquisitionMatrix) == [0, 6, 8, 0]
    assert ds.ReconstructionDiameter == 250
    warnings = " ".join(scene.metadata()["warnings"])
    assert "overlays" in warnings
    assert "lossy" in warnings


def test_pixel_positions_follow_the_grid(make, upscale, tmp_path):
    def change(ds):
        ds.ImagerPixelSpacing, ds.NominalScannedPixelSpacing = ["1.6", "1.0"], ["0.4", "0.3"]
        ds.PixelSpacingCalibrationType = "GEOMETRY"
        ds.ShutterShape = ["RECTANGULAR", "CIRCULAR"]
        ds.ShutterLeftVerticalEdge, ds.ShutterRightVerticalEdge = 2, 7
        ds.ShutterUpperHorizontalEdge, ds.ShutterLowerHorizontalEdge = 1, 5
        ds.CenterOfCircularShutter, ds.RadiusOfCircularShutter = [3, 4], 2

    _, kinds = upscale(single(make, tmp_path / "a.dcm", change=change), 2)
    ds = pydicom.dcmread(kinds["mean"])
    assert list(ds.ImagerPixelSpacing) == [0.8, 0.5]
    assert list(ds.NominalScannedPixelSpacing) == [0.2, 0.15]
    assert ds.PixelSpacingCalibrationType == "GEOMETRY"
    assert (ds.ShutterLeftVerticalEdge, ds.ShutterRightVerticalEdge) == (3, 14)
    assert (ds.ShutterUpperHorizontalEdge, ds.ShutterLowerHorizontalEdge) == (1, 10)
    assert ds.RadiusOfCircularShutter == 4
    assert list(ds.CenterOfCircularShutter) == [6, 8]  # 1-based 3 covers refined 5 and 6


def test_aspect_ratio_of_an_image_without_spacing(make, upscale, tmp_path):
    ds = make.put_pixels(make.dataset("DX"), CODES)
    ds.PixelAspectRatio = [4, 3]
    _, kinds = upscale(make.save(ds, tmp_path / "a.dcm"), (2, 3))
    assert list(pydicom.dcmread(kinds["mean"]).PixelAspectRatio) == [2, 1]


def test_std_is_a_second_series_in_physical_units(make, upscale, tmp_path):
    def change(ds):
        ds.RescaleSlope, ds.RescaleIntercept = "2", "-1024"
        ds.add_new(0x00280120, "SS", -2000)
        ds.PixelData = np.where(CODES == 70, -2000, CODES).astype("<i2").tobytes()

    _, kinds = upscale(single(make, tmp_path / "a.dcm", change=change), 2, std=3.7)
    ds = pydicom.dcmread(kinds["std"])
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 16, 15, 0)
    codes = ds.pixel_array
    invalid = np.repeat(np.repeat(CODES == 70, 2, 0), 2, 1)
    np.testing.assert_array_equal(codes == ds.PixelPaddingValue, invalid)
    np.testing.assert_allclose(codes[~invalid] * float(ds.RescaleSlope), 3.7, rtol=1e-5)
    assert float(ds.RescaleIntercept) == 0
    assert ds.RescaleType == "HU"
    mean = pydicom.dcmread(kinds["mean"])
    np.testing.assert_array_equal(mean.pixel_array[invalid], -2000)
    assert (float(mean.RescaleSlope), float(mean.RescaleIntercept)) == (2, -1024)


def words_in(value):
    return json.dumps(value, default=str).lower()


def test_no_patient_word_in_facts_names_or_errors(make, medical, upscale, tmp_path):
    folder = tmp_path / "Hildegard_Secretname"
    make.series(folder)
    scene, kinds = upscale(folder, 2)
    file = tmp_path / "PID987654-scan.dcm"
    single(make, file)
    alone, more = upscale(file, 2)
    texts = [words_in(scene.metadata()), words_in(alone.metadata())]
    texts += [str(p.relative_to(tmp_path)).lower() for p in [*kinds.values(), *more.values()]]
    texts += [p.name for p in kinds["mean"].iterdir()]
    ds = pydicom.dcmread(file)
    ds.PhotometricInterpretation = "RGB"
    ds.save_as(file)
    for path, options in ((file, {}), (folder, {"series": "9.9"})):
        with pytest.raises(FormatError) as caught:
            medical.open(path, options)
        texts.append(str(caught.value).lower())
    for text in texts:
        assert "secretname" not in text
        assert "hildegard" not in text
        assert "987654" not in text


def test_unknown_options_and_values_are_named(make, medical, tmp_path):
    path = single(make, tmp_path / "a.dcm")
    with pytest.raises(UsageError, match=r"no option 'colour'.*series"):
        medical.open(path, {"colour": 1})
    for bad in ({"uids": "old"}, {"axis": 3}, {"aligned": "yes"}, {"understood": 1}, {"series": 7}, {"modality": "US"}):
        with pytest.raises(UsageError, match=next(iter(bad))):
            medical.open(path, bad)
