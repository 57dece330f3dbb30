"""Fairness: the two-class generator is what it says it is, and shares are counted right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gensr.benchmarks.datasets import Case
from gensr.benchmarks.fairness import COMMON, INPUTS, RARE, SIDE, WAYS, Sources, document, representation, two_classes
from gensr.benchmarks.two_classes import FLOOR, Kind
from gensr.operators import Area
from gensr.priors.observation import Observation


def face(source, level, rng):
    """A bright or a dark square with its own texture, 32 x 32."""
    y, x = np.mgrid[:32, :32] / 32.0
    wave = np.sin(6 * x + rng.normal()) if source == RARE else np.cos(9 * y + rng.normal())
    image = level + 30 * wave + 8 * rng.standard_normal((32, 32))
    return Case(source, np.repeat(image[None].clip(0, 255), 3, 0).astype(np.float32), 255.0, source, 1.0, None)


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(0)
    return [face(s, 128 + 20 * rng.normal(), rng) for s in (RARE, COMMON) for _ in range(200)]


@pytest.fixture(scope="module")
def exact(faces):
    return two_classes(faces)


def test_a_fifth_of_the_pictures_is_of_the_rarer_kind(exact):
    pictures = exact.pictures(torch.randn(4000, 1 + SIDE**2))
    assert float(exact.rare(pictures).double().mean()) == pytest.approx(0.2, abs=0.025)


def test_a_kind_has_the_moments_of_its_pictures():
    made = np.random.default_rng(1).normal(0.4, 0.1, (5000, 4, 4))
    kind = Kind.of(0.5, made)
    covariance = kind.basis @ torch.diag(kind.variance) @ kind.basis.T
    np.testing.assert_allclose(kind.mean, 0.4, atol=0.01)
    np.testing.assert_allclose(covariance.diagonal(), 0.01 + FLOOR**2, rtol=0.1)


def test_the_denoiser_is_that_of_bayes(exact):
    """Against a weighted mean over many draws from the prior, in the only way that needs no formula."""
    x0 = exact.pictures(torch.randn(60000, 1 + SIDE**2))
    seen, sigma = x0[:1] + 0.8 * torch.randn(1, 1, SIDE, SIDE), 0.8
    weight = torch.softmax(-0.5 * ((x0 - seen) / sigma).flatten(1).double().square().sum(1), 0)
    expected = (weight[:, None] * x0.flatten(1).double()).sum(0)
    found = exact.denoise(seen, torch.tensor([sigma])).flatten().double()
    assert float((found - expected).abs().max()) < 0.03


def test_the_exact_share_is_that_of_bayes(exact):
    """The share of the rarer kind among draws, weighted by how well each explains the data."""
    x0 = exact.pictures(torch.randn(60000, 1 + SIDE**2))
    operator = Area(SIDE // 2)
    y = operator.forward(x0[3:4]) + 0.02
    data = Observation(y, operator, torch.full_like(y, 0.05**2), torch.ones_like(y, dtype=torch.bool))
    weight = torch.softmax(-0.5 * ((operator.forward(x0) - y) / 0.05).flatten(1).double().square().sum(1), 0)
    expected = float(weight[exact.rare(x0)].sum())
    assert float(exact.share(data)) == pytest.approx(expected, abs=0.04)


def test_where_the_input_says_nothing_posterior_has_the_shares_of_the_prior(faces):
    """The promise of `posterior`; MAP answers with the commoner kind alone."""
    (row,) = representation(faces, 400, INPUTS[:1])
    assert row["exact"] == pytest.approx(0.2, abs=0.002)
    assert row["posterior"] == pytest.approx(0.2, abs=0.06)  # three standard errors of 400 answers
    assert row["randomised latent search"] == pytest.approx(0.2, abs=0.06)
    assert row["MAP"] == 0
    assert set(row) == {"input", "exact", *WAYS}


def test_sources_are_told_apart(faces):
    rng = np.random.default_rng(5)
    sources = Sources(faces)
    fresh = [face(s, 120, rng) for s in [RARE] * 30 + [COMMON] * 10]
    found = sources.of([case.image for case in fresh])
    assert sum(a == case.group for a, case in zip(found, fresh, strict=True)) >= 28
    assert sources.shares([case.image for case in fresh]) == {n: found.count(n) / 40 for n in (RARE, COMMON)}


def test_the_page_says_what_was_found():
    shares = dict.fromkeys(WAYS, 0.25)
    found = {
        "samples": 1000,
        "representation": [{"input": i.name, "exact": 0.2, **shares, "posterior": 0.21} for i in INPUTS],
        "accuracy": 0.8,
        "sources": ["a", "b"],
        "silent": [{"pictures": "training faces", "count": 10, "diversity": None, "a": 0.4, "b": 0.6}],
        "served": [{"generator": "g", "source": "a", "faces": 3, "residual": 0.5, "good": 1.0, "error": 12.0}],
    }
    text = document(found)
    assert "`posterior` is 1.0 points off (3 are allowed" in text
    assert "| g | a | 3 | 0.50 | 100 | 12.0 |" in text
    assert "| training faces | 10 |  | 40 | 60 |" in text
