"""Conjugate gradients: a batch of systems that do not know of each other, and those without a solution."""

import pytest
import torch

from gensr.errors import SearchError
from gensr.operators import Operator
from gensr.operators.linear import conjugate, rows_dot


def test_a_batch_is_solved_row_by_row_and_zero_stays_zero():
    matrix = torch.diag(torch.linspace(1, 1e4, 12, dtype=torch.float64))
    b = torch.rand(3, 3, 4, dtype=torch.float64)
    b[1] = 0

    def apply(u):
        return (u.reshape(len(u), 12) @ matrix).reshape(u.shape)

    x = conjugate(apply, b, 1.0, 200, 1e-12)
    torch.testing.assert_close(apply(x), b, rtol=0, atol=1e-10)
    assert not x[1].any()
    assert torch.equal(conjugate(apply, b[2:], 1.0, 200, 1e-12)[0], x[2])


def test_a_preconditioner_that_is_the_inverse_needs_one_step():
    scale = torch.linspace(1, 1e6, 12, dtype=torch.float64)
    b = torch.rand(2, 12, dtype=torch.float64)
    torch.testing.assert_close(conjugate(lambda u: scale * u, b, 1 / scale, 1, 1e-12), b / scale)


def test_the_iterate_of_least_residual_comes_back():
    """Of a map with a null space: what can be explained is, what cannot stays 0."""
    scale = torch.tensor([[2.0, 0.0, 4.0]], dtype=torch.float64)
    b = torch.tensor([[2.0, 0.0, 2.0]], dtype=torch.float64)
    x = conjugate(lambda u: scale * u, b, 1.0, 50, 1e-12)
    torch.testing.assert_close(x, torch.tensor([[1.0, 0.0, 0.5]], dtype=torch.float64))
    b = torch.ones(1, 3, dtype=torch.float64)
    rest = b - scale * conjugate(lambda u: scale * u, b, 1.0, 50, 1e-12)
    assert float(rest.norm()) <= float(b.norm())


def test_inner_products_keep_their_leading_axes():
    p = torch.arange(24.0).reshape(2, 3, 4)
    assert rows_dot(p, p).shape == (2, 1, 1)
    assert rows_dot(p, p, 2).shape == (2, 3, 1)
    assert float(rows_dot(p, p, 2)[1, 2]) == float((p[1, 2] ** 2).sum())


class Blinder(Operator):
    """Sees the left half only."""

    factor, reach = (1, 1), 0

    def forward(self, x):
        return x * (torch.arange(x.shape[-1]) < x.shape[-1] // 2)

    adjoint = forward

    def describe(self):
        return {"name": "blinder"}


def test_an_operator_without_an_inverse_says_what_helps():
    y = torch.ones(1, 2, 4, dtype=torch.float64)
    with pytest.raises(SearchError, match="did not converge; give the pseudo-inverse a regularisation above 0"):
        Blinder().pseudo_inverse(y)
    solved = Blinder().solve_normal(y, 0.5)
    expected = torch.tensor([1 / 1.5, 1 / 1.5, 2.0, 2.0], dtype=torch.float64).expand(1, 2, 4)
    torch.testing.assert_close(solved, expected)
