"""Where mean, deviation and samples come from, against a prior whose posterior is known exactly."""

from dataclasses import replace

import pytest
import torch

from gensr.operators import Area, KSpaceCrop
from gensr.priors.observation import Moments, Observation
from gensr.search.consistency import update
from gensr.search.posterior import Method, answer, method_of, summary
from gensr.search.presets import PRESETS
from gensr.search.solution import Solution, StopReason
from gensr.values.random import Stream

BALANCED = PRESETS["balanced"]
DRAWS = replace(BALANCED, moments="draws", draws=4)
SEARCH = replace(BALANCED, moments="search", solver="closed-form", solver_options={}, draws=5)
TABLE = [
    # capabilities of the generator, moments of the preset, operator is local: moments, samples
    (("posterior", "draw", "denoise"), "closed", True, "closed", "own"),
    (("posterior", "draw", "denoise"), "closed", False, "draws", "guided"),
    (("posterior", "draw"), "closed", False, "search", "search"),
    (("posterior", "denoise"), "closed", True, "closed", "guided"),
    (("posterior",), "closed", True, "closed", "search"),
    (("posterior", "draw"), "draws", True, "draws", "own"),
    (("denoise",), "closed", True, "draws", "guided"),
    (("denoise",), "draws", False, "draws", "guided"),
    (("encode",), "closed", True, "search", "search"),
    (("encode",), "draws", True, "search", "search"),
    (("posterior", "draw", "denoise"), "search", True, "search", "search"),
]


@pytest.mark.parametrize(("able", "asked", "local", "moments", "samples"), TABLE)
def test_what_the_generator_cannot_do_falls_to_the_next(white, able, asked, local, moments, samples):
    operator = Area(2) if local else KSpaceCrop(2, "none")
    assert method_of(white(*able), operator, replace(BALANCED, moments=asked)) == Method(moments, samples)


def test_sources_in_words():
    assert Method("closed", "own").words == ("of the generator itself",) * 2
    assert Method("draws", "guided").words == ("draws", "guided draws")
    assert Method("search", "search").words == ("latent search",) * 2


def data(n=2, side=3, sigma=0.05, exact=False, seed=0):
    """Data within their noise of 0.5, where a prior that is exact leaves no more than noise."""
    numbers = torch.Generator().manual_seed(seed)
    y = 0.5 + 0.16 * (torch.rand(n, 1, side, side, generator=numbers) - 0.5)
    return Observation(y, Area(2), torch.full_like(y, sigma**2), torch.ones_like(y, dtype=torch.bool), exact=exact)


def field(index, purpose):
    """Standard normal numbers of draw and purpose for two images of 6 x 6."""
    return Stream(1).child(index, purpose).normal((2, 1, 6, 6))


def streams(n=2):
    return [Stream(3).child("image", i) for i in range(n)]


def fine(t):
    return t.repeat_interleave(2, -1).repeat_interleave(2, -2)


def ask(generator, seen, preset, samples=0, method=None, noise=field):
    method = method or method_of(generator, seen.operator, preset)
    return answer(generator, seen, preset, method, samples, noise, streams(len(seen.y)))


def test_moments_of_the_generator_itself(white):
    seen = data()
    found = ask(white(), seen, BALANCED)
    torch.testing.assert_close(found.mean, 0.5 + fine(seen.y - 0.5) / 2)
    torch.testing.assert_close(found.variance, torch.full_like(found.mean, 0.00875))
    assert found.samples == []
    assert found.search is None


def test_the_mean_gets_back_what_exceeds_the_noise_and_the_variance_stays(white):
    """A prior that explains nothing of data at 3 noise deviations: the update of hand arithmetic comes on top."""

    class Deaf(white):
        def posterior(self, data, options=None):
            still = torch.full((*data.y.shape[:2], *data.shape), 0.5)
            return Moments(still, torch.full_like(still, 0.01))

    seen = data()
    seen = replace(seen, y=torch.full_like(seen.y, 0.65))
    found = ask(Deaf("posterior", "draw"), seen, BALANCED)
    torch.testing.assert_close(found.mean, torch.full_like(found.mean, 0.5 + (8 / 9) * 0.15 * 0.0025 / 0.005))
    assert (found.variance == 0.01).all()


def test_a_network_gets_back_what_its_mean_loses_over_wide_areas(white):
    """A tenth of the noise everywhere, which no datum shows; a closed form knows better and is left alone."""

    class Still(white):
        approximate = True

        def posterior(self, data, options=None):
            still = torch.full((*data.y.shape[:2], *data.shape), 0.5)
            return Moments(still, torch.full_like(still, 0.01))

    seen = replace(data(), y=torch.full_like(data().y, 0.505))

    class Closed(Still):
        approximate = False

    network, closed = Still("posterior"), Closed("posterior")
    torch.testing.assert_close(ask(network, seen, BALANCED).mean, torch.full((2, 1, 6, 6), 0.505))
    torch.testing.assert_close(ask(closed, seen, BALANCED).mean, torch.full((2, 1, 6, 6), 0.5))


def test_samples_are_updated_like_the_mean(white):
    """The same draw; its data are 4 deviations off."""

    class Fixed(white):
        def draw(self, data, noise, options=None):
            return torch.full((*data.y.shape[:2], *data.shape), 0.5)

    seen = data()
    seen = replace(seen, y=torch.full_like(seen.y, 0.7))
    own = ask(Fixed(), seen, BALANCED, samples=1).samples[0]
    variance = 0.00875
    gained = variance / 4 / (variance / 4 + 0.0025) * 0.2 * 15 / 16
    torch.testing.assert_close(own, torch.full_like(own, 0.5 + gained))


def test_guided_samples_are_updated_as_well(white, monkeypatch):
    asked = []

    def guided(generator, data, noise, settings):
        asked.append((float(noise(7).sum()), settings))
        return torch.full((2, 1, 6, 6), 0.25)

    monkeypatch.setattr("gensr.search.posterior.guided_samples", guided)
    found = ask(white("posterior", "denoise"), data(), BALANCED, samples=2)
    assert asked == [(float(field(k, 7).sum()), BALANCED.guided) for k in (0, 1)]
    expected = update(torch.full((2, 1, 6, 6), 0.25), found.variance, data())
    assert all(torch.equal(s, expected) for s in found.samples)
    torch.testing.assert_close(found.variance, torch.full_like(found.variance, 0.00875))


@pytest.mark.parametrize(("draws", "samples", "count"), [(4, 0, 4), (4, 2, 4), (4, 6, 6), (1, 0, 2), (1, 1, 2)])
def test_moments_of_draws_are_those_of_as_many_as_needed(white, draws, samples, count):
    seen, taken = data(), []

    def noise(index, purpose):
        taken.append((index, purpose))
        return field(index, purpose)

    generator = white("posterior", "draw")
    found = ask(generator, seen, replace(DRAWS, draws=draws), samples, noise=noise)
    assert taken == [(k, purpose) for k in range(count) for purpose in (0, 1)]
    drawn = torch.stack([generator.draw(seen, lambda p, k=k: field(k, p)) for k in range(count)])
    torch.testing.assert_close(found.variance, ((drawn - drawn.mean(0)) ** 2).sum(0) / (count - 1))
    assert float((found.mean - drawn.mean(0)).abs().max()) < 0.05  # but for what the update gives back
    assert len(found.samples) == samples
    for sample, one in zip(found.samples, drawn, strict=False):
        assert float((sample - one).abs().mean()) < 0.02


def test_samples_of_a_closed_posterior_cost_no_more_draws_than_were_asked_for(white):
    taken = []
    ask(white(), data(), BALANCED, 3, noise=lambda k, p: taken.append(k) or field(k, p))
    assert sorted(set(taken)) == [0, 1, 2]


def test_exact_data_are_explained_exactly_by_mean_and_samples_however_they_come(white):
    seen = data(sigma=0.2, exact=True)
    for generator, preset in ((white(), BALANCED), (white(), DRAWS), (white("linear"), SEARCH)):
        found = ask(generator, seen, preset, samples=2)
        assert len(found.samples) == 2
        for x in (found.mean, *found.samples):
            torch.testing.assert_close(Area(2).forward(x), seen.y, rtol=0, atol=1e-6)


def test_moments_of_a_search_are_the_optimum_and_the_spread_of_its_samples(white):
    seen = data()
    found = ask(white("linear"), seen, SEARCH, samples=2)
    torch.testing.assert_close(found.mean, 0.5 + fine(seen.y - 0.5) / 2, rtol=0, atol=2e-3)
    assert found.search.images.shape == (2 * 6, 1, 6, 6)  # one optimum and five draws for each image
    images = found.search.images.view(2, 6, 1, 6, 6)
    torch.testing.assert_close(found.variance, images[:, 1:].var(1, unbiased=True))
    for k in range(2):
        torch.testing.assert_close(found.samples[k], images[:, 1 + k])
    assert len(found.samples) == 2


@pytest.mark.parametrize(("draws", "samples", "rows"), [(5, 9, 10), (1, 0, 3), (1, 1, 3)])
def test_a_search_has_as_many_candidates_as_samples_and_deviation_need(white, draws, samples, rows):
    found = ask(white("linear"), data(), replace(SEARCH, draws=draws), samples)
    assert len(found.search.reason) == 2 * rows
    assert torch.isfinite(found.variance).all()
    assert len(found.samples) == samples


def test_pulse_is_one_search_and_nothing_is_added_to_it(white):
    """No deviation is made up, and no data step moves the picture: it is G(z) of the candidate of least loss."""
    pulse = replace(PRESETS["pulse"], solver_options={"steps": 3})
    assert len(ask(white("linear"), data(), pulse).search.reason) == 2
    for seen in (data(), replace(data(), exact=True)):
        found = ask(white("linear", discrepancy=0.3), seen, pulse, samples=3)
        assert len(found.search.reason) == 2 * 3
        assert found.variance.isnan().all()
        best = found.search.loss.view(2, 3).argmin(1)
        plain = white("linear").synthesize(found.search.latents, (6, 6)).view(2, 3, 1, 6, 6)
        for image, row in enumerate(best):
            assert torch.equal(found.mean[image], plain[image, row])


def test_samples_of_a_search_stand_beside_moments_of_the_generator(white):
    seen = data()
    found = ask(white("posterior", "linear"), seen, replace(SEARCH, moments="closed"), samples=3)
    torch.testing.assert_close(found.mean, 0.5 + fine(seen.y - 0.5) / 2)
    torch.testing.assert_close(found.variance, torch.full_like(found.mean, 0.00875))
    assert len(found.samples) == 3
    assert len(found.search.reason) == 2 * 4
    torch.testing.assert_close(found.samples[1], found.search.images.view(2, 4, 1, 6, 6)[:, 2])
    assert ask(white("posterior", "linear"), seen, replace(SEARCH, moments="closed")).search is None


def test_a_search_in_numbers():
    steps, gate = StopReason.STEPS, StopReason.GATE
    t = torch.zeros(5)
    found = Solution(
        {}, t, t, t, t, torch.tensor([0.5, 4.0, 2.0, 1.0, 9.0]), t, t, (steps, gate, steps, steps, gate),
        torch.tensor([10, 30, 20, 5, 40]), 1.5, "adam",
    )  # fmt: skip
    assert summary(None) is None
    assert summary(found, slice(0, 4)) == {
        "solver": "adam",
        "candidates": 4,
        "verdicts": {steps.sentence: 3, gate.sentence: 1},
        "best chi2 per datum": 0.5,
        "worst chi2 per datum": 4.0,
        "most steps": 30,
        "seconds": 1.5,
    }
    told = summary(replace(found, figures={"error": torch.tensor([3.0, 1.0, 2.0, 0.5, 9.0])}), slice(0, 3))
    assert (told["least error"], told["greatest error"]) == (1.0, 3.0)
    assert summary(found)["candidates"] == 5
    assert summary(found, slice(3, 5))["best chi2 per datum"] == 1.0
