"""Masks, chains of operators and the iteration behind operators without a closed form."""

import pytest
import torch

from gensr.errors import SearchError
from gensr.operators import EVERYWHERE, Area, Bicubic, Compose, KSpaceCrop, Lanczos, Mask, conjugate_gradients

HALF = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def test_mask_zeroes_what_was_not_observed_even_if_it_is_nan():
    y = torch.tensor([[1.0, float("nan")], [3.0, 4.0]])
    assert Mask(HALF).forward(y).tolist() == [[1.0, 0.0], [0.0, 4.0]]
    assert Mask(HALF.bool()).describe() == Mask(HALF).describe()
    assert Mask(HALF).describe()["observed"] == 2


def test_mask_per_band_and_its_copy():
    weights = torch.ones(2, 3, 3, dtype=torch.bool)
    operator = Mask(weights)
    weights[:] = False
    operator.observed[:] = False
    x = torch.rand(4, 2, 3, 3)
    assert torch.equal(operator.forward(x), x)


@pytest.mark.parametrize("weights", [torch.full((2, 2), 0.5), torch.tensor([[1.0, float("nan")]]), torch.ones(3)])
def test_other_weights_are_refused(weights):
    with pytest.raises(SearchError, match="weights 0 and 1"):
        Mask(weights)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(SearchError, match="does not fit"):
        Mask(HALF).forward(torch.ones(2, 3))


def test_compose_multiplies_factors_and_gains_and_adds_reaches():
    chain = Compose([Lanczos(2, total=True), Bicubic((2, 1)), Area((1, 3), total=True)])
    assert chain.factor == (4, 6)
    assert chain.gain == 12
    assert chain.reach == 4  # rows: ceil(3 / 2) + 2; columns only ceil((3 + 2) / 3)
    x = torch.rand(8, 12, dtype=torch.float64)
    inner = Bicubic((2, 1)).forward(Lanczos(2, total=True).forward(x))
    assert torch.equal(chain.forward(x), Area((1, 3), total=True).forward(inner))


def test_area_composes_to_area():
    x, y = torch.rand(12, 12, dtype=torch.float64), torch.rand(2, 2, dtype=torch.float64)
    chain = Compose([Area(2), Area(3)])
    assert torch.allclose(chain.forward(x), Area(6).forward(x), rtol=1e-14, atol=0)
    assert torch.allclose(chain.pseudo_inverse(y, 0.2), Area(6).pseudo_inverse(y, 0.2), rtol=1e-10, atol=0)
    assert torch.equal(Compose([Bicubic(2)]).pseudo_inverse(y), Bicubic(2).pseudo_inverse(y))


def test_one_global_operator_makes_the_chain_global():
    chain = Compose([KSpaceCrop(2), Area(2)])
    assert not chain.local
    assert chain.reach == EVERYWHERE
    assert Compose([Area(2), Mask(HALF)]).local


def test_an_empty_chain_is_refused():
    with pytest.raises(SearchError, match="nothing to compose"):
        Compose([])


def test_conjugate_gradients_solves_a_batch_and_zero():
    matrix = torch.diag(torch.linspace(1, 1e4, 12, dtype=torch.float64))
    b = torch.rand(3, 3, 4, dtype=torch.float64)
    b[1] = 0
    x = conjugate_gradients(lambda u: (u.reshape(3, 12) @ matrix).reshape(b.shape), b, 1e-12, 200)
    assert torch.allclose((x.reshape(3, 12) @ matrix).reshape(b.shape), b, rtol=0, atol=1e-10)
    assert not x[1].any()


def test_conjugate_gradients_says_when_there_is_no_solution():
    with pytest.raises(SearchError, match="did not converge"):
        conjugate_gradients(lambda u: u * torch.tensor([[1.0, 0.0]]), torch.ones(1, 2), 1e-6, 20)
