"""Motions are left alone where undoing them may lose more than it gains."""

import math

import numpy as np
import pytest

from gensr.operators.blurs import line
from gensr.search.motion import order
from gensr.search.motion.order import AUTO, HUMAN, NONE, UNIFORM, identify
from gensr.search.motion.risk import DOUBT, Estimates, expected_gain

from .test_motion import SIGMA, blurred, person, picture, scene

STILL = np.ones((1, 1))
TRUE, WRONG = line(12, 60), line(12, 150)


def gain(motions, chosen=TRUE, weight=None):
    y = blurred(picture(4), TRUE)
    return expected_gain(y, np.ones(y.shape) if weight is None else weight, SIGMA, motions, chosen)


def test_what_is_certain_gains_and_what_is_not_loses():
    assert gain([(STILL, 0.0), (TRUE, 0.5)]) > 10
    assert gain([(STILL, 0.5), (TRUE, 0.0)]) < -10
    assert gain([(STILL, 0.0), (TRUE, 0.1), (WRONG, 0.13)]) < 0 < gain([(STILL, 0.0), (TRUE, 0.13), (WRONG, 0.1)])
    sure, less = (gain([(STILL, 0.0), (TRUE, score)]) for score in (0.15, 0.1))
    assert sure > less > 0
    assert gain([(STILL, 0.3), (TRUE, 0.4)]) == pytest.approx(less)  # only differences count


def test_the_gain_is_that_of_means_over_all_motions():
    y = blurred(picture(4), TRUE)
    estimates = Estimates(y, SIGMA)
    one, other = estimates.of(TRUE), estimates.of(WRONG)
    share = 1 / (1 + math.exp(-0.05 / DOUBT))
    left = share * ((y - one) ** 2).sum() + (1 - share) * ((y - other) ** 2).sum()
    gone = (1 - share) * ((one - other) ** 2).sum()
    assert gain([(TRUE, 0.05), (WRONG, 0.0)]) == pytest.approx(10 * math.log10(left / gone), abs=1e-6)
    # outside the region nothing counts
    weight = np.zeros(y.shape)
    weight[50:90, 50:90] = 1
    assert gain([(TRUE, 0.05), (WRONG, 0.0)], weight=weight) != pytest.approx(10 * math.log10(left / gone), abs=1e-3)


def test_estimates_are_nearer_to_the_sharp_picture_and_change_nothing_where_nothing_moved():
    sharp = picture(4)
    y = blurred(sharp, TRUE)
    estimates = Estimates(y, SIGMA)
    inner = np.s_[12:-12, 12:-12]
    before, after, wrong = (
        float(((x - sharp)[inner] ** 2).mean()) for x in (y, estimates.of(TRUE), estimates.of(WRONG))
    )
    assert after < 0.6 * before
    assert wrong > before
    np.testing.assert_allclose(estimates.of(STILL), y, atol=0.06)
    assert estimates.of(TRUE).shape == y.shape
    assert float(estimates.of(TRUE).mean()) == pytest.approx(float(y.mean()), abs=0.01)


def careful(monkeypatch, lost):
    """Undoing a motion costs where the predicate says so."""
    monkeypatch.setattr(order, "expected_gain", lambda i, w, s, motions, kernel: -1.0 if lost(w, kernel) else 1.0)


def test_a_motion_that_may_cost_more_than_it_gains_is_left_and_named(monkeypatch):
    y = blurred(picture(), line(10, 45))
    assert identify(y, [], SIGMA, thorough=False).order == UNIFORM
    careful(monkeypatch, lambda weight, kernel: True)
    found = identify(y, [], SIGMA, AUTO, thorough=False)
    assert (found.order, found.background, found.left) == (NONE, None, ("everything",))
    assert found.describe()["left, for undoing it may lose"] == ["everything"]
    asked = identify(y, [], SIGMA, UNIFORM, thorough=False)  # the user knows
    assert asked.order == UNIFORM
    assert asked.background is not None
    assert "left, for undoing it may lose" not in asked.describe()


@pytest.mark.parametrize("left", ["the background", "person 1", "both"])
def test_each_region_is_left_for_itself(monkeypatch, left):
    y = scene(line(12, 60), line(9, 150))
    own = person().sum()

    def lost(weight, kernel):
        return left == "both" or (abs(weight.sum() - own) < 1) == (left == "person 1")

    careful(monkeypatch, lost)
    found = identify(y, [person()], SIGMA, AUTO, thorough=False)
    assert found.order == (NONE if left == "both" else HUMAN)
    assert (found.background is None) == (left != "person 1")
    assert (found.people[0] is None) == (left != "the background")
    assert found.left == (("the background", "person 1") if left == "both" else (left,))


def test_the_surest_region_says_what_all_do(monkeypatch):
    y = scene(line(11, 30), line(11, 30))
    own = person().sum()
    careful(monkeypatch, lambda weight, kernel: abs(weight.sum() - own) > 1)  # of the person it is certain
    found = identify(y, [person()], SIGMA, AUTO, thorough=False)
    assert (found.order, found.left) == (UNIFORM, ())
    careful(monkeypatch, lambda weight, kernel: True)
    assert identify(y, [person()], SIGMA, AUTO, thorough=False).order == NONE


def test_motions_that_are_certain_are_undone():
    assert identify(scene(line(12, 60), line(9, 150)), [person()], SIGMA, AUTO, thorough=False).left == ()
