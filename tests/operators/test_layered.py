"""Layers that move apart: the adjoint, constants, occlusion borders, windows; formulas are written again here."""

import numpy as np
import pytest
import torch

from gensr.errors import UsageError
from gensr.operators import Layered, MeasuredPSF, Motion
from gensr.operators.scaled import Scaled
from gensr.values.grid import Window

ROWS, COLS = 18, 23


def share(row, col, radius, soft=1.5):
    y, x = np.mgrid[:ROWS, :COLS]
    return np.clip((radius - np.hypot(y - row, x - col)) / soft, 0, 1)


def lopsided(seed):
    return MeasuredPSF(1, np.random.default_rng(seed).random((5, 7)) ** 3)


def two_people():
    first, second = share(9, 6, 5), share(8, 15, 4)
    return Layered(lopsided(0), [(first, lopsided(1)), (np.minimum(second, 1 - first), Motion(1, 6.0, 40.0))])


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_the_adjoint_is_one(scale):
    operator = two_people() if scale == 1.0 else Scaled(two_people(), scale)
    x, y = random(2, ROWS, COLS), random(2, ROWS, COLS, seed=1)
    one, other = float((operator.forward(x) * y).sum()), float((x * operator.adjoint(y)).sum())
    assert abs(one - other) < 1e-10 * max(abs(one), abs(other))


def test_constants_stay():
    ones = torch.ones(ROWS, COLS, dtype=torch.float64)
    torch.testing.assert_close(two_people().forward(ones), ones, rtol=0, atol=1e-12)


def test_each_layer_is_blurred_by_its_own_and_covers_what_is_behind():
    operator, behind, person = two_people(), random(ROWS, COLS), random(ROWS, COLS, seed=1)
    back, (m1, m2), (k1, k2) = operator.background, operator.shares, operator.blurs
    first = k1.forward(m1 * person) + (1 - k1.forward(m1)) * back.forward(behind)
    expected = k2.forward(m2 * person) + (1 - k2.forward(m2)) * first
    torch.testing.assert_close(operator.over(behind, [person, person]), expected)
    # Far from people the picture itself obeys the background's blur; a person that fills the view, its own.
    far = np.s_[:2, :]
    torch.testing.assert_close(operator.forward(behind)[far][:, 10:11], back.forward(behind)[far][:, 10:11])
    whole = Layered(back, [(np.ones((ROWS, COLS)), k1)])
    torch.testing.assert_close(whole.forward(person), k1.forward(person))


def test_layers_add_up():
    operator, x = two_people(), random(ROWS, COLS)
    behind = random(ROWS, COLS, seed=3)
    sharp = [behind, x, x]
    parts = [shown * blur.forward(share * s) for (share, blur, shown), s in zip(operator.layers, sharp, strict=True)]
    torch.testing.assert_close(torch.stack(parts).sum(0), operator.over(behind, [x, x]))


def test_where_the_background_is_even_it_is_the_same_behind_people():
    operator, person = two_people(), random(ROWS, COLS)
    behind = torch.full((ROWS, COLS), 3.0, dtype=torch.float64)
    sharp = operator.visible * behind + (1 - operator.visible) * person
    hidden = operator.over(behind, [person, person])
    weight = torch.stack(operator.shares).amax(0)
    clean = (
        (weight == 0) | (weight == 1) | (operator.visible == 0)
    )  # soft borders mix person and background in ``sharp``
    assert float((operator.forward(sharp) - hidden)[clean].abs().mean()) < 0.15 * float(hidden.std())


def test_only_data_that_the_picture_decides_are_certain():
    operator = two_people()
    certain = operator.certain(torch.ones(2, ROWS, COLS, dtype=torch.bool))
    behind, person, other = random(ROWS, COLS), random(ROWS, COLS, seed=1), random(ROWS, COLS, seed=2)
    hidden = operator.visible == 0
    change = operator.over(torch.where(hidden, other, behind), [person] * 2) - operator.over(behind, [person] * 2)
    assert float(change[certain[0]].abs().max()) < 0.05 * float(change.abs().max())
    assert 0.3 < float(certain.float().mean()) < 0.95
    assert not operator.certain(torch.zeros(ROWS, COLS, dtype=torch.bool)).any()
    assert lopsided(0).certain(certain) is certain


def test_a_window_has_its_part_of_everything():
    operator, x = two_people(), random(ROWS, COLS)
    window = Window(0, 2, ROWS, 19)
    part = operator.within(window)
    inside = np.s_[:, operator.reach : 19 - operator.reach]
    torch.testing.assert_close(part.forward(x[:, 2:21])[inside], operator.forward(x)[:, 2:21][inside])
    assert operator.within(Window(0, 0, ROWS, COLS)) is operator
    assert operator.placed
    assert not lopsided(0).placed
    assert lopsided(0).within(window).describe() == lopsided(0).describe()
    assert operator.describe() != part.describe()


@pytest.mark.parametrize(
    ("people", "words"),
    [
        ([], "one person at least"),
        ([(np.ones((3, 4)), lopsided(0)), (np.zeros((4, 3)), lopsided(0))], "same rows and columns"),
        ([(np.full((3, 3), 0.7), lopsided(0)), (np.full((3, 3), 0.7), lopsided(0))], "sum to more"),
        ([(np.full((3, 3), -0.1), lopsided(0))], "not between 0 and 1"),
        ([(np.ones((3, 3)), MeasuredPSF(2, np.ones((3, 3))))], "factor 1"),
    ],
)
def test_what_are_no_layers(people, words):
    with pytest.raises(UsageError, match=words):
        Layered(lopsided(0), people)
