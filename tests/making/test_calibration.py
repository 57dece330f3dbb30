"""Calibration and audit on white noise, whose posterior is known: what is right, too narrow, or copied, must show."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gensr.errors import SearchError, UsageError
from gensr.making import cards
from gensr.making.audit import Audit, audit, audit_words, draws, nearest, nearest_anywhere, seen, windows_of
from gensr.making.calibration import Camera, Trial, measure, moments, observe
from gensr.making.heldout import Scaled, UnitScaling, prepare
from gensr.operators import Area
from gensr.pipeline.reconstruct import TileWork
from gensr.pipeline.task import Prior, Task
from gensr.pipeline.tiles import scene_tiles
from gensr.priors.card import GeneratorCard, conformal_factor
from gensr.priors.generator import NO_OPTIONS, Generator
from gensr.priors.observation import Moments
from gensr.scenes.arrays import ArrayScene
from gensr.search.posterior import method_of
from gensr.search.presets import PRESETS
from gensr.values.latent import LatentSpec, LatentTensor
from gensr.values.noise import GaussianNoise
from gensr.values.normalise import AffineNormaliser
from gensr.values.random import Stream

CARD = GeneratorCard(
    name="white",
    family="gaussian",
    domain="microscopy",
    bands=1,
    aligned=False,
    unit="1",
    value_range=(0.0, 1.0),
    pixel="any",
    licence="CC0-1.0",
    data="none",
    split="none",
    recipe="none",
    bias="knows nothing",
    audit="none",
    discrepancy=0.0,
)
SPREAD = 0.1


class White(Generator):
    """White noise of deviation `SPREAD` about 0.5, exactly; ``stated`` multiplies the deviation that it admits."""

    capabilities = frozenset({"posterior"})

    def __init__(self, stated=1.0, memory=None, aligned=False, bands=1):
        self.stated, self.memory = stated, memory
        self.card = replace(CARD, aligned=aligned, bands=bands)

    def to(self, device):
        return self

    def latents(self, shape):
        return LatentSpec((LatentTensor("pixels", (self.card.bands, *shape)),))

    def synthesize(self, latents, shape, stage=None):
        fresh = 0.5 + SPREAD * latents["pixels"]
        if self.memory is not None:
            fresh[0] = self.memory
        return fresh

    def posterior(self, data, options=NO_OPTIONS):
        (factor, _), prior = data.operator.factor, SPREAD**2
        block = prior / factor**2
        gain = block / (block + data.variance)
        y = torch.where(data.usable, data.y, 0.5)
        mean = 0.5 + (gain * (y - 0.5)).repeat_interleave(factor, -2).repeat_interleave(factor, -1)
        variance = prior - (block * gain).repeat_interleave(factor, -2).repeat_interleave(factor, -1)
        return Moments(mean, self.stated**2 * variance)


class Drawing(White):
    """The same through a denoiser alone, so that moments come from draws."""

    capabilities = frozenset({"denoise"})

    def denoise(self, x, sigma, at_end=(True, True)):
        variance = sigma.view(-1, 1, 1, 1) ** 2
        return 0.5 + SPREAD**2 / (SPREAD**2 + variance) * (x - 0.5)


class Mute(White):
    capabilities = frozenset()


def noise_images(count=12, side=48, bands=1, seed=0):
    rng = np.random.default_rng(seed)
    values = 0.5 + SPREAD * rng.normal(size=(count, bands, side, side))
    return [torch.from_numpy(v.astype(np.float32)) for v in values]


@pytest.mark.parametrize(("stated", "scale"), [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5)])
def test_the_factor_says_how_wrong_the_stated_deviation_is(stated, scale):
    found = measure(White(stated), noise_images(), Trial((2, 4), (0.0, 0.03)))
    for cell in found.cells:
        assert cell.scale == pytest.approx(scale, rel=0.03), cell.key
        assert cell.coverage == pytest.approx(0.9 if scale >= 1 else cell.stated, abs=0.01)
    assert list(found.conformal) == ["x2 noise 0", "x2 noise 0.03", "x4 noise 0", "x4 noise 0.03"]
    assert all(value == pytest.approx(max(1.0, scale), rel=0.03) for value in found.conformal.values())


def test_coverage_is_reported_on_images_that_nothing_was_fitted_on():
    """The other half is twice as far from its mean as expected: what was fitted on the calm half is too narrow."""
    images = [0.5 + (x - 0.5) * (2 if i % 2 else 1) for i, x in enumerate(noise_images())]
    (cell,) = measure(White(), images, Trial((2,), (0.0,))).cells
    assert cell.scale == pytest.approx(1.0, rel=0.03)
    assert cell.coverage == pytest.approx(0.59, abs=0.02)  # of a normal variable of deviation 2 within 1.645


def test_range_discrepancy_and_scores():
    images = noise_images()
    found = measure(White(), images, Trial((4,), (0.0,)))
    low, high = found.value_range
    assert (low, high) == pytest.approx((0.5 - 3.09 * SPREAD, 0.5 + 3.09 * SPREAD), abs=0.02)
    assert found.discrepancy == pytest.approx(SPREAD * 0.75**0.5, rel=0.02)  # what block means of 2 x 2 leave open
    first = found.cells[0]
    assert first.key == "x2 noise 0"
    assert first.psnr == pytest.approx(20 * np.log10((high - low) / found.discrepancy), abs=0.1)
    assert first.psnr > first.cubic
    assert np.isnan(first.correlation)  # the deviation is constant: no figure, and none on the card
    assert not any("correlation" in key for key in found.metrics)


def test_a_card_is_filled_and_read_again_by_the_plan():
    found = measure(White(0.5), noise_images(), Trial((2, 4), (0.0, 0.03)))
    stale = replace(CARD, conformal={"x8 noise 0.5": 7.0}, metrics={"x8 noise 0.5 PSNR": 1.0})
    card = found.fill(stale)
    assert set(card.conformal) == set(found.conformal)
    assert conformal_factor(card.conformal, 4, 0.03) == found.conformal["x4 noise 0.03"]
    assert (card.discrepancy, card.value_range) == (found.discrepancy, found.value_range)
    text = cards.card_text(card, "d1935e", 123)
    assert f"| x4 noise 0.03 | {found.conformal['x4 noise 0.03']:.4g} |" in text
    assert "| x2 noise 0 | " in text
    assert "123 bytes, digest d1935e" in text


def test_a_card_with_scores_of_other_kinds_is_a_table_all_the_same():
    card = replace(CARD, metrics={"x2 noise 0 PSNR": 30.0, "x4 noise 0 SSIM": 0.5, "FID": 12.0})
    lines = cards.card_text(card, "", 0).splitlines()
    assert lines[lines.index("| | PSNR | SSIM | FID |") + 2 :] == [
        "| x2 noise 0 | 30 |  |  |",
        "| x4 noise 0 |  | 0.5 |  |",
        "| all |  |  | 12 |",
    ]


def test_moments_come_from_draws_where_there_is_no_posterior():
    images = noise_images(4, 16)
    (cell,) = measure(Drawing(), images, Trial((2,), (0.0,), preset=PRESETS["fast"])).cells
    # Four draws know mean and deviation badly: the ratio is Student's t, whose 90 % interval is wider.
    assert 1.1 < cell.scale < 2.0


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_images_are_reconstructed_as_by_the_engine(noise):
    generator, operator, preset = White(), Area(4), PRESETS["balanced"]
    data = observe(noise_images(1, 64)[0][None], operator, noise, None, Stream(0))
    scene = ArrayScene(data.y[0].numpy())
    method = method_of(generator, operator, preset)
    identity, level = AffineNormaliser((1.0,), (0.0,)), GaussianNoise(noise)
    task = Task(operator, Prior(generator, None), identity, level, noise == 0, (1.0,), preset, method, 0, 0, 0.0)
    (wanted,) = TileWork(scene, task)(tuple(scene_tiles(1, scene.grid.shape, task, 64)))
    found = moments(generator, data, preset, Stream(0))
    np.testing.assert_allclose(found.mean[0].numpy(), wanted.mean, atol=1e-6)
    np.testing.assert_allclose(found.variance[0].sqrt().numpy(), wanted.std, atol=1e-6)


def test_every_image_of_every_cell_is_counted():
    ticks = []
    trial = Trial((2, 4), (0.0, 0.03))
    measure(White(), noise_images(5, 16), trial, lambda: ticks.append(1))
    assert len(ticks) == 5 * len(trial.cells) == 20


def test_the_same_seed_gives_the_same_figures():
    images = noise_images(6, 16)
    first, again, other = (measure(White(), images, Trial((2,), (0.03,), seed=seed)).cells for seed in (1, 1, 2))
    assert repr(first) == repr(again)  # NaN is not equal to itself
    assert first[1].scale != other[1].scale


def test_a_generator_without_posterior_and_draws_is_searched():
    """Latent search serves every generator; randomised problems spread as the posterior does."""
    cell = measure(Mute(), noise_images(4, 16), Trial((2,), (0.03,))).cells[1]
    assert 0.8 < cell.scale < 1.6


def test_a_generator_that_states_no_deviation_is_refused():
    with pytest.raises(SearchError, match="x2 noise 0: it errs where its stated deviation is 0"):
        measure(White(0.0), noise_images(4, 16), Trial((2,), (0.0,)))


@pytest.mark.parametrize(("count", "side"), [(3, 48), (8, 31)])
def test_too_few_or_too_small_images_are_refused(count, side):
    with pytest.raises(UsageError, match="give 4 or more such images, or smaller factors="):
        measure(White(), noise_images(count, side), Trial((2, 8), (0.0,)))


def test_aligned_pictures_are_not_cut_to_fit_a_factor():
    with pytest.raises(UsageError, match="factor 4 does not divide the 18 pixels"):
        measure(White(aligned=True), noise_images(4, 18), Trial((4,), (0.0,)))


class TestFluxes:
    def test_images_are_multiplied_by_the_factor(self):
        x = torch.full((1, 1, 8, 8), 3.0)
        trial = Trial((4,), (0.0,), flux=True)
        images = [0.5 / 2 + (image - 0.5) / 2 for image in noise_images()]  # times two they are what White expects
        assert measure(White(), images, replace(trial, factors=(2,))).cells[0].scale == pytest.approx(1.0, rel=0.03)
        assert measure(White(), images, replace(trial, factors=(2,))).discrepancy == pytest.approx(
            SPREAD * 0.75**0.5 / 2, rel=0.03
        )
        assert float(observe(4 * x, Area(4), 0.0, None, Stream(0)).y.mean()) == pytest.approx(12.0)

    def test_noise_of_a_camera(self):
        """Photon noise of the datum and that of an empty pixel, as the camera states it."""
        camera = Camera(photon=0.04, sky=0.1)
        x = torch.full((1, 1, 400, 400), 2.0)
        data = observe(x, Area(4), 1.0, camera, Stream(0))
        wanted = 2.0 * 0.04 / 4 + 0.1**2
        assert float(data.y.var()) == pytest.approx(wanted, rel=0.05)
        assert float(data.variance.mean()) == pytest.approx(wanted, rel=0.01)
        assert float(data.y.mean()) == pytest.approx(2.0, abs=0.01)
        assert not data.exact

    def test_other_levels_are_plain_noise(self):
        data = observe(torch.full((1, 1, 200, 200), 2.0), Area(2), 0.05, Camera(0.04, 0.1), Stream(0))
        assert float(data.y.std()) == pytest.approx(0.05, rel=0.05)
        assert bool((data.variance == 0.05**2).all())


class TestPreparing:
    IMAGES = tuple(np.arange(i, i + 64, dtype=np.float32).reshape(1, 8, 8) for i in range(10))

    def test_percentiles_and_units(self):
        (first, *_) = prepare(self.IMAGES, CARD, UnitScaling(0.0, 100.0), 10)
        assert (float(first.min()), float(first.max())) == (0.0, 1.0)
        assert float(prepare(self.IMAGES, CARD, UnitScaling(unit=63.0), 10)[0].max()) == 1.0

    def test_a_choice_keeps_the_order(self):
        found = [int(x[0, 0, 0]) for x in prepare(self.IMAGES, CARD, UnitScaling(unit=1.0), 4, seed=3)]
        assert len(found) == 4
        assert found == sorted(found)

    def test_planes_that_say_nothing_are_left_out(self):
        spot = np.zeros((1, 64, 64), np.float32)
        spot[0, 0, :2] = 0.5, 100.0
        flat = np.ones((1, 8, 8), np.float32)
        assert len(prepare([flat, spot, *self.IMAGES], CARD, UnitScaling(1.0, 99.97), 12)) == 10

    @pytest.mark.parametrize(
        ("image", "bands", "aligned", "words"),
        [
            (np.full((1, 8, 8), np.nan), 1, False, "image 1 of 11 holds NaN or infinity"),
            (np.ones((3, 8, 8)), 4, False, r"image \d+ of 11 has \d band\(s\), but white models 4 jointly"),
            (np.ones((1, 9, 8)), 1, True, r"image \d+ of 11 has \d x \d pixels; white is for aligned square pictures"),
        ],
    )
    def test_unsuitable_images_are_refused(self, image, bands, aligned, words):
        card = replace(CARD, bands=bands, aligned=aligned)
        with pytest.raises(UsageError, match=words):
            prepare([image.astype(np.float32), *self.IMAGES], card, UnitScaling(unit=1.0), 20)

    def test_who_says_how_values_were_scaled(self):
        told = White()
        assert not isinstance(told, Scaled)
        told.scaling, told.flux = {"unit": 2.0}, False
        assert isinstance(told, Scaled)


class TestAudit:
    def test_a_memorised_picture_is_found(self):
        train, held = noise_images(30, 32), noise_images(20, 32, seed=1)
        clean, copying = (audit(White(memory=m, aligned=True), train, held) for m in (None, train[7]))
        assert clean.copies == 0
        assert copying.copies == 10  # the first of every batch of 20
        assert copying.own.min() == 0
        assert "no sample(s) suspected" in audit_words(clean)
        assert "10 sample(s) suspected to be copies" in audit_words(copying)

    def test_a_memorised_window_is_found(self):
        """Fields are compared by windows, which no contrast and no level can hide."""
        train, held = noise_images(3, 64), noise_images(20, 64, seed=1)
        clean, copying = (audit(White(memory=m), train, held) for m in (None, 5 + 3 * train[1]))
        assert clean.copies == 0
        assert copying.copies >= 1
        assert copying.own.min() < 0.01
        assert clean.pool == 3 * 41**2

    def test_held_out_images_that_were_trained_on_are_named(self):
        train = noise_images(10, 32)
        found = audit(White(aligned=True), train, [*noise_images(4, 32, seed=1), train[3]])
        assert found.leaked == 1
        assert "1 held-out image(s) are in the training data" in audit_words(found)

    def test_where_copies_cannot_be_told_it_says_so(self):
        found = Audit(np.array([0.001, 0.4], np.float32), np.array([0.001, 0.7], np.float32), 99, "windows")
        assert not found.telling
        assert "these could not be told" in audit_words(found)
        assert "no sample" not in audit_words(found)

    def test_words_hold_the_figures(self):
        found = Audit(np.array([0.2, 0.4], np.float32), np.array([0.5, 0.7], np.float32), 99, "windows")
        assert audit_words(found) == (
            "root mean square distance to the nearest of 99 training windows: 2 unconditional samples median 0.300, "
            "least 0.200; 2 held-out median 0.600, least 0.500; 1 sample(s) suspected to be copies (below 0.5 of the "
            "least held-out distance)"
        )

    def test_windows_have_no_mean_and_unit_contrast(self):
        found = windows_of([x.numpy() for x in noise_images(3, 40)], 24, 50, 0)
        assert found.shape == (50, 576)
        np.testing.assert_allclose(found.mean(1), 0, atol=1e-5)
        np.testing.assert_allclose(found.std(1), 1, rtol=1e-4)

    @pytest.mark.parametrize("image", [np.ones((1, 40, 40), np.float32), np.eye(20, dtype=np.float32)[None]])
    def test_flat_or_small_images_hold_no_windows(self, image):
        with pytest.raises(UsageError, match="too few windows of 24 pixels that show something"):
            windows_of([image], 24, 5, 0)

    def test_pictures_of_other_sizes_are_refused(self):
        with pytest.raises(UsageError, match="2 sizes"):
            audit(White(aligned=True), noise_images(4, 32), noise_images(4, 16))

    def test_windows_are_found_at_any_place(self):
        plane = noise_images(1, 40)[0][0]
        window = plane[11:35, 3:27].reshape(1, -1)
        query = ((window - window.mean()) / window.std(correction=0)).numpy()
        other = noise_images(1, 40, seed=2)[0][0]
        found, missed = (nearest_anywhere(query, [p], 24)[0] for p in (plane, other))
        assert found < 0.01
        assert 1.2 < missed < 2**0.5

    def test_distances_near_zero_are_exact(self):
        pool = np.random.default_rng(0).normal(size=(50, 600)).astype(np.float32) + 100
        np.testing.assert_allclose(nearest(pool[:5] + 1e-3, pool), 1e-3, rtol=0.05)
        assert (nearest(pool[:5], pool) == 0).all()

    def test_pictures_are_compared_small(self):
        assert seen(np.ones((2, 3, 64, 64), np.float32)).shape == (2, 3 * 32 * 32)

    def test_samples_do_not_depend_on_how_many_there_are(self):
        few, many = (draws(White(), (8, 8), count) for count in (3, 25))
        assert many.shape == (25, 1, 8, 8)
        np.testing.assert_array_equal(few, many[:3])
