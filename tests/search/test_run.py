"""Latent search of batches: rows, random streams, starts and ranks, by a prior whose optimum is known exactly."""

from dataclasses import replace

import pytest
import torch

from gensr.errors import SearchError
from gensr.operators import Area
from gensr.priors.generator import Stage
from gensr.priors.observation import Observation
from gensr.search import run
from gensr.search.closed_form import ClosedForm
from gensr.search.first_order import Adam, SphericalAdam
from gensr.search.presets import PRESETS
from gensr.search.pulse import Pulse
from gensr.search.run import candidates, search, start_of
from gensr.search.solution import Solution, StopReason
from gensr.values.latent import LatentSpec, LatentTensor
from gensr.values.random import Stream

EXACT = replace(PRESETS["balanced"], solver="closed-form", solver_options={})
PULSE = replace(PRESETS["pulse"], solver_options={"steps": 2})


def data(n=2, rows=2, cols=3, operator=None):
    y = torch.linspace(0.4, 0.6, n * rows * cols).view(n, 1, rows, cols)
    return Observation(y, operator or Area(2), torch.full_like(y, 0.0025), torch.ones_like(y, dtype=torch.bool))


def streams(n=2, seed=3):
    return [Stream(seed).child("image", i) for i in range(n)]


def fine(t):
    return t.repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_the_best_is_the_optimum_of_every_image_and_the_others_are_samples(white):
    seen = data()
    found = candidates(white("linear"), seen, EXACT, streams(), 300)
    torch.testing.assert_close(found.best, 0.5 + fine(seen.y - 0.5) / 2, rtol=0, atol=1e-5)
    assert len(found.others) == 300
    stack = torch.stack(found.others)
    assert stack.shape == (300, 2, 1, 4, 6)
    # Standard errors of 300: a mean of pixels 0.0935 / sqrt(300), a deviation 4 %.
    assert float((stack.mean(0) - found.best).abs().max()) < 4 * 0.0935 / 300**0.5
    assert stack.std(0).mean() == pytest.approx(0.00875**0.5, rel=0.02)
    assert float(stack.std(0).max() / stack.std(0).min()) < 1.4
    seen_mean = Area(2).forward(stack).std(0)
    assert seen_mean.mean() == pytest.approx((0.0025 * 0.0025 / 0.005) ** 0.5, rel=0.05)  # blocks: b v / (b + v)
    assert len(found.solution.reason) == 2 * 301
    torch.testing.assert_close(found.solution.images[301 + 7], found.others[6][1])


def test_one_optimum_where_no_sample_is_asked_for(white):
    found = candidates(white("linear"), data(), EXACT, streams(), 0)
    assert found.others == []
    assert found.best.shape == (2, 1, 4, 6)
    pulse = candidates(white("linear"), data(), PULSE, streams(), 0)
    assert len(pulse.others) == 1


def test_an_image_does_not_know_its_neighbours(white):
    both = search(white("linear"), data(), EXACT, streams(), 3)
    seen = data()
    second = replace(seen, y=seen.y[1:], variance=seen.variance[1:], usable=seen.usable[1:])
    alone = search(white("linear"), second, EXACT, streams()[1:], 3)
    torch.testing.assert_close(both.images[3:], alone.images, rtol=0, atol=1e-6)
    other = search(white("linear"), second, EXACT, streams(seed=4)[1:], 3)
    assert float((other.images[1:] - alone.images[1:]).abs().max()) > 0.05
    torch.testing.assert_close(other.images[0], alone.images[0], rtol=0, atol=1e-6)
    assert (alone.seed, other.seed) == (3, 4)


def test_a_sample_solves_the_problem_of_its_own_random_numbers(white):
    """Candidate k has ``y + e`` and the centre ``xi``: x = 0.5 + 0.1 xi + (y + e - A(0.5 + 0.1 xi)) / 2 in a block."""
    seen = data()
    found = search(white("linear"), seen, EXACT, streams(), 2)
    key = streams()[1].child("candidate", 1)
    free = 0.5 + 0.1 * key.child("latent/pixels").normal((1, 4, 6))
    moved = seen.y[1] + 0.05 * key.child("data").normal((1, 2, 3))
    torch.testing.assert_close(found.images[3], free + fine(moved - Area(2).forward(free)) / 2, rtol=0, atol=1e-5)


def test_what_the_generator_cannot_express_is_drawn_too(white):
    """With a discrepancy S, images are G(z) + d: half of each pixel's variance each, and the joint posterior again."""
    seen = data(n=1)
    found = candidates(white("linear", discrepancy=0.1), seen, EXACT, streams(1), 300)
    share = 0.005 / (0.005 + 0.0025)
    torch.testing.assert_close(found.best, 0.5 + fine(seen.y - 0.5) * share, rtol=0, atol=1e-5)
    assert torch.stack(found.others).std(0).mean() == pytest.approx((0.02 - 0.005 * share) ** 0.5, rel=0.02)


def solution(objective, images):
    n = len(objective)
    t = torch.zeros(n)
    worth = torch.tensor(objective)
    return Solution({}, images, t, worth, worth, t, t, t, (StopReason.STEPS,) * n, t, 0.1, "pulse")


def test_independent_candidates_come_in_order_of_worth(white, monkeypatch):
    """Two images of three: objectives 5 1 3 and nan 7 6, so candidates 1 2 0 and 2 1 0."""
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 4, 6)
    nan = float("nan")
    monkeypatch.setattr(run, "search", lambda *a: solution([5.0, 1.0, 3.0, nan, 7.0, 6.0], images))
    found = candidates(white("linear"), data(), PULSE, streams(), 3)
    assert [o[:, 0, 0, 0].tolist() for o in found.others] == [[1.0, 5.0], [2.0, 4.0], [0.0, 3.0]]
    assert found.best[:, 0, 0, 0].tolist() == [1.0, 5.0]
    monkeypatch.setattr(run, "search", lambda *a: solution([2.0, 2.0, 2.0, 1.0, 1.0, 1.0], images))
    tied = candidates(white("linear"), data(), PULSE, streams(), 3)
    assert tied.best[:, 0, 0, 0].tolist() == [0.0, 3.0]


def test_as_many_rows_as_are_needed(white, monkeypatch):
    asked = []

    def searched(generator, seen, preset, keys, count):
        asked.append(count)
        return solution([0.0] * 2 * count, torch.zeros(2 * count, 1, 4, 6))

    monkeypatch.setattr(run, "search", searched)
    sizes = []
    for preset in (EXACT, PULSE):
        for count in (0, 1, 4):
            sizes.append(len(candidates(white("linear"), data(), preset, streams(), count).others))
    assert asked == [1, 2, 5, 1, 1, 4]
    assert sizes == [0, 1, 4, 1, 1, 4]


@pytest.mark.parametrize(
    ("able", "solver", "asked", "start"),
    [
        ((), ClosedForm(), None, "centre"),
        ((), Adam(), None, "centre"),
        (("starts",), Adam(), None, "bank"),
        ((), SphericalAdam(), None, "prior"),
        (("starts", "encode"), SphericalAdam(), "bank", "bank"),
        (("starts", "encode"), SphericalAdam(), "encoded", "encoded"),
        ((), Pulse(), "centre", "centre"),
        (("encode",), Pulse(), "prior", "prior"),
    ],
)
def test_where_a_search_starts(white, able, solver, asked, start):
    assert start_of(white(*able or ("linear",)), solver, asked) == start


def test_a_solver_that_likes_what_is_not_there_starts_at_the_centre(white):
    class Likes(ClosedForm):
        start = "bank"

    assert start_of(white("linear"), Likes(), None) == "centre"
    assert start_of(white("linear", "starts"), Likes(), None) == "bank"


@pytest.mark.parametrize(
    ("able", "asked", "others"),
    [(("linear",), "bank", "prior, centre"), (("encode",), "bank", "prior, centre, encoded"),
     (("starts",), "encoded", "prior, centre, bank")],
)  # fmt: skip
def test_a_start_that_is_not_there_is_refused_with_those_that_are(white, able, asked, others):
    with pytest.raises(SearchError, match=rf"^search.start={asked}: white has none; it can start from {others}$"):
        start_of(white(*able), Pulse(), asked)


@pytest.fixture
def begun(monkeypatch):
    """Where searches begin and what they are given, without searching."""
    calls = []

    def solve(method, problem, begin, *, seed):
        calls.append({"problem": problem, "begin": begin, "seed": seed})

    def randomised(method, problem, data_noise, latent_noise, image_noise, begin, *, seed):
        calls.append({"problem": problem, "begin": begin, "seed": seed,
                      "noise": (data_noise, latent_noise, image_noise)})  # fmt: skip

    monkeypatch.setattr(run, "solve", solve)
    monkeypatch.setattr(run, "randomised", randomised)
    return calls


def drawn(n=2, count=3):
    return torch.stack([s.child("candidate", k).child("latent/pixels").normal((24,))
                        for s in streams(n) for k in range(count)])  # fmt: skip


def test_searches_from_the_prior_and_from_the_centre(white, begun):
    search(white("linear"), data(), replace(PULSE, start="prior"), streams(), 3)
    search(white("linear"), data(), replace(PULSE, start="centre"), streams(), 3)
    prior, centre = begun
    torch.testing.assert_close(prior["begin"], drawn())
    assert centre["begin"] is None
    assert prior["seed"] == 3
    assert prior["problem"].data.y[:, 0, 0, 0].tolist() == pytest.approx([0.4] * 3 + [0.4 + 0.2 * 6 / 11] * 3)


class Encoded:
    def encode(self, seen):
        return {"pixels": 100 * seen.y.repeat_interleave(2, -1).repeat_interleave(2, -2)}


def test_searches_from_what_the_encoder_says(white, begun):
    class Able(Encoded, white):
        pass

    search(Able("encode"), data(), replace(PULSE, start="encoded"), streams(), 2)
    expected = 100 * fine(data().y).flatten(1).repeat_interleave(2, 0)
    torch.testing.assert_close(begun[0]["begin"], expected)
    torch.testing.assert_close(begun[0]["problem"].fixed["pixels"].flatten(1), expected)
    search(white("linear"), data(), replace(PULSE, start="prior"), streams(), 2)
    torch.testing.assert_close(begun[1]["problem"].fixed["pixels"].flatten(1), drawn(count=2))


class Bank:
    """Flat starts at levels 0.30, 0.31, ... of the generator; stages of 1 x 1, 4 x 6 and 8 x 12 pixels."""

    own_stages = (Stage((3, 5), 0.1), Stage((1, 1), 0.1), Stage((4, 6), 0.2), Stage((8, 12), 0.3))

    def starts(self, seen, count):
        level = (0.3 + 0.01 * torch.arange(count)).repeat(len(seen.y))
        return {"pixels": ((level - 0.5) / 0.1).view(-1, 1, 1, 1).expand(-1, 1, *seen.shape)}

    def stages(self, shape):
        return self.own_stages

    def synthesize(self, latents, shape, stage=None):
        full = 0.5 + 0.1 * latents["pixels"]
        if stage is None:
            return full
        assert stage.shape == (4, 6)
        return full[..., :1, :1].expand(-1, 1, *stage.shape)


def levels(begin):
    return (0.5 + 0.1 * begin[:, 0]).tolist()


def test_the_best_of_four_times_as_many_starts_are_kept(white, begun):
    """Levels 0.30 to 0.37 for two each: data of 0.335 want 0.33 and 0.34, those of 0.42 want the last, best first."""

    class Able(Bank, white):
        pass

    seen = data()
    y = torch.tensor([0.334, 0.42]).view(2, 1, 1, 1).expand(2, 1, 2, 3).contiguous()
    search(Able("starts", "stages"), replace(seen, y=y), replace(PULSE, start="bank"), streams(), 2)
    assert levels(begun[0]["begin"]) == pytest.approx([0.33, 0.34, 0.37, 0.36])

    class Still(Able):
        own_stages = ()

    search(Still("starts"), replace(seen, y=y), replace(PULSE, start="bank"), streams(), 2)
    assert levels(begun[1]["begin"]) == pytest.approx([0.30, 0.31] * 2)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((2, 3), True),
        ((4, 6), True),
        ((4, 3), True),
        ((1, 3), False),
        ((2, 1), False),
        ((5, 6), False),
        ((4, 7), False),
    ],
)
def test_a_stage_fits_that_is_a_whole_multiple_of_the_data(white, begun, shape, fits):
    class Able(Bank, white):
        own_stages = (Stage(shape, 0.1),)

        def synthesize(self, latents, size, stage=None):
            full = 0.5 + 0.1 * latents["pixels"]
            return full if stage is None else full[..., :1, :1].expand(-1, 1, *stage.shape)

    seen = data()
    search(Able("starts"), replace(seen, y=seen.y * 0 + 0.334), replace(PULSE, start="bank"), streams(), 2)
    assert levels(begun[0]["begin"])[:2] == pytest.approx([0.33, 0.34] if fits else [0.30, 0.31])


class Blurred(Area):
    """An operator that a search may move, by two numbers."""

    def latents(self):
        return LatentSpec((LatentTensor("width", (2,)),))


@pytest.mark.parametrize("count", [1, 3])
def test_random_numbers_of_samples_and_none_of_the_optimum(white, begun, count):
    for operator, extra in ((Area(2), 0), (Blurred(2), 2)):
        search(white("linear"), data(operator=operator), EXACT, streams(), count)
        first, anchor, image = begun[-1]["noise"]
        keys = [s.child("candidate", k) for s in streams() for k in range(count)]
        for row, key in enumerate(keys):
            on = float(row % count > 0)
            torch.testing.assert_close(first[row], on * key.child("data").normal((1, 2, 3)))
            torch.testing.assert_close(image[row], on * key.child("image").normal((1, 4, 6)))
            torch.testing.assert_close(anchor[row, :24], on * key.child("latent/pixels").normal((24,)))
            assert anchor.shape[1] == 24 + extra
            if extra:
                torch.testing.assert_close(anchor[row, 24:], on * key.child("operator").normal((2,)))
        assert begun[-1]["begin"] is None
        assert begun[-1]["seed"] == 3
    search(white("linear"), data(operator=Blurred(2)), replace(EXACT, start="prior"), streams(), count)
    begin = begun[-1]["begin"]
    torch.testing.assert_close(begin, torch.cat([drawn(count=count), torch.zeros(2 * count, 2)], 1))


def test_numbers_are_of_the_kind_of_the_data(white, begun):
    seen = data()
    seen = replace(seen, y=seen.y.double(), variance=seen.variance.double())
    search(white("linear"), seen, EXACT, streams(), 2)
    assert {n.dtype for n in begun[0]["noise"]} == {torch.float64}
