"""How much answers differ, and what they have in common."""

from __future__ import annotations

import numpy as np
import pytest

from gensr.metrics import agreement, diversity, pairwise


def test_distances_of_all_pairs():
    samples = np.array([0.0, 1.0, 5.0])[:, None, None] * np.ones((3, 2, 2))
    np.testing.assert_array_equal(pairwise(samples), [1, 5, 4])
    assert diversity(samples) == pytest.approx(10 / 3)
    assert diversity(samples, lambda a, b: float(abs(a - b).max()) ** 2) == 14


def test_samples_of_a_gaussian_are_root_two_deviations_apart():
    samples = 3 * np.random.default_rng(0).standard_normal((20, 64, 64))
    assert diversity(samples) == pytest.approx(3 * 2**0.5, rel=0.01)


@pytest.mark.parametrize("count", [2, 4, 16])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_agreement_is_the_share_of_variance_in_common(count, share):
    """Whatever the number of answers: two that have nothing in common do not agree by half."""
    rng = np.random.default_rng(count)
    common, own = rng.standard_normal((1, 96, 96)), rng.standard_normal((count, 1, 96, 96))
    details = share**0.5 * common + (1 - share) ** 0.5 * own
    found = agreement(details, 12.0)
    assert found.shape == (96, 96)
    assert found.min() >= 0
    assert found.max() <= 1
    assert float(found.mean()) == pytest.approx(share, abs=0.06)


def test_agreement_is_local():
    rng = np.random.default_rng(0)
    details = np.repeat(rng.standard_normal((1, 1, 32, 64)), 4, 0)
    details[..., 32:] = rng.standard_normal((4, 1, 32, 32))
    found = agreement(details, 2.0)
    assert found[:, :20].min() > 0.99
    assert found[:, 44:].mean() < 0.3


def test_nothing_added_is_agreed_about():
    np.testing.assert_array_equal(agreement(np.zeros((3, 1, 4, 4)), 1.0), 1)


@pytest.mark.parametrize("function", [pairwise, diversity, lambda s: agreement(s, 1.0)])
def test_one_answer_does_not_differ(function):
    with pytest.raises(ValueError, match="expected 2 or more"):
        function(np.zeros((1, 1, 4, 4)))
