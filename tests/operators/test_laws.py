"""The laws every operator obeys, in float64, on every factor and on sizes down to one pixel."""

import itertools
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from gensr.errors import SearchError
from gensr.operators import (
    EVERYWHERE,
    Area,
    Bicubic,
    BlindGaussianPSF,
    Defocus,
    GaussianPSF,
    KSpaceCrop,
    Lanczos,
    MeasuredPSF,
    Motion,
    Operator,
    PixelResponse,
)
from gensr.values.grid import Factor, as_factor

Size = tuple[int, int]
FACTORS: tuple[int | Factor, ...] = (1, 2, 3, 4, 8, (2, 1), (4, 2))
SIZES: tuple[Size, ...] = ((1, 1), (1, 7), (5, 4), (6, 6), (9, 2))
LOPSIDED = np.random.default_rng(5).random((5, 9)) ** 3
LOPSIDED[0, 0] = 4.0


def response(factor: int | Factor, total: bool = False) -> Operator:
    sides = [7 + (s % 2 == 0) for s in as_factor(factor)]
    return PixelResponse(factor, np.random.default_rng(6).random(sides) ** 3, total)


MAKERS: dict[str, Callable[[int | Factor, Size], Operator]] = {
    "area": lambda f, _: Area(f),
    "area-total": lambda f, _: Area(f, total=True),
    "bicubic": lambda f, _: Bicubic(f),
    "lanczos": lambda f, _: Lanczos(f),
    "lanczos-total": lambda f, _: Lanczos(f, total=True),
    "gaussian": lambda f, _: GaussianPSF(f, 0.45),
    "blind": lambda f, _: BlindGaussianPSF(f, 0.45),
    "psf": lambda f, _: MeasuredPSF(f, LOPSIDED),
    "psf-total": lambda f, _: MeasuredPSF(f, LOPSIDED, total=True),
    "defocus": lambda f, _: Defocus(f, 1.3),
    "motion": lambda f, _: Motion(f, 3.4, 65.0),
    "response": lambda f, _: response(f),
    "response-total": lambda f, _: response(f, total=True),
    "kspace": lambda f, _: KSpaceCrop(f),
    "kspace-hamming": lambda f, _: KSpaceCrop(f, "hamming"),
    "kspace-fermi-total": lambda f, _: KSpaceCrop(f, "fermi", total=True),
}
ALL = list(itertools.product(MAKERS, FACTORS, SIZES))
SMALL = [c for c in ALL if c[1] in (1, 2, 3, (4, 2))]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make(case: tuple[str, int | Factor, Size]) -> tuple[Operator, Size, Size]:
    """The operator and its low- and high-resolution sizes."""
    name, factor, size = case
    operator = MAKERS[name](factor, size)
    return operator, size, (size[0] * operator.factor[0], size[1] * operator.factor[1])


def dense(operator: Operator, high: Size) -> torch.Tensor:
    """The matrix (low-resolution pixels, high-resolution pixels) of an operator."""
    units = torch.eye(high[0] * high[1], dtype=torch.float64).reshape(-1, *high)
    return operator.forward(units).reshape(len(units), -1).T


@pytest.mark.parametrize("case", ALL, ids=str)
def test_adjoint_identity(case):
    operator, low, high = make(case)
    x, y = random(2, *high), random(2, *low, seed=1)
    ax, aty = operator.forward(x), operator.adjoint(y)
    assert ax.shape == y.shape
    assert aty.shape == x.shape
    scale = float(ax.norm() * y.norm() + x.norm() * aty.norm())
    assert scale > 0
    assert abs(float((ax * y).sum() - (x * aty).sum())) < 1e-10 * scale


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_pseudo_inverse_is_moore_penrose(case):
    operator, low, high = make(case)
    a = dense(operator, high)
    units = torch.eye(a.shape[0], dtype=torch.float64).reshape(-1, *low)
    plus = operator.pseudo_inverse(units).reshape(len(units), -1).T  # (high, low)
    scale = float(a.norm())
    assert float((a @ plus @ a - a).norm()) < 1e-9 * scale
    assert float((plus @ a @ plus - plus).norm()) < 1e-8 * float(plus.norm())
    assert float((a @ plus - (a @ plus).T).norm()) < 1e-8
    assert float((plus @ a - (plus @ a).T).norm()) < 1e-8


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_regularised_solution_equals_dense_solve(case):
    operator, low, high = make(case)
    a = dense(operator, high)
    y = random(3, *low)
    strength = 0.07 * operator.gain**2
    normal = a @ a.T + strength * torch.eye(a.shape[0], dtype=torch.float64)
    expected = torch.linalg.solve(normal, y.reshape(3, -1).T)
    solved = operator.solve_normal(y, strength).reshape(3, -1).T
    assert torch.allclose(solved, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))
    image = operator.pseudo_inverse(y, strength).reshape(3, -1).T
    assert torch.allclose(image, a.T @ expected, rtol=0, atol=1e-9 * float((a.T @ expected).abs().max()))


@pytest.mark.parametrize("name", MAKERS)
def test_regularisation_may_differ_per_image_and_per_pixel(name):
    operator, low, high = make((name, 2, (5, 4)))
    a = dense(operator, high)
    y = random(3, *low)
    per_image = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)[:, None, None]
    stacked = torch.stack([operator.solve_normal(y[i], float(per_image[i])) for i in range(3)])
    assert torch.allclose(operator.solve_normal(y, per_image), stacked, rtol=1e-8, atol=1e-9)
    per_pixel = random(*low, seed=4).abs() + 0.1
    expected = torch.linalg.solve(a @ a.T + torch.diag(per_pixel.flatten()), y.reshape(3, -1).T).T.reshape(y.shape)
    assert torch.allclose(operator.solve_normal(y, per_pixel), expected, rtol=1e-8, atol=1e-9)
    image = (a.T @ expected.reshape(3, -1).T).T.reshape(3, *high)
    assert torch.allclose(operator.pseudo_inverse(y, per_pixel), image, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_constant_is_multiplied_by_the_gain_up_to_the_border(case):
    operator, low, high = make(case)
    result = operator.forward(torch.full(high, 7.0, dtype=torch.float64))
    assert torch.allclose(result, torch.full(low, 7.0 * operator.gain, dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("case", [c for c in ALL if min(c[2]) > 4], ids=str)
def test_reach_bounds_the_influence_of_a_pixel(case):
    operator, _, high = make(case)
    if not operator.local:
        assert operator.reach == EVERYWHERE
        return
    fy, fx = operator.factor
    for row, col in ((0, 0), (high[0] // 2, high[1] // 2), (high[0] - 1, high[1] // 2), (high[0] // 2 - 1, fx)):
        point = torch.zeros(high, dtype=torch.float64)
        point[row, col] = 1.0
        hit = torch.nonzero(operator.forward(point).abs() > 1e-13)
        distance = (hit - torch.tensor([row // fy, col // fx])).abs()
        assert distance.numel() == 0 or int(distance.max()) <= operator.reach


@pytest.mark.parametrize("name", ["area", "bicubic", "lanczos", "gaussian", "psf"])
def test_reach_is_not_larger_than_needed(name):
    operator, _, high = make((name, 3, (13, 13)))
    fy, fx = operator.factor
    widest = 0
    for row in range(6 * fy, 7 * fy):
        for col in range(6 * fx, 7 * fx):
            point = torch.zeros(high, dtype=torch.float64)
            point[row, col] = 1.0
            hit = torch.nonzero(operator.forward(point).abs() > 1e-13)
            widest = max(widest, int((hit - 6).abs().max()))
    assert widest == operator.reach


@pytest.mark.parametrize("factor", [2, 3, 4, 8, (4, 2)])
@pytest.mark.parametrize("name", ["area", "bicubic", "lanczos", "gaussian", "kspace", "kspace-hamming"])
def test_the_centre_of_a_blob_keeps_its_place(name, factor):
    operator, _, high = make((name, factor, (24, 24)))
    fy, fx = operator.factor
    low_row, low_col = 11.3, 12.6
    row, col = (low_row + 0.5) * fy - 0.5, (low_col + 0.5) * fx - 0.5
    y, x = np.mgrid[: high[0], : high[1]]
    blob = np.exp(-((y - row) ** 2) / (2 * (1.5 * fy) ** 2) - (x - col) ** 2 / (2 * (1.5 * fx) ** 2))
    seen = operator.forward(torch.from_numpy(blob)).numpy()
    i, j = np.mgrid[:24, :24]
    assert float((seen * i).sum() / seen.sum()) == pytest.approx(low_row, abs=1e-3)
    assert float((seen * j).sum() / seen.sum()) == pytest.approx(low_col, abs=1e-3)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes_are_kept_and_agree(name, dtype):
    operator, low, high = make((name, 2, (6, 5)))
    x, y = random(2, 3, *high), random(2, 3, *low)
    tolerance = 64 * torch.finfo(dtype).eps
    pairs = [(operator.forward, x), (operator.adjoint, y)]
    if dtype == torch.float32:
        pairs.append((lambda v: operator.pseudo_inverse(v, 0.1 * operator.gain**2), y))
    for function, argument in pairs:
        expected = function(argument.to(dtype).double())
        result = function(argument.to(dtype))
        assert result.dtype == dtype
        assert torch.allclose(result.double(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize("name", MAKERS)
def test_gradient_is_the_adjoint_also_after_inference_mode(name):
    size = (
        4 + zlib.crc32(name.encode()) % 7,
        5,
    )  # sizes nobody used before, so the caches are filled in inference mode
    operator, low, high = make((name, 2, size))
    with torch.inference_mode():
        operator.forward(random(*high))
        operator.pseudo_inverse(random(*low), 0.1)
    x = random(*high).requires_grad_()
    y = random(*low, seed=1)
    (operator.forward(x) * y).sum().backward()
    assert torch.allclose(x.grad, operator.adjoint(y), rtol=1e-10, atol=1e-12)
    target = random(*high, seed=2)
    data = random(*low, seed=3).requires_grad_()
    (operator.pseudo_inverse(data, 0.1) * target).sum().backward()
    assert torch.isfinite(data.grad).all()


@pytest.mark.parametrize("name", MAKERS)
def test_a_size_that_is_no_multiple_is_refused(name):
    operator, _, high = make((name, 2, (4, 4)))
    with pytest.raises(SearchError, match="multiple of the factor"):
        operator.forward(random(high[0] + 1, high[1]))


def test_descriptions_tell_operators_apart():
    described = [str(MAKERS[name](2, (4, 4)).describe()) for name in MAKERS]
    described += [str(Area(3).describe()), str(GaussianPSF(2, 0.46).describe()), str(KSpaceCrop(2, "fermi").describe())]
    described += [str(MeasuredPSF(2, LOPSIDED[::-1]).describe())]
    assert len(set(described)) == len(described)
    assert MeasuredPSF(2, LOPSIDED * 4).describe() == MeasuredPSF(2, LOPSIDED).describe()
