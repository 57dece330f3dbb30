"""Candidates that share a batch: the bits of each are those that it has alone, on a CPU, in single precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gensr.operators import Area
from gensr.priors.observation import Observation
from gensr.priors.weights import load
from gensr.search import apart as module
from gensr.search.apart import Apart, apart, inner
from gensr.search.metric import Metric
from gensr.search.presets import PRESETS
from gensr.search.problem import Problem
from gensr.search.run import candidates
from gensr.search.secant import Secant
from gensr.values.random import Stream
from tests.search.conftest import Curved

NUMBERS = torch.Generator().manual_seed(0)
MATRIX = torch.randn(130, 70, generator=NUMBERS)
ALIGNED = torch.randn(48, 128, generator=NUMBERS)
BIAS = torch.randn(70, generator=NUMBERS)
KERNEL = torch.randn(24, 130, 3, 3, generator=NUMBERS)
OPERATIONS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "linear": ((130,), lambda x: functional.linear(x, MATRIX.T, BIAS)),
    "linear, aligned": ((128,), lambda x: functional.linear(x, ALIGNED, BIAS[:48])),
    "product, aligned": ((128,), lambda x: x @ ALIGNED.T),
    "product, aligned, transposed": ((48,), lambda x: x @ ALIGNED),
    "linear, tiny": ((9,), lambda x: functional.linear(x, KERNEL[:, 0].flatten(1), BIAS[:24])),
    "product": ((130,), lambda x: x @ MATRIX),
    "transposed": ((70,), lambda x: x @ MATRIX.T),
    "sequence": ((5, 130), lambda x: functional.linear(x, MATRIX.T)),
    "both": ((6, 130), lambda x: x @ x.mT),
    "einsum": ((130,), lambda x: torch.einsum("cd,nc->nd", MATRIX, x)),
    "attention": ((2, 12, 16), lambda x: functional.scaled_dot_product_attention(x, x.flip(2), x)),
    "convolution": ((130, 8, 8), lambda x: functional.conv2d(x, KERNEL, padding=1)),
    "convolution of a module": ((24, 9, 9), torch.nn.Conv2d(24, 16, 3, 2, 1).requires_grad_(False)),
    "linear of a module": ((128,), torch.nn.Linear(128, 48).requires_grad_(False)),
    "named": ((130,), lambda x: functional.linear(input=x, weight=MATRIX.T)),
    "transposed convolution": ((24, 8, 8), lambda x: functional.conv_transpose2d(x, KERNEL, stride=2)),
    "odd": ((130, 3, 5), lambda x: functional.conv2d(x, KERNEL, padding=1)),
}


def gradient(x: Tensor, make: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    with apart(x):
        made = make(x)
    (grad,) = torch.autograd.grad(made.square().sum(), x)
    return made.detach(), grad


class TestOperations:
    @pytest.mark.parametrize("name", OPERATIONS)
    def test_a_row_has_the_bits_that_it_has_alone(self, name: str) -> None:
        shape, make = OPERATIONS[name]
        x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(1))
        together = gradient(x, make)
        torch.testing.assert_close(together[0], make(x), rtol=1e-4, atol=1e-4)
        for k in (0, 3, 7):
            alone = gradient(x[k : k + 1].clone(), make)
            assert torch.equal(together[0][k : k + 1], alone[0])
            assert torch.equal(together[1][k : k + 1], alone[1])

    def test_products_that_add_up_otherwise_here_go_row_by_row(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether one batched product has a row's bits is tried on this machine; where it has not, it is not used."""
        shape, make = OPERATIONS["linear, aligned"]
        x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(1))
        product = module._product
        wrong = lambda *args: product(*args) * (1 + 1e-6)  # noqa: E731
        monkeypatch.setattr(module, "_product", wrong)
        module._proven.cache_clear()
        together = gradient(x, make)
        module._proven.cache_clear()
        assert torch.equal(together[0][3:4], gradient(x[3:4].clone(), make)[0])

    def test_a_matrix_is_no_batch(self) -> None:
        """Rows of a second factor of two axes are summed over, whatever their number is."""
        x = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
        with Apart(8):
            made = x @ x
        torch.testing.assert_close(made, x @ x)

    def test_other_ways_to_say_the_same_are_let_through(self) -> None:
        x, y = (torch.randn(4, 4, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
        with Apart(4):
            made = [torch.matmul(x, other=y), torch.einsum("ab,bc->ac", [x, y]), torch.einsum(x, [0, 1], y, [1, 2])]
        for other in made:
            torch.testing.assert_close(other, x @ y)

    def test_one_row_and_what_is_outside_are_left_alone(self) -> None:
        assert not isinstance(apart(torch.zeros(1, 3)), Apart)
        assert not isinstance(apart(torch.zeros(2, 3, device="meta")), Apart)
        assert isinstance(apart(torch.zeros(2, 3)), Apart)

    def test_inner_products_are_summed_in_double(self) -> None:
        a = torch.full((2, 1 << 16), 0.1)
        a[:, 0] = 1e4
        exact = (a.double() * a).sum(1)
        assert torch.equal(inner(a, a), exact.float())
        assert inner(a, a).dtype == torch.float32


class TestSearch:
    @pytest.mark.parametrize(("name", "count"), [("fast", 3), ("balanced", 1), ("pulse", 2)])
    def test_a_candidate_of_a_trained_generator_is_the_same_alone(self, name: str, count: int) -> None:
        """Faces of ``style-faces`` in a batch, with their samples: tens of steps amplify any digit that differs."""
        generator, _ = load("style-faces")
        shape, operator = (64, 64), Area(4)
        drawn = generator.latents(shape).sample([Stream(5).child(k) for k in range(3)])
        y = operator.forward(generator.synthesize({k: 0.8 * t for k, t in drawn.items()}, shape))
        y = y + 0.01 * Stream(6).normal(tuple(y.shape))
        level = torch.tensor([1e-4, 1e-4, 2e-4]).view(-1, 1, 1, 1).expand_as(y)
        data = Observation(y, operator, level, torch.ones_like(y, dtype=torch.bool))
        small = {"steps": 7, "secant": 7, "extend": 0, "draw": 4}
        preset = PRESETS[name]
        numbers = {"steps": 8} if name == "pulse" else {**preset.solver_options, **small}
        preset = replace(preset, solver_options=numbers)
        streams = [Stream(0).child("x", k) for k in range(3)]
        whole = candidates(generator, data, preset, streams, count)
        for k in (0, 2):
            part = {key: getattr(data, key)[k : k + 1] for key in ("y", "variance", "usable")}
            one = candidates(generator, replace(data, **part), preset, streams[k : k + 1], count)
            assert torch.equal(one.best[0], whole.best[k])
            assert all(torch.equal(a[0], b[k]) for a, b in zip(one.others, whole.others, strict=True))

    def test_a_step_without_curvature_does_not_hang_on_others(self, curved: Curved, observed: Observation) -> None:
        """Only the second row's last pair is of use: the first one's step is as long as it is alone."""
        fixed = curved.latents((8, 8)).sample([Stream(i) for i in range(4)])
        problem = Problem(curved, observed, fixed)
        solver = Secant(10)
        state = solver.init(problem, 2 * torch.ones(4, problem.spec.dimension, dtype=torch.float64))
        state.moves[1:, -1], state.turns[1:, -1] = 1e-3, 1e-3
        tiny = 1e-4 * state.grad
        together = solver._direction(state, tiny)
        rows = torch.tensor([0])
        alone = solver._direction(replace(state, **{k: getattr(state, k)[rows] for k in vars(state)}), tiny[rows])
        torch.testing.assert_close(together[:1], alone)

    def test_rows_of_other_noise_have_inverses_of_their_own(self) -> None:
        numbers = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(torch.randn(90, 30, generator=numbers))
        metric = Metric(torch.rand(90, generator=numbers) + 0.1, basis, torch.rand(30, generator=numbers) + 1, 16)
        weight = torch.tensor([3.0, 70.0, 3.0])
        gradient = torch.randn(3, 90, generator=numbers)
        thin, core = metric.inverse(weight)
        together = metric.solve(thin, core, gradient)
        assert torch.equal(core[0], core[2])
        for k in range(3):
            alone = metric.solve(*metric.inverse(weight[k : k + 1]), gradient[k : k + 1])
            assert torch.equal(alone[0], together[k])
