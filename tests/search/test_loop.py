"""The loop: best so far, verdicts, frozen rows, broken values, and candidates that do not know each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gensr.errors import SearchError, UsageError
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.search.closed_form import ClosedForm
from gensr.search.first_order import Adam, SphericalAdam
from gensr.search.gauss_newton import GaussNewton, Linearised
from gensr.search.loop import Solver, State, solve
from gensr.search.problem import Problem, repeat
from gensr.search.pulse import Pulse
from gensr.search.solution import StopReason
from gensr.search.solvers import solver, solver_options

ALL = [Adam(60), SphericalAdam(60), GaussNewton(12), GaussNewton(12, dense=False), Pulse(60)]


def problem_of(generator: Generator, data: Observation, **settings: Any) -> Problem:
    return Problem(generator, data, {"unused": data.y.new_zeros(len(data.y))}, **settings)


def starts(n: int) -> Tensor:
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def rows(data: Observation, index: list[int]) -> Observation:
    return replace(data, y=data.y[index], variance=data.variance[index], usable=data.usable[index])


@pytest.mark.parametrize("method", ALL, ids=lambda s: f"{s.name}{'' if getattr(s, 'dense', None) is None else '-free'}")
def test_a_candidate_does_not_depend_on_its_neighbours(
    method: Solver[Any], curved: Generator, observed: Observation
) -> None:
    whole = solve(method, problem_of(curved, observed), starts(4))
    order = [2, 0, 3, 1]
    shuffled = solve(method, problem_of(curved, rows(observed, order)), starts(4)[order])
    # Conjugate gradients amplify rounding, which depends on the shape of the batch.
    limit = 1e-3 if getattr(method, "dense", None) is False else 1e-7
    torch.testing.assert_close(shuffled.images, whole.images[order], rtol=limit, atol=limit)
    for k in range(4):
        alone = solve(method, problem_of(curved, rows(observed, [k])), starts(4)[[k]])
        torch.testing.assert_close(alone.images[0], whole.images[k], rtol=limit, atol=limit)
        assert alone.reason[0] is whole.reason[k]
        assert int(alone.steps[0]) == int(whole.steps[k])


@pytest.mark.parametrize("method", [m for m in ALL if m.name != "pulse"], ids=lambda s: s.name)
def test_searches_lower_the_objective(method: Solver[Any], curved: Generator, observed: Observation) -> None:
    problem = problem_of(curved, observed)
    found = solve(method, problem, starts(4))
    assert (found.objective < 0.2 * problem.objective(starts(4))).all()


def test_gauss_newton_explains_the_data_to_their_noise(curved: Generator, observed: Observation) -> None:
    found = solve(GaussNewton(40), problem_of(curved, observed), starts(4))
    assert all(r is StopReason.CONVERGED for r in found.reason)
    assert (found.chi2 < 2.5).all()
    near = Linearised(problem_of(curved, observed), problem_of(curved, observed).spec.flatten(found.latents))
    assert float(near.gradient.abs().max()) < 1e-3


def test_products_with_the_jacobian_agree(curved: Generator, observed: Observation) -> None:
    near = Linearised(problem_of(curved, observed), starts(4))
    jacobian = near.dense()
    v, w = starts(4), torch.randn(4, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(near.forward(v), (jacobian @ v[..., None])[..., 0])
    torch.testing.assert_close(near.backward(w), (jacobian.mT @ w[..., None])[..., 0])


class Wandering(Solver[State]):
    """Moves along one latent so that the loss first falls, then rises."""

    name = "wandering"
    steps = 9

    def init(self, problem: Problem, flat: Tensor) -> State:
        return self._at(problem, flat)

    def step(self, problem: Problem, state: State, step: int) -> State:
        return self._at(problem, state.flat + 0.5)

    def _at(self, problem: Problem, flat: Tensor) -> State:
        return State(flat, (flat.sum(1) / 12 - 2).square(), problem.chi2(problem.predict(flat)))


def test_image_low_image_and_latents_are_of_the_best_iterate(curved: Generator, observed: Observation) -> None:
    problem = problem_of(curved, observed)
    found = solve(Wandering(), problem)
    assert torch.equal(found.latents["w"], torch.full((4, 3, 4), 2.0, dtype=torch.float64))  # the last is at 4.5
    torch.testing.assert_close(found.images, problem.images(torch.full((4, 12), 2.0, dtype=torch.float64)))
    assert torch.equal(found.low, observed.operator.forward(found.images))
    torch.testing.assert_close(found.chi2, problem.chi2(found.low))
    assert found.reason == (StopReason.STEPS,) * 4
    assert found.steps.tolist() == [9] * 4


def test_values_that_are_not_finite_stop_only_their_candidate(breaking: Generator, observed: Observation) -> None:
    start = torch.full((4, 12), 0.1, dtype=torch.float64)
    start[1] = 0.8  # length 2.8: two steps further it breaks
    start[2] = 2.0  # broken from the start
    problem = problem_of(breaking, observed)
    seen: list[Tensor] = []
    slow = Wandering()
    found = solve(slow, problem, start, callback=lambda step, loss, chi2: seen.append(loss))
    assert 1 <= len(seen) < slow.steps  # all are done once all have broken
    assert found.reason[2] is StopReason.NEVER_FINITE
    assert found.reason[1] is StopReason.NOT_FINITE
    assert torch.isfinite(found.images[[0, 1, 3]]).all()
    assert torch.equal(found.latents["w"][2].flatten(), start[2])
    assert not found.reason[1].success


@pytest.mark.parametrize("method", [Adam(40, rate=3.0), GaussNewton(8, damping=1e-6)], ids=lambda s: s.name)
def test_solvers_survive_a_generator_that_breaks(
    method: Solver[Any], breaking: Generator, observed: Observation
) -> None:
    found = solve(method, problem_of(breaking, observed))
    assert torch.isfinite(found.images).all()
    assert torch.isfinite(found.objective).all()


def test_discrepancy_stop_ends_a_search_that_fits(curved: Generator, observed: Observation) -> None:
    loose = replace(observed, variance=torch.full_like(observed.y, 0.04))
    found = solve(SphericalAdam(200), problem_of(curved, loose), starts(4), discrepancy_stop=True)
    assert all(r is StopReason.DISCREPANCY for r in found.reason)
    assert (found.chi2 <= 1).all()
    assert (found.steps < 200).all()


def test_unknown_variance_matches_the_known_one(curved: Generator, observed: Observation) -> None:
    unscaled = replace(observed, variance=torch.ones_like(observed.y))
    known = solve(GaussNewton(40), problem_of(curved, observed), starts(4))
    unknown = solve(GaussNewton(60), problem_of(curved, unscaled, unknown_variance=True), starts(4))
    assert torch.isfinite(unknown.objective).all()
    difference = (known.images - unknown.images).square().mean((1, 2, 3)).sqrt()
    assert float(difference.median()) < 0.02
    with pytest.raises(SearchError, match="gauss-newton"):
        solve(ClosedForm(), problem_of(curved, unscaled, unknown_variance=True))


def test_masked_data_equal_removed_data(curved: Generator, observed: Observation) -> None:
    usable = observed.usable.clone()
    usable[..., 2:, :] = False
    wild = torch.where(usable, observed.y, torch.nan)
    masked = problem_of(curved, replace(observed, y=wild, usable=usable, variance=torch.where(usable, 1e-4, torch.nan)))
    found = solve(GaussNewton(40), masked, starts(4))
    assert torch.isfinite(found.images).all()

    class Upper(type(observed.operator)):  # type: ignore[misc]
        """Only the rows that are usable exist."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[..., :2, :]

        def adjoint(self, y: Tensor) -> Tensor:
            return super().adjoint(torch.cat([y, torch.zeros_like(y)], -2))

    class Half(Observation):
        @property
        def shape(self) -> tuple[int, int]:
            return (8, 8)

    top = Half(observed.y[..., :2, :], Upper(2), observed.variance[..., :2, :], usable[..., :2, :])
    removed = solve(GaussNewton(40), problem_of(curved, top), starts(4))
    torch.testing.assert_close(found.images, removed.images, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.objective, removed.objective)
    assert masked.count.tolist() == [8.0] * 4


def test_discrepancy_is_the_joint_optimum(curved: Generator, observed: Observation) -> None:
    problem = problem_of(curved, observed, discrepancy=0.05)
    found = solve(GaussNewton(40), problem, starts(4))
    plain = problem.images(problem.spec.flatten(found.latents))
    d = (found.images - plain).requires_grad_()
    joint = ((observed.operator.forward(plain + d) - observed.y).square() / observed.variance).sum() + (
        d / 0.05
    ).square().sum()
    (gradient,) = torch.autograd.grad(joint, d)
    assert float(gradient.abs().max()) < 1e-8
    assert (found.correction > 0).all()
    without = problem_of(curved, observed).chi2(observed.operator.forward(found.images))
    assert (without < problem_of(curved, observed).chi2(observed.operator.forward(plain))).all()


def test_problem_refuses_data_that_are_not_finite(curved: Generator, observed: Observation) -> None:
    with pytest.raises(SearchError, match="mask"):
        problem_of(curved, replace(observed, y=observed.y * torch.nan))
    with pytest.raises(SearchError, match="mask"):
        problem_of(curved, replace(observed, variance=observed.variance * torch.inf))


def test_exact_data_do_not_divide_by_zero(curved: Generator, observed: Observation) -> None:
    exact = replace(observed, variance=torch.zeros_like(observed.y))
    found = solve(GaussNewton(20), problem_of(curved, exact), starts(4))
    assert torch.isfinite(found.objective).all()


def test_solution_reports_what_is_json_able(curved: Generator, observed: Observation) -> None:
    import json

    found = solve(Adam(3), problem_of(curved, observed), starts(4), seed=0)
    report = json.loads(json.dumps(dict(found.report())))
    assert report["seed"] == 0
    assert report["verdict"] == [StopReason.STEPS.sentence] * 4
    assert found.best == int(found.objective.argmin())
    assert len({reason.sentence for reason in StopReason}) == len(StopReason)


def test_solvers_by_name() -> None:
    for name in ("adam", "closed-form", "gauss-newton", "pulse", "spherical-adam"):
        made = solver(name, {"steps": 7})
        assert (made.name, made.steps) == (name, 7)
    assert solver("adam", {"rate": 0.3}) == Adam(rate=0.3)
    assert {"steps", "rate", "tolerance"} <= set(solver_options("adam"))
    with pytest.raises(UsageError, match="gauss-newton"):
        solver("newton", {})
    with pytest.raises(UsageError, match=r"search\.rat: the solver adam has no such number; did you mean 'rate'"):
        solver("adam", {"rat": 1.0})


def test_spherical_searches_need_a_start(curved: Generator, observed: Observation) -> None:
    for method in (SphericalAdam(), Pulse()):
        with pytest.raises(SearchError, match=r"search\.start=prior"):
            solve(method, problem_of(curved, observed))


def test_repeat_keeps_candidates_of_an_image_together(observed: Observation) -> None:
    twice = repeat(observed, 2)
    assert torch.equal(twice.y[0], twice.y[1])
    assert torch.equal(twice.y[2], observed.y[1])
