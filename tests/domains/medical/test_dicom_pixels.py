"""Values: rescale, polarity, padding, stored bits, transfer syntaxes, headroom; pydicom is the independent reader."""

from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest

import gensr
from gensr.errors import DomainError
from gensr.values.grid import Window

FILES = Path(pydicom.data.__file__).parent / "test_files"
SYNTAXES = [
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_expb.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_padded.dcm",
]


@pytest.fixture(scope="module")
def plain():
    return pydicom.dcmread(FILES / "MR_small.dcm").pixel_array


@pytest.mark.parametrize("name", SYNTAXES)
def test_all_transfer_syntaxes_read_and_write_alike(upscale, plain, name):
    scene, kinds = upscale(FILES / name, 2)
    np.testing.assert_array_equal(scene.read(0, Window(0, 0, 64, 64)).values[0], plain)
    ds = pydicom.dcmread(kinds["mean"])
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    np.testing.assert_array_equal(ds.pixel_array, np.repeat(np.repeat(plain, 2, 0), 2, 1))
    source = pydicom.dcmread(FILES / name, stop_before_pixels=True)
    for keyword in ("PatientName", "StudyInstanceUID", "WindowCenter", "SliceThickness", "EchoTime", "ImagedNucleus"):
        if keyword in source:
            assert ds[keyword].value == source[keyword].value


def test_deflated_and_missing_file_meta(make, upscale, medical, tmp_path, plain):
    expected = pydicom.dcmread(FILES / "image_dfl.dcm").pixel_array
    scene, kinds = upscale(FILES / "image_dfl.dcm", 2)
    np.testing.assert_array_equal(scene.read(0, Window(0, 0, 512, 512)).values[0], expected)
    np.testing.assert_array_equal(pydicom.dcmread(kinds["mean"]).pixel_array[::2, 1::2], expected)
    ds = pydicom.dcmread(FILES / "MR_small_implicit.dcm")
    bare = tmp_path / "bare"
    pydicom.dcmwrite(bare, pydicom.Dataset(ds), implicit_vr=True, little_endian=True)
    assert bare.read_bytes()[:2] == b"\x08\0"
    assert medical.sniff(bare) == 3
    scene, kinds = upscale(bare, 2)
    np.testing.assert_array_equal(pydicom.dcmread(kinds["mean"]).pixel_array[::2, ::2], plain)


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_16.dcm"])
def test_lossy_pixels_need_consent(upscale, medical, name):
    with pytest.raises(DomainError, match=r"lossy.*lossy=true"):
        medical.open(FILES / name, {})


def test_accepted_lossy_pixels_stay_marked(upscale):
    _scene, kinds = upscale(FILES / "JPEG2000.dcm", 2, {"lossy": True})
    ds = pydicom.dcmread(kinds["mean"])
    assert ds.LossyImageCompression == "01"
    np.testing.assert_array_equal(ds.pixel_array[::2, ::2], pydicom.dcmread(FILES / "JPEG2000.dcm").pixel_array)


def test_ct_stays_in_hounsfield_units(upscale):
    path = FILES / "CT_small.dcm"
    scene, kinds = upscale(path, 4)
    source = pydicom.dcmread(path)
    truth = source.pixel_array * float(source.RescaleSlope) + float(source.RescaleIntercept)
    ds = pydicom.dcmread(kinds["mean"])
    out = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    np.testing.assert_array_equal(out.reshape(128, 4, 128, 4).mean((1, 3)), truth)
    for row in range(0, 128, 32):
        for col in range(0, 128, 32):
            fine = out[4 * row : 4 * row + 128, 4 * col : 4 * col + 128].mean()
            assert abs(fine - truth[row : row + 32, col : col + 32].mean()) < 1
    assert scene.unit == "HU"
    assert ds.PixelPaddingValue == source.PixelPaddingValue == -2000


def test_monochrome1_is_mirrored_inside_and_kept_outside(make, upscale, tmp_path):
    codes = np.arange(30, dtype=np.uint16).reshape(5, 6) * 100
    ds = make.put_pixels(make.dataset("DX"), codes, 12)
    ds.PhotometricInterpretation = "MONOCHROME1"
    ds.WindowCenter, ds.WindowWidth = "1000", "401"
    scene, kinds = upscale(make.save(ds, tmp_path / "a.dcm"), 2)
    np.testing.assert_array_equal(scene.read(0, Window(0, 0, 5, 6)).values[0], 4095 - codes.astype(int))
    out = pydicom.dcmread(kinds["mean"])
    assert (out.PhotometricInterpretation, out.BitsStored, out.HighBit) == ("MONOCHROME1", 12, 11)
    np.testing.assert_array_equal(out.pixel_array[1::2, ::2], codes)
    assert (out.WindowCenter, out.WindowWidth) == (1000, 401)
    low, high = scene.display
    assert (4095 - high, 4095 - low) == (799.5, 1199.5)
    assert pydicom.dcmread(kinds["std"]).PhotometricInterpretation == "MONOCHROME2"


def test_padding_pixels_stay_padding(make, medical, upscale, tmp_path):
    codes = np.arange(20, dtype=np.int16).reshape(4, 5)
    codes[1, 1:3] = -2000
    ds = make.put_pixels(make.dataset("CT"), codes)
    ds.add_new(0x00280120, "SS", -2000)
    scene, kinds = upscale(make.save(ds, tmp_path / "a.dcm"), 3)
    image = scene.read(0, Window(0, 0, 4, 5))
    np.testing.assert_array_equal(image.valid[0], codes != -2000)
    out = pydicom.dcmread(kinds["mean"]).pixel_array
    np.testing.assert_array_equal(out == -2000, np.repeat(np.repeat(codes == -2000, 3, 0), 3, 1))
    moved = scene.encode(0, np.full((1, 1, 1), -2000, np.float32), np.ones((1, 1, 1), np.bool_))
    assert moved[0].item() != -2000
    assert moved[1] == 1


def test_padding_outside_the_stored_bits(make, upscale, tmp_path):
    codes = np.array([[1, 4000], [0xF830, 7]], np.uint16)  # -2000 in a 12-bit image with 16 bits allocated
    ds = make.put_pixels(make.dataset("CT"), codes, 12)
    ds.add_new(0x00280120, "US", 0xF830)
    scene, kinds = upscale(make.save(ds, tmp_path / "a.dcm"), 2)
    assert scene.read(0, Window(0, 0, 2, 2)).valid[0].tolist() == [[True, True], [False, True]]
    raw = np.frombuffer(pydicom.dcmread(kinds["mean"]).PixelData, "<u2").reshape(4, 4)
    np.testing.assert_array_equal(raw, np.repeat(np.repeat(codes, 2, 0), 2, 1))


def test_overlay_bits_above_the_stored_bits_are_dropped(make, upscale, tmp_path):
    codes = np.array([[5, 4095], [100, 0]], np.uint16)
    ds = make.put_pixels(make.dataset("MR"), codes | 0x8000, 12)
    scene, kinds = upscale(make.save(ds, tmp_path / "a.dcm"), 2)
    np.testing.assert_array_equal(scene.read(0, Window(0, 0, 2, 2)).values[0], codes)
    raw = np.frombuffer(pydicom.dcmread(kinds["mean"]).PixelData, "<u2").reshape(4, 4)
    np.testing.assert_array_equal(raw[::2, ::2], codes)


def test_signed_codes_of_twelve_bits_are_sign_extended(make, medical, tmp_path):
    codes = np.array([[-2048, -1], [0, 2047]], np.int16)
    ds = make.put_pixels(make.dataset("MR"), (codes & 0x0FFF).astype(np.int16), 12)
    scene = medical.open(make.save(ds, tmp_path / "a.dcm"), {})
    np.testing.assert_array_equal(scene.read(0, Window(0, 0, 2, 2)).values[0], codes)
    out, clipped = scene.encode(0, np.array([[[3000.0, -3000.0]]], np.float32), np.ones((1, 1, 2), np.bool_))
    assert out.tolist() == [[[2047, -2048]]]
    assert clipped == 2


def test_saturated_detector_codes_leave_the_likelihood(make, medical, tmp_path):
    codes = np.array([[4095, 4094]], np.uint16)
    for modality, usable in (("CT", [False, True]), ("MR", [True, True])):
        ds = make.put_pixels(make.dataset(modality), codes, 12)
        image = medical.open(make.save(ds, tmp_path / f"{modality}.dcm"), {}).read(0, Window(0, 0, 1, 2))
        assert image.usable[0, 0].tolist() == usable
        assert image.valid.all()


def test_pet_slices_get_headroom_above_their_own_peak(make, upscale, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    codes = np.array([[0, 32767], [16000, 1]], np.int16)
    for n, slope in enumerate((0.5, 3.0)):
        ds = make.put_pixels(make.dataset("PT", f"1.2.6.{n}"), codes)
        make.put_place(ds, (0, 0, 4 * n))
        ds.RescaleSlope, ds.RescaleIntercept, ds.Units = str(slope), "0", "BQML"
        make.save(ds, folder / f"{n}.dcm")
    scene, kinds = upscale(folder, 2)
    assert scene.unit == "BQML"
    for n, path in enumerate(sorted(kinds["mean"].iterdir())):
        ds, slope = pydicom.dcmread(path), (0.5, 3.0)[n]
        assert float(ds.RescaleSlope) == 1.25 * slope
        np.testing.assert_allclose(ds.pixel_array[::2, ::2] * float(ds.RescaleSlope), codes * slope, atol=0.63 * slope)
        _peak, clipped = scene.encode(
            n, np.full((1, 1, 1), 1.2 * 32767 * slope, np.float32), np.ones((1, 1, 1), np.bool_)
        )
        assert clipped == 0


@pytest.mark.parametrize(("modality", "slopes"), [("PT", (0.5, 3.0)), ("CT", (1.0, 1.0))])
def test_repeated_labels_keep_the_slope_of_every_slice(modality, slopes, make, tmp_path):
    """Codes are copied, so values are right only with the slope that they had: no headroom, and none of a neighbour."""
    folder = tmp_path / "in"
    folder.mkdir()
    codes = np.kron(np.arange(6).reshape(2, 3), np.ones((4, 4))).astype(np.int16)
    for n, slope in enumerate(slopes):
        ds = make.put_pixels(make.dataset(modality, f"1.2.6.{n}"), codes + n)
        make.put_place(ds, (0, 0, 4 * n))
        ds.RescaleSlope, ds.RescaleIntercept, ds.SeriesDescription = str(slope), "0", "organ segmentation"
        make.save(ds, folder / f"{n}.dcm")
    words = {"output": tmp_path / "out", "options": {"through_plane": "off"}}
    found = gensr.upsample(folder, factor=2, labels="nearest", **words)
    (made,) = (p for p in found.files if p.is_dir())
    slices = sorted(made.iterdir())
    assert len(slices) == len(slopes)
    for n, path in enumerate(slices):
        ds = pydicom.dcmread(path)
        assert float(ds.RescaleSlope) == slopes[n]
        np.testing.assert_array_equal(ds.pixel_array, np.repeat(np.repeat(codes + n, 2, 0), 2, 1))
        assert ds.SeriesDescription.startswith("[labels repeated x2]")
    assert found.report["input"]["modality"] == modality


def test_repeated_labels_of_one_object_keep_the_slopes_of_their_frames(make, tmp_path):
    path = tmp_path / "mask.dcm"
    codes, slopes, *_ = make.enhanced(path)
    words = {"output": tmp_path / "out", "options": {"through_plane": "off"}}
    found = gensr.upsample(path, factor=2, labels="nearest", **words)
    ds = pydicom.dcmread(found.files[0])
    groups = ds.PerFrameFunctionalGroupsSequence
    assert [float(g.PixelValueTransformationSequence[0].RescaleSlope) for g in groups] == slopes
    np.testing.assert_array_equal(ds.pixel_array, np.repeat(np.repeat(codes, 2, 1), 2, 2))


def test_thirty_two_bit_codes(make, upscale, tmp_path):
    codes = np.array([[0, 70000], [100000, 123456]], np.uint32)
    ds = make.put_pixels(make.dataset("MR"), codes)
    scene, kinds = upscale(make.save(ds, tmp_path / "a.dcm"), 2)
    np.testing.assert_array_equal(pydicom.dcmread(kinds["mean"]).pixel_array[::2, ::2], codes)
    assert scene.dtype == np.uint32


def test_zero_slope_and_padding_over_everything_are_refused(make, medical, tmp_path):
    from gensr.errors import FormatError

    ds = make.put_pixels(make.dataset("CT"), np.zeros((2, 2), np.uint16))
    ds.RescaleSlope, ds.RescaleIntercept = "0", "1"
    with pytest.raises(FormatError, match="Rescale Slope 0"):
        medical.open(make.save(ds, tmp_path / "a.dcm"), {})
    ds.RescaleSlope = "1"
    ds.add_new(0x00280120, "US", 0)
    ds.add_new(0x00280121, "US", 65535)
    with pytest.raises(FormatError, match="covers every code"):
        medical.open(make.save(ds, tmp_path / "b.dcm"), {})
