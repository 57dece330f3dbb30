"""When a scene is tried on itself: for calibrate=self, and a little beside every run; pixels never change."""

import numpy as np
import pytest

from gensr.errors import SearchError, UsageError
from gensr.operators import Area
from gensr.pipeline import trial
from gensr.pipeline.cost import answers
from gensr.pipeline.events import Warned
from gensr.pipeline.report import identity, planned
from gensr.pipeline.request import Request
from gensr.pipeline.tiles import by_bands, cut
from gensr.priors.observation import Moments


def picture(shape=(64, 64), noise=5.0, seed=0):
    rng = np.random.default_rng(seed)
    return (50 + 10 * rng.standard_normal(shape) + noise * rng.standard_normal(shape)).astype(np.float32)


def result(plan, *args, **words):
    return list(plan(*args, **words).run())[-1].result


@pytest.fixture
def bold(white):
    """A generator whose variance is four times too small."""

    class Bold(white):
        def posterior(self, data, options=None):
            right = super().posterior(data)
            return Moments(right.mean, right.variance / 4)

    return Bold("posterior", "draw")


def test_every_run_is_checked_a_little_and_its_pixels_do_not_know(plan, bold):
    values = picture((96, 96))
    found = {word: result(plan, values, bold, samples=1, check=word) for word in ("off", "auto", "on")}
    for name in ("mean", "std"):
        one, *others = (getattr(r, name).tobytes() for r in found.values())
        assert others == [one, one]
    assert found["auto"].samples[0].tobytes() == found["off"].samples[0].tobytes()
    assert found["off"].report["check"] is None
    said = found["on"].report["check"]
    assert said["windows"] == 1
    assert said["pixels"] == 96 * 96
    assert said["coverage of 90 %"] == pytest.approx(0.73, abs=0.03)
    assert any("too narrow" in text for text in found["on"].report["warnings"])
    assert not any("too narrow" in text for text in found["off"].report["warnings"])
    again = result(plan, values, bold, samples=1, check="on").report["check"]
    assert again == said


def test_a_warning_is_an_event(plan, bold):
    events = list(plan(picture((128, 128)), bold, check="on").run())
    assert [e.text for e in events if isinstance(e, Warned)] == events[-1].result.report["warnings"]
    assert len([e for e in events if isinstance(e, Warned) and "calibrate=self" in e.text]) == 1


@pytest.mark.parametrize(
    ("shape", "word", "says"),
    [
        ((64, 63), "auto", "63 x 64 pixels; only images of 64 x 64 pixels and more are tried unasked"),
        ((40, 15), "on", "15 x 40 pixels are too small to be coarsened by 2 x 2 and judged: 16 x 16 are the least"),
    ],
)
def test_the_report_says_why_there_is_none(plan, shape, word, says):
    assert result(plan, picture(shape), check=word).report["check"] == {"not done": says}


def test_it_takes_a_tenth_of_the_run_at_most(plan, monkeypatch, white):
    """64 x 64 by 2 has 16384 answers: 1638 pixels may be tried, 40 x 40. Eight draws as dear as the mean: all of it."""
    small = result(plan, picture()).report["check"]
    assert (small["windows"], small["pixels"]) == (1, 36 * 36)  # 4 pixels along the two cut edges are not compared
    dear = white("posterior", "draw", cost=(10.0, 10.0, 1.0))
    many = result(plan, picture(), dear, samples=8).report["check"]
    assert (many["windows"], many["pixels"]) == (1, 64 * 64)
    monkeypatch.setattr(trial, "SHARE", 0.01)
    assert result(plan, picture()).report["check"] == {
        "not done": "it would take more than 1% of the run, or nothing in it is usable"
    }


def test_work_is_counted_in_answers(make_task, white):
    tiles = tuple(cut(1, (10, 20), 10, 2))
    read = (10 * 12) * 2
    generator = white("posterior", "draw", cost=(10.0, 20.0, 1.0))
    assert answers(make_task(generator, operator=Area(2)), tiles, 1, 0, 1) == 4 * read
    assert answers(make_task(generator, samples=3), tiles, 1, 0, 1) == 4 * read * 7
    assert answers(make_task(generator), tiles, 1, 2, 3) == 4 * read + 6 * 4 * 200
    assert answers(make_task(samples=3), tiles, 1, 0, 1) == 4 * read
    groups = tuple(by_bands(list(tiles), 5, 2))
    assert len(groups) == 6
    assert answers(make_task(), groups, 5, 0, 1) == answers(make_task(), tiles, 5, 0, 1) == 5 * 4 * read


def test_an_error_of_the_trial_does_not_end_the_run(plan, white):
    class Picky(white):
        def posterior(self, data, options=None):
            if data.shape[0] < 128:
                raise SearchError("not so small")
            return super().posterior(data)

    found = result(plan, picture(), Picky("posterior", "draw"))
    assert found.report["check"] == {"not done": "not so small"}
    assert found.mean.shape == (128, 128)


def test_calibrate_self_scales_the_deviation_and_says_so(plan, bold):
    values = picture((160, 160))
    card, own = (result(plan, values, bold, calibrate=word) for word in ("card", "self"))
    (factor,) = own.report["check"]["factors of calibrate=self"]
    assert factor == pytest.approx(2, abs=0.15)
    np.testing.assert_allclose(own.std, factor * card.std, rtol=1e-5)
    np.testing.assert_array_equal(own.mean, card.mean)
    assert (card.report["std scale"], card.report["std scale from"]) == (1.0, "card")
    assert (own.report["std scale"], own.report["std scale from"]) == (factor, "self")
    assert own.report["check"]["coverage of 90 %"] == pytest.approx(0.9, abs=0.02)
    assert not any("narrow" in text for text in own.report["warnings"])
    quiet = plan(values, bold, calibrate="self", check="off")
    assert quiet.task.conformal == (factor,)
    assert quiet.describe()["std scale"] == {"from": "self", "factors": [factor]}
    assert identity(quiet)["std scale from"] == "self"


def test_a_band_that_hides_its_errors_keeps_the_factor_of_the_card(plan):
    noisy = plan(picture((64, 64), noise=30.0), noise=30.0, calibrate="self")
    assert noisy.task.conformal == (1.0,)
    assert noisy.warnings == [
        "calibrate=self: noise hides the errors, or too little could be compared: the card's factor is used"
    ]
    two = np.stack([picture((64, 64), 5.0), picture((64, 64), 30.0)])
    assert "the errors of 2, or" in plan(two, noise="5,30", calibrate="self").warnings[0]


def test_calibrate_self_is_refused_by_name_where_it_cannot_be(plan):
    with pytest.raises(SearchError, match=r"array: 12 x 20 pixels are too small to be coarsened by 2 x 2.*factor="):
        plan(picture((20, 12)), calibrate="self")
    with pytest.raises(SearchError, match="measures within slices only"):
        plan(picture((4, 1, 64, 64)), through=(4, 2), calibrate="self")


@pytest.mark.parametrize(("name", "value"), [("check", "maybe"), ("check", False), ("calibrate", "mine")])
def test_other_words_are_refused(name, value):
    with pytest.raises(UsageError, match=f"{name}={value}: expected"):
        Request(source="a.tif", **{name: value})


def test_headers_are_tried_with_a_check_of_the_same_shape(plan):
    real = result(plan, picture(), check="on").report["check"]
    assert planned(plan(picture()))["check"].keys() == real.keys()
    assert planned(plan(picture(), check="off"))["check"] is None
