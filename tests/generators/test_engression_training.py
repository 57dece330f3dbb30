"""Training of the engression family: options, going on after a kill, what is learned, logs, validation and panels."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

from gensr.errors import UsageError, WeightsError
from gensr.generators.engression import FAMILY, loop
from gensr.generators.engression.imagined import of_data, of_prior
from gensr.generators.engression.instruments import Recipe
from gensr.generators.engression.linear import estimate, phases_without_data
from gensr.generators.engression.loop import Run, losses_of, pairs
from gensr.generators.engression.model import Model, deviation
from gensr.generators.engression.network import Network, Shape
from gensr.generators.engression.options import lasting, parse
from gensr.generators.engression.prior import Prior
from gensr.generators.engression.validation import COLUMNS as FIGURES
from gensr.generators.engression.validation import DRAWS, Answer, Case, answer, cases, figures
from gensr.making.training import Budget
from gensr.operators import Area, GaussianPSF
from gensr.priors import weights
from gensr.priors.observation import Observation
from gensr.priors.unet import place

SMALL = {"widths": "8,12", "side": "32", "batch": "4", "minutes": "1000", "device": "cpu"}
TINY = Shape(1, 2, (8, 12), 1, 8, fine=4)
PRIOR = Prior(0.4, 1e-3, 0.05, 2.2)
EASY = Recipe(unequal=0.0, noisy=1.0, uneven=0.0, free=0.0)


class Stopped:
    """Progress that interrupts the run when it is called for the n-th time."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self, done, total):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Drawn:
    """Images of the prior itself, whose contrast is half of what the linear estimate expects."""

    def __init__(self, contrast=0.5):
        self.contrast = contrast

    def __len__(self):
        return 1

    def batch(self, count, draw):
        white = torch.randn(count, 1, 32, 32, generator=draw)
        return PRIOR.mean + self.contrast * of_prior(white, PRIOR, False)

    def cut(self, x, factor):
        rows, cols = (n // s * s for n, s in zip(x.shape[-2:], factor, strict=True))
        return x[..., :rows, :cols]


@pytest.fixture
def options(tmp_path, discs):
    np.savez(tmp_path / "discs.npz", np.concatenate(discs(16)))
    return {
        "domain": "microscopy", "data": str(tmp_path / "discs.npz"), "output": str(tmp_path), "steps": "4",
        "name": "toy", **SMALL,
    }  # fmt: skip


def run(folder, steps=4, sources=None, recipe=EASY, **budget):
    return Run(
        network=Network(TINY),
        prior=PRIOR,
        sources=sources or [Drawn()],
        recipe=recipe,
        budget=Budget(steps, 1000.0, 4, **{"rate": 6e-4, **budget}),
        folder=folder,
        settings={"a": 1},
    )


def rows(path):
    with path.open() as handle:
        return list(csv.DictReader(handle))


class TestImagined:
    @pytest.mark.parametrize("operator", [Area(2), GaussianPSF(2, 0.6), Area((1, 2))])
    def test_draws_of_the_gaussian_posterior_have_its_deviation(self, operator):
        fy, fx = operator.factor
        y = torch.zeros(800, 1, 16 // fy, 16 // fx)
        data = Observation(y, operator, torch.full_like(y, 0.02**2), torch.ones_like(y, dtype=torch.bool))
        prior = Prior(0.4, 1e-3, 0.2, 3.0)
        off = of_data(torch.randn(800, 1, 16, 16), torch.randn_like(y), data, prior)
        told = estimate(data, prior)
        inner = (slice(None), slice(None), slice(6, 10), slice(6, 10))
        torch.testing.assert_close(off[inner].std(0), told.deviation[inner][0], rtol=0.12, atol=0)
        assert float(off.mean(0).abs().max()) < 0.2 * float(told.deviation.max())

    def test_without_data_they_have_the_deviation_of_the_prior(self):
        free = of_prior(torch.randn(600, 1, 32, 32), PRIOR, False) / phases_without_data(PRIOR)
        assert float(free[..., 12:20, 12:20].std()) == pytest.approx(1.0, rel=0.1)

    def test_exact_data_are_left_alone(self):
        y = torch.zeros(6, 1, 8, 8)
        data = Observation(y, Area(4), torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), exact=True)
        off = of_data(torch.randn(6, 1, 32, 32), torch.randn(6, 1, 8, 8), data, PRIOR)
        assert float(avg_pool2d(off, 4).abs().max()) < 3e-3
        assert float(off.std()) > 0.02


class TestLosses:
    def test_a_network_of_zero_is_the_linear_estimate(self):
        """Draws and mean are the linear one, the variance is that of the Gaussian posterior."""
        network = place(Network(TINY), "cpu").eval()
        model = Model(network, PRIOR, half=False)
        batch = pairs([Drawn(1.0)], PRIOR, EASY, 6, torch.Generator().manual_seed(0))
        both = batch.told.each(lambda t: torch.cat([t, t]))
        with torch.no_grad():
            assert not model.draw(both, batch.white).any()
            mean, spread = model.moments(batch.told)
        assert not mean.any()
        torch.testing.assert_close(deviation(batch.told, spread), batch.told.deviation)

    def test_batches_repeat_and_hold_images_without_data(self):
        recipe = Recipe(free=0.5)
        first, again, other = (
            pairs([Drawn(), Drawn(1.0)], PRIOR, recipe, 9, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
        )
        assert torch.equal(first.x, again.x)
        assert torch.equal(first.white, again.white)
        assert first.x.shape != other.x.shape or not torch.equal(first.x, other.x)
        free = ~first.data.usable.flatten(1).any(1)
        assert 0 < int(free.sum()) < 9
        spread = phases_without_data(PRIOR)
        torch.testing.assert_close(first.told.deviation[free], torch.full_like(first.x[free], spread))
        assert not first.told.known[free].any()
        assert len(first.white) == 18

    def test_every_part_reaches_the_network(self):
        network = Network(TINY)
        model = Model(network, PRIOR, half=False)
        batch = pairs([Drawn()], PRIOR, EASY, 4, torch.Generator().manual_seed(0))
        for name in Run.PARTS:
            network.zero_grad()
            losses_of(model, batch, 2)[name].backward()
            found = network.tail.weight.grad.reshape(4, -1).abs().sum(1) > 0
            reached = {"score": [1, 0, 0, 0], "sums": [1, 0, 0, 0], "mean": [0, 0, 1, 0], "variance": [0, 0, 0, 1]}
            assert found.tolist() == [bool(v) for v in reached.get(name, [1, 0, 1, 1])]

    def test_nothing_known_at_all_is_finite(self):
        network = Network(TINY)
        batch = pairs([Drawn()], PRIOR, Recipe(free=1.0), 3, torch.Generator().manual_seed(0))
        parts = losses_of(Model(network, PRIOR, half=False), batch, 3)
        parts["loss"].backward()
        assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


class TestRun:
    def test_half_the_contrast_is_learned_by_draws_and_variance(self, tmp_path, monkeypatch):
        """Truths of half the contrast: draws grow from none, and the variance falls by a factor of about four."""
        torch.manual_seed(0)
        monkeypatch.setattr(loop, "MOMENTS", 1.0)
        made = run(tmp_path, 150, rate=3e-3)
        made.budget = replace(made.budget, batch=16)
        made()
        model = made.averaged()
        y = torch.full((8, 1, 8, 8), 0.4)
        data = Observation(y, Area(4), torch.full_like(y, 0.01**2), torch.ones_like(y, dtype=torch.bool))
        told = estimate(data, PRIOR)
        with torch.no_grad():
            _, spread = model.moments(told)
            drawn = told.deviation * model.draw(told, torch.randn(8, 1, 32, 32))
        assert float(deviation(told, spread).mean() / told.deviation.mean()) == pytest.approx(0.5, abs=0.15)
        assert float(drawn.std() / told.deviation.mean()) == pytest.approx(0.5, abs=0.2)

    def test_a_stopped_run_ends_where_one_that_was_not_stopped_ends(self, tmp_path):
        ends = []
        for stops in (False, True):
            torch.manual_seed(5)
            folder = tmp_path / str(stops)
            folder.mkdir()
            made = run(folder, 6)
            if stops:
                with pytest.raises(KeyboardInterrupt):
                    made(Stopped(3))
                made.save()
                made = run(folder, 6)
                assert made.resume()
                assert made.step == 3
            made()
            ends.append(made)
        assert ends[0].step == ends[1].step == 6
        for name, value in ends[0].network.state_dict().items():
            torch.testing.assert_close(value, ends[1].network.state_dict()[name], rtol=1e-3, atol=1e-5)

    def test_other_settings_do_not_go_on(self, tmp_path):
        made = run(tmp_path)
        made.save()
        other = run(tmp_path)
        other.settings = {"a": 2}
        with pytest.raises(WeightsError, match="another a="):
            other.resume()
        assert not run(tmp_path / "none").resume()

    def test_a_log_with_every_part_and_a_validation_at_the_end(self, tmp_path):
        seen = []
        made = run(tmp_path, 3)
        made(show=lambda: seen.append((made.averaged(), made.step, made.path.is_file())))
        (row,) = rows(tmp_path / "log.csv")
        assert tuple(row) == ("step", "minutes", "rate", "images_per_second", *Run.PARTS)
        assert float(row["loss"]) > 0
        assert [found[1:] for found in seen] == [(3, True)]
        assert not seen[0][0].network.training

    def test_a_loss_that_is_not_finite_ends_the_run(self, tmp_path):
        made = run(tmp_path)
        with torch.no_grad():
            made.network.head.weight.fill_(torch.nan)
        with pytest.raises(UsageError, match="smaller rate"):
            made()


class TestCommand:
    def test_from_images_to_a_generator_with_a_card(self, options, tmp_path):
        path = FAMILY.train({**options, "held": options["data"], "source": "discs", "grey": "true"}, None)
        generator, stored = weights.load(str(path))
        assert (stored.card.family, stored.card.domain, stored.card.data) == ("engression", "microscopy", "discs")
        assert "4 steps of 4 data" in stored.card.recipe
        assert generator.scaling == {"low": 1.0, "high": 99.9}
        folder = tmp_path / "toy.training"
        table = rows(folder / "validation.csv")
        assert len(table) == len(cases())
        assert set(FIGURES) < set(table[0])
        for name in ("x4-0", "x8-0.02", "psfx4-0"):
            with Image.open(folder / f"panel-{name}.png") as picture:
                assert picture.size == (2 * 7 * 34, 2 * 4 * 34)

    def test_it_goes_on_where_it_was(self, options, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            FAMILY.train(options, Stopped(2))
        assert (tmp_path / "toy.training" / "checkpoint.safetensors").is_file()
        _, stored = weights.load(str(FAMILY.train(options, None)))
        assert "4 steps" in stored.card.recipe
        with pytest.raises(WeightsError, match="another seed="):
            FAMILY.train({**options, "seed": "3"}, None)

    def test_it_starts_from_another_one(self, options, tmp_path):
        path = FAMILY.train(options, None)
        first, _ = weights.load(str(path))
        bare = {k: v for k, v in options.items() if k != "widths"}
        again = FAMILY.train({**bare, "init": str(path), "name": "second", "steps": "1", "rate": "1e-7"}, None)
        second, stored = weights.load(str(again))
        assert stored.card.recipe.endswith("; from toy")
        assert second.model.prior == first.model.prior
        for key, value in first.model.network.state_dict().items():
            torch.testing.assert_close(second.model.network.state_dict()[key], value, rtol=0, atol=2e-3)
        with pytest.raises(UsageError, match="settles it"):
            FAMILY.train({**options, "init": str(path)}, None)
        with pytest.raises(UsageError, match="of the gaussian family; give an engression"):
            FAMILY.train({**bare, "init": "gaussian-microscopy"}, None)

    def test_aligned_pictures_of_any_domain_go_on_from_another_one(self, options, tmp_path):
        aligned = {**options, "domain": "medical", "aligned": "true", "side": "40"}
        path = FAMILY.train(aligned, None)
        bare = {k: v for k, v in aligned.items() if k not in ("widths", "aligned")}
        again = FAMILY.train({**bare, "init": str(path), "name": "second", "steps": "1"}, None)
        assert weights.load(str(again))[1].card.aligned
        for wrong, given in (
            ({"init": str(path)}, bare),
            ({"aligned": "true"}, options),
        ):
            both = {**given, **wrong, "domain": "microscopy,satellite", "data": f"{options['data']};{options['data']}"}
            with pytest.raises(UsageError, match="microscopy,satellite: aligned pictures share no network"):
                FAMILY.train(both, None)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"domain": ""}, "domain= is missing"), ({"data": ""}, "data= is missing"),
            ({"domain": "microscopy,satellite"}, "separate the data"), ({"held": "a;b"}, "separate the data"),
            ({"widths": "9"}, "multiples of 4"), ({"widths": "a"}, "whole numbers"), ({"side": "30"}, "multiple of 4"),
            ({"low": "60", "high": "50"}, "low= below high="), ({"companion": "none-such"}, "not installed"),
            ({"side": "64"}, "too few"), ({"batch": "0"}, "batch"), ({"grey": "yes"}, "true or false"),
        ],
    )  # fmt: skip
    def test_impossible_options_are_named(self, options, change, message):
        with pytest.raises(UsageError, match=message):
            FAMILY.train({**options, **change}, None)

    def test_what_may_change_when_a_run_goes_on(self, options):
        assert "minutes" not in lasting(options)
        assert lasting(options)["widths"] == "8,12"
        assert parse(options).percentiles("satellite") == (2.0, 98.0)


class TestFigures:
    """Draws that are as good as they can be: independent copies of the truth's own noise."""

    def made(self, spread=1.0, shift=0.0):
        torch.manual_seed(3)
        case = Case("x2", Area(2), 0.1)
        x = torch.rand(20, 1, 32, 32)
        y = case.operator.forward(x) + 0.1 * torch.randn(20, 1, 16, 16)
        data = Observation(y, case.operator, torch.full_like(y, 0.01), torch.ones_like(y, dtype=torch.bool))
        mean = x + shift + 0.05 * torch.randn(x.shape)
        draws = mean + spread * 0.05 * torch.randn(DRAWS, *x.shape)
        return x, Answer(data, mean, mean, mean, mean, draws)

    def test_right_draws(self):
        found = figures(*self.made())
        assert set(found) == set(FIGURES)
        assert found["spread"] == pytest.approx(1.0, abs=0.03)
        for name in ("rank_low", "rank_middle", "rank_high"):
            assert found[name] == pytest.approx(1.0, abs=0.05)
        assert found["mean"] == pytest.approx(26.02, abs=0.1)
        assert found["draws"] == pytest.approx(26.02, abs=0.1)
        # The data's noise and the mean of four pixels, each off by the error and the draw.
        assert found["chi2_1"] == pytest.approx(1 + 2 * 0.05**2 / 4 / 0.01, abs=0.1)

    def test_narrow_and_shifted_ones(self):
        narrow, shifted = (figures(*self.made(*wrong)) for wrong in ((0.5, 0.0), (1.0, 0.05)))
        assert narrow["spread"] == pytest.approx(0.25, abs=0.02)
        assert min(narrow["rank_low"], narrow["rank_high"]) > 1.5
        assert shifted["rank_low"] > 2 * shifted["rank_high"]
        assert shifted["chi2_8"] > 5 * shifted["chi2_1"]

    def test_an_answer_has_everything(self, engression_of):
        case = Case("x4", Area(4), 0.0)
        found = answer(engression_of(), torch.rand(2, 1, 32, 32), case)
        assert found.draws.shape == (DRAWS, 2, 1, 32, 32)
        assert found.lanczos.shape == found.linear.shape == found.mean.shape == (2, 1, 32, 32)
        assert isinstance(found.data, Observation)
        assert float(found.draws.std(0).min()) > 0
