"""What the user asks for, settled before anything is computed: words, devices, scales, noise of every band."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from gensr.errors import SearchError, UsageError
from gensr.operators import Area
from gensr.pipeline.cost import speed
from gensr.pipeline.noise import DEFAULT, FILE, GIVEN, MEASURED, spoken_noise
from gensr.pipeline.request import Request, Runtime
from gensr.pipeline.settle import chosen_preset, open_source, settle, settle_operator, settle_scene
from gensr.priors.card import conformal_factor
from gensr.priors.device import choose_device
from gensr.scenes import installed
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.product import ThroughPlane
from gensr.search.presets import PRESETS
from gensr.values.noise import GaussianNoise, PoissonGaussianNoise, StatedNoise

SCENE = ArrayScene(np.linspace(0, 200, 10_000).reshape(100, 100))


def asked(**words):
    return Request(source="array", **words)


def settled(scene, **words):
    return settle_scene(scene, "array", "array", asked(**words))


def test_every_choice_of_the_request_reaches_the_task(plan, white):
    card = {"x2 noise 0.01": 1.5, "x2 noise 0.5": 2.5, "x8 noise 0.01": 9.0}
    image = np.random.default_rng(0).uniform(0, 100, (2, 6, 8)).astype(np.uint16)
    made = plan(image, white("posterior", "draw", conformal=card), samples=3, seed=11, noise="1,50", batch=5, tile=4)
    task = made.task
    assert task.conformal == (1.5, 2.5)  # noise of 0.01 and 0.5 in units of 100
    assert (task.samples, task.seed, task.quantum, task.exact) == (3, 11, 1.0, False)
    assert task.noise_model == GaussianNoise((1.0, 50.0))
    assert task.operator.describe()["name"] == "area"
    assert (task.factor, task.operator.gain) == ((2, 2), 1.0)
    assert (task.method.moments, task.method.samples) == ("closed", "own")
    assert task.preset is PRESETS["balanced"]
    assert [t.core.rows for t in made.tiles] == [4, 4, 2, 2]
    assert (made.batch, made.why, made.domain, made.names.factor, made.names.stem) == (
        5,
        "for the test",
        "array",
        2,
        "array",
    )
    assert plan(image, noise=0).task.exact
    assert plan(image, noise=0).task.conformal == (1.0, 1.0)


def test_what_a_run_will_take_counts_both_passes(plan, white):
    """A batch of the largest tile, here the one in the middle, and everything again through planes."""
    price = white("posterior", "draw", cost=(1e6, 1e5, 10.0))
    within, through = (plan(np.zeros((4, 1, 30, 30)), price, through=t, samples=2, tile=10) for t in (None, (2, 3)))
    assert within.expected.memory == 30 * 30 * 4 * 10
    assert within.slices == 1
    assert through.slices == 3
    assert through.expected.disk == within.expected.disk * (1 + 3 * 3)
    work = 4 * 900 * 4 * 1e6 * 4 * 3  # pixels, operations, the mean twice and two samples, three slices for one
    assert through.expected.seconds - within.expected.seconds == pytest.approx(work / speed("cpu"))


def test_sums_and_aligned_pictures_are_not_refined_through_planes(plan, white):
    volume = np.zeros((4, 1, 8, 8))
    assert plan(volume, through=(2, 3)).through_plane.factor == 3
    with pytest.raises(SearchError, match=r"^array: refinement across slices needs values that are means"):
        plan(volume, white("posterior", "draw", aligned=True), through=(2, 3))
    sums = Scene(np.zeros((4, 1, 8, 8)))
    sums.through_plane = lambda factor: ThroughPlane(2, 3)
    with pytest.raises(SearchError, match="needs values that are means"):
        settled(sums, noise=1.0, generator="gaussian-microscopy")


class Scene(ArrayScene):
    """An array of sums."""

    def operator(self, factor):
        return Area(factor, total=True)


def test_sums_stay_sums_whatever_operator_the_user_names():
    for words in ({}, {"operator": "bicubic"}, {"operator": "area"}):
        request = asked(factor=3, **words)
        assert settle_operator(Scene(np.zeros((8, 8))), request).gain == pytest.approx(9.0)
        assert settle_operator(ArrayScene(np.zeros((8, 8))), request).gain == pytest.approx(1.0)
    assert settle_operator(SCENE, asked(operator="bicubic")).describe()["name"] == "bicubic"


def test_an_input_that_cannot_be_settled_is_closed_again(monkeypatch, tmp_path):
    closed = []
    monkeypatch.setattr(ArrayScene, "close", lambda self: closed.append(True))
    with pytest.raises(UsageError, match="search=quick"):
        settle(Request(source=np.zeros((8, 8)), search="quick"))
    assert closed == [True]


def test_sources(tmp_path):
    path = tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8))
    for domain in (None, "microscopy"):
        scene, name, stem = open_source(str(path), domain, {})
        assert (scene.grid.shape, name, stem) == ((8, 9), "microscopy", installed.domain("microscopy").stem(path))
        scene.close()
    scene, name, stem = open_source(np.zeros((8, 9)), None, {})
    assert (scene.grid.shape, name, stem) == ((8, 9), "array", "array")


@pytest.mark.parametrize(
    ("word", "noise"),
    [
        ("auto", None),
        ("0", GaussianNoise(0)),
        (2.5, GaussianNoise(2.5)),
        (" 12.5 ", GaussianNoise(12.5)),
        ("poisson:gain=2,sigma=3", PoissonGaussianNoise(2, 3)),
        ("Poisson:gain=0.5", PoissonGaussianNoise(0.5, 0)),
    ],
)
def test_noise_words(word, noise):
    assert spoken_noise(word, SCENE) == noise


def test_a_percentage_is_of_the_range_of_its_band():
    noise = spoken_noise("2%", SCENE)
    assert isinstance(noise, GaussianNoise)
    assert noise.sigma == pytest.approx(0.02 * 200, rel=0.01)
    two = ArrayScene(np.stack([SCENE.read(0, (0, 0, 100, 100)).values[0], np.linspace(0, 5, 10_000).reshape(100, 100)]))
    assert spoken_noise("2%", two).sigma == pytest.approx((4.0, 0.1), rel=0.01)
    assert spoken_noise("2%,10%", two).sigma == pytest.approx((4.0, 0.5), rel=0.01)
    assert spoken_noise("2,0.5", two) == GaussianNoise((2.0, 0.5))
    with pytest.raises(UsageError, match=r"noise=1,2,3: 3 numbers for 2 band\(s\)"):
        spoken_noise("1,2,3", two)


@pytest.mark.parametrize(
    "word", ["", "loud", "-1", "nan", "inf", "%", "-1%", "poisson:", "poisson:sigma=2", "poisson:gain=x", "1,", "1%,2"]
)
def test_other_words_are_refused_with_what_is_possible(word):
    with pytest.raises(UsageError, match=r"expected auto, a deviation .* poisson:gain=G,sigma=S"):
        asked(noise=word)


@pytest.mark.parametrize("factor", [1, 0, -2, 65, 2.0, "1", "2x65", "0x2", "2,4", "x", (2,), (1, 1), True])
def test_impossible_factors_are_refused(factor):
    with pytest.raises(UsageError, match="expected a whole number from 2 to 64"):
        asked(factor=factor)


@pytest.mark.parametrize(
    ("factor", "kept", "pair"),
    [(4, 4, (4, 4)), ("4", 4, (4, 4)), ("2x4", "2x4", (2, 4)), ((1, 3), "1x3", (1, 3)), ([3, 3], 3, (3, 3))],
)
def test_factors_are_kept_in_one_form(factor, kept, pair):
    assert (asked(factor=factor).factor, asked(factor=factor).factors) == (kept, pair)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"samples": -1}, "samples=-1: expected 0 or more"),
        ({"tile": 0}, "tile=0: expected a whole number from 1"),
        ({"batch": True}, "batch=True: expected a whole number from 1"),
        ({"resume": True}, "resume=true needs output="),
    ],
)
def test_impossible_requests_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        asked(**words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "cloud"}, "runtime=cloud: expected local or dask"),
        ({"name": "dask", "workers": -1}, "runtime.workers=-1: expected a whole number from 0"),
        ({"workers": 2}, "runtime.workers=2 is for runtime=dask"),
        ({"address": "tcp://a:1"}, "runtime.address=tcp://a:1 is for runtime=dask"),
    ],
)
def test_impossible_runtimes_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        Runtime(**words)


def test_presets_by_name_or_as_they_are():
    assert chosen_preset(asked(search="fast")) is PRESETS["fast"]
    assert chosen_preset(asked(search=PRESETS["best"])) is PRESETS["best"]
    with pytest.raises(UsageError, match=r"search=quick: expected one of fast, balanced"):
        chosen_preset(asked(search="quick"))


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    for name, words in (("abacus", "expected cpu or cuda"), ("cuda:99", "not usable here")):
        with pytest.raises(UsageError, match=f"device={name}: {words}"):
            choose_device(name)


@pytest.mark.parametrize(
    ("factor", "noise", "expected"),
    [(4, 0.0, 1.1), (4, 0.0005, 1.1), (4, 0.05, 1.4), (8, 0.0, 2.0), (64, 0.0, 2.0), (2, 0.0, 1.1)],
)
def test_the_nearest_calibration_is_used(factor, noise, expected):
    table = {"x4 noise 0": 1.1, "x4 noise 0.03": 1.4, "x8 noise 0": 2.0}
    assert conformal_factor(table, factor, noise) == expected
    assert conformal_factor({}, factor, noise) == 1.0


def test_rounded_data_without_noise_are_exact_and_noisy_ones_are_not():
    image = np.random.default_rng(0).integers(0, 200, (40, 40)).astype(np.uint8)
    assert settled(ArrayScene(image), noise=0).task.exact
    assert settled(ArrayScene(image), noise=0.3).task.exact
    plan = settled(ArrayScene(image), noise=5.0)
    assert not plan.task.exact
    assert plan.task.noise_model == GaussianNoise(5.0)
    assert plan.level.source == GIVEN
    assert plan.task.deviation(torch.ones(1, 3, 1)).flatten().tolist() == [5.0, 5.0, 5.0]


def test_one_noisy_band_makes_the_scene_noisy():
    image = np.random.default_rng(0).integers(0, 200, (2, 40, 40)).astype(np.uint8)
    assert settled(ArrayScene(image), noise="0.3,0.2").task.exact
    plan = settled(ArrayScene(image), noise="0.3,5")
    assert not plan.task.exact
    gain = plan.task.normaliser.gain
    assert [plan.level.share(band) for band in (0, 1)] == pytest.approx([0.3 / gain[0], 5 / gain[1]])


class Stating(ArrayScene):
    """An array whose file states its noise."""

    model = None

    def noise(self):
        return self.model


def test_the_source_of_the_noise_is_said():
    rng = np.random.default_rng(0)
    scene = Stating(rng.normal(100, 5, (96, 96)))
    scene.model = GaussianNoise(4.0)
    plan = settled(scene)
    assert (plan.level.source, plan.task.noise_model) == (FILE, GaussianNoise(4.0))
    assert settled(scene, noise=3.0).level.source == GIVEN
    scene.model = None
    assert settled(scene).level.source == MEASURED
    holed = np.full((40, 40), np.nan)
    holed[::7, ::7] = 1.0
    assert settled(Stating(holed)).level.source == DEFAULT
    scene.model = StatedNoise(0.5)
    assert settled(scene).level.share(0) == pytest.approx(0.5 / plan.task.normaliser.gain[0])


def test_estimated_noise_is_never_below_rounding():
    flat = np.repeat(np.arange(64, dtype=np.uint8)[None], 64, 0)
    assert settled(ArrayScene(flat)).task.noise_model.sigma >= 12**-0.5


def test_words_that_meet_the_image_are_checked():
    with pytest.raises(UsageError, match="unknown operator 'blur'"):
        settled(SCENE, operator="blur")
    with pytest.raises(SearchError, match=r"pixels; gaussian-faces is for aligned|models 3 jointly"):
        settled(SCENE, generator="gaussian-faces")


def test_numbers_that_the_generator_does_not_have_are_refused_by_name():
    preset = replace(PRESETS["fast"], said=("spacing",))
    with pytest.raises(
        SearchError, match=r"search.spacing: engression-field has no such number; of its own it has none"
    ):
        settled(SCENE, search=preset, noise=1.0)
    assert settled(SCENE, search=preset, noise=1.0, generator="gaussian-microscopy").task.preset is preset


def test_a_plan_says_what_it_would_do():
    said = settled(SCENE, factor=2, noise=2.5, samples=3, batch=2).describe()
    assert said["output"] == "200 x 200 pixels, 1 plane(s), 1 band(s)"
    assert said["generator"]["name"] == "engression-field"
    assert said["noise"]["sigma"] == 2.5
    assert said["noise"]["from"] == GIVEN
    assert said["samples"] == "3, of the generator itself"
    assert said["tiles"] == "1 of 100 x 100 input pixels, 100 x 100 with context, 2 together"
    assert said["time"].startswith("about ")
    assert said["disk"] == "781 KiB while it runs"


def test_a_plan_travels(tmp_path):
    """Pickled it is small; another process opens the input again and comes to the same tiles."""
    import tifffile

    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 200, (40, 40)).astype(np.uint16))
    with settle(Request(source=path, factor=2, noise=3.0, samples=0)) as plan:
        packed = pickle.dumps(plan)
        assert len(packed) < 8000
        with pickle.loads(packed) as again:
            assert again.tiles == plan.tiles
            assert again.task.noise_model == plan.task.noise_model
            assert again.task.generator.card == plan.task.generator.card
            here, there = ([e for e in p.run()][-1].result for p in (plan, again))
    np.testing.assert_array_equal(here.mean, there.mean)
