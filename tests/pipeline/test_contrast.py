"""The evidence finds the contrast of data against what a prior expects, at the noise that is known."""

import numpy as np
import pytest
import torch

from gensr.operators import Area
from gensr.pipeline.contrast import contrasts
from gensr.priors import weights
from gensr.scenes.arrays import ArrayScene
from gensr.values.noise import GaussianNoise, PoissonGaussianNoise
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


def ask(generator, shape=(20, 20), sigma=0.1):
    """Evidence of an image from 0 to 1 in generator units, so that its contrast is 1 at gain 1."""
    image = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    scene = ArrayScene(image)
    bands = len(scene.bands)
    normaliser = AffineNormaliser((1.0,) * bands, (0.0,) * bands)
    return contrasts(scene, generator, Area(2), normaliser, GaussianNoise(sigma))


@pytest.mark.parametrize(("bonus", "gain"), [(0.099, 1.0), (0.101, 2.0)])
def test_another_contrast_must_win_by_a_tenth_of_a_nat(peaked, bonus, gain):
    """Densities are compared in the units before the gain, so log 2 goes off at gain 2."""
    said = {1.0: 0.0, 2.0: np.log(2) + bonus}
    (found,) = ask(peaked(lambda sigma, contrast: said.get(round(contrast, 3), -9.0) - 0 * sigma))
    assert found.gain == gain


def test_contrasts_are_tried_at_the_noise_that_is_known(peaked):
    generator = peaked(lambda sigma, contrast: -abs(contrast - 4) - 0 * sigma)
    (found,) = ask(generator, sigma=2.0**-5)
    assert [np.log2(s) for s, _, _ in generator.seen] == pytest.approx([-5, -3, -4, -6, -7])
    assert [c for _, c, _ in generator.seen] == pytest.approx([1.0, 0.25, 0.5, 2.0, 4.0], rel=1e-3)
    assert found.gain == 4.0
    assert found.score == pytest.approx(-np.log(4), abs=1e-3)


def test_contrasts_are_never_compared_below_what_a_prior_can_express(peaked):
    generator = peaked(lambda sigma, contrast: np.log(contrast))
    (found,) = ask(generator, sigma=2.0**-10)
    assert [np.log2(s) for s, _, _ in generator.seen] == pytest.approx([-7, -5, -6, -8, -9])
    assert found.gain == 1.0


def test_noise_is_that_of_the_band_in_its_own_units(peaked):
    image = np.stack([np.linspace(0, 10, 400).reshape(20, 20), np.linspace(0, 2, 400).reshape(20, 20)])
    generator = peaked(lambda s, c: 0.0)
    normaliser = AffineNormaliser((10.0, 2.0), (0.0, 0.0))
    contrasts(ArrayScene(image), generator, Area(2), normaliser, GaussianNoise((1.0, 0.5)))
    assert [s for s, c, _ in generator.seen if round(c, 6) == 1.0] == pytest.approx([0.1, 0.25])


def test_noise_of_photons_is_that_of_every_datum(white):
    """A generator that looks at the variances: gain 2 times the value, in units of a contrast of 10."""

    class Looks(white):
        def evidence(self, data):
            if float(data.y.min()) == 0:
                assert torch.allclose(data.variance, (2 * 10 * data.y / 100).clamp(min=2.0**-14))
            return torch.full((1,), -9.0 * float(data.y.max() - data.y.min() > 1.01))  # a gain below 1 is no better

    image = np.linspace(0, 10, 400).reshape(20, 20)
    (found,) = contrasts(
        ArrayScene(image), Looks("evidence"), Area(2), AffineNormaliser((10.0,), (0.0,)), PoissonGaussianNoise(2, 0)
    )
    assert found.gain == 1.0


def test_bands_that_a_prior_models_jointly_are_judged_together(peaked):
    generator = peaked(lambda sigma, contrast: -9 * abs(contrast - 0.5), bands=3)
    found = ask(generator, (3, 20, 20))
    assert [c.gain for c in found] == [0.5] * 3
    assert {shape for _, _, shape in generator.seen} == {(1, 3, 20, 20)}
    single = peaked(lambda sigma, contrast: 0.0)
    assert len(ask(single, (3, 20, 20))) == 3
    assert {shape for _, _, shape in single.seen} == {(1, 1, 20, 20)}


def shapes(generator, image):
    contrasts(ArrayScene(image), generator, Area(2), AffineNormaliser((1.0,) * 1, (0.0,)), GaussianNoise(0.1))
    return list(dict.fromkeys(shape[2:] for _, _, shape in generator.seen))


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
    contrasts(ArrayScene(image), generator, Area(2), normaliser, GaussianNoise(0.1))
    assert len(generator.seen) == 5 * bands * most
    assert {shape for _, _, shape in generator.seen} == {(1, 1, 96, 96)}


def test_every_datum_counts_alike_whatever_the_size_of_its_piece(peaked):
    """Windows of 96 x 96 where there is no hole, quarters where there is: weights are numbers of data."""
    image = np.linspace(0, 1, 96 * 192).reshape(96, 192)
    image[0, 0] = np.nan

    class Sized(peaked):
        def evidence(self, data):
            self.seen.append((0.0, 0.0, tuple(data.y.shape)))
            return torch.full((1,), float(data.y.shape[-1]) if abs(float(data.variance.max()) - 0.01) < 1e-6 else -99.0)

    generator = Sized(None)
    normaliser = AffineNormaliser((1.0,), (0.0,))
    (found,) = contrasts(ArrayScene(image), generator, Area(2), normaliser, GaussianNoise(0.1))
    assert found.gain == 1.0
    assert sorted({shape[2:] for _, _, shape in generator.seen}) == [(48, 48), (96, 96)]
    assert found.score == pytest.approx((48 * 48**2 + 96 * 96**2) / (48**2 + 96**2))


def test_nothing_usable_keeps_the_contrast_of_the_domain():
    scene = ArrayScene(np.full((30, 30), np.nan))
    (found,) = contrasts(scene, GENERATOR, Area(2), scene.normaliser(), GaussianNoise(0.1))
    assert found.gain == 1.0
    assert np.isnan(found.score)
