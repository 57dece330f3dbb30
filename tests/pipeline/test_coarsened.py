"""Windows of a scene that are coarsened, answered and laid beside the data: by hand, on the exactly known generator."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gensr.operators import Area, GaussianPSF, KSpaceCrop
from gensr.pipeline import coarsened
from gensr.pipeline.coarsened import chosen, compare, obstacle, split
from gensr.scenes.arrays import ArrayScene
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import GaussianNoise, PoissonGaussianNoise, StatedNoise
from gensr.values.random import Stream


def image(values, usable=None, variance=None):
    values = np.asarray(values, np.float32)
    known = np.ones(values.shape, bool) if usable is None else np.asarray(usable)
    bands = tuple(str(i) for i in range(len(values)))
    return Image(values, PixelGrid(values.shape[1:]), known, known.copy(), bands, "", variance)


def halves(task, given, seed=0):
    return split(given, task, Stream(seed).child("check"), Window(0, 0, *given.values.shape[1:]))


@pytest.mark.parametrize(("operator", "gain"), [(Area(2), 1), (Area((2, 4)), 1), (Area(4, total=True), 16)])
def test_a_split_makes_two_halves_of_independent_noise(make_task, operator, gain):
    """Flat data of noise 3: coarse data have noise 3 again, the other half 9 b / (b - 1) with blocks of b pixels."""
    rng = np.random.default_rng(1)
    task = make_task(operator=operator, noise_model=GaussianNoise(3.0))
    found = halves(task, image(20 + 3 * rng.standard_normal((1, 256, 256))))
    blocks = operator.factor[0] * operator.factor[1]
    assert operator.gain == gain
    np.testing.assert_allclose(found.coarse.variance, 9, rtol=1e-5)
    np.testing.assert_allclose(found.noise, 9 * blocks / (blocks - 1))
    np.testing.assert_allclose(found.data, 9)
    assert found.coarse.values.mean() == pytest.approx(20, abs=0.15)
    assert found.truth.mean() == pytest.approx(20, abs=0.1)
    assert found.coarse.values.var() == pytest.approx(9, rel=0.06)
    assert found.truth.var() == pytest.approx(9 * blocks / (blocks - 1), rel=0.06)
    fine = found.coarse.values.repeat(operator.factor[0], 1).repeat(operator.factor[1], 2)
    assert abs(np.corrcoef(fine.ravel(), found.truth.ravel())[0, 1]) < 0.02


def test_noise_of_unequal_pixels_is_that_of_their_sum(make_task):
    """Variances 1, 3, 5, 7 in a block: their mean has a quarter of the mean variance 4, a split one four times that."""
    values = np.tile([[1.0, 3.0], [5.0, 7.0]], (8, 8))[None]
    photons = make_task(noise_model=PoissonGaussianNoise(1.0, 0.0))
    np.testing.assert_allclose(halves(photons, image(values)).coarse.variance, 4, rtol=1e-6)
    stated = make_task(noise_model=StatedNoise(2.0))
    found = halves(stated, image(np.zeros_like(values), variance=values.astype(np.float32)))
    np.testing.assert_allclose(found.coarse.variance, 4, rtol=1e-6)
    np.testing.assert_allclose(found.noise, values * 4 / 3)


def test_a_blur_averages_noise_as_its_weights_say(make_task):
    operator = GaussianPSF(2, 0.5)
    found = halves(make_task(operator=operator, noise_model=GaussianNoise(2.0)), image(np.zeros((1, 64, 64))))
    one = torch.zeros(32, 32, dtype=torch.float64)
    one[16, 16] = 1
    weights = float(operator.adjoint(one).square().sum())
    assert weights < 0.25
    np.testing.assert_allclose(found.coarse.variance[0, 8:-8, 8:-8], 4 * 4 * weights, rtol=1e-3)


def test_exact_data_are_both_halves(make_task):
    values = np.random.default_rng(0).integers(0, 255, (2, 16, 16))
    task = make_task(gain=(1.0, 1.0), offset=(0.0, 0.0), exact=True, quantum=1.0, noise_model=GaussianNoise(12**-0.5))
    found = halves(task, image(values))
    np.testing.assert_array_equal(found.truth, values)
    np.testing.assert_allclose(found.coarse.values, values.reshape(2, 8, 2, 8, 2).mean((2, 4)), rtol=1e-6)
    np.testing.assert_allclose(found.noise, 1 / 12)
    assert found.coarse.variance is None


def test_a_bad_pixel_spoils_what_the_operator_mixes_it_into(make_task):
    usable = np.ones((1, 32, 32), bool)
    usable[0, 9, 12] = False
    values = np.full((1, 32, 32), 7.0)
    values[0, 9, 12] = 1e6
    found = halves(make_task(noise_model=GaussianNoise(0.0), exact=True), image(values, usable))
    assert np.argwhere(~found.coarse.usable).tolist() == [[0, 4, 6]]
    np.testing.assert_allclose(found.coarse.values, 7)
    blurred = halves(make_task(operator=GaussianPSF(2, 0.5), exact=True), image(values, usable)).coarse
    assert not blurred.usable[0, 4, 5:8].any()
    assert not blurred.usable[0, 3:6, 6].any()
    assert blurred.usable.sum() > 200
    np.testing.assert_allclose(blurred.values[blurred.usable], 7, rtol=1e-5)


def test_a_blur_leaves_coarse_noise_as_it_is_and_takes_from_the_fine(make_task):
    """Flat data of noise 3, blurred by half a coarse pixel: coarse noise stays 3, the truth has that of the kernel."""
    rng = np.random.default_rng(1)
    task = make_task(noise_model=GaussianNoise(3.0))
    given = image(20 + 3 * rng.standard_normal((1, 256, 256)))
    found = split(given, task, Stream(0).child("check"), Window(0, 0, 256, 256), (0.5,))
    np.testing.assert_allclose(found.coarse.variance, 9, rtol=1e-5)
    assert found.coarse.values.var() == pytest.approx(9, rel=0.06)
    kernel = np.exp(-0.5 * np.arange(-4, 5) ** 2.0)
    share = ((kernel / kernel.sum()) ** 2).sum() ** 2
    np.testing.assert_allclose(found.noise, 12 * share, rtol=1e-3)
    assert found.truth.var() == pytest.approx(12 * share, rel=0.06)
    fine = found.coarse.values.repeat(2, 1).repeat(2, 2)
    assert abs(np.corrcoef(fine.ravel(), found.truth.ravel())[0, 1]) < 0.03


def test_a_blur_spreads_gaps(make_task):
    usable = np.ones((1, 32, 32), bool)
    usable[0, 9, 12] = False
    task = make_task(exact=True, noise_model=GaussianNoise(0.0))
    found = split(image(np.ones((1, 32, 32)), usable), task, Stream(0), Window(0, 0, 32, 32), (0.5,))
    assert not found.known[0, 8:11, 11:14].any()
    assert found.known.sum() > 32 * 32 - 80
    assert not found.coarse.usable[0, 4:6, 5:8].any()


def seen(task, array, draws=0):
    scene = ArrayScene(np.asarray(array, np.float32))
    return list(compare(scene, task, chosen(scene, task, 4), draws))


def test_the_answer_is_that_of_the_exact_posterior(make_task):
    """Physical values are 100 times those of the prior; blocks of deviation 5 and noise 5 count by half."""
    values = 50 + 10 * np.random.default_rng(0).standard_normal((32, 32))
    task = make_task(gain=(100.0,), noise_model=GaussianNoise(5.0), conformal=(3.0,))
    (found,) = seen(task, values)
    mean = halves(task, image(values[None])).coarse.values  # another stream: only its mean is looked at
    assert found.mean.shape == (1, 32, 32)
    np.testing.assert_allclose(found.std, 87.5**0.5, rtol=1e-4)  # the factor 3 is taken off again
    again = compare(ArrayScene(values.astype(np.float32)), task, [(0, Window(0, 0, 32, 32))])
    np.testing.assert_array_equal(next(again).mean, found.mean)
    assert found.mean.mean() == pytest.approx(25 + mean.mean() / 2, abs=1.0)
    assert found.use.all()
    assert found.draws is None


def test_sums_are_compared_on_the_scale_of_the_data(make_task):
    values = 12.5 + 2.5 * np.random.default_rng(0).standard_normal((64, 64))
    flux = make_task(gain=(100.0,), operator=Area(2, total=True), noise_model=GaussianNoise(0.01), samples=0)
    (found,) = seen(flux, values)
    coarse = values.reshape(32, 2, 32, 2).mean((1, 3)).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(found.mean[0], coarse, atol=0.1)
    np.testing.assert_allclose(found.truth[0], values, atol=0.1)
    assert found.lanczos.mean() == pytest.approx(values.mean(), abs=0.05)


def test_draws_vary_as_the_posterior_does(make_task):
    task = make_task(gain=(100.0,), noise_model=GaussianNoise(5.0))
    found = seen(task, np.full((128, 128), 50.0), draws=4)[0]
    assert found.draws.mean() == pytest.approx(87.5, rel=0.05)


def test_gaps_and_what_touches_them_are_left_out(make_task):
    values = np.full((64, 64), 50.0)
    values[20, 30] = np.nan
    (found,) = seen(make_task(gain=(100.0,), noise_model=GaussianNoise(5.0)), values)
    left = np.argwhere(~found.use[0])
    assert (left.min(0).tolist(), left.max(0).tolist(), len(left)) == ([18, 28], [23, 33], 36)
    used = np.stack([found.mean, found.truth, found.lanczos, found.std])[:, found.use]
    assert np.isfinite(used).all()
    assert np.abs(found.lanczos - 50).max() < 30


def test_a_scene_without_a_usable_pixel_gives_no_window(make_task):
    assert seen(make_task(gain=(100.0,)), np.full((32, 32), np.nan)) == []


@pytest.mark.parametrize(
    ("shape", "factor", "says"),
    [
        ((16, 16), 2, ""),
        ((15, 40), 2, "40 x 15 pixels are too small to be coarsened by 2 x 2 and judged: 16 x 16 are the least"),
        ((64, 31), (2, 4), "31 x 64 pixels are too small to be coarsened by 2 x 4 and judged: 32 x 16 are the least"),
    ],
)
def test_what_is_too_small_is_refused_by_name(make_task, shape, factor, says):
    scene = ArrayScene(np.zeros(shape, np.float32))
    assert obstacle(scene, make_task(operator=Area(factor))) == says


def test_what_needs_the_whole_image(make_task, white, monkeypatch):
    scene = ArrayScene(np.zeros((3, 1, 45, 40), np.float32))
    whole = make_task(operator=KSpaceCrop(2))
    assert obstacle(scene, whole) == ""
    assert chosen(scene, whole, 8) == [(plane, Window(0, 0, 44, 40)) for plane in range(3)]
    assert chosen(scene, whole, 8, pixels=44 * 40 - 1) == []
    monkeypatch.setattr(coarsened, "WHOLE", 1000)
    assert "40 x 45 pixels are too many" in obstacle(scene, whole)
    monkeypatch.undo()
    monkeypatch.setattr(white, "serves", lambda self, operator, shape: shape == (64, 64))
    aligned = make_task(white(aligned=True))
    assert obstacle(scene, aligned) == "white answers no picture of 40 x 44 pixels"


def test_windows_are_spread_and_bounded(make_task):
    scene = ArrayScene(np.broadcast_to(np.float32(0), (5, 2, 1000, 700)))
    task = make_task(gain=(1.0, 1.0), offset=(0.0, 0.0))
    many = chosen(scene, task, 16)
    assert len(many) == 16
    assert {plane for plane, _ in many} == set(range(5))
    assert {(window.rows, window.cols) for _, window in many} == {(128, 128)}
    assert sum(w.rows * w.cols for _, w in chosen(scene, task, 16, pixels=40_000)) <= 40_000
    (one,) = chosen(scene, task, 16, pixels=41 * 41)
    assert one[1][2:] == (40, 40)
    assert chosen(scene, task, 16, pixels=15 * 15) == []
    wide = ArrayScene(np.broadcast_to(np.float32(0), (1, 3000, 200, 200)))
    assert all(w.rows == 16 for _, w in chosen(wide, make_task(gain=(1.0,) * 3000, offset=(0.0,) * 3000), 16))
    large = chosen(scene, replace(task, operator=Area(16)), 2)
    assert {(window.rows, window.cols) for _, window in large} == {(256, 256)}


def test_cut_edges_are_not_compared(make_task):
    scene = ArrayScene(np.zeros((300, 130), np.float32))
    task = make_task(noise_model=GaussianNoise(0.1))
    middle, corner = (next(iter(compare(scene, task, [(0, w)]))).use[0] for w in (
        Window(100, 2, 64, 128), Window(0, 0, 64, 130)))  # fmt: skip
    assert middle[4:-4, 4:].all()
    for edge in (middle[:4], middle[-4:], middle[:, :4]):
        assert not edge.any()
    assert corner[:-4].all()
    assert not corner[-4:].any()
