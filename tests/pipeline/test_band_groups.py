"""Many bands are computed in groups: with the numbers that each has alone, in bounded memory."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import gensr
from gensr.operators import Area
from gensr.pipeline import cost
from gensr.pipeline.cost import band_group
from gensr.pipeline.reconstruct import TileWork
from gensr.pipeline.store import Store
from gensr.pipeline.tiles import Tile, batches, by_bands, cut, values
from gensr.scenes.arrays import ArrayScene
from gensr.values.grid import Window
from gensr.values.noise import GaussianNoise, Noise, PoissonGaussianNoise, StatedNoise
from gensr.values.normalise import AffineNormaliser, Normaliser

BANDS, SIDE = 11, 20


def cube(seed=3):
    y, x = np.mgrid[:SIDE, :SIDE]
    rng = np.random.default_rng(seed)
    bands = [(b + 1) * (100 + 30 * np.sin(x / 3 + b) * np.cos(y / 4)) + rng.normal(0, 2, x.shape) for b in range(BANDS)]
    return np.array(bands).astype(np.float32)


@pytest.fixture
def small_groups(monkeypatch):
    """Three bands of such an image fill a group."""

    def one(task, tile, bands):
        return bands * 1000

    monkeypatch.setattr(cost, "tile_memory", one)
    monkeypatch.setattr(cost, "GROUP", 3000)


def asked(source, **more):
    given = {"factor": 2, "search": "fast", "samples": 1, "noise": 2.0, "domain": "satellite"}
    return gensr.Request(source, **{**given, **more})


def answered(request):
    with gensr.settle(request) as plan:
        *_, written = plan.run()
    return written.result


def test_groups_are_even_and_cover_every_band_once():
    tiles = cut(2, (8, 9), 5, 1)
    found = by_bands(tiles, 10, 4)
    assert [t.index for t in found] == list(range(3 * len(tiles)))
    assert [t.bands for t in found[:3]] == [(0, 3), (3, 6), (6, 10)]
    for i, tile in enumerate(tiles):
        group = found[3 * i : 3 * i + 3]
        assert all(replace(t, index=tile.index, bands=None) == tile for t in group)
    assert values(found, 10) == values(tiles, 10) == 10 * 2 * 8 * 9
    assert by_bands(tiles, 10, 10) is tiles


def test_tiles_of_other_bands_share_no_batch():
    found = list(batches(by_bands(cut(3, (8, 8), 8, 0), 4, 2), 8))
    assert [len(group) for group in found] == [1] * 6
    assert all(len({t.bands for t in group}) == 1 for group in found)


def test_a_group_follows_from_what_a_tile_takes(white, make_task):
    tile = Tile(0, 0, Window(0, 0, 100, 100), Window(0, 0, 100, 100), (True, True))
    task = make_task(white(cost=(1.0, 1.0, 1e4)), gain=(1.0,) * 50, offset=(0.0,) * 50, operator=Area(2))
    assert band_group(task, tile, 50) == cost.GROUP // (100 * 100 * 4 * 10_000)
    assert band_group(make_task(white(cost=(1.0, 1.0, 1.0)), gain=(1.0,) * 50, offset=(0.0,) * 50), tile, 50) == 50
    assert band_group(make_task(white(cost=(1.0, 1.0, 1e9))), tile, 1) == 1


def test_bands_that_belong_together_stay_together(white, make_task):
    tile = Tile(0, 0, Window(0, 0, 100, 100), Window(0, 0, 100, 100), (True, True))
    joint = make_task(white(cost=(1.0, 1.0, 1e9), bands=3), gain=(1.0,) * 3, offset=(0.0,) * 3)
    assert joint.select(0, 1) is None
    assert band_group(joint, tile, 3) == 3

    class Curve(Normaliser):
        forward = inverse = derivative = describe = None

    class Law(Noise):
        variance = describe = None

    Curve.__abstractmethods__ = Law.__abstractmethods__ = frozenset()
    plain = make_task()
    assert replace(plain, normaliser=Curve()).select(0, 1) is None
    assert replace(plain, noise_model=Law()).select(0, 1) is None


def test_selection():
    normaliser = AffineNormaliser((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert normaliser.select(1, 3) == AffineNormaliser((2.0, 3.0), (5.0, 6.0))
    assert GaussianNoise((1.0, 2.0, 3.0)).select(1, 2) == GaussianNoise((2.0,))
    for noise in (GaussianNoise(2.0), PoissonGaussianNoise(1.0, 2.0), StatedNoise(3.0)):
        assert noise.select(1, 2) is noise


def test_conformal_factors_follow_their_bands(make_task):
    task = make_task(gain=(1.0,) * 3, offset=(0.0,) * 3, conformal=(1.0, 2.0, 3.0))
    assert task.select(1, 3).conformal == (2.0, 3.0)


@pytest.mark.parametrize("samples", [0, 2])
def test_groups_give_the_numbers_of_the_whole(small_groups, monkeypatch, samples):
    source = cube()
    source[4, 5:8, 5:8] = np.nan
    noise = ",".join(str(1.0 + b) for b in range(BANDS))
    with gensr.settle(asked(source, samples=samples, noise=noise, precision="float32")) as plan:
        assert [t.bands for t in plan.tiles] == [(0, 2), (2, 5), (5, 8), (8, 11)]
        *_, written = plan.run()
    monkeypatch.setattr(cost, "GROUP", 1 << 40)
    with gensr.settle(asked(source, samples=samples, noise=noise, precision="float32")) as plan:
        assert [t.bands for t in plan.tiles] == [None]
        *_, whole = plan.run()
    grouped, one = written.result, whole.result
    scale = np.arange(1, BANDS + 1).reshape(-1, 1, 1)
    for a, b in zip([grouped.mean, grouped.std, *grouped.samples], [one.mean, one.std, *one.samples], strict=True):
        # A tenth of the noise, in float32: in bfloat16 a network rounds otherwise in a batch of another size.
        np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=0.1)
        assert (np.isnan(a) == np.isnan(b)).all()
    for key in ("rms", "chi2 per datum", "sum of data", "data"):
        assert grouped.report["consistency"][key] == pytest.approx(one.report["consistency"][key], rel=1e-2)


def test_a_band_in_its_own_group_is_answered_as_if_it_were_alone(small_groups, monkeypatch):
    monkeypatch.setattr(cost, "GROUP", 1000)
    source, level = cube(), [1.0 + b for b in range(BANDS)]
    many = answered(asked(source, noise=",".join(map(str, level))))
    for band in (0, 6):
        one = answered(asked(source[band : band + 1], noise=level[band]))
        assert (many.mean[band] == one.mean[0]).all()
        assert (many.std[band] == one.std[0]).all()
        assert (many.samples[0][band] == one.samples[0][0]).all()


def test_progress_counts_every_band(small_groups):
    with gensr.settle(asked(cube())) as plan:
        events = [e for e in plan.run() if hasattr(e, "position")]
    done = [e.position.done for e in events]
    assert done == sorted(done)
    assert done[-1] == events[-1].position.total == BANDS * SIDE * SIDE * 4
    assert len(done) == 1 + 4


def test_files_of_many_bands(small_groups, tmp_path):
    """GeoTIFF: only the bands of a group are read and coded, each with its own scale and nodata."""
    rasterio = pytest.importorskip("rasterio")
    source = np.rint(cube()).astype(np.uint16)
    source[:, :3, :3] = 7
    path = tmp_path / "a.tif"
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4.6e6)}
    size = {"width": SIDE, "height": SIDE, "count": BANDS, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", nodata=7, **size, **where) as target:
        target.write(source)
        target.scales = tuple(0.5 + b for b in range(BANDS))
        target.offsets = tuple(float(b) for b in range(BANDS))
    out = tmp_path / "out"
    answered(asked(path, output=out, samples=0, noise=0))
    with rasterio.open(next(out.glob("*generated.tif"))) as written:
        codes = written.read()
        assert written.scales == tuple(0.5 + b for b in range(BANDS))
    assert (codes[:, :6, :6] == 7).all()
    means = codes.reshape(BANDS, SIDE, 2, SIDE, 2).mean((2, 4))
    assert np.abs(means - source)[source != 7].max() <= 0.5  # exact data, up to rounding


def test_a_scene_reads_and_codes_groups_as_the_whole():
    scene = ArrayScene(np.rint(cube()).astype(np.uint16))
    window = Window(2, 3, 5, 6)
    whole, part = scene.read(0, window), scene.read_bands(0, window, 3, 6)
    assert part.bands == scene.bands[3:6]
    assert (part.values == whole.values[3:6]).all()
    for kind in (ArrayScene, gensr.Scene):  # its own way, and the one of a scene that knows nothing of groups
        codes, moved = kind.encode_bands(scene, 0, whole.values[3:6] - 1e5, whole.valid[3:6], 3, 6)
        assert codes.dtype == np.uint16
        assert (codes == 0).all()
        assert moved == codes.size


def test_a_journal_knows_which_bands_were_written(tmp_path):
    layout = {"mean": ((1, 6, 4, 4), np.dtype(np.float32))}
    window = Window(1, 0, 2, 4)
    with Store(tmp_path, {}, layout, False) as store:
        store.rasters["mean"].write(0, window, np.ones((2, 2, 4)), 2)
        store.finish("tile 0", {})
        store.rasters["mean"].write(0, window, np.full((2, 2, 4), 2.0), 4)
        store.finish("tile 1", {})
        assert store.rasters["mean"].read(0, window)[:, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
        assert store.rasters["mean"].read(0, window, 3, 2)[:, 0, 0].tolist() == [1, 2]
    raw = np.memmap(tmp_path / "mean.raw", np.float32, "r+", shape=(1, 6, 4, 4))
    raw[0, 5, 1, 1] = 9
    raw.flush()
    with Store(tmp_path, {}, layout, True) as store:
        assert set(store.done) == {"tile 0"}
        assert store.damaged == 1


def test_groups_go_on_where_they_were(small_groups, tmp_path):
    source, out = cube(), tmp_path / "out"
    with gensr.settle(asked(source, output=out)) as plan:
        events = plan.run()
        for event in events:
            if hasattr(event, "index") and event.index == 1:
                break
        events.close()
    with gensr.settle(asked(source, output=out, resume=True)) as plan:
        again = [e.index for e in plan.run() if hasattr(e, "index")]
    assert again == [2, 3]
    (path,) = out.glob("*.npz")
    assert (np.load(path)["mean"][0] == answered(asked(source)).mean).all()
    assert json.loads(next(out.glob("*report.json")).read_text())["output"]["bands"]


def test_work_on_a_group_is_told_from_bands_that_cannot_be_parted(white, make_task):
    scene = ArrayScene(cube()[:3])
    tile = Tile(0, 0, Window(0, 0, 8, 8), Window(0, 0, 8, 8), (False, False), (0, 1))
    joint = make_task(white(bands=3), gain=(1.0,) * 3, offset=(0.0,) * 3)
    with pytest.raises(gensr.GensrError, match="belong together"):
        TileWork(scene, joint)((tile,))
    alone = make_task(gain=(1.0,) * 3, offset=(0.0,) * 3, conformal=(1.0,) * 3)
    (found,) = TileWork(scene, alone)((tile,))
    assert found.mean.shape == (1, 16, 16)
    assert torch.isfinite(torch.from_numpy(found.mean)).all()
