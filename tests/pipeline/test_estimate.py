"""The evidence finds the noise that was added, and does not take texture for noise."""

import numpy as np
import pytest
import torch

from gensr.operators import Area
from gensr.pipeline.estimate import LEVELS, calibrate
from gensr.priors import weights
from gensr.scenes.arrays import ArrayScene
from gensr.values.normalise import AffineNormaliser

GENERATOR = weights.load("gaussian-microscopy")[0]


@pytest.fixture
def peaked(white):
    """A generator whose evidence the test says as a function of noise and contrast; it remembers what it saw."""

    class Peaked(white):
        def __init__(self, says, bands=1):
            super().__init__("posterior", "evidence", bands=bands)
            self.says, self.seen = says, []

        def evidence(self, data):
            sigma = float(data.variance.flatten()[0]) ** 0.5
            contrast = 1 / float(data.y.max() - data.y.min())
            self.seen.append((sigma, contrast, tuple(data.y.shape)))
            assert data.usable.all()
            return torch.full((1,), self.says(sigma, contrast))

    return Peaked


def ask(generator, shape=(20, 20), known=None, **words):
    """Evidence of an image from 0 to 1 in generator units, so that its contrast is 1 at gain 1."""
    image = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    scene = ArrayScene(image)
    bands = len(scene.bands)
    normaliser = AffineNormaliser((1.0,) * bands, (0.0,) * bands)
    return calibrate(scene, generator, Area(2), normaliser, known, **words)


def test_the_level_is_searched_in_octaves_and_then_in_quarters(peaked):
    """Most evidence at 2^-11.1: of the ladder 2^-12 is nearer than 2^-10, and half an octave above it is the best."""
    generator = peaked(lambda sigma, contrast: -((np.log2(sigma) + 11.1) ** 2))
    (found,) = ask(generator, search_gain=False)
    assert np.log2(found.sigma) == pytest.approx(-11.5)
    assert found.score == pytest.approx(-0.16, abs=1e-3)
    asked = [round(float(np.log2(sigma)), 3) for sigma, _, _ in generator.seen]
    assert asked == [-12, -10, -8, -7, -6, -5, -4, -3, -2, -12.5, -12.25, -12, -11.75, -11.5]
    assert {round(contrast, 4) for _, contrast, _ in generator.seen} == {1.0}


def test_a_level_that_is_best_stays(peaked):
    (found,) = ask(peaked(lambda sigma, contrast: -abs(np.log2(sigma) + 6)), search_gain=False)
    assert found.sigma == 2.0**-6


@pytest.mark.parametrize(("bonus", "gain"), [(0.099, 1.0), (0.101, 2.0)])
def test_another_contrast_must_win_by_a_tenth_of_a_nat(peaked, bonus, gain):
    """Densities are compared in the units before the gain, so log 2 goes off at gain 2."""
    said = {1.0: 0.0, 2.0: np.log(2) + bonus}
    (found,) = ask(peaked(lambda sigma, contrast: said.get(round(contrast, 3), -9.0) - 0 * sigma), known=[0.01])
    assert found.gain == gain
    assert found.sigma == pytest.approx(0.01 / gain)


def test_contrasts_are_tried_at_the_noise_that_is_known(peaked):
    generator = peaked(lambda sigma, contrast: -abs(contrast - 4) - 0 * sigma)
    (found,) = ask(generator, known=[2.0**-5])
    assert [np.log2(s) for s, _, _ in generator.seen] == pytest.approx([-5, -3, -4, -6, -7])
    assert [c for _, c, _ in generator.seen] == pytest.approx([1.0, 0.25, 0.5, 2.0, 4.0], rel=1e-3)
    assert (found.gain, found.sigma) == (4.0, 2.0**-7)
    assert found.score == pytest.approx(-np.log(4), abs=1e-3)


def test_contrasts_are_never_compared_below_what_a_prior_can_express(peaked):
    generator = peaked(lambda sigma, contrast: np.log(contrast))
    (found,) = ask(generator, known=[2.0**-10])
    assert [np.log2(s) for s, _, _ in generator.seen] == pytest.approx([-7, -5, -6, -8, -9])
    assert (found.gain, found.sigma) == (1.0, 2.0**-10)


def test_a_known_noise_is_that_of_the_band_in_its_own_units(peaked):
    image = np.stack([np.linspace(0, 10, 400).reshape(20, 20), np.linspace(0, 2, 400).reshape(20, 20)])
    found = calibrate(
        ArrayScene(image),
        peaked(lambda s, c: np.log(c)),
        Area(2),
        AffineNormaliser((10.0, 2.0), (0.0, 0.0)),
        [1.0, 0.5],
    )
    assert [c.sigma for c in found] == [0.1, 0.25]


def test_bands_that_a_prior_models_jointly_are_judged_together(peaked):
    generator = peaked(lambda sigma, contrast: -abs(np.log2(sigma) + 4), bands=3)
    found = ask(generator, (3, 20, 20), search_gain=False)
    assert [c.sigma for c in found] == [2.0**-4] * 3
    assert {shape for _, _, shape in generator.seen} == {(1, 3, 20, 20)}
    single = peaked(lambda sigma, contrast: -abs(np.log2(sigma) + 4))
    assert len(ask(single, (3, 20, 20), search_gain=False)) == 3
    assert {shape for _, _, shape in single.seen} == {(1, 1, 20, 20)}


def shapes(generator, image):
    calibrate(ArrayScene(image), generator, Area(2), AffineNormaliser((1.0,) * 1, (0.0,)), [0.1], False)
    return [shape[2:] for _, _, shape in generator.seen]


@pytest.mark.parametrize(
    ("shape", "holes", "expected"),
    [
        ((64, 80), [], (64, 80)),
        ((64, 80), [(0, 0)], (32, 40)),
        ((64, 80), [(0, 0), (40, 3), (3, 50), (50, 50)], (16, 20)),
        ((40, 40), [(0, 0), (30, 3), (3, 30), (30, 30)], None),  # quarters of 10: less than the prior's context of 16
        ((12, 12), [], (12, 12)),  # small, but all there is
        ((7, 9), [], None),  # 63 pixels tell nothing
        ((8, 8), [], (8, 8)),
    ],
)
def test_the_largest_usable_part_of_a_window_is_taken(peaked, shape, holes, expected):
    image = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    for hole in holes:
        image[hole] = np.nan
    found = shapes(peaked(lambda s, c: 0.0), image)
    assert found == ([] if expected is None else [expected])


def test_the_part_that_is_usable_is_the_one_that_is_read(peaked):
    """The lower right quarter alone is whole: its values are what the generator sees."""
    image = np.zeros((64, 64))
    image[32:, 32:] = np.linspace(0.25, 0.5, 1024).reshape(32, 32)
    image[5, 5] = image[40, 5] = image[5, 40] = np.nan
    generator = peaked(lambda s, c: 0.0)
    assert shapes(generator, image) == [(32, 32)]
    assert generator.seen[0][1] == pytest.approx(4.0)


@pytest.mark.parametrize(("bands", "most"), [(1, 6), (2, 4), (3, 2), (9, 1)])
def test_no_more_pieces_than_eight_are_looked_at(peaked, bands, most):
    image = np.broadcast_to(np.linspace(0, 1, 300 * 300).reshape(300, 300), (bands, 300, 300))
    generator = peaked(lambda s, c: 0.0)
    normaliser = AffineNormaliser((1.0,) * bands, (0.0,) * bands)
    calibrate(ArrayScene(image), generator, Area(2), normaliser, [0.1] * bands, False)
    assert len(generator.seen) == bands * most
    assert {shape for _, _, shape in generator.seen} == {(1, 1, 96, 96)}


def test_every_datum_counts_alike_whatever_the_size_of_its_piece(peaked):
    """Windows of 96 x 96 where there is no hole, quarters where there is: weights are numbers of data."""
    image = np.linspace(0, 1, 96 * 192).reshape(96, 192)
    image[0, 0] = np.nan

    class Sized(peaked):
        def evidence(self, data):
            self.seen.append((0.0, 0.0, tuple(data.y.shape)))
            return torch.full((1,), float(data.y.shape[-1]))

    generator = Sized(None)
    normaliser = AffineNormaliser((1.0,), (0.0,))
    (found,) = calibrate(ArrayScene(image), generator, Area(2), normaliser, [0.1], False)
    assert sorted(shape[2:] for _, _, shape in generator.seen) == [(48, 48), (96, 96)]
    assert found.score == pytest.approx((48 * 48**2 + 96 * 96**2) / (48**2 + 96**2))


def nuclei(side=96, noise=0.0):
    """Soft discs, of the kind that the prior was made for, seen through pixels of 2 x 2."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: 2 * side, : 2 * side].astype(np.float64)
    image = np.zeros((2 * side, 2 * side))
    for _ in range(40):
        row, col, radius = *rng.uniform(0, 2 * side, 2), rng.uniform(6, 14)
        image = np.maximum(image, rng.uniform(0.4, 1) / (1 + np.exp(np.hypot(y - row, x - col) - radius)))
    coarse = image.reshape(side, 2, side, 2).mean((1, 3))
    return coarse + noise * rng.standard_normal(coarse.shape)


def estimate(image, **settings):
    scene = ArrayScene(image)
    normaliser = scene.normaliser()
    sigma = settings.pop("sigma", None)
    known = None if sigma is None else [sigma]
    return calibrate(scene, GENERATOR, Area(2), normaliser, known, **settings)[0], normaliser


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1])
def test_added_noise_is_found(noise):
    found, normaliser = estimate(nuclei(noise=noise))
    assert found.sigma * found.gain * normaliser.gain[0] == pytest.approx(noise, rel=0.3)


def test_clean_structure_is_not_taken_for_noise():
    found, normaliser = estimate(nuclei())
    assert found.sigma * found.gain * normaliser.gain[0] < 0.004


def test_a_known_noise_is_kept():
    found, normaliser = estimate(nuclei(noise=0.03), sigma=0.05)
    assert found.sigma * found.gain * normaliser.gain[0] == pytest.approx(0.05)


def test_the_gain_stays_where_it_must_not_be_searched():
    assert estimate(5 * nuclei(noise=0.1), search_gain=False)[0].gain == 1.0


def test_nothing_usable_gives_a_middle_level():
    found, _ = estimate(np.full((30, 30), np.nan))
    assert (found.gain, found.sigma) == (1.0, LEVELS[4])
    assert np.isnan(found.score)
    assert not found.measured


def test_every_band_has_its_own_noise_in_any_order():
    """Bands of one content with 1 and 10 % of noise, and a third that says nothing."""
    bands = np.stack([nuclei(noise=0.01), nuclei(noise=0.1), np.full((96, 96), 3.0)])
    for order in ([0, 1], [1, 0]):
        scene = ArrayScene(bands[order])
        normaliser = scene.normaliser()
        found = calibrate(scene, GENERATOR, Area(2), normaliser, None)
        levels = [c.sigma * c.gain * g for c, g in zip(found, normaliser.gain, strict=True)]
        assert levels == pytest.approx(np.array([0.01, 0.1])[order], rel=0.35)


def test_what_is_known_of_a_band_stays_with_it():
    scene = ArrayScene(np.stack([nuclei(noise=0.03), 100 * nuclei(noise=0.03)]))
    normaliser = scene.normaliser()
    found = calibrate(scene, GENERATOR, Area(2), normaliser, [0.05, 4.0])
    levels = [c.sigma * c.gain * g for c, g in zip(found, normaliser.gain, strict=True)]
    assert levels == pytest.approx([0.05, 4.0])
