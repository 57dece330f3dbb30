"""Noise and scale of a scene: from the user, the file, the finest scales of the data, or a default."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gensr.errors import UsageError
from gensr.operators import Area, KSpaceCrop
from gensr.pipeline.noise import DEFAULT, FILE, GIVEN, MEASURED, PHOTONS, UNCERTAIN, settle_level, spoken_noise
from gensr.pipeline.task import Prior
from gensr.scenes.arrays import ArrayScene
from gensr.values.noise import GaussianNoise, PoissonGaussianNoise, StatedNoise
from gensr.values.normalise import AffineNormaliser, Normaliser


class Scene(ArrayScene):
    """An array whose normaliser and noise the test says."""

    stated, map, variance = None, None, None

    def read(self, plane, window):
        image = super().read(plane, window)
        if self.variance is None:
            return image
        return replace(image, variance=np.full(image.values.shape, self.variance, np.float32))

    def noise(self):
        return self.stated

    def normaliser(self):
        return self.map or AffineNormaliser((1.0,) * len(self.bands), (0.0,) * len(self.bands))


def textures(*sigmas, side=96, gain=1.0, seed=0):
    """Block means of the prior (deviation 0.05 about 0.5) with noise of a deviation for each band."""
    rng = np.random.default_rng(seed)
    return gain * np.stack([0.5 + rng.normal(0, (0.0025 + s**2) ** 0.5, (side, side)) for s in sigmas])


def smooth(*sigmas, side=96):
    """Broad waves with noise of a deviation for each band."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    waves = 0.5 + 0.2 * np.sin(7 * x) * np.cos(5 * y)
    return np.stack([waves + s * rng.standard_normal((side, side)) for s in sigmas])


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
    assert (found.model, found.source, found.contrast) == (GaussianNoise(0.2), FILE, None)


def test_auto_asks_the_data_and_not_the_file(white):
    scene = Scene(textures(0.1))
    scene.stated = GaussianNoise(0.2)
    found = level(scene, white(), "auto")
    assert found.source == MEASURED
    assert found.model.sigma == pytest.approx((0.01 + 0.0025) ** 0.5, rel=0.1)  # white texture is noise to the data


def test_every_band_has_its_own_noise_in_any_order(white):
    for sigmas in ((0.02, 0.2), (0.2, 0.02)):
        scene = Scene(smooth(*sigmas) * np.array([1.0, 50.0])[:, None, None])
        scene.map = AffineNormaliser((1.0, 50.0), (0.0, 0.0))
        found = level(scene, white("denoise"))
        assert (found.source, found.known.doubt) == (MEASURED, "")
        assert found.model.sigma == pytest.approx((sigmas[0], 50 * sigmas[1]), rel=0.15)
        assert [found.share(b) for b in (0, 1)] == pytest.approx(sigmas, rel=0.15)


def test_noise_of_photons_is_looked_for_where_detectors_count(white):
    """Gain 0.5 above a black level of 20: (20, 2), (220, 10.2), in a step of four plateaus with soft edges."""
    rng = np.random.default_rng(0)
    steps = np.repeat(np.linspace(20, 220, 6), 64)
    steps = np.convolve(np.pad(steps, 8, mode="edge"), np.hanning(18)[1:] / np.hanning(18).sum(), "valid")
    clean = np.broadcast_to(steps, (128, steps.size))
    scene = Scene(clean + np.sqrt(4 + 0.5 * (clean - 20)) * rng.standard_normal(clean.shape))
    assert isinstance(level(scene, white("denoise")).model, GaussianNoise)
    scene.counts_photons = True
    found = level(scene, white("denoise"))
    assert found.source == PHOTONS
    assert found.model.gain == pytest.approx(0.5, rel=0.15)
    assert found.model.sigma == pytest.approx(2.0, rel=0.2)
    assert found.model.black == pytest.approx(20, abs=8)
    flat = Scene(clean + 4 * rng.standard_normal(clean.shape))
    flat.counts_photons = True
    assert level(flat, white("denoise")).model.sigma == pytest.approx(4, rel=0.1)


def test_contrast_of_another_size_moves_the_scale_about_its_middle(white):
    """The texture four times as strong: gain 4, the middle of the range where it was."""
    rng = np.random.default_rng(0)
    scene = Scene(10 + 20 * (0.5 + rng.normal(0, 4 * 0.05, (96, 96))))
    scene.map = AffineNormaliser((20.0,), (10.0,))
    found = level(scene, white(), 0.02)
    assert found.contrast[0].gain == 4.0
    assert found.normaliser.gain == (80.0,)
    assert found.normaliser.offset == (10.0 + 0.5 * 20 * (1 - 4),)
    assert found.share(0) == pytest.approx(0.02 / 80)


def test_contrast_binds_nobody_but_the_prior_that_was_asked(white):
    rng = np.random.default_rng(0)
    image = 0.5 + rng.normal(0, 4 * 0.05, (96, 96))
    assert level(Scene(image), white(aligned=True), 0.02).contrast is None


def test_sums_widen_the_scale_by_the_root_of_their_pixels(white):
    scene = Scene(textures(0.1))
    found = level(scene, white(), 0.1, operator=Area(2), pixels=4.0)
    assert found.normaliser.gain[0] / found.contrast[0].gain == 2.0


def test_too_little_to_tell_is_a_default_and_says_so(white):
    holed = np.full((20, 20), np.nan)
    holed[::7, ::7] = 0.5
    found = level(Scene(holed), white())
    assert (found.source, found.model, found.exact) == (DEFAULT, GaussianNoise(0.0), True)
    codes = Scene(np.zeros((16, 16), np.uint8))
    codes.quantum = 6.0
    found = level(codes, white(), operator=KSpaceCrop(2, "none"))
    assert (found.source, found.exact) == (DEFAULT, True)
    assert found.model.sigma == pytest.approx(6 / 12**0.5)


def test_a_band_that_says_nothing_is_taken_as_noise_free_with_a_word(white):
    half = smooth(0.1, 0.1)
    half[1] = np.nan
    found = level(Scene(half), white("denoise"))
    assert found.source == f"{UNCERTAIN}: some bands show too little, the least is taken"
    assert found.known.doubt.startswith("the noise is uncertain (some bands show too little)")
    assert found.model.sigma == pytest.approx((0.1, 0.0), rel=0.1)


def test_what_two_estimators_disagree_about_is_a_range(white):
    """Detail of about two pixels, as strong on the finest scale as the noise: it may hold noise, or little."""
    rng = np.random.default_rng(0)
    wide = gaussian_filter(rng.normal(0, 3, (96, 96)), 0.7)
    found = level(Scene(wide + rng.normal(0, 1, (96, 96))), white("denoise"))
    assert found.source.startswith(f"{UNCERTAIN}: between ")
    low, high = (float(word) for word in found.source.split(":")[1].replace("between", "").split(",")[0].split("and"))
    assert low < 1.0 < high * 1.2
    assert found.model.sigma == pytest.approx(low, rel=0.01)
    assert "give noise= if you know it" in found.known.doubt


def test_an_estimate_is_never_below_the_rounding_of_its_codes(white):
    rng = np.random.default_rng(0)
    codes = np.rint(1000 * (0.5 + rng.normal(0, 0.005, (2, 96, 96)))).astype(np.uint16)
    scene = Scene(codes)
    scene.map = AffineNormaliser((1000.0, 1000.0), (0.0, 0.0))
    scene.quantum = 50.0
    found = level(scene, white())
    assert found.model.sigma == pytest.approx((50 / 12**0.5,) * 2)
    assert found.exact


def test_data_are_exact_up_to_one_and_a_half_roundings_in_every_band(white):
    scene = Scene(np.zeros((2, 16, 16), np.uint8))
    limit = 1.5 / 12**0.5
    assert level(scene, white("denoise"), f"{limit * 0.999},0.1").exact
    assert not level(scene, white("denoise"), f"0.1,{limit * 1.001}").exact
    assert not level(scene, white("denoise"), "poisson:gain=0,sigma=0").exact
    smooth = Scene(np.zeros((16, 16)))
    assert level(smooth, white("denoise"), 0).exact
    assert not level(smooth, white("denoise"), 1e-7).exact
    assert level(smooth, white("denoise"), 1e-8).exact  # less than float32 can tell from none


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
    scene.stated, scene.variance = StatedNoise(0.1), 0.01
    assert level(scene, white("denoise")).share(0) == 0.1  # the median of what is stated
    scene.stated = PoissonGaussianNoise(1, 0.1)
    assert level(scene, white("denoise")).share(0) == 1.0
    scene.map, scene.stated = Curved(), GaussianNoise(0.1)
    found = level(scene, white())
    assert (found.share(0), found.contrast, found.source) == (1.0, None, FILE)


def test_what_is_known_of_the_noise_goes_into_the_contrast(white):
    """Contrast 0.5: with noise of 0.02 the data say half the prior's, whether one number says it or a map."""
    rng = np.random.default_rng(0)
    image = 0.5 + rng.normal(0, (0.025**2 + 0.02**2) ** 0.5, (96, 96))
    found = level(Scene(image), white(), 0.02)
    assert found.contrast[0].gain == 0.5
    assert found.model == GaussianNoise(0.02)
    scene = Scene(image)
    scene.stated, scene.variance = StatedNoise(0.02), 0.02**2
    unknown = level(scene, white())
    assert unknown.model == StatedNoise(0.02)
    assert unknown.contrast == found.contrast


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


@pytest.mark.parametrize("words", ["1e160", "poisson:gain=1e300", "poisson:gain=1,sigma=1e200", "1e99%"])
def test_noise_that_cannot_be_squared_is_refused_by_name(words):
    scene = ArrayScene(np.linspace(0, 1e6, 4096, dtype=np.float32).reshape(64, 64))
    with pytest.raises(UsageError, match=rf"noise={words}: means .*nothing measured is beyond 1e\+100"):
        spoken_noise(words, scene)


@pytest.mark.parametrize("top", [1e150, 1e300, 1.7e308])
def test_values_beyond_all_measures_leave_the_noise_finite(white, top):
    """A corner of values whose differences or squares are infinite: the noise is that of the rest."""

    class Wild(Scene):
        def read(self, plane, window):
            image = super().read(plane, window)
            values = image.values.astype(np.float64)
            values[:, :8, :16] = top * (-1.0) ** np.arange(16)
            return replace(image, values=values, valid=np.ones_like(image.valid), usable=np.ones_like(image.valid))

    found = level(Wild(smooth(0.1)), white("denoise"))
    assert (found.source, found.exact) == (MEASURED, False)
    assert found.model.sigma == pytest.approx(0.1, rel=0.2)
