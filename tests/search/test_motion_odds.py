"""Scores of motions, and the odds of orders that follow from them."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from gensr.search.motion import order
from gensr.search.motion.fit import Fit
from gensr.search.motion.order import HUMAN, MOVING, NONE, PRIOR, UNIFORM, Region, _odds
from gensr.search.motion.risk import DOUBT

ONE, OTHER = Fit("line", np.ones((1, 3)) / 3, 0.0), Fit("line", np.ones((3, 1)) / 3, 0.0)


class Judged(Region):
    """A region whose evidence, roughness and direction are given."""

    def __init__(self, won, ways, sigma=1e-3):
        self.spectra, self.sigma, self._still, self._scores = ("some",), sigma, (0.0, 1.0), {}
        self._given, self._seen = won, ways

    def won(self, fit):
        return self._given[id(fit)]

    def _ways(self, fit):
        return self._seen[id(fit)]


def judged(won, rough=0.0, backward=0.0, sigma=1e-3):
    return Judged({id(ONE): won, id(OTHER): -0.1}, {id(ONE): (math.exp(rough), backward), id(OTHER): (1.0, 0.0)}, sigma)


def test_roughness_and_the_wrong_way_cost_and_the_right_way_wins():
    assert judged(0.1).score(ONE) == pytest.approx(0.1)
    assert judged(0.1, rough=0.1).score(ONE) == pytest.approx(0.1 - 0.5 * 0.1)
    assert judged(0.1, rough=-0.1).score(ONE) == pytest.approx(0.1 + 0.5 * 0.1)
    assert judged(0.1, rough=0.2).score(ONE) == pytest.approx(
        0.1 - 0.5 * 0.2 - 2 * 0.08
    )  # few true motions are so rough
    assert judged(0.1, backward=0.05).score(ONE) == pytest.approx(0.1 - 1.2 * 0.05)
    assert judged(0.1, backward=-0.04).score(ONE) == pytest.approx(0.1 + 1.2 * 0.04)
    assert judged(0.1, backward=-0.2).score(ONE) == pytest.approx(0.1 + 1.2 * 0.05)  # no more than that
    drowned = judged(0.1, rough=0.1, backward=0.05, sigma=0.1).score(ONE)  # noise hides faint edges
    assert 0.1 - 0.11 < drowned < 0.1
    assert judged(0.1).score(None) == 0.0


def test_a_region_moves_where_motions_are_likelier_than_stillness():
    least = DOUBT * MOVING
    assert judged(least + 0.01).best([ONE, OTHER]) is ONE
    assert judged(least - 0.01).best([ONE, OTHER]) is None
    both = Judged(dict.fromkeys((id(ONE), id(OTHER)), least - 0.01), dict.fromkeys((id(ONE), id(OTHER)), (1.0, 0.0)))
    assert both.best([ONE, OTHER]) is not None  # either is unlikely, that it is one of them is not
    smooth = judged(-0.01, rough=-0.5)
    assert smooth.score(ONE) > 0.2
    assert smooth.best([ONE, OTHER]) is None  # roughness alone is no evidence


def region(one, other):
    scores = {id(ONE): one, id(OTHER): other}
    found = SimpleNamespace(spectra=("some",), score=lambda fit: scores[id(fit)])
    found.odds = lambda fits: Region.odds(found, fits)
    return found


def test_odds_of_orders_are_sums_over_motions():
    back, person = region(0.3, -0.3), region(-0.3, 0.3)
    odds = _odds([back, person], [ONE, OTHER])
    assert odds[NONE] == PRIOR[NONE] == 0
    assert odds[UNIFORM] == pytest.approx(PRIOR[UNIFORM] + math.log(2))  # what one wins the other loses
    each = math.log(math.exp(0.3 / DOUBT) + math.exp(-0.3 / DOUBT)) - MOVING
    assert odds[HUMAN] == pytest.approx(PRIOR[HUMAN] + 2 * math.log(1 + math.exp(each)))
    assert max(odds, key=odds.get) == HUMAN
    alike = _odds([region(0.2, -0.2), region(0.1, -0.1)], [ONE, OTHER])
    assert max(alike, key=alike.get) == UNIFORM
    still = _odds([region(-0.2, -0.2), region(-0.1, -0.1)], [ONE, OTHER])
    assert max(still, key=still.get) == NONE


def test_a_region_that_says_nothing_does_not_count():
    silent = SimpleNamespace(spectra=(), score=lambda fit: 0.0)
    assert (
        _odds([region(0.2, -0.2), silent], [ONE, OTHER])[UNIFORM] == _odds([region(0.2, -0.2)], [ONE, OTHER])[UNIFORM]
    )
    assert _odds([silent], []) == {NONE: PRIOR[NONE]}
    assert HUMAN not in _odds([region(0.2, 0.1)], [ONE])
    assert order._sum([]) == -math.inf
