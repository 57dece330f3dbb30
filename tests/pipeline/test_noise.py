"""Noise and scale of a scene: from the user, the file, the evidence of an exactly known prior, or the rounding."""

import numpy as np
import pytest

from gensr.errors import UsageError
from gensr.operators import Area, KSpaceCrop
from gensr.pipeline.noise import DEFAULT, EVIDENCE, FILE, GIVEN, ROUNDING, settle_level, spoken_noise
from gensr.pipeline.task import Prior
from gensr.scenes.arrays import ArrayScene
from gensr.values.noise import GaussianNoise, PoissonGaussianNoise, StatedNoise
from gensr.values.normalise import AffineNormaliser, Normaliser


class Scene(ArrayScene):
    """An array whose normaliser and noise the test says."""

    stated, map = None, None

    def noise(self):
        return self.stated

    def normaliser(self):
        return self.map or AffineNormaliser((1.0,) * len(self.bands), (0.0,) * len(self.bands))


def textures(*sigmas, side=96, gain=1.0, seed=0):
    """Block means of the prior (deviation 0.05 about 0.5) with noise of a deviation for each band."""
    rng = np.random.default_rng(seed)
    return gain * np.stack([0.5 + rng.normal(0, (0.0025 + s**2) ** 0.5, (side, side)) for s in sigmas])


def level(scene, generator, words=None, operator=None, pixels=1.0):
    return settle_level(scene, Prior(generator, None), operator or Area(2), pixels, words)


def test_the_word_of_the_user_comes_before_the_file(white):
    scene = Scene(textures(0.1))
    scene.stated = GaussianNoise(0.2)
    found = level(scene, white(), 0.3)
    assert (found.model, found.source, found.exact) == (GaussianNoise(0.3), GIVEN, False)
    found = level(scene, white())
    assert (found.model, found.source) == (GaussianNoise(0.2), FILE)
    found = level(scene, white("denoise"))
    assert (found.model, found.source, found.calibration) == (GaussianNoise(0.2), FILE, None)


def test_auto_asks_the_data_and_not_the_file(white):
    scene = Scene(textures(0.1))
    scene.stated = GaussianNoise(0.2)
    found = level(scene, white(), "auto")
    assert found.source == EVIDENCE
    assert found.model.sigma == pytest.approx(0.1, rel=0.1)


def test_the_evidence_finds_the_noise_of_every_band_in_any_order(white):
    for sigmas in ((0.02, 0.2), (0.2, 0.02)):
        scene = Scene(textures(*sigmas, side=200) * np.array([1.0, 50.0])[:, None, None])
        scene.map = AffineNormaliser((1.0, 50.0), (0.0, 0.0))
        found = level(scene, white())
        assert found.source == EVIDENCE
        assert found.model.sigma == pytest.approx((sigmas[0], 50 * sigmas[1]), rel=0.25)
        assert [c.gain for c in found.calibration] == [1.0, 1.0]
        assert found.normaliser == scene.map
        assert [found.share(b) for b in (0, 1)] == pytest.approx(sigmas, rel=0.25)


def test_contrast_of_another_size_moves_the_scale_about_its_middle(white):
    """The texture four times as strong: gain 4, the middle of the range where it was."""
    rng = np.random.default_rng(0)
    scene = Scene(10 + 20 * (0.5 + rng.normal(0, 4 * 0.05, (96, 96))))
    scene.map = AffineNormaliser((20.0,), (10.0,))
    found = level(scene, white(), 0.02)
    assert found.calibration[0].gain == 4.0
    assert found.normaliser.gain == (80.0,)
    assert found.normaliser.offset == (10.0 + 0.5 * 20 * (1 - 4),)
    assert found.share(0) == pytest.approx(0.02 / 80)


def test_contrast_binds_nobody_but_the_prior_that_was_asked(white):
    rng = np.random.default_rng(0)
    image = 0.5 + rng.normal(0, 4 * 0.05, (96, 96))
    assert level(Scene(image), white(aligned=True), 0.02).calibration[0].gain == 1.0


def test_sums_widen_the_scale_by_the_root_of_their_pixels(white):
    scene = Scene(textures(0.1))
    found = level(scene, white(), 0.1, operator=Area(2), pixels=4.0)
    assert found.normaliser.gain[0] / found.calibration[0].gain == 2.0


def test_too_little_to_tell_is_a_default_and_says_so(white):
    holed = np.full((20, 20), np.nan)
    holed[::7, ::7] = 0.5
    found = level(Scene(holed), white())
    assert found.source == DEFAULT
    assert found.model == GaussianNoise(2.0**-6)
    half = textures(0.1, 0.1)
    half[1] = np.nan
    assert level(Scene(half), white()).source == DEFAULT


def test_an_estimate_is_never_below_the_rounding_of_its_codes(white):
    rng = np.random.default_rng(0)
    codes = np.rint(1000 * (0.5 + rng.normal(0, 0.05, (2, 96, 96)))).astype(np.uint16)
    scene = Scene(codes)
    scene.map = AffineNormaliser((1000.0, 1000.0), (0.0, 0.0))
    scene.quantum = 50.0
    found = level(scene, white())
    assert found.model.sigma == pytest.approx((50 / 12**0.5,) * 2)
    assert found.exact
    assert found.source == EVIDENCE


def test_rounding_is_all_that_is_known_where_nothing_tells(white):
    scene = Scene(np.zeros((16, 16), np.uint8))
    for generator, operator in ((white("denoise"), None), (white(), KSpaceCrop(2, "none"))):
        found = level(scene, generator, operator=operator)
        assert (found.source, found.calibration, found.exact) == (ROUNDING, None, True)
        assert found.model.sigma == pytest.approx(12**-0.5)
        assert found.share(0) == 0.0
    scene.quantum = 6.0
    assert level(scene, white("denoise")).model.sigma == pytest.approx(6 / 12**0.5)


def test_data_are_exact_up_to_one_and_a_half_roundings_in_every_band(white):
    scene = Scene(np.zeros((2, 16, 16), np.uint8))
    limit = 1.5 / 12**0.5
    assert level(scene, white("denoise"), f"{limit * 0.999},0.1").exact
    assert not level(scene, white("denoise"), f"0.1,{limit * 1.001}").exact
    assert not level(scene, white("denoise"), "poisson:gain=0,sigma=0").exact
    smooth = Scene(np.zeros((16, 16)))
    assert level(smooth, white("denoise"), 0).exact
    assert not level(smooth, white("denoise"), 1e-9).exact


class Curved(Normaliser):
    def forward(self, physical):
        return physical

    def inverse(self, generator):
        return generator

    def derivative(self, generator):
        return generator

    def describe(self):
        return {}


def test_no_single_number_says_noise_that_varies_or_a_curved_scale(white):
    scene = Scene(textures(0.1))
    scene.stated = StatedNoise(0.1)
    assert level(scene, white()).share(0) == 1.0
    scene.map, scene.stated = Curved(), GaussianNoise(0.1)
    found = level(scene, white())
    assert (found.share(0), found.calibration, found.source) == (1.0, None, FILE)


def test_what_is_known_of_the_noise_goes_into_the_contrast(white):
    """Contrast 0.5: with noise of 0.02 the data say half the prior's; with unknown noise they say the noise, too."""
    rng = np.random.default_rng(0)
    image = 0.5 + rng.normal(0, (0.025**2 + 0.02**2) ** 0.5, (96, 96))
    found = level(Scene(image), white(), 0.02)
    assert found.calibration[0].gain == 0.5
    assert found.calibration[0].sigma == pytest.approx(0.02 / 0.5)
    assert found.model == GaussianNoise(0.02)
    scene = Scene(image)
    scene.stated = StatedNoise(0.02)
    unknown = level(scene, white())
    assert unknown.model == StatedNoise(0.02)
    assert unknown.calibration[0].measured


def test_a_share_is_of_the_span_of_its_band():
    ramp = np.linspace(-100, 900, 2000).reshape(40, 50)
    assert spoken_noise("10%", ArrayScene(ramp)).sigma == pytest.approx(0.1 * 0.998 * 1000, rel=1e-4)
    few = np.array([[3.0, 5.0], [np.nan, 11.0]])
    assert spoken_noise("50%", ArrayScene(few)).sigma == pytest.approx(4.0)
    assert spoken_noise("50%", ArrayScene(few * np.nan)).sigma == 0.0
    band = np.stack([ramp, 2 * ramp])
    assert spoken_noise("10%", ArrayScene(band)).sigma == pytest.approx((99.8, 199.6), rel=1e-4)
    enough, fewer = (np.append(np.linspace(0, 1, n - 1), 5.0) for n in (1000, 999))
    assert spoken_noise("10%", ArrayScene(enough.reshape(40, 25))).sigma == pytest.approx(0.1, rel=0.01)
    assert spoken_noise("10%", ArrayScene(fewer.reshape(37, 27))).sigma == pytest.approx(0.5)


def test_words_and_their_numbers():
    one, two = ArrayScene(np.zeros((4, 4))), ArrayScene(np.zeros((2, 4, 4)))
    assert spoken_noise("auto", one) is None
    assert spoken_noise("poisson:gain=2,sigma=3", two) == PoissonGaussianNoise(2, 3)
    assert spoken_noise("2,5", two) == GaussianNoise((2.0, 5.0))
    assert spoken_noise("2", two) == GaussianNoise(2.0)
    with pytest.raises(UsageError, match=r"^noise=1%,2%: 2 numbers for 1 band\(s\); give one"):
        spoken_noise("1%,2%", one)
    with pytest.raises(UsageError, match=r"^noise=loud: expected auto"):
        spoken_noise("loud", one)
