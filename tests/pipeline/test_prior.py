"""Which generator answers: the one named, the usual one, or its stand-in, and why."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gensr.errors import SearchError
from gensr.operators import Area, KSpaceCrop, parse_operator
from gensr.pipeline import prior as room
from gensr.pipeline.prior import Wanted, check_options, choose_prior, closed_prior
from gensr.pipeline.task import Prior
from gensr.priors import weights
from gensr.scenes.arrays import ArrayScene
from gensr.search.presets import PRESETS


def wanted(shape, generator="engression-field", named=None, operator=None):
    scene = ArrayScene(np.zeros(shape, np.uint8))
    scene.generator, scene.stand_in = (lambda: generator), lambda: ""
    return Wanted(scene, operator or Area(2), named, "cpu")


@pytest.fixture
def shelf(monkeypatch, white):
    """Generators that no file holds: "a" serves only area integration and stands in for by "b"."""

    class Picky(white):
        fallback = "b"

        def serves(self, operator, shape):
            return operator.local and shape[0] < 100

    made = {"a": Picky(name="a"), "b": white("posterior", name="b"), "rgb": white(name="rgb", bands=3),
            "aligned": white(name="aligned", aligned=True)}  # fmt: skip
    monkeypatch.setattr(
        room,
        "weights",
        SimpleNamespace(
            load=lambda name: (made[name], SimpleNamespace(name=name)),
            reference=lambda name, kept: ("reference", name, kept.name),
            available=lambda: {name: None for name in made if name != "gone"},
        ),
    )
    return made


USUAL, NAMED, STANDS_IN = "usual for the scene", "named by the user", "stands in where that one cannot serve"


def test_the_usual_prior_of_the_scene(shelf):
    prior, why = choose_prior(wanted((8, 8), "a"))
    assert (prior.generator, prior.reference, prior.device, why) == (shelf["a"], ("reference", "a", "a"), "cpu", USUAL)


def test_the_one_that_the_user_names(shelf):
    prior, why = choose_prior(wanted((8, 8), "a", named="b"))
    assert (prior.generator, prior.reference, why) == (shelf["b"], ("reference", "b", "b"), NAMED)


@pytest.mark.parametrize(("shape", "operator"), [((8, 8), KSpaceCrop(2, "none")), ((50, 8), None)])
def test_the_stand_in_where_the_usual_one_cannot_serve(shelf, shape, operator):
    prior, why = choose_prior(wanted(shape, "a", operator=operator))
    assert (prior.generator.card.name, why) == ("b", STANDS_IN)
    assert choose_prior(wanted((49, 8), "a"))[1] == USUAL  # 98 refined rows


def test_the_prior_lies_on_the_device_that_was_asked_for(shelf, monkeypatch, white):
    class Moved(white):
        fallback = "b"

        def to(self, device):
            return white(name=f"{self.card.name} on {device}")

    monkeypatch.setattr("gensr.priors.device.choose_device", lambda word: {"auto": "the best"}.get(word, word))
    shelf["a"], shelf["b"] = Moved("denoise", name="a"), Moved("posterior", "evidence", name="b")
    prior, _ = choose_prior(replace(wanted((8, 8), "a"), device="auto"))
    assert (prior.generator.card.name, prior.device) == ("a on the best", "auto")
    own = Prior(shelf["a"], None, "auto")
    assert closed_prior(own, Area((2, 1))).generator.card.name == "b on the best"


def test_the_scene_may_name_who_stands_in(shelf, white):
    """Of several fields one network is the usual one: what stands in belongs to the field."""
    shelf["own"] = white("denoise", "evidence", name="own")
    asked = wanted((100, 8), "a")
    assert choose_prior(asked)[0].generator.card.name == "b"
    shelf["a"].fallback, asked.scene.stand_in = "", lambda: "own"
    assert choose_prior(asked)[0].generator.card.name == "own"


def test_no_stand_in_for_one_that_was_named(shelf):
    with pytest.raises(
        SearchError, match=r"^array: a cannot serve .*area.* and an output of 16 x 200 pixels; use generator=b$"
    ):
        choose_prior(wanted((100, 8), "b", named="a"))
    shelf["a"].fallback = ""
    with pytest.raises(SearchError, match=r"use another generator \(gensr models list\)$"):
        choose_prior(wanted((100, 8), "a"))


@pytest.mark.parametrize(
    ("shape", "name", "message"),
    [
        ((8, 8), "rgb", r"array: 1 bands, but rgb models 3 jointly"),
        ((2, 8, 8), "rgb", r"array: 2 bands, but rgb models 3 jointly"),
        ((8, 9), "aligned", r"array: 9 x 8 pixels; aligned is for aligned square pictures"),
    ],
)
def test_bands_and_shapes_that_a_prior_does_not_model(shelf, shape, name, message):
    with pytest.raises(SearchError, match=message):
        choose_prior(wanted(shape, name))


@pytest.mark.parametrize(("shape", "name"), [((3, 8, 9), "rgb"), ((5, 8, 8), "aligned"), ((7, 8, 9), "b")])
def test_bands_and_shapes_that_it_does(shelf, shape, name):
    assert choose_prior(wanted(shape, name))[0].generator is shelf[name]


def test_numbers_that_a_generator_has_not_are_refused_only_if_the_user_said_them(white):
    class Able(white):
        options = {"spacing": 1.0, "depth": 2.0}  # noqa: RUF012

    preset = PRESETS["fast"]
    check_options(preset, white())
    check_options(replace(preset, said=("spacing", "draws")), Able())
    with pytest.raises(
        SearchError, match=r"search.network_steps: white has no such number; .*search.spacing, search.depth$"
    ):
        check_options(replace(preset, said=("spacing", "network_steps")), Able())
    with pytest.raises(SearchError, match=r"of its own it has none$"):
        check_options(replace(preset, said=("spacing",)), white())


def test_a_pass_with_another_operator_takes_the_stand_in_if_it_must(shelf, white):
    own = Prior(shelf["a"], None, "cpu")
    assert closed_prior(own, Area((2, 1))) is own
    mute = white("denoise", name="mute")
    mute.fallback = "b"
    own = Prior(mute, None, "cpu")
    other = closed_prior(own, Area((2, 1)))
    assert (other.generator, other.reference, other.device) == (shelf["b"], ("reference", "b", "b"), "cpu")
    assert closed_prior(own, KSpaceCrop(2, "none")) is own  # neither has a posterior for that
    mute.fallback = "not installed"
    assert closed_prior(own, Area((2, 1))) is own


def test_shipped_priors_of_faces_stand_in_for_each_other():
    faces = wanted((3, 128, 128), "engression-faces", operator=Area(4))
    prior, why = choose_prior(faces)
    assert (prior.generator.card.name, why) == ("gaussian-faces", STANDS_IN)
    assert prior.reference == weights.reference("gaussian-faces", weights.load("gaussian-faces")[1])
    with pytest.raises(
        SearchError, match=r"engression-faces cannot serve .* 512 x 512 pixels; use generator=gaussian-faces"
    ):
        choose_prior(replace(faces, named="engression-faces"))
    sky = wanted((24, 24), "engression-astronomy", operator=parse_operator("gaussian:sigma=0.5", (2, 2)))
    prior, why = choose_prior(sky)
    assert (prior.generator.card.name == "engression-astronomy") == (why == USUAL)
