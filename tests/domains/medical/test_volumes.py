"""Through-plane super-resolution in the whole flow, read back with nibabel and pydicom."""

import itertools
import json
import signal
import subprocess
import sys

import nibabel as nib
import numpy as np
import pydicom
import pytest

import gensr
from gensr.errors import DomainError, UsageError
from gensr.scenes.product import ThroughPlane


def phantom(side=32):
    """Smooth tilted shells, (side, side, side) from 100 to 900: edges of every direction."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij")
    radius = np.sqrt((x + 0.3 * z) ** 2 + (1.2 * y - 0.2 * z) ** 2 + (0.9 * z) ** 2)
    return 500 + 400 * np.tanh(6 * np.sin(5 * radius))


def blocks(volume, *sizes):
    shape = [n for length, size in zip(volume.shape, sizes, strict=True) for n in (length // size, size)]
    return volume.reshape(shape).mean(axis=tuple(range(1, 2 * volume.ndim, 2)))


@pytest.fixture(scope="module")
def truth():
    return phantom()


@pytest.fixture(scope="module")
def volume(make, tmp_path_factory, truth):
    """The phantom with pixels of 2 x 2 x 4, as NIfTI."""
    affine = np.array([[0, -2, 0, 5], [2, 0, 0, -4], [0, 0, 4, 1], [0, 0, 0, 1.0]])
    folder = tmp_path_factory.mktemp("volume")
    return make.nifti(folder / "v.nii", np.rint(blocks(truth, 2, 2, 4)).astype(np.int16), affine)


@pytest.fixture(scope="module")
def runs(volume, tmp_path_factory):
    """Result and voxels without and with new slices."""
    folder = tmp_path_factory.mktemp("runs")
    return {word: fine(volume, folder / word, through_plane=word) for word in ("off", "auto")}


def fine(path, out, **more):
    options = {"through_plane": more.pop("through_plane", "auto")}
    result = gensr.upsample(path, factor=2, output=out, options=options, **{"samples": 0, "noise": 0, **more})
    return result, np.asarray(nib.load(result.files[0]).dataobj, np.float64)


def test_new_slices_are_better_than_interpolation_and_keep_the_old_ones(runs, truth):
    (_, within), (result, both) = runs["off"], runs["auto"]
    assert result.report["through_plane"] == {"slices": 8, "factor": 2, "generator": "engression-field"}
    assert (within.shape, both.shape) == ((32, 32, 8), (32, 32, 16))
    np.testing.assert_allclose(blocks(both, 1, 1, 2), within, atol=1.0)  # both were rounded
    wanted = blocks(truth, 1, 1, 2)
    centres = (np.arange(16) + 0.5) / 2 - 0.5
    share = np.clip(centres, 0, 7)[None, None] % 1
    low = np.clip(np.floor(centres), 0, 7).astype(int)
    linear = within[..., low] * (1 - share) + within[..., np.minimum(low + 1, 7)] * share
    error = {name: np.sqrt(np.mean((v - wanted) ** 2)) for name, v in (("both", both), ("linear", linear))}
    assert error["both"] < 0.9 * error["linear"] < np.sqrt(np.mean((np.repeat(within, 2, 2) - wanted) ** 2))


def test_outer_faces_stay_and_voxels_shrink(volume, runs):
    result, _ = runs["auto"]
    before, after = nib.load(volume), nib.load(result.files[0])
    np.testing.assert_allclose(after.header.get_zooms(), (1, 1, 2))
    assert after.shape == (32, 32, 16)
    for corner in np.ndindex(2, 2, 2):
        old, new = ([n * c - 0.5 for n, c in zip(image.shape, corner, strict=True)] for image in (before, after))
        np.testing.assert_allclose(after.affine @ [*new, 1], before.affine @ [*old, 1], atol=1e-5)
    assert "factor 2 and 2 across slices" in result.files[0].with_suffix(".json").read_text()


def test_deviation_of_both_passes(runs):
    """New slices are less certain than the means over them."""
    within, both = (np.transpose(runs[word][0].std, (2, 1, 0)) for word in ("off", "auto"))
    assert np.isfinite(both).all()
    assert both.mean() > 1.2 * within.mean()
    assert (blocks(both, 1, 1, 2) > 0.5 * within).all()


def test_samples_explain_the_same_slices(volume, tmp_path):
    _, within = fine(volume, tmp_path / "off", through_plane="off", samples=1, search="fast")
    sample_within = nib.load(tmp_path / "off" / "v_x2_generated_sample1.nii").get_fdata()
    result, both = fine(volume, tmp_path / "on", samples=1, search="fast")
    sample = nib.load(tmp_path / "on" / "v_x2_generated_sample1.nii").get_fdata()
    np.testing.assert_allclose(blocks(sample, 1, 1, 2), sample_within, atol=1.0)
    assert np.abs(sample - both).mean() > np.abs(sample_within - within).mean()
    assert result.samples[0].shape == result.mean.shape == (16, 32, 32)
    again, _ = fine(volume, tmp_path / "again", samples=1, search="fast")
    assert np.array_equal(again.samples[0], result.samples[0])


def test_invalid_voxels_stay_invalid(make, tmp_path, truth):
    data = blocks(truth, 2, 2, 4).astype(np.float32)
    data[3, 4, 2], data[:, :, 6] = np.nan, np.nan
    path = make.nifti(tmp_path / "v.nii", data, np.diag([2.0, 2, 4, 1]))
    result, both = fine(path, tmp_path / "on")
    hole = np.repeat(np.repeat(np.repeat(np.isnan(data), 2, 0), 2, 1), 2, 2)
    assert np.array_equal(np.isnan(both), hole)
    assert result.report["output"]["invalid pixels"] == hole.sum()
    assert np.array_equal(np.isnan(nib.load(tmp_path / "on" / "v_x2_generated_std.nii").get_fdata()), hole)


def test_tiles_and_slabs_of_the_network_are_within_a_code(volume, tmp_path, monkeypatch):
    """It is nearly local: some codes are rounded the other way, which a mixture's are not (next test)."""
    _, whole = fine(volume, tmp_path / "whole", precision="float32")
    monkeypatch.setattr("gensr.pipeline.tiles.default_side", lambda task: 8)
    monkeypatch.setattr("gensr.pipeline.through_plane.LINES", 5)
    monkeypatch.setattr("gensr.pipeline.through_plane.BLOCK", 100)
    _, parts = fine(volume, tmp_path / "parts", precision="float32")
    np.testing.assert_allclose(parts, whole, atol=1)
    assert np.mean(parts != whole) < 1e-2


def test_tiles_and_slabs_do_not_show(volume, tmp_path, monkeypatch):
    _, whole = fine(volume, tmp_path / "whole", generator="gaussian-brain-mr")
    monkeypatch.setattr("gensr.pipeline.tiles.default_side", lambda task: 8)
    monkeypatch.setattr("gensr.pipeline.through_plane.LINES", 5)
    monkeypatch.setattr("gensr.pipeline.through_plane.BLOCK", 100)
    _, parts = fine(volume, tmp_path / "parts", generator="gaussian-brain-mr")
    np.testing.assert_allclose(parts, whole, atol=1)
    assert np.mean(parts != whole) < 1e-3


def test_a_run_killed_in_the_second_pass_goes_on(volume, runs, tmp_path):
    whole = runs["auto"][1]

    def stop(done, total):
        if done > 0.7 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine(volume, tmp_path / "on", progress=stop)
    counts = []
    _, resumed = fine(volume, tmp_path / "on", resume=True, progress=lambda done, total: counts.append((done, total)))
    assert np.array_equal(resumed, whole)
    assert counts[0][0] == 32 * 32 * 8  # the first pass was there
    assert counts[-1][0] == counts[-1][1]


SLOWLY = """
import sys, time
import gensr
def slowly(done, total):
    print(done, flush=True)
    time.sleep(0.3 if done > {first} else 0)
settings = {{"factor": 2, "samples": 0, "noise": 0, "options": {{"through_plane": "auto"}}}}
gensr.upsample({path!r}, output={out!r}, progress=slowly, **settings)
"""


def test_a_process_killed_in_the_second_pass_goes_on_where_it_was(volume, runs, tmp_path):
    """SIGKILL after the second slab: slabs that are done are not done again, and the voxels are the same."""
    whole, first = runs["auto"][1], 32 * 32 * 8
    code = SLOWLY.format(path=str(volume), out=str(tmp_path / "on"), first=first)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process.stdout:
        slabs = (int(line) for line in process.stdout)
        done = list(itertools.islice((count for count in slabs if count > first), 2))[-1]
        process.kill()
    assert process.wait() == -signal.SIGKILL
    (work,) = (tmp_path / "on").iterdir()
    parts = [json.loads(line.split("\t")[0])["part"] for line in (work / "journal.jsonl").read_text().splitlines()[1:]]
    assert sum(part.startswith("slab ") for part in parts) >= 2
    counts = []
    _, resumed = fine(volume, tmp_path / "on", resume=True, progress=lambda count, _: counts.append(count))
    assert counts[1] >= done > counts[0] == first  # the first report of the second pass tells what is there
    assert np.array_equal(resumed, whole)
    assert {p.name for p in (tmp_path / "on").iterdir()} == {p.name for p in runs["auto"][0].files}


def test_a_dicom_series_gets_slices_between(make, tmp_path):
    _, origin, (_x, _y, normal) = make.series(tmp_path / "in", slices=4, volumes=2, step=2.0, thickness=2.0)
    result = gensr.upsample(tmp_path / "in", factor=2, samples=0, search="fast", output=tmp_path / "out")
    assert result.report["through_plane"] == {"slices": 4, "factor": 2, "generator": "engression-field"}
    slices = [pydicom.dcmread(p) for p in (tmp_path / "out" / "in_x2_generated").iterdir()]
    assert len(slices) == 16
    depth = sorted(float((np.array(d.ImagePositionPatient, float) - origin) @ normal) for d in slices)
    np.testing.assert_allclose(depth, np.repeat(np.arange(8) - 0.5, 2), atol=1e-6)
    assert [float(d.SliceThickness) for d in slices] == pytest.approx([1.0] * 16, abs=1e-7)
    assert len({d.SOPInstanceUID for d in slices}) == 16


@pytest.mark.slow
def test_a_held_out_brain_gains_over_cubic_interpolation(samples, tmp_path):
    """T1 of patient 26 at 2 x 2 x 4 mm, brought to 1 mm: peak signal to noise inside the head."""
    ndimage = pytest.importorskip("scipy.ndimage")
    path = samples.parents[1] / "data" / "medical" / "brain_mr" / "mni_patient26_T1.nii.gz"
    if not path.is_file():
        pytest.skip("the brain is not beside the samples")
    truth = np.asarray(nib.load(path).dataobj, np.float32)[24:104, 40:120, 40:88]
    coarse = blocks(truth, 2, 2, 4)
    nib.save(nib.Nifti1Image(coarse, np.diag([2, 2, 4, 1.0])), tmp_path / "v.nii")
    _, within = fine(tmp_path / "v.nii", tmp_path / "off", through_plane="off")
    _, both = fine(tmp_path / "v.nii", tmp_path / "on", through_plane=4)

    def cubic(volume, factor):
        centres = [(np.arange(n * s) + 0.5) / s - 0.5 for n, s in zip(volume.shape, factor, strict=True)]
        return ndimage.map_coordinates(volume, np.meshgrid(*centres, indexing="ij"), order=3, mode="nearest")

    low, high = np.percentile(truth, [0.1, 99.9])
    head = truth > 0.1 * high

    def psnr(volume):
        return 10 * np.log10((high - low) ** 2 / np.mean((volume - truth)[head] ** 2))

    found = {"both": psnr(both), "cubic after": psnr(cubic(within, (1, 1, 4))), "cubic": psnr(cubic(coarse, (2, 2, 4)))}
    assert found["both"] > found["cubic after"] + 0.1 > found["cubic"], found


@pytest.mark.parametrize(("option", "factor"), [("auto", 2), ("off", 1), (False, 1), (1, 1), (3, 3)])
def test_the_option_decides(medical, volume, option, factor):
    scene = medical.open(volume, {"through_plane": option})
    across = scene.through_plane((2, 2))
    assert (1 if across is None else across.factor) == factor


def test_refusals(make, medical, volume, tmp_path):
    for word in ("yes", 0, -2, 2.5, True):
        with pytest.raises(UsageError, match="through_plane"):
            medical.open(volume, {"through_plane": word})
    with pytest.raises(DomainError, match="understood=true"):
        medical.open(volume, {"through_plane": 6}).through_plane((2, 2))
    flat = make.nifti(tmp_path / "flat.nii", np.zeros((8, 9, 1), np.int16))
    assert medical.open(flat, {}).through_plane((2, 2)) is None
    with pytest.raises(DomainError, match="several slices with an even step"):
        medical.open(flat, {"through_plane": 2}).through_plane((2, 2))
    make.enhanced(tmp_path / "frames.dcm")
    assert medical.open(tmp_path / "frames.dcm", {"through_plane": 2}).through_plane((2, 2)) == ThroughPlane(4, 2)
    classic = make.put_pixels(make.dataset("DX"), np.arange(45, dtype=np.uint8).reshape(3, 5, 3))
    make.save(classic, tmp_path / "classic.dcm")
    with pytest.raises(DomainError, match="several slices with an even step"):
        medical.open(tmp_path / "classic.dcm", {"through_plane": 2}).through_plane((2, 2))
