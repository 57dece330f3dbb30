"""Guided samples: masks, noise per pixel, batches, exact data, larger fields, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from gensr.benchmarks.exact import SIDE, Case, cases, simulate, toy
from gensr.errors import SearchError, UsageError
from gensr.operators import Area, GaussianPSF, Operator
from gensr.operators.linear import conjugate
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.search import datastep
from gensr.search.guided import Guided, guided_samples
from gensr.search.presets import PRESETS, preset
from gensr.values.random import Stream

STEPS: tuple[Literal["tweedie", "pigdm", "ddnm"], ...] = ("tweedie", "pigdm", "ddnm")


def keyed(
    n: int, shape: tuple[int, int], dtype: torch.dtype = torch.float64, first: int = 0
) -> Callable[[int], Tensor]:
    def noise(step: int) -> Tensor:
        rows = [Stream(0).child(first + k, step).normal((1, *shape)) for k in range(n)]
        return torch.stack(rows).to(dtype)

    return noise


def run(case: Case, data: Observation, settings: Guided) -> Tensor:
    return guided_samples(case.generator, data, keyed(len(data.y), data.shape), settings)


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("case", cases(1)[1::2], ids=lambda c: c.name)
def test_masked_data_have_no_influence(case: Case, kind: Literal["tweedie", "pigdm", "ddnm"]) -> None:
    _, y = simulate(case, 3, seed=1)
    usable = torch.rand(y.shape, generator=torch.Generator().manual_seed(2)) > 0.3
    data = replace(case.observe(y), usable=usable)
    wild = replace(data, y=torch.where(usable, y, torch.nan), variance=torch.where(usable, data.variance, torch.nan))
    settings = Guided(12, kind)
    torch.testing.assert_close(run(case, data, settings), run(case, wild, settings), rtol=0, atol=0)


@pytest.mark.parametrize("case", cases(1), ids=lambda c: c.name)
def test_masked_data_equal_removed_rows(case: Case) -> None:
    _, y = simulate(case, 1, seed=1)
    usable = torch.ones_like(y, dtype=torch.bool)
    usable[..., 0, :1] = usable[..., -1, -1] = False
    truth = case.truth(y, usable)
    pixels = SIDE * SIDE
    start = torch.cat([torch.zeros(1, pixels), torch.eye(pixels)]).double().view(-1, 1, SIDE, SIDE)
    many = case.observe(y.expand(len(start), -1, -1, -1), usable.expand(len(start), -1, -1, -1))
    flat = guided_samples(case.generator, many, lambda _: start, Guided(32, renoise=0.0)).flatten(1)
    spread = (flat[1:] - flat[0]).square().sum(0).sqrt()
    assert float(((flat[0] - truth.mean) / truth.std).square().mean().sqrt()) < 0.03
    assert float((spread / truth.std - 1).square().mean().sqrt()) < 0.05


def test_noise_of_every_pixel_counts() -> None:
    case = cases(1)[0]
    _, y = simulate(case, 1, seed=1)
    variance = torch.full_like(y, 0.02**2)
    variance[..., :2, :] = 0.3**2
    prior, a = case.generator.prior(SIDE), case.matrix
    cross = a @ prior.covariance[0]
    gain = torch.linalg.solve(cross @ a.T + torch.diag(variance.flatten()), cross).T
    exact = prior.mean[0] + gain @ (y.flatten() - a @ prior.mean[0])
    data = replace(case.observe(y), variance=variance)
    zero = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    mean = guided_samples(case.generator, data, lambda _: zero, Guided(32, renoise=0.0)).flatten()
    assert float((mean - exact).abs().max()) < 2e-3


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("operator", [Area(2), GaussianPSF(2, 0.5), Area((2, 4))], ids=["area", "psf", "anisotropic"])
def test_a_row_does_not_depend_on_its_batch(operator: Operator, kind: Literal["tweedie", "pigdm", "ddnm"]) -> None:
    generator = toy(2)
    fy, fx = operator.factor
    y = torch.rand(3, 1, 24 // fy, 24 // fx, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    usable = torch.ones_like(y, dtype=torch.bool)
    usable[1, :, 2:4] = False
    data = Observation(y, operator, torch.full_like(y, 1e-3), usable)
    settings = Guided(6, kind, iterations=2)
    whole = guided_samples(generator, data, keyed(3, (24, 24)), settings)
    assert whole.shape == (3, 1, 24, 24)
    for k in range(3):
        keep = slice(k, k + 1)
        alone = replace(data, y=y[keep], variance=data.variance[keep], usable=usable[keep])
        image = guided_samples(generator, alone, keyed(1, (24, 24), first=k), settings)
        torch.testing.assert_close(image, whole[keep], rtol=1e-7, atol=1e-7)


def test_iterations_approach_the_written_out_system(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases(1)[4]
    _, y = simulate(case, 4, seed=3)
    exact = run(case, case.observe(y), Guided(12))
    monkeypatch.setattr(datastep, "EXPLICIT", 0)
    errors = [
        float((run(case, case.observe(y), Guided(12, iterations=k)) - exact).square().mean().sqrt()) for k in (1, 3, 12)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3
    assert errors[0] < 0.05


@pytest.mark.parametrize("kind", STEPS)
def test_exact_data_are_met(kind: Literal["tweedie", "pigdm", "ddnm"]) -> None:
    case = cases(1)[0]
    _, y = simulate(case, 2, seed=1)
    data = replace(case.observe(y), variance=torch.zeros_like(y))
    images = run(case, data, Guided(32, kind))
    worst = float((case.operator.forward(images) - y).abs().max())
    assert worst < (1e-3 if kind != "pigdm" else 0.2)


def test_single_precision_stays_single_precision() -> None:
    case = cases(1)[0]
    _, y = simulate(case, 2, seed=1)
    images = guided_samples(case.generator, case.observe(y.float()), keyed(2, (SIDE, SIDE), torch.float32), Guided(12))
    assert images.dtype == torch.float32
    torch.testing.assert_close(images.double(), run(case, case.observe(y), Guided(12)), rtol=0, atol=2e-3)


def test_works_inside_inference_mode_and_leaves_no_graph() -> None:
    case = cases(1)[0]
    _, y = simulate(case, 1, seed=1)
    with torch.inference_mode():
        images = run(case, case.observe(y.clone()), Guided(4))
    assert not images.requires_grad


def test_refusals_name_the_way_out(curved: Generator, observed: Observation) -> None:
    with pytest.raises(SearchError, match="cannot denoise"):
        guided_samples(curved, observed, keyed(4, (8, 8)), Guided(4))
    with pytest.raises(SearchError, match="tweedie"):
        Guided(4, "dps")  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="sigma_min"):
        Guided(4, sigma_min=4.0)
    with pytest.raises(SearchError, match="start at 1"):
        Guided(0)


def test_schedule_falls_from_end_to_end() -> None:
    sigmas = Guided(8, sigma_max=2.0, sigma_min=0.01).sigmas()
    assert len(sigmas) == 8
    assert sigmas[0] == pytest.approx(2.0)
    assert sigmas[-1] == pytest.approx(0.01)
    assert sigmas == sorted(sigmas, reverse=True)
    assert Guided(1).sigmas() == [pytest.approx(3.0)]


def test_conjugate_gradients_end_per_row() -> None:
    numbers = torch.Generator().manual_seed(0)
    root = torch.randn(3, 6, 6, generator=numbers, dtype=torch.float64)
    matrix = root @ root.mT + 0.1 * torch.eye(6, dtype=torch.float64)
    b = torch.randn(3, 6, generator=numbers, dtype=torch.float64)
    b[1] = 0
    x = conjugate(lambda v: (matrix @ v[..., None])[..., 0], b, torch.ones(1), 60, 1e-12)
    torch.testing.assert_close((matrix @ x[..., None])[..., 0], b, rtol=1e-9, atol=1e-9)
    assert x[1].tolist() == [0.0] * 6


def test_presets_say_what_they_do() -> None:
    assert list(PRESETS) == ["fast", "balanced", "best", "posterior", "pulse"]
    assert [PRESETS[n].generator_options["spacing"] for n in ("fast", "balanced", "best")] == [4, 2, 1]
    assert [PRESETS[n].generator_options["coarse_spacing"] for n in ("fast", "balanced", "best")] == [2, 1, 1]
    assert preset("posterior").moments == "draws"
    assert preset("posterior").draws == 16
    assert {p.guided.data_step for p in PRESETS.values()} <= set(STEPS)
    with pytest.raises(UsageError, match="balanced"):
        preset("turbo")
