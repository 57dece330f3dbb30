"""The staged search: its metric, its descent, its coarse problems, its rungs, and what it says of what it found."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gensr.benchmarks.exact import SIDE
from gensr.operators import Area, Bicubic
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Stage
from gensr.priors.observation import Observation
from gensr.search import metric as metrics
from gensr.search.coarse import CoarseProblem, enlarged
from gensr.search.loop import freeze, solve
from gensr.search.metric import Metric, measure, metric_of
from gensr.search.posterior import answer, method_of
from gensr.search.presets import PRESETS
from gensr.search.problem import Problem
from gensr.search.run import coarse_stage, search
from gensr.search.secant import Secant
from gensr.search.solution import StopReason
from gensr.search.staged import Staged, climb, passes, rungs
from gensr.values.latent import Latents, LatentSpec, LatentTensor
from gensr.values.random import Stream
from tests.search.conftest import Curved

SHAPE = (SIDE, SIDE)
BALANCED = PRESETS["balanced"]


class Linear(Curved):
    """Without the saturation, so that its metric and its posterior are known; with a noise map that is added."""

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        return LatentSpec((LatentTensor("w", (3, 4), layered=True), LatentTensor("noise", (1, 4, 4))))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        w = latents["w"].flatten(1)
        noise = latents["noise"].repeat_interleave(2, 2).repeat_interleave(2, 3)
        return 0.5 + (w @ self.weight.to(w)).view(-1, 1, *SHAPE) + 0.1 * noise


class Staircase(Curved):
    """With coarse outputs that miss a part of the full one."""

    capabilities = frozenset({"stages"})

    def stages(self, shape: tuple[int, int]) -> tuple[Stage, ...]:
        return (Stage((2, 2), 0.1), Stage((4, 4), 0.3), Stage(SHAPE, 1.0))

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        return LatentSpec((LatentTensor("w", (3, 4), layered=True),))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        image = super().synthesize(latents, shape)
        if stage is None:
            return image
        return 0.8 * Area(shape[0] // stage.shape[0]).forward(image) + 0.15


def white_data(n: int = 2, noise: float = 0.02, operator: Area | Bicubic | None = None) -> Observation:
    y = 0.5 + 0.2 * torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return Observation(y, operator or Area(2), torch.full_like(y, noise**2), torch.ones_like(y, dtype=torch.bool))


def coarse(problem: Problem, stage: Stage | None) -> CoarseProblem:
    return CoarseProblem(**{f.name: getattr(problem, f.name) for f in fields(Problem)}, stage=stage)


class TestMetric:
    def test_it_is_the_mean_of_the_curvature(self, card: GeneratorCard) -> None:
        """Of a linear generator it is J^T J itself: the leading directions, and the diagonal to the last part."""
        generator = Linear(card)
        found = measure(generator, SHAPE, None, 4000)
        jacobian = Jacobian.of(generator)
        exact = jacobian.T @ jacobian
        assert found.count == SIDE * SIDE
        made = torch.diag(found.diagonal) + found.basis @ torch.diag(found.energy) @ found.basis.T
        torch.testing.assert_close(made.diagonal()[:12], exact.diagonal()[:12].float(), rtol=0.1, atol=0)
        torch.testing.assert_close(made[:12, :12], exact[:12, :12].float(), rtol=0, atol=0.1 * float(exact.max()))
        torch.testing.assert_close(found.diagonal[12:], torch.full((16,), 0.04), rtol=0.05, atol=0)  # 4 pixels of 0.1
        assert not found.basis[12:].any()

    def test_solving_is_the_inverse(self) -> None:
        numbers = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(torch.randn(9, 3, generator=numbers, dtype=torch.float64))
        energy = torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64)
        made = Metric(torch.rand(9, generator=numbers, dtype=torch.float64) + 0.1, basis, energy, 16)
        gradient = torch.randn(2, 9, generator=numbers, dtype=torch.float64)
        weight = torch.tensor([3.0, 70.0], dtype=torch.float64)
        found = made.solve(*made.inverse(weight), gradient)
        dense = torch.diag(made.diagonal) + basis @ torch.diag(energy) @ basis.T
        for row in range(2):
            expected = torch.linalg.solve(weight[row] * dense + torch.eye(9), gradient[row])
            torch.testing.assert_close(found[row], expected)

    def test_what_has_no_vectors_or_hangs_on_a_choice_has_none(self, curved: Curved) -> None:
        assert metric_of(curved, SHAPE, None) is None  # "unused" is a choice

    def test_it_is_kept_and_a_damaged_file_is_measured_again(
        self, card: GeneratorCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metrics, "cache_folder", lambda: tmp_path / "kept")
        monkeypatch.setattr(metrics, "CHEAP", 0.0)
        told: list[tuple[int, int]] = []
        generator = Linear(card)
        first = metric_of(generator, SHAPE, None, lambda done, total: told.append((done, total)))
        assert told[-1][0] == told[-1][1] == metrics.MOST
        (path,) = (tmp_path / "kept").glob("*.safetensors")
        told.clear()
        for spoilt in (False, True):
            monkeypatch.setattr(metrics, "_MEMORY", {})
            if spoilt:
                path.write_bytes(path.read_bytes()[:-5])
            again = metric_of(generator, SHAPE, None, lambda done, total: told.append((done, total)))
            assert bool(told) == spoilt
            assert first is not None
            assert again is not None
            assert torch.equal(first.diagonal, again.diagonal)
            assert torch.equal(first.basis, again.basis)
        other = Linear(replace(card, name="other"))
        monkeypatch.setattr(metrics, "_MEMORY", {})
        metric_of(other, SHAPE, None)
        assert len(list((tmp_path / "kept").glob("*.safetensors"))) == 2

    def test_what_it_was_measured_at_is_a_bank_of_starts(self, card: GeneratorCard) -> None:
        """Data that one of its latents makes, without its noise map, begin at that latent."""
        generator = Linear(card)
        metric = measure(generator, SHAPE, None, 256)
        assert metric.pictures.shape == (metrics.BANKED, 1, SIDE, SIDE)
        data = white_data()
        spec = generator.latents(SHAPE)
        drawn = spec.sample([Stream(0).child("metric", k) for k in (11, 40)])
        y = Area(2).forward(generator.synthesize(drawn, SHAPE)).double()
        found = metrics.starts(generator, metric, replace(data, y=y), 2)
        torch.testing.assert_close(found["w"][[0, 2]], drawn["w"])
        assert not found["noise"].any()
        usable = torch.ones_like(data.usable)
        usable[..., 0] = False
        spoilt = torch.where(usable, y, torch.nan)
        again = metrics.starts(generator, metric, replace(data, y=spoilt, usable=usable), 2)
        torch.testing.assert_close(again["w"][[0, 2]], drawn["w"])


class Jacobian:
    """Of a generator's picture, by differences of a linear map."""

    @staticmethod
    def of(generator: Linear) -> Tensor:
        spec = generator.latents(SHAPE)
        unit = torch.eye(spec.dimension, dtype=torch.float64)
        zero = generator.synthesize(spec.unflatten(unit[:1] * 0, {}), SHAPE)
        return (generator.synthesize(spec.unflatten(unit, {}), SHAPE) - zero).flatten(1).T


class TestSecant:
    def test_it_ends_at_the_posterior_of_a_linear_generator(self, card: GeneratorCard) -> None:
        generator, data = Linear(card), white_data()
        problem = Problem(generator, data, {})
        start = torch.randn(2, 28, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        found = solve(Secant(300, metric=measure(generator, SHAPE, None, 2000)), problem, start)
        jacobian = Jacobian.of(generator)
        small = torch.stack([Area(2).forward(column.view(1, *SHAPE)).flatten() for column in jacobian.T], 1)
        rest = (data.y - 0.5).flatten(1)
        curvature = small.T @ small / 0.02**2 + torch.eye(28, dtype=torch.float64)
        expected = torch.linalg.solve(curvature, small.T @ rest.T / 0.02**2).T
        exact = problem.objective(expected)
        assert (found.objective - exact < 0.02 * exact).all()
        torch.testing.assert_close(problem.spec.flatten(found.latents), expected, rtol=0, atol=0.1)

    def test_the_metric_saves_most_of_the_steps(self, card: GeneratorCard) -> None:
        generator, data = Linear(card), white_data()
        problem = Problem(generator, data, {})
        start = torch.zeros(2, 28, dtype=torch.float64)
        metric = measure(generator, SHAPE, None, 2000)
        with_it, without = (solve(Secant(6, metric=m), problem, start).objective for m in (metric, None))
        best = solve(Secant(400, metric=metric), problem, start).objective
        assert ((with_it - best) < 0.3 * (without - best)).all()

    def test_large_pictures_are_differentiated_in_parts(
        self, card: GeneratorCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Candidates do not feel it; running out of memory leaves one at a time."""
        generator, data = Linear(card), white_data(3)
        problem = Problem(generator, data, {})
        start = torch.zeros(3, 28, dtype=torch.float64)
        whole = solve(Secant(10), problem, start)
        sizes: list[int] = []
        made = Linear.synthesize

        def counted(self: Linear, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
            sizes.append(len(latents["w"]))
            if len(latents["w"]) > 1:
                raise MemoryError
            return made(self, latents, shape, stage)

        monkeypatch.setattr("gensr.search.secant.PIXELS", 2 * SIDE * SIDE)
        monkeypatch.setattr("gensr.search.problem.PIXELS", SIDE * SIDE)
        monkeypatch.setattr(Linear, "synthesize", counted)
        parts = solve(Secant(10), problem, start)
        assert max(sizes) == 2
        torch.testing.assert_close(parts.objective, whole.objective)
        torch.testing.assert_close(parts.images, whole.images)

    def test_the_prior_gives_way_only_where_it_must(self, card: GeneratorCard) -> None:
        """Data of the generator keep its full weight; those far in its tail are explained, and no closer than that."""
        generator, data = Linear(card), white_data()
        metric = measure(generator, SHAPE, None, 2000)
        solver = Secant(60, 1.0, 0.02, metric=metric)
        spec = generator.latents(SHAPE)
        usual = spec.unflatten(torch.randn(2, 28, generator=torch.Generator().manual_seed(3), dtype=torch.float64), {})
        for scale, relaxed in ((1.0, False), (12.0, True)):
            latents = {name: scale * t for name, t in usual.items()}
            y = Area(2).forward(generator.synthesize(latents, SHAPE))
            y = y + 0.02 * torch.randn(y.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
            problem = Problem(generator, replace(data, y=y), {})
            state = solver.init(problem, torch.zeros(2, 28, dtype=torch.float64))
            for step in range(solver.steps):
                new = solver.step(problem, state, step)
                assert (new.loss <= state.loss + 1e-9).all()  # whatever its weight is
                state = freeze(new, state, solver.terminate(problem, state))
            assert bool((state.weight < 1).any()) == relaxed
            assert (state.chi2 <= 1).all()
            assert (state.chi2 > 0.2).all()

    def test_a_step_that_worsens_is_not_taken(self, curved: Curved, observed: Observation) -> None:
        problem = Problem(
            curved,
            observed,
            {name: t for name, t in curved.latents(SHAPE).sample([Stream(i) for i in range(4)]).items()},
        )
        solver = Secant(30)
        state = solver.init(problem, 2 * torch.ones(4, problem.spec.dimension, dtype=torch.float64))
        for step in range(30):
            new = solver.step(problem, state, step)
            assert (new.loss <= state.loss).all()
            torch.testing.assert_close(problem.objective(new.flat), new.loss)
            state = new


class TestCoarse:
    @pytest.mark.parametrize("operator", [Area(2), Bicubic(2)])
    def test_renewed_it_is_exact_where_it_was_renewed(self, card: GeneratorCard, operator: Area | Bicubic) -> None:
        generator, data = Staircase(card), white_data(3, operator=operator)
        full = Problem(generator, data, {})
        problem = coarse(full, Stage((4, 4), 0.3))
        flat = torch.randn(3, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        assert float((problem.predict(flat) - full.predict(flat)).abs().max()) > 0.02
        renewed = problem.renewed(flat)
        torch.testing.assert_close(renewed.predict(flat), full.predict(flat))
        some = renewed.rows(torch.tensor([2, 0]))
        torch.testing.assert_close(some.predict(flat[[2, 0]]), full.predict(flat)[[2, 0]])
        assert torch.equal(renewed.images(flat), full.images(flat))

    def test_pixels_are_repeated_or_interpolated(self) -> None:
        x = torch.arange(4.0).view(1, 1, 2, 2)
        assert enlarged(x, (4, 4), False)[0, 0, 0].tolist() == [0, 0, 1, 1]
        assert enlarged(x, (4, 4), True)[0, 0, 0].tolist() == [0, 0.25, 0.75, 1]
        assert enlarged(x, (2, 2), True) is x

    def test_the_stage_is_twice_as_fine_as_the_data(self, card: GeneratorCard) -> None:
        generator = Staircase(card)
        small = replace(white_data(), y=torch.zeros(1, 1, 2, 2), operator=Area(4))
        assert coarse_stage(generator, small) == Stage((4, 4), 0.3)
        assert coarse_stage(generator, white_data()) is None  # only the full one is twice as fine


class TestLadder:
    def test_rungs_halve_and_the_last_is_the_longest(self) -> None:
        assert rungs(8, 2, 80) == [(4, 10), (2, 10), (2, 60)]
        assert rungs(1, 2, 30) == [(1, 30)]
        assert sum(steps for _, steps in rungs(16, 3, 61)) == 61

    def test_a_coarse_search_ends_where_the_full_output_explains_the_data(self, card: GeneratorCard) -> None:
        """The coarse output is wrong by far more than the noise, and is never differentiated against the full one."""
        generator = Staircase(replace(card, discrepancy=0.0))
        w = torch.randn(3, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        y = Area(4).forward(generator.synthesize({"w": w.view(-1, 3, 4)}, SHAPE))
        data = Observation(y, Area(4), torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))
        problem = coarse(Problem(generator, data, {}), coarse_stage(generator, data))
        assert problem.stage is not None
        method = Staged(steps=40, rounds=6, fine=20, extend=0, secant=0, candidates=1, modes=1, newton=0)
        start = torch.zeros(3, 12, dtype=torch.float64)
        modes = climb(method, problem, start, 1, None)
        full = Problem(generator, data, {})
        assert (full.chi2(full.predict(modes.flat)) <= passes(full)).all()
        missed = climb(
            replace(method, rounds=0, fine=0, newton=0), problem, torch.zeros(3, 12, dtype=torch.float64), 1, None
        )
        assert (full.chi2(full.predict(missed.flat)) > 5).all()

    def test_one_of_every_mode_is_kept(self, card: GeneratorCard) -> None:
        """Three candidates are nearly one; the fourth is worse and far away: it stays, two of the three go."""
        generator = Linear(card)
        data = white_data(1)
        spec = generator.latents(SHAPE)
        near = torch.zeros(3, spec.dimension, dtype=torch.float64)
        near[:, 0] = torch.tensor([0.02, 0.0, 0.01])
        far = torch.full((1, spec.dimension), 1.5, dtype=torch.float64)
        starts = torch.cat([near, far])
        rows = replace(
            data, y=data.y.repeat(4, 1, 1, 1), variance=data.variance.repeat(4, 1, 1, 1),
            usable=data.usable.repeat(4, 1, 1, 1),
        )  # fmt: skip
        problem = coarse(Problem(generator, rows, {}), None)
        kept = climb(Staged(steps=0, modes=2, rounds=0, fine=0, extend=0, secant=0, newton=0), problem, starts, 4, None)
        assert kept.count == 2
        assert any(torch.equal(row, far[0]) for row in kept.flat)
        assert any(torch.equal(row, x) for row in kept.flat for x in near)

    def test_data_of_the_generator_are_explained_in_range(self, curved: Curved, observed: Observation) -> None:
        streams = [Stream(0).child(i) for i in range(4)]
        found = search(curved, observed, BALANCED, streams, 1)
        assert all(reason is StopReason.DISCREPANCY for reason in found.reason)
        assert (found.figures["length of w, in units of what is expected"] < 2).all()
        low = observed.operator.forward(curved.synthesize(found.latents, SHAPE))
        assert ((low - observed.y).square().mean((1, 2, 3)) / 1e-4 < 1 + 2 * math.sqrt(2 / 16)).all()

    def test_what_no_latent_makes_is_said_to_be_foreign(self, curved: Curved, observed: Observation) -> None:
        """Data beyond the saturation are not explained; those far in the tail only by a relaxed prior."""
        impossible = replace(observed, y=observed.y + 5)
        found = search(curved, impossible, BALANCED, [Stream(0).child(i) for i in range(4)], 1)
        assert all(reason is StopReason.STEPS for reason in found.reason)
        assert torch.isfinite(found.images).all()
        w = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(9), dtype=torch.float64) * 4
        tail = replace(observed, y=Area(2).forward(curved.synthesize({"w": w}, SHAPE)))
        reasons = search(curved, tail, BALANCED, [Stream(0).child(i) for i in range(4)], 1).reason
        assert StopReason.BEYOND in reasons
        assert StopReason.BEYOND.success

    def test_steps_go_on_until_the_data_are_explained_and_no_further(
        self, curved: Curved, observed: Observation
    ) -> None:
        """Far beyond what the prior expects some rows need 100 steps; the others stop where they are done."""
        w = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(9), dtype=torch.float64) * 14
        tail = replace(observed, y=Area(2).forward(curved.synthesize({"w": w}, SHAPE)))
        found = search(curved, tail, BALANCED, [Stream(0).child(i) for i in range(4)], 1)
        assert float(found.chi2.max()) < 1.1
        assert int(found.steps.max()) > 100
        assert int(found.steps[1]) < 100

    def test_candidates_do_not_depend_on_their_neighbours(self, curved: Curved, observed: Observation) -> None:
        streams = [Stream(0).child(i) for i in range(4)]
        whole = search(curved, observed, BALANCED, streams, 3)
        part = {name: getattr(observed, name)[2:3] for name in ("y", "variance", "usable")}
        alone = search(curved, replace(observed, **part), BALANCED, streams[2:3], 3)
        torch.testing.assert_close(alone.images, whole.images[6:9], rtol=0, atol=1e-6)
        again = search(curved, observed, BALANCED, streams, 3)
        assert torch.equal(again.images, whole.images)

    def test_samples_spread_about_the_mode_as_the_posterior_does(self, card: GeneratorCard) -> None:
        generator: Generator = Linear(replace(card, discrepancy=0.0))
        data = white_data(1)
        how = replace(BALANCED, solver_options={"steps": 200, "draw": 200})
        found = answer(
            generator, data, replace(how, draws=200), method_of(generator, Area(2), how), 200, lambda *_: data.y,
            [Stream(4)],
        )  # fmt: skip
        jacobian = Jacobian.of(generator)  # type: ignore[arg-type]
        small = torch.stack([Area(2).forward(column.view(1, *SHAPE)).flatten() for column in jacobian.T], 1)
        covariance = torch.linalg.inv(small.T @ small / 0.02**2 + torch.eye(28, dtype=torch.float64))
        expected = (jacobian @ covariance @ jacobian.T).diagonal().view(1, 1, *SHAPE)
        inside = torch.stack(found.samples).var(0)
        assert float(inside.mean() / expected.mean()) == pytest.approx(1, abs=0.15)

    def test_another_solver_leaves_the_ladder_s_numbers_behind(self) -> None:
        from gensr.cli.presets import chosen_preset, flat
        from gensr.errors import UsageError

        node = {**flat(BALANCED), **flat(PRESETS["best"]), "solver": "adam", "guided": {}}
        chosen = chosen_preset(node, ["solver"])
        assert (chosen.solver, set(chosen.solver_options)) == ("adam", {"steps"})
        with pytest.raises(UsageError, match=r"search\.candidates"):
            chosen_preset(node, ["solver", "candidates"])
