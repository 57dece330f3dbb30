"""Refusals by name, and files that lie, stop early or are not what their name says."""

import zlib
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gensr.errors import FormatError, GensrError
from gensr.values.limits import LIMITS, Limit

FILES = Path(pydicom.data.__file__).parent / "test_files"
NAMED = {
    "liver_1frame.dcm": "Segmentation",
    "rtdose.dcm": "RTDOSE",
    "rtdose_rle.dcm": "RTDOSE",
    "rtstruct.dcm": "RTSTRUCT",
    "rtplan.dcm": "RTPLAN",
    "reportsi.dcm": "Structured Report",
    "waveform_ecg.dcm": "Waveform",
    "dicomdirtests/DICOMDIR": "DICOMDIR",
    "dicomdirtests/98892001/CT2N/6293": "localiser",
    "examples_palette.dcm": "PALETTE",
    "examples_rgb_color.dcm": "RGB",
    "examples_ybr_color.dcm": "YBR_FULL_422",
    "MR_truncated.dcm": "truncated",
    "UN_sequence.dcm": "no SOP Class",
    "README.txt": "neither NIfTI nor DICOM",
}


def refused(medical, path):
    """The refusal of a file, "" when it opens; any other exception is a failure of the test."""
    try:
        scene = medical.open(path, {})
        scene.metadata()
        scene.close()
    except GensrError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", NAMED)
def test_refused_by_name(medical, name):
    with pytest.raises(FormatError, match=NAMED[name]) as caught:
        medical.open(FILES / name, {})
    assert "\n" not in str(caught.value)


def test_every_file_of_pydicom_opens_or_is_refused_in_one_line(medical):
    opened = 0
    for path in sorted(p for p in FILES.rglob("*") if p.is_file() and "TINY_ALPHA" not in p.parts):
        assert medical.sniff(path) in (0, 3)
        refusal = refused(medical, path)
        assert "\n" not in refusal
        opened += not refusal
    assert opened >= 40


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "MOSAIC"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.30", "Parametric Map"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.11.1", "Presentation State"),
        ("Modality", "PR", "modality PR"),
        ("ConcatenationUID", "1.2.3", "concatenation"),
        ("SamplesPerPixel", 3, "3 samples"),
        ("BitsAllocated", 1, "bits"),
        ("BitsStored", 40, "bits"),
        ("HighBit", 3, "high bit"),
        ("Rows", 0, "0 x 8"),
        ("Rows", 60000, "truncated"),
        ("NumberOfFrames", 1000, "truncated"),
        ("NumberOfFrames", -1, "frames"),
        ("Columns", None, "Columns is missing"),
        ("PixelSpacing", ["0", "1"], "not positive"),
        ("PixelSpacing", ["1"], "expected 2"),
        ("ImagePositionPatient", ["1", "2"], "expected 3"),
        ("ImageOrientationPatient", None, "without orientation"),
        ("PixelPaddingValue", None, ""),
    ],
)
def test_headers_that_lie(make, medical, tmp_path, keyword, value, words):
    ds = make.put_pixels(make.dataset("MR"), np.arange(64, dtype=np.int16).reshape(8, 8))
    make.put_place(ds, (0, 0, 0))
    if value is None and keyword in ds:
        del ds[keyword]
    elif value is not None:
        setattr(ds, keyword, value)
    path = make.save(ds, tmp_path / "a.dcm")
    if not words:
        assert medical.open(path, {}).planes == 1
        return
    with pytest.raises(FormatError, match=words) as caught:
        medical.open(path, {})
    assert "a.dcm" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_is_no_number(make, medical, tmp_path):
    ds = make.put_pixels(make.dataset("MR"), np.zeros((2, 2), np.int16))
    ds.RescaleSlope, ds.RescaleIntercept = "1.5", "0"
    path = make.save(ds, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"1.5 ", b"one "))
    with pytest.raises(FormatError, match="RescaleSlope failed"):
        medical.open(path, {})


def test_decompression_bomb_in_a_deflated_data_set(make, medical, tmp_path, monkeypatch):
    raw = (FILES / "image_dfl.dcm").read_bytes()
    start = 144 + pydicom.filereader.read_file_meta_info(FILES / "image_dfl.dcm").FileMetaInformationGroupLength
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(raw[:start] + squeeze.compress(b"\0" * (8 << 20)) + squeeze.flush())
    monkeypatch.setitem(LIMITS, "inflated", Limit(1 << 20, "bytes"))
    with pytest.raises(FormatError, match=r"bomb.dcm: claims \d+ bytes, at most 1048576 are read"):
        medical.open(bomb, {})


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_cut_compressed_pixels_fail_at_open(medical, tmp_path, name):
    raw = (FILES / name).read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(FormatError, match=r"cut\.dcm"):
        medical.open(path, {})


def test_header_only_and_other_contents(make, medical, tmp_path):
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "text.dcm").write_text("not an image " * 50)
    (tmp_path / "text.nii.gz").write_text("not an image")
    (tmp_path / "preamble.dcm").write_bytes(b"\0" * 128 + b"DICM")
    ds = make.dataset("MR")
    ds.Rows = ds.Columns = 4
    ds.BitsAllocated = ds.BitsStored = 16
    make.save(ds, tmp_path / "headless.dcm")
    sure = {"empty.dcm": 0, "text.dcm": 0, "text.nii.gz": 0, "preamble.dcm": 3, "headless.dcm": 3}
    for name, level in sure.items():
        assert medical.sniff(tmp_path / name) == level
        with pytest.raises(FormatError, match=name):
            medical.open(tmp_path / name, {})
    assert medical.sniff(tmp_path / "absent.dcm") == 0
    with pytest.raises(FormatError, match="no such file"):
        medical.open(tmp_path / "absent.dcm", {})


@pytest.fixture(scope="module")
def small(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    ds = make.put_pixels(make.put_place(make.dataset("MR"), (1, 2, 3)), np.arange(16, dtype=np.int16).reshape(4, 4))
    make.save(ds, folder / "a.dcm")
    make.enhanced(folder / "b.dcm", frames=2)
    make.nifti(folder / "c.nii.gz", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@given(name=st.sampled_from(["a.dcm", "b.dcm", "c.nii.gz"]), data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_damage_never_escapes_as_a_library_error(medical, small, tmp_path, name, data):
    raw = bytearray(small[name])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    path = tmp_path / name
    path.write_bytes(raw)
    medical.sniff(path)
    medical.stem(path)
    assert "\n" not in refused(medical, path)
