"""Latent specifications: flattening is a bijection, samples depend on their stream alone."""

import torch

from gensr.values.latent import LatentSpec, LatentTensor
from gensr.values.random import Stream

SPEC = LatentSpec((LatentTensor("z", (2, 3)), LatentTensor("choice", (4,), searched=False), LatentTensor("eps", (5,))))


def test_flatten_and_unflatten_are_inverse():
    latents = SPEC.sample([Stream(0), Stream(1)])
    flat = SPEC.flatten(latents)
    assert flat.shape == (2, SPEC.dimension) == (2, 11)
    again = SPEC.unflatten(flat, latents)
    assert set(again) == set(latents)
    for name, tensor in latents.items():
        assert torch.equal(again[name], tensor)
    assert again["choice"] is latents["choice"]


def test_a_sample_does_not_depend_on_its_batch():
    alone = SPEC.sample([Stream(5)])
    together = SPEC.sample([Stream(4), Stream(5), Stream(6)])
    for name in alone:
        assert torch.equal(alone[name][0], together[name][1])
    assert not torch.equal(together["z"][0], together["z"][1])


def test_tensors_of_one_sample_are_independent():
    spec = LatentSpec((LatentTensor("a", (4,)), LatentTensor("b", (4,))))
    latents = spec.sample([Stream(0)])
    assert not torch.equal(latents["a"], latents["b"])
