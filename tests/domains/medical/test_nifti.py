import gzip
import itertools
import json
import struct

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gensr.errors import DomainError, FormatError, GensrError
from gensr.pipeline.request import Request
from gensr.pipeline.settle import settle
from gensr.scenes.product import ThroughPlane
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Window

RNG = np.random.default_rng(1)
OBLIQUE = np.array(
    [[-0.7176, -0.0322, 0.1364, 83.5], [0.0328, -0.7178, 0.0929, 86.9], [0.0237, 0.0178, 3.9966, -52.9], [0, 0, 0, 1.0]]
)
LEFT_HANDED = np.diag([-1.5, 1.5, 2.5, 1.0])  # columns of positive length, negative determinant
DATA = RNG.integers(-500, 900, (7, 6, 5)).astype(np.int16)


def corners(affine, shape):
    """World positions of the eight outer corners of a voxel box."""
    ends = itertools.product(*[(-0.5, n - 0.5) for n in shape[:3]])
    return np.array([affine @ [*end, 1.0] for end in ends])[:, :3]


def check_grid(before, after, scale):
    """Field of view, orientation, codes and time step of two nibabel images."""
    assert after.shape[:3] == tuple(n * s for n, s in zip(before.shape[:3], scale, strict=True))
    assert after.shape[3:] == before.shape[3:]
    for form in ("get_qform", "get_sform"):
        (a, code_a), (b, code_b) = (getattr(image, form)(coded=True) for image in (before, after))
        assert code_a == code_b
        if code_a:
            np.testing.assert_allclose(corners(b, after.shape), corners(a, before.shape), atol=1e-4)
            np.testing.assert_allclose(b[:3, :3] * scale, a[:3, :3], atol=1e-5)
            assert np.sign(np.linalg.det(a)) == np.sign(np.linalg.det(b))
    zooms = np.array(before.header.get_zooms()[:3]) / scale
    np.testing.assert_allclose(after.header.get_zooms()[:3], zooms, rtol=1e-5)
    assert after.header.get_zooms()[3:] == before.header.get_zooms()[3:]
    assert after.header.get_xyzt_units() == before.header.get_xyzt_units()
    assert after.header.endianness == before.header.endianness


@pytest.mark.parametrize("factor", [2, 3, (2, 4)])
@pytest.mark.parametrize(
    "options",
    [
        {"affine": OBLIQUE, "q": 2, "s": 1},
        {"affine": LEFT_HANDED, "q": 1, "s": 0},
        {"affine": OBLIQUE, "q": 0, "s": 4},
        {"affine": OBLIQUE, "q": 1, "s": 1, "big": True, "volumes": 3},
        {"affine": LEFT_HANDED, "q": 3, "s": 2, "version": 2},
        {"affine": np.diag([5.0, 1.0, 1.2, 1.0]), "q": 1, "s": 1},
        {"affine": np.diag([1.0, 4.0, 1.2, 1.0]), "q": 1, "s": 1},
    ],
    ids=["oblique", "sform0-left", "qform0", "4d-big-endian", "nifti2", "axis0", "axis1"],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_written_file_covers_the_same_world(make, upscale, tmp_path, options, factor, suffix):
    options = dict(options)
    volumes = options.pop("volumes", 0)
    data = np.stack([DATA + v for v in range(volumes)], -1) if volumes else DATA
    path = make.nifti(tmp_path / f"scan{suffix}", data, **options)
    scene, kinds = upscale(path, factor)
    fy, fx = factor if isinstance(factor, tuple) else (factor, factor)
    scale = [fx, fy]
    scale.insert(int(np.argmax(np.linalg.norm(options["affine"][:3, :3], axis=0))), 1)
    before, after = nib.load(path), nib.load(kinds["mean"])
    check_grid(before, after, scale)
    assert after.get_data_dtype() == before.get_data_dtype()
    blocks = data
    for axis, s in enumerate(scale):
        blocks = np.repeat(blocks, s, axis)
    np.testing.assert_array_equal(np.asarray(after.dataobj), blocks)
    std = nib.load(kinds["std"])
    check_grid(before, std, scale)
    assert std.get_data_dtype().newbyteorder("=") == np.float32
    np.testing.assert_array_equal(np.asarray(std.dataobj), np.full(blocks.shape, 1.5, np.float32))
    assert scene.metadata()["volumes"] == (volumes or 1)


def test_quaternion_and_codes_are_bit_for_bit(make, upscale, tmp_path):
    path = make.nifti(tmp_path / "a.nii", DATA, OBLIQUE, q=2, s=1)
    _, kinds = upscale(path, 4)
    a, b = nib.load(path).header, nib.load(kinds["mean"]).header
    for key in ("quatern_b", "quatern_c", "quatern_d", "qform_code", "sform_code", "xyzt_units"):
        assert a[key] == b[key]
    assert a["pixdim"][0] == b["pixdim"][0]


@pytest.mark.parametrize(("slope", "inter"), [(None, 0.0), (0.0, 0.0), (1.0, -1024.0), (0.25, 3.0)])
def test_scaling_fields_survive_and_apply_once(make, upscale, medical, tmp_path, slope, inter):
    path = make.nifti(tmp_path / "a.nii.gz", DATA, slope=slope, inter=inter)
    scene, kinds = upscale(path, 2)
    truth = nib.load(path).get_fdata()
    np.testing.assert_allclose(nib.load(kinds["mean"]).get_fdata()[::2, ::2], truth)
    raw = [struct.unpack("<ff", gzip.decompress(p.read_bytes())[112:120]) for p in (path, kinds["mean"])]
    np.testing.assert_array_equal(raw[0], raw[1])
    image = scene.read(2, Window(1, 2, 3, 4))
    np.testing.assert_allclose(image.values[0], truth[2:6, 1:4, 2].T)
    assert scene.quantum == (abs(slope) if slope else 1.0)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint16, np.float32, np.float64])
def test_dtype_out_is_dtype_in(make, upscale, tmp_path, kind):
    data = RNG.integers(0, 200, (4, 5, 3)).astype(kind)
    path = make.nifti(tmp_path / "a.nii", data)
    scene, kinds = upscale(path, 2)
    out = nib.load(kinds["mean"])
    assert out.get_data_dtype() == np.dtype(kind)
    assert scene.dtype == np.dtype(kind)
    np.testing.assert_array_equal(np.asarray(out.dataobj)[1::2, ::2], data)


def test_nan_stays_nan_and_nothing_else(make, upscale, tmp_path):
    data = RNG.normal(size=(4, 5, 3)).astype(np.float32)
    data[1, 2, :] = np.nan
    path = make.nifti(tmp_path / "a.nii", data)
    scene, kinds = upscale(path, 3)
    valid = scene.read(0, Window(0, 0, 5, 4)).valid
    assert np.count_nonzero(~valid) == 1
    assert not valid[0, 2, 1]
    for kind in ("mean", "std"):
        out = np.asarray(nib.load(kinds[kind]).dataobj)
        np.testing.assert_array_equal(np.isnan(out), np.repeat(np.repeat(np.isnan(data), 3, 0), 3, 1))


@given(data=hnp.arrays(np.int16, st.tuples(*[st.integers(1, 4)] * 3)))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_small_volume_round_trips(make, medical, tmp_path, data):
    path = make.nifti(tmp_path / "h.nii", data)
    scene = medical.open(path, {})
    for plane in range(scene.planes):
        image = scene.read(plane, Window(0, 0, *scene.grid.shape))
        codes, moved = scene.encode(plane, image.values, image.valid)
        index = [slice(None)] * 3
        index[scene.layout.axis] = plane
        np.testing.assert_array_equal(codes[0].T, data[tuple(index)])
        assert moved == 0


def test_slices_run_along_the_coarse_axis_or_the_third(make, medical, tmp_path):
    def axis(spacing, shape=(4, 5, 6), **options):
        affine = np.diag([*spacing, 1.0])
        path = make.nifti(tmp_path / "a.nii", np.zeros(shape, np.int16), affine)
        return medical.open(path, options).layout.axis

    assert axis((1, 1, 1)) == 2
    assert axis((1, 1.05, 1)) == 2
    assert axis((1, 3, 1)) == 1
    assert axis((4, 1, 1)) == 0
    assert axis((1, 1, 1), (5, 1, 6)) == 1
    assert axis((4, 1, 1), axis=2) == 2


def test_shear_is_kept_in_the_sform_and_said(make, upscale, tmp_path):
    sheared = np.array([[1, 0.3, 0, 5], [0, 1, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    path = make.nifti(tmp_path / "a.nii", DATA, q=0, s=1)
    raw = bytearray(path.read_bytes())
    raw[280:328] = sheared[:3].astype("<f4").tobytes()
    path.write_bytes(raw)
    scene, kinds = upscale(path, 2)
    assert any("shear" in w for w in scene.metadata()["warnings"])
    out = nib.load(kinds["mean"])
    np.testing.assert_allclose(corners(out.affine, out.shape), corners(sheared, DATA.shape), atol=1e-4)
    assert out.header["qform_code"] == 0


def test_neither_form_stays_neither(make, upscale, tmp_path):
    path = make.nifti(tmp_path / "a.nii", DATA, q=0, s=0)
    scene, kinds = upscale(path, 2)
    header = nib.load(kinds["mean"]).header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 0)
    np.testing.assert_allclose(header.get_zooms(), (1.0, 1.5, 4.0))
    assert any("position in space" in w for w in scene.metadata()["warnings"])


def test_labels_in_header_extension_and_sidecar(make, upscale, tmp_path):
    path = make.nifti(tmp_path / "sub-01_T1w.nii.gz", DATA)
    _, kinds = upscale(path, 2)
    assert kinds["mean"].name == "sub-01_T1w_x2_generated.nii.gz"
    header = nib.load(kinds["mean"]).header
    description = header["descrip"].item().decode()
    assert description == "made for a test; [AI-SR x2 - NOT FOR DIAGNOSIS] gensr mean"
    comments = [e for e in header.extensions if e.get_code() == 6]
    text = bytes(comments[0].get_content()).decode()
    assert "Contains generated detail" in text
    assert "not for diagnosis" in text
    assert "nearest" in text
    for kind, word in (("mean", "mean"), ("std", "standard deviation"), ("sample", "sample1")):
        sidecar = json.loads(kinds[f"{kind}_json"].read_text())
        assert sidecar["Sources"] == ["sub-01_T1w.nii.gz"]
        assert sidecar["SpatialReference"] == "orig"
        assert word in sidecar["Description"]
        assert "1 x 1.5 x 4 mm" in sidecar["Resolution"]
        assert sidecar["GeneratedBy"][0]["Name"] == "gensr"
        assert "Contains generated detail" in sidecar["GeneratedBy"][0]["Description"]
        assert "not for diagnosis" in sidecar["Notice"]


def test_long_description_is_cut_never_the_label(make, upscale, tmp_path):
    path = make.nifti(tmp_path / "a.nii", DATA)
    raw = bytearray(path.read_bytes())
    raw[148:228] = b"x" * 80
    path.write_bytes(raw)
    _, kinds = upscale(path, 2)
    written = kinds["mean"].read_bytes()[148:228]
    assert written.rstrip(b"\0").endswith(b"[AI-SR x2 - NOT FOR DIAGNOSIS] gensr mean")
    assert written[-1:] == b"\0"


def test_extensions_are_kept_byte_for_byte_and_damaged_ones_dropped(make, upscale, tmp_path):
    record = struct.pack("<ii", 32, 4) + b"<afni/>".ljust(24, b"\0")
    path = make.nifti(tmp_path / "a.nii", DATA, extension=record)
    _, kinds = upscale(path, 2)
    raw = kinds["mean"].read_bytes()
    assert raw[352:384] == record
    assert [e.get_code() for e in nib.load(kinds["mean"]).header.extensions] == [4, 6]
    path = make.nifti(tmp_path / "b.nii", DATA, extension=struct.pack("<ii", 4000, 4) + b"\0" * 24)
    scene, kinds = upscale(path, 2)
    assert any("extensions" in w for w in scene.metadata()["warnings"])
    np.testing.assert_array_equal(np.asarray(nib.load(kinds["mean"]).dataobj)[::2, ::2], DATA)


def test_through_plane_refines_the_slice_axis(make, upscale, medical, tmp_path):
    data = np.stack([DATA, DATA + 7], -1)
    path = make.nifti(tmp_path / "a.nii.gz", data, OBLIQUE)
    scene, kinds = upscale(
        path, product=lambda scene: NearestProduct(scene, 2, through_plane=ThroughPlane(scene.stack.slices, 3))
    )
    before, after = nib.load(path), nib.load(kinds["mean"])
    check_grid(before, after, [2, 2, 3])
    blocks = np.repeat(np.repeat(np.repeat(data, 2, 0), 2, 1), 3, 2)
    np.testing.assert_array_equal(np.asarray(after.dataobj), blocks)
    assert scene.metadata()["through_plane_factor_suggested"] == 4
    assert medical.open(path, {"understood": True}).suggested_slices() == 6


def test_slice_timing_is_forgotten_only_when_the_slice_axis_is_refined(make, upscale, tmp_path):
    path = make.nifti(tmp_path / "a.nii", DATA)
    raw = bytearray(path.read_bytes())
    raw[39] = 3 << 4  # slices along the third axis
    raw[120:122] = struct.pack("<h", 4)  # slice_end
    path.write_bytes(raw)
    _, kinds = upscale(path, 2)
    assert int(nib.load(kinds["mean"]).header["slice_end"]) == 4
    _, kinds = upscale(path, 2, {"axis": 0})
    assert int(nib.load(kinds["mean"]).header["slice_end"]) == 0


def patched(path, at, value):
    raw = bytearray(path.read_bytes())
    raw[at : at + len(value)] = value
    path.write_bytes(raw)
    return path


BAD = {
    "huge shape": (lambda p: patched(p, 42, struct.pack("<hhh", 32000, 32000, 32000)), "truncated"),
    "zero axis": (lambda p: patched(p, 42, struct.pack("<h", 0)), "empty axis"),
    "negative axis": (lambda p: patched(p, 42, struct.pack("<h", -5)), "empty axis"),
    "rank": (lambda p: patched(p, 40, struct.pack("<h", 9)), "dimensions"),
    "unknown type": (lambda p: patched(p, 70, struct.pack("<h", 9999)), "data type"),
    "rgb": (lambda p: patched(p, 70, struct.pack("<hh", 128, 24)), "not supported"),
    "complex": (lambda p: patched(p, 70, struct.pack("<hh", 32, 64)), "not supported"),
    "bits": (lambda p: patched(p, 72, struct.pack("<h", 64)), "do not fit"),
    "offset": (lambda p: patched(p, 108, struct.pack("<f", 1e12)), "offset"),
    "offset nan": (lambda p: patched(p, 108, struct.pack("<f", float("nan"))), "offset"),
    "offset small": (lambda p: patched(p, 108, struct.pack("<f", 100)), "offset"),
    "intercept": (lambda p: patched(p, 112, struct.pack("<ff", 2.0, float("inf"))), "scl_inter"),
    "sform zero": (lambda p: patched(p, 280, b"\0" * 48), "singular"),
    "sform nan": (lambda p: patched(p, 280, struct.pack("<f", float("nan"))), "singular or not finite"),
    "quaternion": (lambda p: patched(p, 256, struct.pack("<fff", 5, 5, 5)), "qform"),
    "pair": (lambda p: patched(p, 344, b"ni1\0"), "nib-convert"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_headers_are_refused_in_one_line(make, medical, tmp_path, name):
    change, words = BAD[name]
    path = change(make.nifti(tmp_path / "bad.nii", DATA))
    assert medical.sniff(path) == 3
    with pytest.raises(FormatError, match=words) as caught:
        medical.open(path, {})
    assert "bad.nii" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_and_bombs(make, medical, tmp_path):
    plain = make.nifti(tmp_path / "a.nii", DATA)
    plain.write_bytes(plain.read_bytes()[:-1])
    packed = make.nifti(tmp_path / "b.nii.gz", DATA)
    packed.write_bytes(packed.read_bytes()[:-40])
    short = tmp_path / "c.nii.gz"
    short.write_bytes(gzip.compress(plain.read_bytes()))
    body = bytearray(make.nifti(tmp_path / "d.nii", DATA).read_bytes())
    body[42:48] = struct.pack("<hhh", 30000, 30000, 30000)
    bomb = tmp_path / "d.nii.gz"
    bomb.write_bytes(gzip.compress(bytes(body)))
    body[42:48] = struct.pack("<hhh", 2000, 2000, 500)
    tall = tmp_path / "e.nii.gz"
    tall.write_bytes(gzip.compress(bytes(body)))
    head = tmp_path / "f.nii"
    head.write_bytes(bytes(body[:350]))
    damaged = make.nifti(tmp_path / "g.nii.gz", DATA)
    raw = bytearray(damaged.read_bytes())
    raw[-6] ^= 0xFF  # the checksum
    damaged.write_bytes(raw)
    for path in (plain, packed, short, bomb, tall, head, damaged):
        with pytest.raises(FormatError, match=r"truncated|damaged|GiB|too small"):
            medical.open(path, {})


def test_too_large_for_nifti1_is_refused(make, medical, tmp_path):
    path = make.nifti(tmp_path / "a.nii", np.zeros((9000, 1, 1), np.uint8))
    scene = medical.open(path, {"axis": 2})
    from gensr.scenes.names import Names

    with pytest.raises(FormatError, match="32767"):
        scene.write(NearestProduct(scene, 4), tmp_path, Names("a", 4))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 1), (6, 1, 1), (5, 6), (5, 6, 2, 1, 1)])
def test_degenerate_shapes_work(make, upscale, tmp_path, shape):
    data = RNG.integers(0, 99, shape).astype(np.int16)
    path = make.nifti(tmp_path / "a.nii", data)
    _scene, kinds = upscale(path, 2)
    out = np.asarray(nib.load(kinds["mean"]).dataobj)
    assert out.size == 4 * data.size
    assert sorted(np.unique(out)) == sorted(np.unique(data))


def test_vector_images_are_refused(make, medical, tmp_path):
    path = make.nifti(tmp_path / "a.nii", np.zeros((3, 3, 3, 1, 3), np.float32))
    with pytest.raises(FormatError, match="split the other axes"):
        medical.open(path, {})


def test_factor_above_four_needs_understood(make, medical, tmp_path):
    from gensr.scenes.names import Names

    path = make.nifti(tmp_path / "a.nii", DATA)
    scene = medical.open(path, {})
    with pytest.raises(DomainError, match="understood=true"):
        scene.operator((8, 8))
    with pytest.raises(DomainError, match="understood=true"):
        scene.write(NearestProduct(scene, 8), tmp_path, Names("a", 8))
    with pytest.raises(DomainError, match="understood=true"):
        scene.write(
            NearestProduct(scene, 2, through_plane=ThroughPlane(scene.stack.slices, 6)), tmp_path, Names("a", 2)
        )
    informed = medical.open(path, {"understood": True})
    assert informed.operator((8, 8)).factor == (8, 8)
    out = tmp_path / "out"
    out.mkdir()
    assert informed.write(NearestProduct(informed, 8), out, Names("a", 8))


@pytest.mark.parametrize(
    ("dtype", "slope", "inter", "scale"),
    [
        *itertools.product(("i2", "u1"), (1e-320, 1e-45, 3e37, 1e99, 1e300), (0.0, 1e30, -1e305), (1,)),
        *itertools.product(("f4",), (-1e35, 1e290), (0.0, -3e38), (1, 1e25)),
        *itertools.product(("f8",), (1.0, 3e37), (0.0, 1e30), (1e25, 1e150, 1e300)),
    ],
)
def test_noise_of_absurd_scales_is_a_number_or_refused_in_one_line(dtype, slope, inter, scale, make, tmp_path):
    """Squares of what such headers mean leave float64: codes times 1e300 once had a noise of NaN."""
    data = np.random.default_rng(2).normal(100, 20, (24, 20, 2)).clip(1, 250)
    make.nifti(tmp_path / "a.nii", (data * scale).astype(dtype), slope=slope, inter=inter, version=2)
    levels, said = [], ""
    try:
        with settle(Request(tmp_path / "a.nii", factor=2, search="fast", samples=0)) as plan:
            levels = list(plan.task.noise_model.levels)
    except GensrError as error:
        said = str(error)
    assert all(np.isfinite(level) and level >= 0 for level in levels)
    assert levels or ("a.nii" in said and "\n" not in said)
