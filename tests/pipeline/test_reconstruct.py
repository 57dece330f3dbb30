"""From images to results: every figure against arithmetic on a prior that is known exactly.

White noise of deviation 0.1 about 0.5 and area integration by 2 x 2: a block has the variance 0.0025, so with noise of
deviation 0.05 (variance 0.0025) a datum counts by half: mean 0.5 + (y - 0.5) / 2, variance 0.01 - 0.00125 = 0.00875.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gensr.errors import GensrError
from gensr.operators import Area
from gensr.pipeline import reconstruct as room
from gensr.pipeline.reconstruct import TileWork, in_memory, observe, reconstruct
from gensr.pipeline.tiles import Tile, around
from gensr.search.posterior import Answer
from gensr.search.presets import PRESETS
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import GaussianNoise, PoissonGaussianNoise, StatedNoise
from gensr.values.random import Stream

HALF = 0.00875**0.5
"""Deviation of a pixel whose datum counts by half."""


def image(values, valid=None, usable=None, variance=None):
    values = np.asarray(values, np.float32)
    valid = np.ones(values.shape, bool) if valid is None else valid
    usable = valid if usable is None else usable
    bands = tuple("abc"[: len(values)])
    return Image(values, PixelGrid(values.shape[1:]), valid, usable, bands, variance=variance)


def whole(shape, plane=0, index=0):
    window = Window(0, 0, *shape)
    return Tile(index, plane, window, window, (True, True))


def answer(picture, task, tile=None):
    tile = tile or whole(picture.values.shape[1:])
    (found,) = reconstruct([picture], task, [tile])
    return found


def calm(shape, seed=0):
    """Data that differ from 0.5 by less than their noise, so that no residual goes back."""
    return 0.5 + np.random.default_rng(seed).uniform(-0.08, 0.08, shape).astype(np.float32)


def blocks(values, factor=2):
    return np.repeat(np.repeat(values, factor, -2), factor, -1)


def test_mean_deviation_and_residual_are_those_of_the_exact_posterior(make_task):
    y = calm((1, 6, 7))
    found = answer(image(y), make_task())
    np.testing.assert_allclose(found.mean, 0.5 + blocks(y - 0.5) / 2, atol=1e-6)
    np.testing.assert_allclose(found.std, HALF, rtol=1e-5)
    assert (found.mean.dtype, found.std.dtype, found.whitened.dtype) == (np.float32,) * 3
    assert found.valid.all()
    assert found.samples == []
    assert found.search is None
    residual = ((y - 0.5) / 2).astype(np.float64)
    np.testing.assert_allclose(found.whitened, residual / 0.05, rtol=1e-4, atol=1e-5)
    assert found.residual == pytest.approx(
        {
            "count": 42,
            "square": (residual**2).sum(),
            "chi2": (residual**2).sum() / 0.0025,
            "largest": np.abs(residual).max(),
            "observed": y.sum(),
            "explained": (y - residual).sum(),
        },
        rel=1e-4,
    )


def test_physical_units_come_back_with_gain_and_offset_of_each_band(make_task):
    u = calm((2, 5, 4))
    gain, offset = np.array([20.0, 300.0]), np.array([7.0, -100.0])
    y = u * gain[:, None, None] + offset[:, None, None]
    task = make_task(gain=tuple(gain), offset=tuple(offset), noise_model=GaussianNoise((0.05 * 20, 0.05 * 300)))
    found = answer(image(y), task)
    np.testing.assert_allclose(
        found.mean, (0.5 + blocks(u - 0.5) / 2) * gain[:, None, None] + offset[:, None, None], rtol=1e-4
    )
    np.testing.assert_allclose(found.std[0], HALF * 20, rtol=1e-4)
    np.testing.assert_allclose(found.std[1], HALF * 300, rtol=1e-4)


def test_the_conformal_factor_scales_the_deviation_of_its_band_and_nothing_else(make_task):
    y = calm((3, 4, 4))
    plain, scaled = (
        answer(image(y), make_task(gain=(1.0,) * 3, offset=(0.0,) * 3, conformal=c))
        for c in ((1.0, 1.0, 1.0), (1.0, 1.5, 3.0))
    )
    np.testing.assert_array_equal(scaled.mean, plain.mean)
    for band, factor in enumerate((1.0, 1.5, 3.0)):
        np.testing.assert_allclose(scaled.std[band], factor * HALF, rtol=1e-5)


def test_saturated_pixels_keep_their_value_and_invalid_ones_stay_invalid(make_task):
    y = calm((1, 5, 6))
    y[0, 1, 2], y[0, 3, 4] = 40.0, 77.0
    valid, usable = np.ones(y.shape, bool), np.ones(y.shape, bool)
    valid[0, 3, 4] = usable[0, 3, 4] = usable[0, 1, 2] = False
    found = answer(image(y, valid, usable), make_task(samples=1))
    for fine in (found.mean, found.samples[0]):
        assert (fine[0, 2:4, 4:6] == 40.0).all()
        assert np.abs(np.delete(fine[0], [2, 3], 0)).max() < 2  # nothing of 40 or 77 anywhere else
    np.testing.assert_array_equal(found.valid, blocks(valid))
    np.testing.assert_array_equal(np.isnan(found.std), ~blocks(valid))
    np.testing.assert_array_equal(np.isnan(found.whitened), ~usable)
    assert found.residual["count"] == 28
    assert found.residual["observed"] == pytest.approx(y[usable].sum(), rel=1e-5)
    np.testing.assert_allclose(found.std[0, 2:4, 4:6], 0.1, rtol=1e-5)  # the prior's: no datum tells of it


def test_a_tile_without_usable_data_keeps_saturated_pixels_and_has_the_deviation_of_the_prior(make_task):
    y = np.full((2, 5, 5), 9.0, np.float32)
    valid = np.zeros(y.shape, bool)
    valid[:, 2, 3] = True
    tile, other = (around(index, 0, Window(1, 1, 3, 4), (9, 9), 1) for index in (3, 4))
    tile, other = (replace(t, read=Window(0, 0, 5, 5)) for t in (tile, other))
    task = make_task(gain=(1.0,) * 2, offset=(0.0,) * 2, samples=2)
    empty, full = reconstruct([image(y, valid, valid & False), image(calm((2, 5, 5)))], task, [tile, other])
    there = np.zeros((2, 6, 8), bool)
    there[:, 2:4, 4:6] = True
    for fine in (empty.mean, *empty.samples):
        assert (fine[there] == 9.0).all()
    np.testing.assert_array_equal(empty.valid, there)
    assert len(empty.samples) == 2
    np.testing.assert_array_equal(np.isnan(empty.std), ~there)
    np.testing.assert_allclose(empty.std[there], 0.1, rtol=1e-5)  # as in a tile with data, far from them
    assert np.isnan(empty.whitened).all()
    assert empty.whitened.shape == (2, 3, 4)
    assert empty.residual == dict.fromkeys(("count", "square", "chi2", "largest", "observed", "explained"), 0.0)
    assert full.residual["count"] == 24
    assert full.residual.keys() == empty.residual.keys()


def test_a_tile_without_values_is_empty(make_task):
    y = np.full((2, 5, 5), 9.0, np.float32)
    none = np.zeros(y.shape, bool)
    tile = replace(around(3, 0, Window(1, 1, 3, 4), (9, 9), 1), read=Window(0, 0, 5, 5))
    task = make_task(gain=(1.0,) * 2, offset=(0.0,) * 2, samples=2)
    (empty,) = reconstruct([image(y, none, none)], task, [tile])
    for fine in (empty.mean, *empty.samples):
        np.testing.assert_array_equal(fine, np.zeros((2, 6, 8), np.float32))
    assert not empty.valid.any()
    assert np.isnan(empty.std).all()
    assert empty.std.shape == (2, 6, 8)
    assert np.isnan(empty.whitened).all()
    assert len(empty.samples) == 2


def test_an_empty_tile_of_sums_keeps_saturated_sums(make_task):
    y = np.full((1, 2, 2), 8.0, np.float32)
    none = np.zeros(y.shape, bool)
    found = answer(image(y, ~none, none), make_task(operator=Area(2, total=True)))
    np.testing.assert_array_equal(found.mean, np.full((1, 4, 4), 2.0))


def test_noise_of_every_band_reaches_the_likelihood_of_that_band(make_task):
    """Deviations 0.05 and 0.1 (variance 0.01) in units of 10: the second datum counts by 0.0025 / 0.0125 = 1/5."""
    u = calm((2, 3, 3))
    task = make_task(gain=(10.0, 10.0), offset=(0.0, 0.0), noise_model=GaussianNoise((0.5, 1.0)))
    found = answer(image(10 * u), task)
    np.testing.assert_allclose(found.mean[0], 10 * (0.5 + blocks(u[0] - 0.5) / 2), rtol=1e-5)
    np.testing.assert_allclose(found.mean[1], 10 * (0.5 + blocks(u[1] - 0.5) / 5), rtol=1e-5)
    np.testing.assert_allclose(found.std[1], 10 * (0.01 - 0.0025 / 5) ** 0.5, rtol=1e-5)
    np.testing.assert_allclose(found.whitened[1], 10 * (u[1] - 0.5) * 0.8 / 1.0, rtol=1e-3, atol=1e-5)


def test_stated_noise_of_every_pixel_reaches_the_likelihood_of_that_pixel(make_task):
    y = calm((2, 4, 5))
    variance = np.random.default_rng(1).uniform(0.0025, 0.04, y.shape).astype(np.float32)
    task = make_task(gain=(1.0,) * 2, offset=(0.0,) * 2, noise_model=StatedNoise(0.1))
    found = answer(image(y, variance=variance), task)
    share = 0.0025 / (0.0025 + variance)
    np.testing.assert_allclose(found.mean, 0.5 + blocks(share * (y - 0.5)), atol=1e-6)
    np.testing.assert_allclose(found.std, blocks((0.01 - 0.0025 * share) ** 0.5), rtol=1e-5)
    np.testing.assert_allclose(found.whitened, (1 - share) * (y - 0.5) / variance**0.5, rtol=1e-3, atol=1e-4)
    inner = around(0, 0, Window(1, 2, 2, 3), (4, 5), 1)
    read = inner.read
    cut = np.s_[:, read.row : read.row + read.rows, read.col : read.col + read.cols]
    part = answer(image(y[cut], variance=variance[cut]), task, inner)
    np.testing.assert_allclose(part.whitened, found.whitened[:, 1:3, 2:5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("said", [np.nan, np.inf, 0.0, 1e30])
def test_what_a_file_states_of_an_unusable_pixel_spoils_nothing_beside_it(make_task, said):
    y = calm((1, 5, 5))
    variance = np.full(y.shape, 0.0025, np.float32)
    valid = np.ones(y.shape, bool)
    valid[0, 2, 2], variance[0, 2, 2] = False, said
    picture, task = image(y, valid, variance=variance), make_task(noise_model=StatedNoise(0.05))
    np.testing.assert_allclose(observe([picture], task, whole((5, 5))).variance, 0.0025, rtol=1e-6)
    found = answer(picture, task)
    expected = 0.5 + blocks(y - 0.5) / 2
    np.testing.assert_allclose(found.mean[found.valid], expected[found.valid], atol=1e-6)
    np.testing.assert_allclose(found.std[found.valid], HALF, rtol=1e-5)
    assert np.isfinite(found.residual["chi2"])


def test_photon_noise_is_that_of_the_datum(make_task):
    u = calm((1, 3, 4))
    task = make_task(gain=(10.0,), noise_model=PoissonGaussianNoise(0.1, 0.5))
    variance = (0.1 * 10 * u + 0.25) / 100
    share = 0.0025 / (0.0025 + variance)
    found = answer(image(10 * u), task)
    np.testing.assert_allclose(found.mean, 10 * (0.5 + blocks(share * (u - 0.5))), rtol=1e-5)


def test_sums_are_shared_out_and_add_up_again(make_task):
    """A flux operator: 4 pixels of 1/4 each, so values and deviations are those of the mean, divided by 4."""
    y = calm((1, 4, 4))
    means, sums = answer(image(y), make_task()), answer(image(y), make_task(operator=Area(2, total=True)))
    np.testing.assert_allclose(sums.mean, means.mean / 4, rtol=1e-6)
    np.testing.assert_allclose(sums.std, means.std / 4, rtol=1e-6)
    np.testing.assert_allclose(sums.whitened, means.whitened, atol=1e-5)
    assert sums.residual == pytest.approx(means.residual, rel=1e-5)
    full = y.copy()
    full[0, 1, 1] = 60.0
    usable = np.ones(y.shape, bool)
    usable[0, 1, 1] = False
    kept = answer(image(full, None, usable), make_task(operator=Area(2, total=True)))
    assert (kept.mean[0, 2:4, 2:4] == 15.0).all()


def test_exact_data_are_explained_exactly_and_their_misfit_is_in_units_of_rounding(make_task):
    y = np.random.default_rng(0).uniform(0, 1, (1, 5, 5)).astype(np.float32)
    found = answer(image(y), make_task(exact=True, noise_model=GaussianNoise(0.0), samples=1))
    for fine in (found.mean, found.samples[0]):
        np.testing.assert_allclose(fine.reshape(1, 5, 2, 5, 2).mean((2, 4)), y, atol=1e-6)
    np.testing.assert_allclose(found.std, 0.0075**0.5, rtol=1e-4)
    moved = np.random.default_rng(1).integers(0, 200, (1, 3, 3)).astype(np.float32)
    task = make_task(exact=True, noise_model=GaussianNoise(0.0), quantum=2.0, gain=(200.0,))
    found = answer(image(moved), task)
    assert found.residual["chi2"] == pytest.approx(found.residual["square"] * 12 / 4, rel=1e-6, abs=1e-9)


def test_a_core_gets_what_the_whole_gives(make_task):
    y, task = calm((2, 8, 9)), make_task(gain=(1.0,) * 2, offset=(0.0,) * 2, samples=1)
    everything = answer(image(y), task)
    tile = around(7, 0, Window(2, 3, 3, 4), (8, 9), 2)
    assert tile.read == Window(0, 1, 7, 8)
    found = answer(image(y[:, 0:7, 1:9]), task, tile)
    for name in ("mean", "std", "valid"):
        np.testing.assert_array_equal(getattr(found, name), getattr(everything, name)[:, 4:10, 6:14])
    np.testing.assert_array_equal(found.samples[0], everything.samples[0][:, 4:10, 6:14])
    np.testing.assert_array_equal(found.whitened, everything.whitened[:, 2:5, 3:7])
    assert found.residual["count"] == 24


def test_factors_of_rows_and_columns_are_not_mixed_up(make_task):
    y = calm((1, 4, 5))
    valid = np.ones(y.shape, bool)
    valid[0, 0, 1] = False
    tile = around(0, 0, Window(1, 2, 3, 2), (4, 5), 1)
    cut = np.s_[:, 0:4, 1:5]
    found = answer(image(y[cut], valid[cut]), make_task(operator=Area((3, 1))), tile)
    share = 0.01 / 3 / (0.01 / 3 + 0.0025)
    expected = np.repeat(0.5 + share * (y - 0.5), 3, 1)
    np.testing.assert_allclose(found.mean, expected[:, 3:12, 2:4], atol=1e-6)
    assert found.valid.all()


def test_samples_of_bands_share_their_noise_and_planes_do_not(make_task):
    """Noise is attached to absolute pixels: where the data are alike, bands of a one-band prior get the same sample."""
    y = np.full((2, 4, 4), 0.5, np.float32)
    task = make_task(gain=(1.0,) * 2, offset=(0.0,) * 2, samples=2, seed=5)
    tiles = [whole((4, 4)), whole((4, 4), plane=1, index=1)]
    here, there = reconstruct([image(y), image(y)], task, tiles)
    first, second = here.samples
    np.testing.assert_array_equal(first[0], first[1])
    assert np.abs(first - second).max() > 0.05
    assert np.abs(first - there.samples[0]).max() > 0.05
    stream = Stream(5).child("sample", 0).child("plane", 0, "step", 0)
    free = 0.5 + 0.1 * stream.field(0, 0, 8, 8)[0].numpy()
    noise = Stream(5).child("sample", 0).child("plane", 0, "step", 1).field(0, 0, 8, 8)[0].numpy()
    y_k = 0.5 + 0.05 * noise[::2, ::2]
    seen = free.reshape(4, 2, 4, 2).mean((1, 3))
    drawn = free + blocks((y_k - seen) / 2)
    residual = 0.5 - drawn.reshape(4, 2, 4, 2).mean((1, 3))
    assert (residual**2).mean() < 0.0025  # so that nothing of it goes back in most places
    close = np.isclose(first[0], drawn, atol=1e-5)
    assert close.mean() > 0.2
    assert np.abs(first[0] - drawn).max() < 0.1


def test_a_prior_of_several_bands_draws_for_each_of_them(make_task, white):
    y = np.full((3, 4, 4), 0.5, np.float32)
    task = make_task(white(bands=3), gain=(1.0,) * 3, offset=(0.0,) * 3, samples=1)
    found = answer(image(y), task)
    assert np.abs(found.samples[0][0] - found.samples[0][1]).max() > 0.05


def test_observations_are_in_units_of_the_generator(make_task, white):
    y = np.array([[[30.0, 70.0]], [[5.0, np.nan]]], np.float32)
    usable = np.isfinite(y)
    images = [image(y, usable), image(y + 10, usable)]
    tile = Tile(0, 0, Window(0, 0, 1, 2), Window(0, 0, 1, 2), (True, False))
    task = make_task(gain=(20.0, 4.0), offset=(10.0, 1.0), noise_model=GaussianNoise((2.0, 1.0)), exact=True)
    data = observe(images, task, tile)  # what is not usable stands at the middle of the units, wherever that is
    assert data.y.shape == (4, 1, 1, 2)
    assert data.y[:, 0, 0].tolist() == [[1.0, 3.0], [1.0, 0.0], [1.5, 3.5], [3.5, 0.0]]
    assert data.variance[:, 0, 0, 0].tolist() == pytest.approx([0.01, 1 / 16, 0.01, 1 / 16])
    assert data.usable[:, 0, 0].tolist() == [[True, True], [True, False]] * 2
    assert (data.at_end, data.exact) == ((True, False), True)
    joint = observe(images, make_task(white(bands=2), gain=(20.0, 4.0), offset=(10.0, 1.0)), tile)
    assert joint.y.shape == (2, 2, 1, 2)
    assert joint.y[1, :, 0].tolist() == [[1.5, 3.5], [3.5, 0.0]]
    assert not joint.exact


def test_a_batch_gives_every_tile_its_own(make_task):
    task = make_task(samples=1)
    pictures = [image(calm((1, 4, 4), seed)) for seed in range(3)]
    tiles = [whole((4, 4), plane=p, index=p) for p in range(3)]
    together = reconstruct(pictures, task, tiles)
    for picture, tile, found in zip(pictures, tiles, together, strict=True):
        alone = answer(picture, task, tile)
        np.testing.assert_allclose(found.mean, alone.mean, atol=1e-7)
        np.testing.assert_allclose(found.samples[0], alone.samples[0], atol=1e-6)
        assert found.residual == pytest.approx(alone.residual)


def test_a_latent_search_answers_every_tile_with_its_own_candidates(make_task, white):
    """A generator without a posterior of its own: found by search, each tile with its own figures."""
    preset = searching()
    task = make_task(white("linear"), preset=preset, samples=2, gain=(1.0, 1.0), offset=(0.0, 0.0))
    pictures = [image(calm((2, 3, 3), seed)) for seed in range(2)]
    found = reconstruct(pictures, task, [whole((3, 3), plane=p, index=p) for p in range(2)])
    for picture, result in zip(pictures, found, strict=True):
        expected = 0.5 + blocks(picture.values - 0.5) / 2
        # Eight draws tell the deviation roughly, so that little of the residual goes back.
        np.testing.assert_allclose(result.mean, expected, atol=2e-3)
        assert len(result.samples) == 2
        assert result.search["candidates"] == 2 * 9  # two bands, one optimum and eight draws each
        assert result.search["solver"] == "closed-form"
        assert sum(result.search["verdicts"].values()) == 18
    assert found[0].search["best chi2 per datum"] != found[1].search["best chi2 per datum"]


def test_every_band_of_every_tile_searches_with_a_random_stream_of_its_own(make_task, white, monkeypatch):
    """Named by what it is for, so that results stay what they are from release to release."""
    seen = []

    def answer_(generator, data, preset, method, samples, noise, streams):
        seen.append(streams)
        return Answer(*[torch.zeros(len(data.y), data.y.shape[1], 4, 4)] * 2)

    monkeypatch.setattr(room, "answer", answer_)
    tiles = [whole((2, 2), index=i) for i in (4, 9)]
    for generator in (white(), white(bands=2)):
        task = make_task(generator, gain=(1.0, 1.0), offset=(0.0, 0.0), seed=6)
        reconstruct([image(calm((2, 2, 2)))] * 2, task, tiles)
    assert seen[0] == [Stream(6, ("search", i, "band", b)) for i in (4, 9) for b in (0, 1)]
    assert seen[1] == [Stream(6, ("search", i, "band", 0)) for i in (4, 9)]


def searching():
    return replace(PRESETS["balanced"], moments="search", solver="closed-form", solver_options={})


def failing(monkeypatch, above, error):
    real, sizes = room.reconstruct, []

    def broken(images, task, tiles, flat):
        sizes.append(len(tiles))
        if len(tiles) > above:
            raise error
        return real(images, task, tiles, flat)

    monkeypatch.setattr(room, "reconstruct", broken)
    return sizes


def reader(pictures):
    def read(plane, window):
        assert window == Window(0, 0, 4, 4)
        return pictures[plane]

    return read


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory. Tried"), RuntimeError("can't allocate 9 bytes"), MemoryError()]
)
def test_out_of_memory_halves_the_batch_and_changes_nothing(make_task, monkeypatch, error):
    pictures, task = [image(calm((1, 4, 4), s)) for s in range(5)], make_task()
    tiles = [whole((4, 4), plane=p, index=p) for p in range(5)]
    expected = in_memory("a", reader(pictures), task, tiles)
    sizes = failing(monkeypatch, 1, error)
    found = in_memory("a", reader(pictures), task, tiles)
    assert sizes == [5, 2, 1, 1, 3, 1, 2, 1, 1]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.mean, other.mean, atol=1e-7)


def test_a_tile_that_fails_alone_is_named_and_other_errors_are_not_hidden(make_task, monkeypatch):
    core, read = Window(6, 8, 5, 3), Window(0, 0, 4, 4)
    tile = Tile(0, 0, core, read, (True, True))
    failing(monkeypatch, 0, RuntimeError("out of memory"))
    with pytest.raises(
        GensrError, match=r"^a: out of memory in the tile at row 6, column 8; give a smaller .* than 5$"
    ):
        in_memory("a", reader([image(calm((1, 4, 4)))]), make_task(), [tile])
    failing(monkeypatch, 0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        in_memory("a", reader([image(calm((1, 4, 4)))]), make_task(), [tile])


def test_work_reads_the_windows_of_its_tiles(make_task):
    class Scene:
        path = Path("folder/b.tif")

        def read(self, plane, window):
            assert (plane, window) == (2, Window(0, 0, 4, 4))
            return image(calm((1, 4, 4)))

    (found,) = TileWork(Scene(), make_task())((whole((4, 4), plane=2),))
    np.testing.assert_array_equal(found.mean, answer(image(calm((1, 4, 4))), make_task()).mean)
