"""A task decides every pixel and travels light."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gensr.operators import Area
from gensr.pipeline.reconstruct import observe
from gensr.pipeline.task import Prior, load_prior
from gensr.priors import weights
from gensr.values.grid import PixelGrid
from gensr.values.image import Image
from gensr.values.noise import GaussianNoise, PoissonGaussianNoise, StatedNoise


def test_the_deviation_of_a_datum_is_that_of_its_noise_or_of_rounding(make_task):
    y = torch.zeros(2, 1, 2)
    task = make_task(noise_model=GaussianNoise((2.0, 3.0)), quantum=6.0)
    assert task.deviation(y).flatten().tolist() == [2.0, 2.0, 3.0, 3.0]
    stated = torch.tensor([1.0, 4.0, 9.0, 16.0]).view(2, 1, 2)
    assert make_task(noise_model=StatedNoise(1.0)).deviation(y, stated).flatten().tolist() == [1.0, 2.0, 3.0, 4.0]
    exact = make_task(noise_model=GaussianNoise(0.0), exact=True, quantum=6.0)
    assert exact.deviation(y).flatten().tolist() == pytest.approx([6 / 12**0.5] * 4)
    assert make_task(noise_model=GaussianNoise(0.0), exact=True).deviation(y).flatten().tolist() == [1.0] * 4


@pytest.mark.parametrize("model", [GaussianNoise(1e-300), GaussianNoise((0.0, 0.0)), PoissonGaussianNoise(1e-300, 0.0)])
def test_noise_is_never_less_than_the_rounding_of_what_computes(make_task, model):
    """Of float32, of numbers of order one (gain 100) and of larger ones."""
    scale = {"gain": (100.0, 100.0), "offset": (50.0, 50.0)}
    task = make_task(noise_model=model, **scale)
    y = torch.tensor([60.0, 50.0 + 100 * 8, 50.0, 50.0 - 100 * 4], dtype=torch.float64).view(2, 1, 2)
    assert task.deviation(y).flatten().tolist() == pytest.approx([100 * k * 2.0**-24 for k in (1, 8, 1, 4)])
    image = Image(y.numpy(), PixelGrid((1, 2)), np.ones((2, 1, 2), bool), np.ones((2, 1, 2), bool), ("a", "b"))
    seen = observe([image], task, SimpleNamespace(at_end=(True, True)))
    assert seen.variance.sqrt().flatten().tolist() == pytest.approx([k * 2.0**-24 for k in (1, 8, 1, 4)])
    loud = make_task(noise_model=GaussianNoise(3.0), **scale)
    assert loud.variance(y).flatten().tolist() == [9.0] * 4


def test_the_tile_is_computed_with_means_whatever_the_operator_sums(make_task):
    task = make_task(operator=Area((2, 3), total=True))
    assert task.factor == (2, 3)
    assert (task.operator.gain, task.unit.gain) == (6.0, 1.0)
    assert task.device == "cpu"


def test_a_prior_travels_as_its_reference_and_one_from_memory_does_not(white):
    generator, stored = weights.load("gaussian-brain-mr")
    prior = Prior(generator, weights.reference("gaussian-brain-mr", stored), "cpu")
    packed = pickle.dumps(prior)
    assert len(packed) < 500
    again = pickle.loads(packed)
    assert (again.generator.card, again.reference, again.device) == (generator.card, prior.reference, "cpu")
    assert load_prior(prior.reference, "auto").device == "auto"
    with pytest.raises(TypeError, match="white was made in memory; save its weights to compute elsewhere"):
        pickle.dumps(Prior(white(), None))
