"""The pass across slices, by a prior that puts a known ramp into every slice.

Seen edge-on, a slice of value ``v`` becomes four, ``v + t (1 + line)`` with ``t`` from -0.15 to 0.15 around 0 and
``line`` the place along the view. The mean over the new slices is ``v``, so nothing is left to project, and the views
along rows and along columns differ in a way that is known: their average has ``(row + col) / 2``.
"""

import numpy as np
import pytest
import torch

from gensr.operators import Area
from gensr.pipeline import through_plane as room
from gensr.pipeline.reconstruct import TileResult
from gensr.pipeline.store import Store, result_names
from gensr.pipeline.through_plane import keep_first, layout, passes, second_pass, second_task, view, views
from gensr.priors.observation import Moments
from gensr.runners.local import LocalRunner
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.product import ThroughPlane
from gensr.search.posterior import Method
from gensr.values.grid import Window
from gensr.values.random import Stream

F = 4
RAMP = np.array([-0.15, -0.05, 0.05, 0.15])
VOLUMES, SLICES, ROWS, COLS = 2, 3, 5, 6
SHAPE = (VOLUMES * SLICES, 2, ROWS, COLS)
FULL = (VOLUMES * SLICES * F, 2, ROWS, COLS)


@pytest.fixture
def ramp(white):
    class Ramp(white):
        def posterior(self, data, options=None):
            assert data.operator.factor == (F, 1)
            assert data.exact
            n, _, rows, cols = data.y.shape
            t = torch.from_numpy(np.tile(RAMP, rows).astype(np.float32)).view(1, 1, -1, 1)
            along = 1 + torch.arange(cols).view(1, 1, 1, -1)
            y = torch.where(data.usable, data.y, 0.0).repeat_interleave(F, -2)
            variance = (0.04 + 0.01 * along + 0 * y).expand(n, 1, rows * F, cols)
            return Moments(y + t * along, variance)

        def draw(self, data, noise, options=None):
            return self.posterior(data).mean + 0 * noise(0) + 0.3 * self._free(noise(0))

        @staticmethod
        def _free(noise):
            """Random numbers without a mean over the new slices of an old one."""
            blocks = noise.unflatten(-2, (-1, F))
            return (blocks - blocks.mean(-2, keepdim=True)).flatten(-3, -2)

    return Ramp


def first_pass(seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(20, 200, SHAPE).astype(np.float32), rng.uniform(1, 3, SHAPE).astype(np.float32)


class Run:
    """A scene of two volumes of three slices, its first pass, and the store of a second one."""

    def __init__(self, folder, task, samples=0, dtype=np.float32, holes=()):
        self.scene = ArrayScene(np.zeros(SHAPE, dtype))
        self.task, self.through = task, ThroughPlane(SLICES, F)
        self.mean, self.std = first_pass()
        self.samples = [first_pass(k + 1)[0] for k in range(samples)]
        rasters = {name: (FULL, np.dtype(np.float32) if name == "std" else self.scene.dtype)
                   for name in result_names(samples)}  # fmt: skip
        self.store = Store(folder, {}, rasters | layout(self.through, samples, SHAPE), resume=True)
        valid = np.ones(SHAPE, bool)
        for hole in holes:
            valid[hole] = False
        self.std[~valid] = np.nan
        for plane in range(SHAPE[0]):
            result = TileResult(self.mean[plane], self.std[plane], [s[plane] for s in self.samples], valid[plane],
                                self.mean[plane], {})  # fmt: skip
            keep_first(self.store, plane, Window(0, 0, ROWS, COLS), result)

    def go(self, runner=None):
        return list(second_pass(self.scene, self.task, self.through, self.store, runner or LocalRunner()))

    def read(self, name):
        raster = self.store.rasters[name]
        return np.stack([raster.read(p, Window(0, 0, ROWS, COLS)) for p in range(raster.shape[0])])


@pytest.fixture
def start(tmp_path, make_task, ramp):
    opened = []

    def make(folder="work", samples=0, gain=(1.0, 1.0), offset=(0.0, 0.0), generator=None, **changes):
        own = {key: changes.pop(key) for key in ("dtype", "holes") if key in changes}
        task = make_task(generator or ramp(), operator=Area(2), samples=samples, gain=gain, offset=offset, **changes)
        opened.append(Run(tmp_path / folder, task, samples, **own))
        return opened[-1]

    yield make
    for run in opened:
        run.store.close()


def steps(axis=None):
    """The ramp in (plane, 1, row, col): of one view, or of the mean of both."""
    row, col = np.arange(ROWS)[:, None] + 1.0, np.arange(COLS)[None] + 1.0
    along = {0: 0 * row + col, 1: row + 0 * col, None: (row + col) / 2}[axis]
    return np.tile(RAMP, VOLUMES * SLICES)[:, None, None, None] * along


def test_every_view_fills_the_slices_and_both_are_averaged(start):
    run = start()
    run.go()
    old = np.repeat(run.mean, F, 0)
    for axis in (0, 1):
        np.testing.assert_allclose(run.read(view("mean", axis)), old + steps(axis), rtol=1e-5)
    np.testing.assert_allclose(run.read("mean"), old + steps(), rtol=1e-5)
    blocks = run.read("mean").reshape(-1, F, *SHAPE[1:]).mean(1)
    np.testing.assert_allclose(blocks, run.mean, rtol=1e-5)


def test_scale_and_offset_of_each_band_are_undone(start):
    """In units of 10 and 30 about -5 and 7 the ramp is so many times as high, its deviation too."""
    run = start(gain=(10.0, 30.0), offset=(-5.0, 7.0))
    run.go()
    scale = np.array([10.0, 30.0])[:, None, None]
    np.testing.assert_allclose(run.read("mean"), np.repeat(run.mean, F, 0) + scale * steps(), rtol=1e-4)
    own = (0.04 + 0.01 * (1 + np.arange(COLS))) ** 0.5
    np.testing.assert_allclose(run.read("view0_mean_std")[3, 1, 2], 30 * own, rtol=1e-4)


def interpolated(variance):
    """Variance of old slices at the centres of new ones, by hand for F = 4 and three slices: held at both ends."""
    a, b, c = variance
    weights = [(1, 0, 0), (1, 0, 0), (7, 1, 0), (5, 3, 0), (3, 5, 0), (1, 7, 0),
               (0, 7, 1), (0, 5, 3), (0, 3, 5), (0, 1, 7), (0, 0, 1), (0, 0, 1)]  # fmt: skip
    return np.stack([(u * a + v * b + w * c) / (u + v + w) for u, v, w in weights])


def views_variance():
    """Mean variance of both views, and a quarter of their squared difference."""
    row, col = np.arange(ROWS)[:, None] + 1.0, np.arange(COLS)[None] + 1.0
    own = 0.04 + 0.01 * (row + col) / 2
    return own + (steps(0) - steps(1)) ** 2 / 4


def test_the_deviation_is_that_of_both_passes_and_of_the_views_difference(start):
    run = start()
    run.go()
    earlier = np.concatenate([interpolated(run.std[v * SLICES : (v + 1) * SLICES] ** 2) for v in range(VOLUMES)])
    np.testing.assert_allclose(run.read("std"), (earlier + views_variance()) ** 0.5, rtol=1e-4)


def test_the_deviation_is_scaled_by_the_card_for_this_factor(start, ramp):
    card = {"x4 noise 0": 3.0, "x2 noise 0": 7.0, "x4 noise 0.3": 9.0}
    run = start(generator=ramp(conformal=card), conformal=(7.0, 7.0))
    run.go()
    own = (0.04 + 0.01 * (1 + np.arange(COLS))) ** 0.5
    np.testing.assert_allclose(run.read("view0_mean_std")[0, 0, 0], 3 * own, rtol=1e-5)


def test_invalid_voxels_stay_invalid_and_their_neighbours_keep_a_deviation(start):
    run = start(holes=[np.s_[1, :, 2, 3], np.s_[5]])
    run.go()
    hole = np.zeros(FULL, bool)
    hole[F : 2 * F, :, 2, 3] = True
    hole[5 * F :] = True
    np.testing.assert_array_equal(np.isnan(run.read("mean")), hole)
    np.testing.assert_array_equal(np.isnan(run.read("std")), hole)
    own = views_variance()
    # New slice 3 lies between old ones 0 and 1, and 1 is unknown at this voxel: that of 0 counts alone.
    expected = (run.std[0, 0, 2, 3] ** 2 + own[3, 0, 2, 3]) ** 0.5
    assert run.read("std")[3, 0, 2, 3] == pytest.approx(expected, rel=1e-4)
    # The same from the other side.
    expected = (run.std[2, 0, 2, 3] ** 2 + own[8, 0, 2, 3]) ** 0.5
    assert run.read("std")[8, 0, 2, 3] == pytest.approx(expected, rel=1e-4)


def test_samples_come_from_one_view_and_from_random_numbers_of_their_own(start):
    run = start(samples=2, seed=7)
    run.go()
    for k in range(2):
        free = run.read(f"sample{k}") - np.repeat(run.samples[k], F, 0) - steps(0)
        seed = Stream(7).child("across", f"sample{k}").number()
        expected = np.empty(FULL, np.float32)
        for volume in range(VOLUMES):
            for row in range(ROWS):
                stream = Stream(seed).child("sample", 0).child("plane", volume * ROWS + row, "step", 0)
                field = stream.field(0, 0, SLICES * F, COLS)[0].numpy().reshape(SLICES, F, COLS)
                field = (field - field.mean(1, keepdims=True)).reshape(-1, COLS)
                expected[volume * SLICES * F : (volume + 1) * SLICES * F, :, row] = field[:, None]
        np.testing.assert_allclose(free, 0.3 * expected, atol=2e-4)
    assert "view1_sample0" not in run.store.rasters
    np.testing.assert_allclose(run.read("mean"), np.repeat(run.mean, F, 0) + steps(), rtol=1e-5)


def test_the_task_of_the_second_pass(make_task, ramp):
    task = make_task(ramp(), samples=3, seed=5, quantum=2.0, conformal=(1.0, 2.0), gain=(1.0, 1.0), offset=(0.0, 0.0),
                     method=Method("draws", "guided"))  # fmt: skip
    mean, sample = (second_task(task, ThroughPlane(3, F), name) for name in ("mean", "sample1"))
    for made in (mean, sample):
        assert made.factor == (F, 1)
        assert made.exact
        assert made.noise_model.sigma == pytest.approx(2 / 12**0.5)
        assert made.conformal == (1.0, 1.0)
        assert made.method == Method("closed", "own")
    assert (mean.samples, sample.samples) == (0, 1)
    assert (mean.seed, sample.seed) == tuple(Stream(5).child("across", n).number() for n in ("mean", "sample1"))
    assert mean.normaliser == task.normaliser


def test_codes_are_rounded_clipped_and_counted_for_the_mean_alone(start):
    run = start(samples=1, dtype=np.uint8)
    run.go()
    expected = np.repeat(run.mean, F, 0) + steps()
    rounded = np.rint(expected)
    near = np.abs(expected - np.floor(expected) - 0.5) < 1e-3
    np.testing.assert_array_equal(run.read("mean")[~near], rounded.clip(0, 255).astype(np.uint8)[~near])
    codes = run.store.statistics("codes mean")
    assert [entry["part"] for entry in codes] == [f"codes mean {p}" for p in range(FULL[0])]
    assert sum(entry["clipped"] for entry in codes) == 0
    high = start("high", samples=1, dtype=np.uint8, gain=(300.0, 1.0))
    high.go()
    expected = np.repeat(high.mean, F, 0) + np.array([300.0, 1.0])[:, None, None] * steps()
    clipped = ((np.rint(expected) < 0) | (np.rint(expected) > 255)).sum((1, 2, 3))
    assert clipped.sum() > 100
    assert [entry["clipped"] for entry in high.store.statistics("codes mean")] == pytest.approx(clipped, abs=1)
    assert {entry["clipped"] for entry in high.store.statistics("codes sample0")} == {0}


def test_counts_are_output_pixels_of_a_band(start):
    """24 new slices of 5 x 6: twice for the mean, once for a sample."""
    run = start(samples=1)
    counts = run.go()
    assert passes(1) == 3
    assert views(2) == [("mean", 0), ("mean", 1), ("sample0", 0), ("sample1", 0)]
    assert counts == [0, 360, 360] * 3
    assert sum(counts) == 3 * FULL[0] * ROWS * COLS


class Stop(LocalRunner):
    def __init__(self, after):
        self.left = after

    def map(self, function, items):
        for item, result in super().map(function, items):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            yield item, result


@pytest.mark.parametrize("after", [0, 1, 4, 9])
def test_a_pass_that_was_stopped_goes_on_from_its_journal(start, monkeypatch, after):
    monkeypatch.setattr(room, "LINES", 2)
    whole = start("whole", samples=1)
    whole.go()
    run = start(samples=1)
    with pytest.raises(KeyboardInterrupt):
        run.go(Stop(after))
    assert len(run.store.statistics("slab ")) == after
    run.store.close()
    again = start(samples=1)
    worked = []

    class Watch(LocalRunner):
        def map(self, function, items):
            for slab, result in super().map(function, items):
                worked.append(slab.part)
                yield slab, result

    counts = again.go(Watch())
    total = 2 * (3 + 3 + 3)  # volumes, slabs of 5 rows, 6 columns, and 5 rows again
    assert len(worked) == total - after
    assert len(set(worked)) == len(worked)
    # 2 lines of 12 new slices and 6 columns, or 1 line: the last of 5.
    assert sum(counts) == 3 * FULL[0] * ROWS * COLS
    assert counts[0] == sum([144, 144, 72, 144, 144, 72][: min(after, 6)])
    for name in ("mean", "std", "sample0"):
        np.testing.assert_array_equal(again.read(name), whole.read(name))


def test_slabs_and_blocks_do_not_show(start, monkeypatch):
    whole = start("whole", samples=1)
    whole.go()
    monkeypatch.setattr(room, "LINES", 2)
    monkeypatch.setattr(room, "BLOCK", 25)
    parts = start(samples=1)
    parts.go()
    for name in ("mean", "std", "sample0"):
        np.testing.assert_allclose(parts.read(name), whole.read(name), rtol=1e-6)
    assert room._blocks(FULL) == [Window(r, 0, 2, COLS) for r in (0, 2)] + [Window(4, 0, 1, COLS)]
    monkeypatch.setattr(room, "BLOCK", 1)
    assert room._blocks(FULL) == [Window(r, 0, 1, COLS) for r in range(ROWS)]


def test_codes_that_are_in_the_journal_are_not_made_again(start):
    run = start()
    run.go()
    before = run.read("mean")
    run.store.rasters["mean"].write(3, Window(0, 0, ROWS, COLS), np.zeros((2, ROWS, COLS)))
    assert run.go() == [720, 720]
    after = run.read("mean")
    assert (after[3] == 0).all()
    np.testing.assert_array_equal(np.delete(after, 3, 0), np.delete(before, 3, 0))
