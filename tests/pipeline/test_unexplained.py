"""A run that ends far from its data fails by name, and what it made says so in its names."""

import json

import numpy as np
import pytest
import torch

import gensr
from gensr.errors import UnexplainedError
from gensr.pipeline.events import Written
from gensr.priors.observation import Moments


@pytest.fixture
def deaf(white):
    """A generator that is sure of 0.5, whatever the data."""

    class Deaf(white):
        def posterior(self, data, options=None):
            still = torch.full((*data.y.shape[:2], *data.shape), 0.5)
            return Moments(still, torch.full_like(still, 1e-12))

    return Deaf("posterior")


def far(factor):
    """Values ``factor`` deviations of the noise (5) above and below the 50 that the generator is sure of."""
    return (50.0 + 5 * factor * (-1.0) ** np.indices((8, 8)).sum(0)).astype(np.float32)


def test_the_results_come_first_and_then_the_failure(plan, deaf):
    events, run = [], plan(far(4), deaf).run()
    with pytest.raises(UnexplainedError, match=r"^array: the answer is 4\.0 .* \(chi2 per datum 16\)") as found:
        events += run
    assert isinstance(events[-1], Written)
    assert found.value.result is events[-1].result
    np.testing.assert_allclose(found.value.result.mean, 50, rtol=1e-4)


def test_ten_is_the_limit(plan, deaf):
    assert isinstance(list(plan(far(3.16), deaf).run())[-1], Written)
    with pytest.raises(UnexplainedError):
        list(plan(far(3.17), deaf).run())


def test_files_say_so_in_their_names_and_bar_nobody(plan, deaf, tmp_path):
    """The next run, with another generator, is not refused because of what the first one left."""
    for _ in range(2):
        with pytest.raises(UnexplainedError):
            list(plan(far(4), deaf, output=tmp_path).run())
        names = sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))
        assert names
        assert all("_unexplained" in name for name in names)
    (report,) = tmp_path.glob("*_unexplained*.json")
    assert json.loads(report.read_text())["consistency"]["chi2 per datum"] == pytest.approx(16, rel=1e-3)
    list(plan(far(0.5), deaf, output=tmp_path).run())
    assert [p for p in tmp_path.glob("*.json") if "_unexplained" not in p.name]


@pytest.mark.parametrize("noise", ["1e-300", "poisson:gain=1e-300"])
def test_noise_of_next_to_nothing_is_a_finite_question(noise):
    """Ordinary data: explained, as those of noise=0 are, with a residual that is a number or none."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :24] / 24
    image = (1000 + 300 * np.sin(7 * x) * np.cos(5 * y) + 5 * rng.standard_normal((24, 24))).astype(np.float32)
    said = {"generator": "gaussian-microscopy", "factor": 2, "samples": 0, "search": "fast"}
    found = gensr.upsample(image, noise=noise, **said)
    misfit = found.report["consistency"]["chi2 per datum"]
    assert misfit is None if noise == "1e-300" else 0 <= misfit < 9
    exact = gensr.upsample(image, noise=0, **said)
    np.testing.assert_allclose(found.mean, exact.mean, rtol=1e-3)
