import numpy as np
import pytest
import torch

from gensr.domains.medical import detect
from gensr.errors import DomainError
from gensr.operators import Area
from gensr.scenes.provenance import as_json
from gensr.values.grid import Window

RNG = np.random.default_rng(2)


def dicom(make, path, modality, codes, bits=None, **values):
    ds = make.put_pixels(make.dataset(modality), codes, bits)
    for key, value in values.items():
        setattr(ds, key, value)
    return make.save(ds, path)


def test_normalisers(make, medical, tmp_path):
    ramp = np.arange(10000, dtype=np.int16).reshape(100, 100)
    mr = medical.open(dicom(make, tmp_path / "mr.dcm", "MR", ramp), {}).normaliser().describe()
    assert mr["offset"] == [pytest.approx(0.005 * 9999)]
    assert mr["gain"] == [pytest.approx(0.994 * 9999)]
    ct = dicom(make, tmp_path / "ct.dcm", "CT", ramp, RescaleSlope="1", RescaleIntercept="-1024")
    norm = medical.open(ct, {}).normaliser()
    assert norm.forward(torch.tensor([[[[-1000.0, 1000.0]]]])).flatten().tolist() == [0.0, 1.0]
    eight = dicom(make, tmp_path / "cr.dcm", "DX", np.full((4, 4), 9, np.uint8))
    assert medical.open(eight, {}).normaliser().describe()["gain"] == [255.0]
    twelve = dicom(make, tmp_path / "dx.dcm", "DX", (ramp // 4).astype(np.uint16), 12)
    assert medical.open(twelve, {}).normaliser().describe()["gain"] == [pytest.approx(2485, rel=0.01)]


def test_normaliser_of_nifti_ct(make, medical, tmp_path):
    path = make.nifti(tmp_path / "a.nii", RNG.integers(-1000, 1000, (4, 4, 4)).astype(np.int16))
    assert medical.open(path, {"modality": "CT"}).normaliser().describe()["offset"] == [-1000.0]
    assert medical.open(path, {}).normaliser().describe()["offset"] != [-1000.0]


def test_defaults_of_a_scene(make, medical, tmp_path):
    scene = medical.open(dicom(make, tmp_path / "mr.dcm", "MR", np.ones((4, 4), np.int16)), {})
    assert isinstance(scene.operator((2, 2)), Area)
    assert scene.noise() is None
    assert scene.generator() == "engression-field"
    assert any("k-space" in w for w in scene.metadata()["warnings"])
    assert "not for diagnosis" in scene.metadata()["notice"]
    assert "not for diagnosis" in medical.description


def test_aligned_prior_only_for_square_radiographs(make, medical, tmp_path):
    square = np.ones((4, 4), np.uint8)
    chest = medical.open(dicom(make, tmp_path / "a.dcm", "DX", square), {"aligned": True})
    assert chest.generator() == "engression-chest-xray"
    wide = medical.open(dicom(make, tmp_path / "b.dcm", "DX", np.ones((4, 5), np.uint8)), {"aligned": True})
    head = medical.open(dicom(make, tmp_path / "c.dcm", "MR", square), {"aligned": True})
    for scene in (wide, head):
        with pytest.raises(DomainError, match="one square CR or DX"):
            scene.generator()


def test_facts_are_json(make, medical, tmp_path):
    make.series(tmp_path / "in")
    make.enhanced(tmp_path / "e.dcm")
    make.nifti(tmp_path / "a.nii", np.ones((2, 3, 4), np.float32))
    for name in ("in", "e.dcm", "a.nii"):
        assert "notice" in as_json(medical.open(tmp_path / name, {}).metadata())


def test_stems(make, medical, tmp_path):
    assert medical.stem(make.nifti(tmp_path / "sub.01.nii.gz", np.ones((2, 2, 2), np.int16))) == "sub.01"
    path = dicom(make, tmp_path / "1.2.840.55", "MR", np.ones((2, 2), np.int16))
    assert medical.stem(path) == "1.2.840.55"
    assert medical.stem(dicom(make, tmp_path / "scan.dcm", "MR", np.ones((2, 2), np.int16))) == "scan"
    named = dicom(make, tmp_path / "secretname_knee.dcm", "MR", np.ones((2, 2), np.int16))
    assert medical.stem(named).startswith("input_")
    assert medical.stem(tmp_path / "absent.nii") == "absent"
    assert detect.plain_stem(".nii") == ".nii"


def test_rendering_windows(make, medical, tmp_path):
    codes = np.array([[-1000, -160, 240, 2000]], np.int16)
    path = dicom(make, tmp_path / "ct.dcm", "CT", codes, RescaleSlope="1", RescaleIntercept="0")
    scene = medical.open(path, {})
    values = scene.read(0, Window(0, 0, 1, 4)).values
    assert scene.render(values, values)[0, :, 0].tolist() == [0, 0, 255, 255]
    path = dicom(make, tmp_path / "v.dcm", "CT", codes, WindowCenter="501", WindowWidth="1001", RescaleSlope="1")
    scene = medical.open(path, {})
    assert scene.display == (0.5, 1000.5)
    holes = values.copy()
    holes[0, 0, 0] = np.nan
    shown = scene.render(holes, values)
    assert shown.dtype == np.uint8
    assert shown.shape == (1, 4, 3)
    assert shown[0, 0].tolist() == [128, 128, 160]
    assert shown[0, 3].tolist() == [255, 255, 255]


def test_rendering_without_values_or_range(make, medical, tmp_path):
    scene = medical.open(dicom(make, tmp_path / "mr.dcm", "MR", np.ones((3, 3), np.int16)), {})
    nothing = np.full((1, 3, 3), np.nan, np.float32)
    assert (scene.render(nothing, nothing)[..., 0] == 128).all()
    flat = np.ones((1, 3, 3), np.float32)
    assert scene.render(flat, flat).shape == (3, 3, 3)


def test_a_window_far_from_the_data_is_not_used(make, medical, tmp_path):
    ramp = np.arange(100, dtype=np.uint16).reshape(10, 10)
    path = dicom(make, tmp_path / "a.dcm", "DX", ramp, 12, WindowCenter="40000", WindowWidth="10")
    scene = medical.open(path, {})
    values = scene.read(0, Window(0, 0, 10, 10)).values
    shown = scene.render(values, values)[..., 0]
    assert shown.min() == 0
    assert shown.max() == 255


def test_domain_imports_no_format_library():
    import subprocess
    import sys

    code = "import sys, gensr.domains.medical; print([m for m in ('pydicom', 'nibabel', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
