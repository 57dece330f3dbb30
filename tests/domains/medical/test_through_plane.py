import numpy as np
import pytest

from gensr.domains.medical.through_plane import (
    Stack,
    decide,
    refine_extent,
    refine_positions,
)
from gensr.scenes.product import ThroughPlane


@pytest.mark.parametrize(
    ("step", "thickness", "in_plane", "factor"),
    [
        (4.0, 4.0, (0.7187, 0.7187), 6),
        (5.0, 3.0, (3.0, 3.0), 1),
        (5.0, 3.0, (2.5, 1.0), 2),
        (3.0, 3.0, 1.0, 3),
        (1.9, 1.9, 1.0, 1),
        (30.0, 30.0, 0.5, 8),
        (10.0, 1.0, 0.7, 1),
        (10.0, None, 0.7, 8),
        (float("nan"), None, 1.0, 1),
        (2.0, 0.0, 0.0, 1),
    ],
)
def test_decide(step, thickness, in_plane, factor):
    assert decide(step, thickness, in_plane) == factor


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_refined_positions_share_the_centre_of_their_slice(factor):
    position, step = np.array([1.0, -2.0, 3.0]), np.array([0.3, -0.4, 4.9])
    fine = np.array(refine_positions(position, step, factor))
    np.testing.assert_allclose(fine.mean(0), position, atol=1e-12)
    np.testing.assert_allclose(np.diff(fine, axis=0), np.tile(step / factor, (factor - 1, 1)), atol=1e-12)
    following = np.array(refine_positions(position + step, step, factor))
    np.testing.assert_allclose(following[0] - fine[-1], step / factor, atol=1e-12)


def test_extent_and_suggestion():
    assert refine_extent(5.0, 4) == (1.25, 1.25)
    stack = Stack(3, 2, 5.0, 3.0, (1.0, 1.0))
    assert [ThroughPlane(3, 2).coarse(p) for p in range(12)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert stack.suggestion() == 5
    assert Stack(1, 1, 5.0, 3.0, (1.0, 1.0)).suggestion() == 1
    assert Stack(3, 1, None, 3.0, (1.0, 1.0)).suggestion() == 1
