"""A run that ends far from its data fails by name, and what it made says so in its names."""

import json

import numpy as np
import pytest
import torch

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
