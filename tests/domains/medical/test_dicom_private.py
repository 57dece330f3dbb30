"""Private elements: b-values and gradients in standard attributes, what is safe stays, the rest is named and goes."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    XRayAngiographicImageStorage,
)

from gensr.domains.medical import dicom_private
from gensr.errors import FormatError

GRADIENT = (0.6, 0.0, -0.8)


def single(make, path, change, modality="MR"):
    ds = make.dataset(modality)
    make.put_place(ds, (1.0, 2.0, 3.0))
    make.put_pixels(ds, np.random.default_rng(1).integers(0, 900, (8, 7)).astype(np.int16))
    change(ds)
    return make.save(ds, path)


def put(ds, group, creator, **values):
    block = ds.private_block(group, creator, create=True)
    for name, (vr, value) in values.items():
        block.add_new(int(name[1:], 16), vr, value)


VENDORS = {
    "siemens": (
        lambda ds: put(
            ds, 0x19, "SIEMENS MR HEADER", x0C=("IS", 1000), x0D=("CS", "DIRECTIONAL"), x0E=("FD", [*GRADIENT])
        ),
        (1000, GRADIENT),
    ),
    "philips": (
        lambda ds: (
            put(ds, 0x2001, "Philips Imaging DD 001", x03=("FL", 800.0)),
            put(ds, 0x2005, "Philips MR Imaging DD 001", xB0=("FL", 0.6), xB1=("FL", 0.0), xB2=("FL", -0.8)),
        ),
        (800, GRADIENT),
    ),
    "uih": (
        lambda ds: put(ds, 0x65, "Image Private Header", x09=("FD", 987.5), x37=("FD", [*GRADIENT])),
        (987.5, GRADIENT),
    ),
    "ge": (
        lambda ds: (
            put(ds, 0x43, "GEMS_PARM_01", x39=("IS", [1000000700, 8, 0, 0])),
            put(ds, 0x19, "GEMS_ACQU_01", xBB=("DS", "0.6"), xBC=("DS", "0"), xBD=("DS", "-0.8")),
        ),
        (700, None),  # its gradient follows the encoding of the scan, not the patient
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_diffusion_moves_to_standard_attributes(make, upscale, tmp_path, vendor):
    fill, (b, gradient) = VENDORS[vendor]
    path = single(make, tmp_path / "a.dcm", fill)
    scene, kinds = upscale(path, 2)
    for kind in ("mean", "std"):
        ds = pydicom.dcmread(kinds[kind])
        assert ds.DiffusionBValue == b
        assert ds["DiffusionBValue"].VR == "FD"
        if gradient is None:
            assert "DiffusionGradientOrientation" not in ds
            assert "DiffusionDirectionality" not in ds
        else:
            assert list(ds.DiffusionGradientOrientation) == pytest.approx(gradient, abs=1e-6)
            assert ds.DiffusionDirectionality == "DIRECTIONAL"
        kept = {e.tag: e.value for e in ds if e.tag.is_private and not e.tag.is_private_creator}
        before = {e.tag: e.value for e in pydicom.dcmread(path) if e.tag.is_private and e.tag.group != 0x29}
        assert kept == {tag: value for tag, value in before.items() if not tag.is_private_creator}
    assert any("b-value of 1 image" in note for note in scene.cautions())


def test_a_b_value_of_nought_has_no_direction(make, upscale, tmp_path):
    fill = lambda ds: put(ds, 0x19, "SIEMENS MR HEADER", x0C=("IS", 0), x0E=("FD", [0.0, 0.0, 0.0]))  # noqa: E731
    _, kinds = upscale(single(make, tmp_path / "a.dcm", fill), 2)
    ds = pydicom.dcmread(kinds["mean"])
    assert ds.DiffusionBValue == 0
    assert ds.DiffusionDirectionality == "NONE"
    assert "DiffusionGradientOrientation" not in ds


def test_a_standard_b_value_is_not_touched(make, upscale, tmp_path):
    def fill(ds):
        put(ds, 0x19, "SIEMENS MR HEADER", x0C=("IS", 1000))
        ds.DiffusionBValue = 995.0

    scene, kinds = upscale(single(make, tmp_path / "a.dcm", fill), 2)
    assert pydicom.dcmread(kinds["mean"]).DiffusionBValue == 995.0
    assert not any("b-value" in note for note in scene.cautions())


def test_elements_of_unknown_vr_are_read_as_what_they_are(make, upscale, tmp_path):
    """Implicit VR and a vendor that no dictionary knows."""
    ds = make.dataset("MR")
    make.put_place(ds, (1.0, 2.0, 3.0))
    make.put_pixels(ds, np.arange(56, dtype=np.int16).reshape(8, 7))
    put(ds, 0x65, "Image Private Header", x09=("FD", 1500.0), x37=("FD", [*GRADIENT]))
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    path = tmp_path / "a.dcm"
    ds.save_as(path, enforce_file_format=True, implicit_vr=True, little_endian=True)
    assert pydicom.dcmread(path)[0x0065, 0x1009].VR == "UN"
    _, kinds = upscale(path, 2)
    out = pydicom.dcmread(kinds["mean"])
    assert out.DiffusionBValue == 1500
    assert list(out.DiffusionGradientOrientation) == list(GRADIENT)
    assert out[0x0065, 0x1009].VR == "FD"


def test_what_goes_is_named_and_names_go(make, upscale, tmp_path):
    def fill(ds):
        put(ds, 0x43, "GEMS_PARM_01", x39=("IS", [5, 1, 0, 0]), x27=("SH", "Secretname"), x01=("SS", 3))
        put(ds, 0x33, "Secretname owns this", x01=("LO", "PID987654"))
        ds.add_new(0x00771234, "LO", "Secretname")  # without a creator

        item = pydicom.Dataset()
        put(item, 0x43, "GEMS_PARM_01", x02=("SS", 4))
        ds.AnatomicRegionSequence = pydicom.Sequence([item])

    scene, kinds = upscale(single(make, tmp_path / "a.dcm", fill), 2)
    (note,) = [n for n in scene.cautions() if "left out" in n]
    assert "GEMS_PARM_01 (3)" in note
    assert "others (3)" in note
    assert note in scene.metadata()["warnings"]
    raw = kinds["mean"].read_bytes()
    assert pydicom.dcmread(kinds["mean"])[0x0043, 0x1039].value == [5, 1, 0, 0]
    patient = pydicom.dcmread(kinds["mean"])
    del patient.PatientName, patient.PatientID
    assert "Secretname" not in str(patient)
    assert raw.count(b"Secretname") == 1  # the patient's own name


@pytest.mark.parametrize("value", [["nan", "1"], [], ["abc"]])
def test_values_that_are_no_numbers_go(value):
    ds = pydicom.Dataset()
    block = ds.private_block(0x43, "GEMS_PARM_01", create=True)
    ds[0x0043, block.get_tag(0x39).element] = DataElement(block.get_tag(0x39), "SH", value)
    assert dicom_private.kept(ds) == []
    assert dicom_private.diffusion(ds) is None


def uih(ds):
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    put(ds, 0x65, "Image Private Header", x50=("DS", "20"))


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (uih, r"UIH mosaic \(VFRAME\): 20 slices"),
        (lambda ds: put(ds, 0x19, "SIEMENS MR HEADER", x0A=("US", 36)), "Siemens MOSAIC: 36 slices"),
        (lambda ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "Siemens MOSAIC: many slices"),
    ],
)
def test_mosaics_are_refused(make, medical, tmp_path, fill, words):
    with pytest.raises(FormatError, match=words):
        medical.open(single(make, tmp_path / "a.dcm", fill), {})


def test_one_image_is_no_mosaic(make, medical, tmp_path):
    fill = lambda ds: put(ds, 0x19, "SIEMENS MR HEADER", x0A=("US", 1))  # noqa: E731
    medical.open(single(make, tmp_path / "a.dcm", fill), {}).close()


def classed(uid):
    def change(ds):
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid
        ds.ImageType = ["ORIGINAL", "PRIMARY"]

    return change


@pytest.mark.parametrize(
    ("modality", "change", "mean"),
    [
        ("PT", lambda ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY"]), ["DERIVED", "PRIMARY"]),
        (
            "CT",
            lambda ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY"]),
            ["DERIVED", "SECONDARY", "AXIAL", "AI_SR"],
        ),
        (
            "MR",
            lambda ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY"]),
            ["DERIVED", "SECONDARY", "OTHER", "AI_SR"],
        ),
        ("CT", classed(XRayAngiographicImageStorage), ["DERIVED", "SECONDARY", "SINGLE PLANE", "AI_SR"]),
        ("CT", classed(ComputedRadiographyImageStorage), ["DERIVED", "SECONDARY", "OTHER", "AI_SR"]),
    ],
)
def test_image_type_of_plain_classes(make, upscale, tmp_path, modality, change, mean):
    _, kinds = upscale(single(make, tmp_path / "a.dcm", change, modality), 2)
    assert list(pydicom.dcmread(kinds["mean"]).ImageType) == mean


@pytest.mark.parametrize("uid", [None, EnhancedCTImageStorage])
def test_image_type_of_enhanced_classes(make, upscale, tmp_path, uid):
    path = tmp_path / "a.dcm"
    make.enhanced(path)
    if uid is not None:
        ds = pydicom.dcmread(path)
        classed(uid)(ds)
        ds.save_as(path)
    _, kinds = upscale(path, 2)
    for kind, contrast in (("mean", "RESAMPLED"), ("std", "STD_DEVIATION")):
        ds = pydicom.dcmread(kinds[kind])
        types = [list(g.MRImageFrameTypeSequence[0].FrameType) for g in ds.PerFrameFunctionalGroupsSequence]
        assert {tuple(t) for t in types} == {("DERIVED", "PRIMARY", "M", contrast)}
        assert list(ds.ImageType) == ["DERIVED", "PRIMARY", "M" if uid is None else "VOLUME", contrast]


def cases():
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "cases").is_dir():
            return folder / "shared" / "cases"
    pytest.skip("the shared cases are not beside this checkout")


def test_a_real_mosaic_and_a_real_b_value(medical, upscale):
    with pytest.raises(FormatError, match=r"UIH mosaic \(VFRAME\): 20 slices"):
        medical.open(cases() / "uih_vframe_mosaic.dcm", {})
    scene, kinds = upscale(cases() / "ge_dwi_private_bvalue.dcm", 2)
    ds = pydicom.dcmread(kinds["mean"])
    assert ds.DiffusionBValue == 0
    assert list(ds[0x0043, 0x1039].value) == [0, 8, 0, 0]
    assert any("GEMS_STDY_01" in note for note in scene.cautions())
