"""The whole flow on small arrays and files with a shipped prior: what must not change the numbers does not."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tifffile
import xarray as xr
from PIL import Image

import gensr
from gensr.errors import DomainError, GensrError, OutputError, SearchError, UsageError
from gensr.pipeline import reconstruct as engine
from gensr.scenes.provenance import MARK


def nuclei(rows=40, cols=44, noise=3.0, seed=0):
    """Soft discs on a dark ground with noise, 0 to about 220."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols].astype(np.float64)
    image = np.full((rows, cols), 20.0)
    for _ in range(9):
        row, col, radius = rng.uniform(0, rows), rng.uniform(0, cols), rng.uniform(3, 6)
        image = np.maximum(image, rng.uniform(80, 200) / (1 + np.exp(2 * (np.hypot(y - row, x - col) - radius))))
    return (image + noise * rng.standard_normal(image.shape)).astype(np.float32)


def run(source, **settings):
    return gensr.upsample(source, **{"factor": 2, "search": "fast", "samples": 1, **settings})


@pytest.fixture(scope="module")
def noisy():
    return run(nuclei(), noise=3.0)


def same(one, other):
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.std, other.std)
    for a, b in zip(one.samples, other.samples, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "settings", [{"factor": 2, "noise": 3.0}, {"factor": 2, "noise": 0}, {"factor": 4, "noise": 3.0}]
)
def test_tiles_leave_no_trace(settings):
    """Mean and deviation are local, so tiling moves them by less than a thousandth of the range.

    Guided samples solve one system per tile, so they are only nearly local.
    """
    image = nuclei(60, 70)
    whole, tiled = run(image, tile=200, **settings), run(image, tile=24, **settings)
    span = np.ptp(whole.mean)
    for name in ("mean", "std"):
        assert np.abs(getattr(whole, name) - getattr(tiled, name)).max() < 1e-3 * span
    moved = np.abs(whole.samples[0] - tiled.samples[0]) / span
    assert np.percentile(moved, 99) < 5e-3
    assert moved.max() < 0.03


def test_the_batch_changes_nothing():
    stack = np.stack([nuclei(30, 32, seed=s)[None] for s in range(3)])
    first, *others = (run(stack, noise=3.0, tile=12, batch=batch) for batch in (1, 2, 5))
    for other in others:
        np.testing.assert_allclose(other.mean, first.mean, rtol=0, atol=1e-5 * np.ptp(first.mean))
        np.testing.assert_allclose(other.std, first.std, rtol=1e-4, atol=1e-5 * np.ptp(first.mean))
        np.testing.assert_allclose(other.samples[0], first.samples[0], rtol=0, atol=1e-4 * np.ptp(first.mean))


def test_the_same_seed_gives_the_same_result_and_another_one_another(noisy):
    same(run(nuclei(), noise=3.0), noisy)
    other = run(nuclei(), noise=3.0, seed=1)
    np.testing.assert_array_equal(other.mean, noisy.mean)
    assert np.abs(other.samples[0] - noisy.samples[0]).max() > 1


def test_sample_k_does_not_depend_on_how_many_are_drawn(noisy):
    three = run(nuclei(), noise=3.0, samples=3)
    np.testing.assert_array_equal(three.samples[0], noisy.samples[0])
    assert not np.array_equal(three.samples[0], three.samples[1])
    assert run(nuclei(), noise=3.0, samples=0).samples == []


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_exact_data_are_explained_exactly(factor):
    image = nuclei(17, 23)
    result = run(image, factor=factor, noise=0, samples=2)
    for fine in (result.mean, *result.samples):
        back = fine.astype(np.float64).reshape(17, factor, 23, factor).mean((1, 3))
        assert np.abs(back - image).max() < 1e-3
    assert result.report["consistency"]["largest"] < 1e-3


def test_noisy_data_are_explained_up_to_their_noise(noisy):
    """The residual of a fit is a little below the noise, never far above."""
    assert 0.2 < noisy.report["consistency"]["chi2 per datum"] < 1.3
    back = noisy.mean.astype(np.float64).reshape(40, 2, 44, 2).mean((1, 3))
    rms = np.sqrt(np.mean((back - nuclei()) ** 2))
    assert rms == pytest.approx(noisy.report["consistency"]["rms"], rel=1e-3)


def test_invalid_pixels_stay_invalid_and_spoil_nothing():
    image = nuclei()
    holed = image.copy()
    holed[10:13, 20:24] = np.nan
    result = run(holed, noise=3.0)
    expected = np.isnan(holed).repeat(2, 0).repeat(2, 1)
    for fine in (result.mean, result.std, result.samples[0]):
        np.testing.assert_array_equal(np.isnan(fine), expected)
    assert result.report["output"]["invalid pixels"] == expected.sum()
    far = np.s_[:, :16]
    np.testing.assert_allclose(result.mean[far], run(image, noise=3.0).mean[far], atol=1)


def test_nothing_usable_is_refused_before_anything_is_computed():
    with pytest.raises(DomainError, match="no pixel has a value"):
        run(np.full((12, 12), np.nan), noise=1.0)


def test_integers_come_back_as_integers():
    image = np.rint(nuclei(20, 22)).clip(0, 255).astype(np.uint8)
    result = run(image, noise=0)
    assert result.mean.dtype == np.uint8
    assert result.std.dtype == np.float32
    back = result.mean.astype(np.float64).reshape(20, 2, 22, 2).mean((1, 3))
    assert np.abs(back - image).max() <= 0.5 + 1e-3 + result.report["output"]["clipped or moved values"]


def test_xarray_goes_in_and_comes_out():
    image = nuclei(20, 22)
    coords = {"band": ["dapi"], "y": 7.0 + 0.5 * np.arange(20), "x": 3.0 + 0.5 * np.arange(22)}
    array = xr.DataArray(image[None], dims=("band", "y", "x"), coords=coords, attrs={"units": "counts"})
    data = run(array, noise=3.0).to_xarray()
    assert set(data) == {"mean", "std", "sample1"}
    assert data["mean"].dims == ("band", "y", "x")
    assert data["mean"].attrs["units"] == "counts"
    np.testing.assert_allclose(data.x[:2], [2.875, 3.125])
    np.testing.assert_allclose(data.y[-1], coords["y"][-1] + 0.125)
    assert data.attrs["gensr"] == MARK
    np.testing.assert_array_equal(data["mean"].values[0], run(image, noise=3.0).mean)


def test_saving_keeps_everything(noisy, tmp_path):
    path = noisy.save(tmp_path / "result.npz")
    with np.load(path) as stored:
        np.testing.assert_array_equal(stored["mean"], noisy.mean)
        np.testing.assert_array_equal(stored["std"], noisy.std)
        report = json.loads(str(stored["report"]))
    assert report["mark"] == MARK
    assert report["seed"] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["result.npz"]
    with pytest.raises(UsageError, match=r"writes \.npz"):
        noisy.save(tmp_path / "result.tif")


def test_a_result_shows_and_describes_itself(noisy):
    assert repr(noisy).startswith("<gensr.Result 88 x 80, 1 band(s), x2 by engression-field, residual rms")
    assert "generated" in repr(noisy)
    with Image.open(io.BytesIO(noisy._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


def test_a_result_too_large_for_memory_points_to_its_files(monkeypatch):
    monkeypatch.setattr("gensr.pipeline.result.IN_MEMORY", 100)
    with pytest.raises(UsageError, match=r"open the files in \.files"):
        _ = run(nuclei(12, 12), samples=0).mean


def test_the_report_says_what_was_done(noisy):
    report = noisy.report
    assert report["generator"]["name"] == "engression-field"
    assert len(report["generator"]["sha256"]) == 64
    assert report["operator"]["name"] == "area"
    assert report["noise"]["sigma"] == 3.0
    assert report["search"]["preset"] == "fast"
    assert report["factor"] == 2
    json.dumps(report["input"])
    assert report["consistency"]["sum of explained data"] == pytest.approx(nuclei().sum(), rel=0.01)


def test_the_deviation_means_what_it_says():
    """Errors against a known truth are of the size of the stated deviation."""
    y, x = np.mgrid[:96, :96].astype(np.float64)
    truth = 20 + 150 / (1 + np.exp(1.5 * (np.hypot(y - 48, x - 44) - 22)))
    rng = np.random.default_rng(1)
    image = truth.reshape(48, 2, 48, 2).mean((1, 3)) + 3 * rng.standard_normal((48, 48))
    result = run(image.astype(np.float32), noise=3.0, samples=0, search="balanced")
    z = (result.mean - truth) / result.std
    assert 0.2 < np.sqrt(np.mean(z**2)) < 2


def test_progress_counts_every_output_pixel():
    seen = []
    run(nuclei(30, 30), tile=16, samples=0, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 3600)
    assert seen[-1] == (3600, 3600)
    assert [d for d, _ in seen] == sorted({d for d, _ in seen})


def out_of_memory_above(count, monkeypatch):
    real, sizes = engine.reconstruct, []

    def reconstruct(images, task, tiles, flat):
        sizes.append(len(tiles))
        if len(tiles) > count:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return real(images, task, tiles, flat)

    monkeypatch.setattr(engine, "reconstruct", reconstruct)
    return sizes


def test_out_of_memory_halves_the_batch(monkeypatch):
    stack = np.stack([nuclei(16, 16, seed=s)[None] for s in range(4)])
    expected = run(stack, noise=3.0, samples=0)
    sizes = out_of_memory_above(1, monkeypatch)
    result = run(stack, noise=3.0, samples=0, batch=4)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    np.testing.assert_array_equal(result.mean, expected.mean)


def test_a_tile_that_fails_alone_is_named(monkeypatch):
    out_of_memory_above(0, monkeypatch)
    with pytest.raises(GensrError, match=r"out of memory in the tile at row 0, column 0; give a smaller tile= than"):
        run(nuclei(16, 16), samples=0)


def test_other_errors_of_the_engine_are_not_hidden(monkeypatch):
    def broken(images, task, tiles, flat):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(engine, "reconstruct", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(nuclei(16, 16), samples=0)


def test_operators_of_the_whole_image_are_not_tiled():
    image = nuclei(16, 16)
    result = run(image, operator="kspace", noise=3.0, samples=0)
    assert np.isfinite(result.mean).all()
    with pytest.raises(SearchError, match="needs the whole image at once"):
        run(image, operator="kspace", noise=3.0, samples=0, tile=8)


@pytest.fixture
def micrograph(tmp_path):
    path = tmp_path / "in" / "cells.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.rint(nuclei(60, 60)).clip(0, 255).astype(np.uint16))
    return path


def test_files_appear_whole_and_an_earlier_output_is_safe(micrograph, tmp_path):
    out = tmp_path / "out"
    result = run(micrograph, output=out, samples=1)
    names = {path.name for path in out.iterdir()}
    assert names == {path.name for path in result.files}
    assert "cells_x2_generated.tif" in names
    assert {n for n in names if n.endswith(("_report.json", "_preview.png"))} == {
        "cells_x2_generated_report.json", "cells_x2_generated_preview.png",
    }  # fmt: skip
    assert json.loads((out / "cells_x2_generated_report.json").read_text())["mark"] == MARK
    before = (out / "cells_x2_generated.tif").stat().st_mtime_ns
    with pytest.raises(OutputError, match="exists already; give overwrite=true"):
        run(micrograph, output=out)
    assert (out / "cells_x2_generated.tif").stat().st_mtime_ns == before
    run(micrograph, output=out, overwrite=True, samples=0)
    assert (out / "cells_x2_generated.tif").stat().st_mtime_ns > before


def test_a_folder_that_cannot_be_written_stops_the_run_first(micrograph, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write there"):
        run(micrograph, output=tmp_path / "file" / "below")


def test_a_failed_write_leaves_no_half_output(micrograph, tmp_path, monkeypatch):
    def fail(self, product, folder, names):
        (folder / names.mean(".tif")).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gensr.domains.microscopy.scene.MicroscopyScene.write", fail)
    with pytest.raises(
        OutputError, match=r"out: the disk is full \(No space left on device\); free some space, run the"
    ):
        run(micrograph, output=tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")] == []


SLOWLY = """
import sys, time
import gensr
def slowly(done, total):
    print(done, flush=True)
    time.sleep(0.3)
gensr.upsample({path!r}, factor=2, search="fast", output={out!r}, tile=16, seed=3, progress=slowly)
"""


def killed_midway(path, out):
    """Start a run in another process and kill it after its third report of progress; return pixels done."""
    code = textwrap.dedent(SLOWLY).format(path=str(path), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    done = [int(process.stdout.readline()) for _ in range(3)]
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return done[-1]


def test_a_killed_run_goes_on_and_ends_the_same(micrograph, tmp_path):
    out = tmp_path / "out"
    done = killed_midway(micrograph, out)
    assert 0 < done < 120 * 120
    assert [p.name for p in out.iterdir()] == [".cells_x2_generated.work"]
    started_at = []
    resumed = run(micrograph, output=out, tile=16, seed=3, resume=True, progress=lambda d, t: started_at.append(d))
    assert started_at[0] >= done
    assert not list(out.glob(".*"))
    fresh = run(micrograph, output=tmp_path / "fresh", tile=16, seed=3)
    same(resumed, fresh)
    for one, other in zip(resumed.files, fresh.files, strict=True):
        if one.suffix == ".tif":
            np.testing.assert_array_equal(tifffile.imread(one), tifffile.imread(other))


def test_other_settings_do_not_resume_and_a_new_run_starts_over(micrograph, tmp_path):
    out = tmp_path / "out"
    killed_midway(micrograph, out)
    for change in ({"seed": 4}, {"tile": 20}, {"operator": "bicubic"}, {"search": "balanced"}):
        with pytest.raises(OutputError, match="other settings or another input"):
            run(micrograph, **{"output": out, "tile": 16, "seed": 3, "resume": True, **change})
    time.sleep(0.01)
    tifffile.imwrite(micrograph, np.full((60, 60), 7, np.uint16))
    with pytest.raises(OutputError, match="other settings or another input"):
        run(micrograph, output=out, tile=16, seed=3, resume=True)
    result = run(micrograph, output=out, tile=16, seed=3)
    assert np.abs(result.mean.astype(int) - 7).max() <= 1
