"""The search without derivatives finds what the others find, row by row."""

from __future__ import annotations

import torch

from gensr.operators import Area
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.search.evolution import Evolution
from gensr.search.loop import solve
from gensr.search.problem import Problem
from gensr.values.latent import LatentSpec, LatentTensor

CARD = GeneratorCard(
    "box", "program", "faces", 1, True, "1", (0.0, 1.0), "1", "CC0", "none", "none", "none", "none", "none", 0.0
)


class Closed(Generator):
    """A linear map of eight latents, with a bend if asked, that refuses to be differentiated."""

    card = CARD
    differentiable = False

    def __init__(self, bend: float = 0.0) -> None:
        draw = torch.Generator().manual_seed(1)
        self.matrix = torch.randn(8, 64, generator=draw).double() * torch.logspace(0, -1, 8).double()[:, None]
        self.bend = bend

    def to(self, device):
        return self

    def latents(self, shape):
        return LatentSpec((LatentTensor("z", (8,)),))

    def synthesize(self, latents, shape, stage=None):
        assert not torch.is_grad_enabled()
        made = latents["z"] @ self.matrix
        return (made + self.bend * torch.sin(3 * made)).reshape(-1, 1, 8, 8)


def problem(generator: Closed, rows: int = 2, noise: float = 0.05) -> Problem:
    operator = Area((2, 2))
    z = torch.randn(rows, 8, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        truth = generator.synthesize({"z": z}, (8, 8))
    y = operator.forward(truth)
    usable = torch.ones_like(y, dtype=torch.bool)
    return Problem(generator, Observation(y, operator, torch.full_like(y, noise**2), usable), {})


def test_it_finds_the_optimum_of_a_linear_problem():
    generator = Closed()
    found = problem(generator)
    solution = solve(Evolution(steps=300), found)
    forward = Area((2, 2)).forward(generator.matrix.reshape(8, 1, 8, 8)).flatten(1)
    normal = forward @ forward.T / 0.05**2 + torch.eye(8)
    optimum = torch.linalg.solve(normal, (found.data.y.flatten(1) @ forward.T / 0.05**2).T).T
    assert torch.allclose(solution.latents["z"], optimum, atol=2e-3)
    assert (solution.chi2 < 1).all()


def test_it_finds_its_way_where_the_map_bends():
    solution = solve(Evolution(steps=400), problem(Closed(bend=0.2)))
    assert (solution.chi2 < 2).all()


def test_rows_do_not_influence_each_other():
    both = problem(Closed(bend=0.2))
    one = Problem(both.generator, Observation(
        both.data.y[1:], both.data.operator, both.data.variance[1:], both.data.usable[1:]
    ), {})  # fmt: skip
    together, alone = (solve(Evolution(steps=60), p) for p in (both, one))
    assert torch.allclose(together.latents["z"][1:], alone.latents["z"], atol=1e-9)
    again = solve(Evolution(steps=60), both)
    assert torch.equal(again.latents["z"], together.latents["z"])


def test_an_anchor_moves_the_prior():
    plain = problem(Closed(), noise=100.0)
    moved = Problem(plain.generator, plain.data, {}, torch.full((2, 8), 1.5).double())
    solution = solve(Evolution(steps=200), moved)
    assert torch.allclose(solution.latents["z"], torch.full((2, 8), 1.5).double(), atol=0.05)
