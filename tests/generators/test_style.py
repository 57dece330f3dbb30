"""The style family: the network, its white search space, its training and its place among the generators."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d

from gensr.cli.main import main
from gensr.errors import SearchError, UsageError, WeightsError
from gensr.generators.style import FAMILY
from gensr.generators.style.augment import augment, probability
from gensr.generators.style.bank import bank
from gensr.generators.style.discriminator import Discriminator, deviation, widths
from gensr.generators.style.generator import Parts, Style
from gensr.generators.style.loop import Budget, Run, frozen
from gensr.generators.style.network import Modulated, Network, Shape, haar_joined, haar_split
from gensr.generators.style.pictures import Pictures, read
from gensr.generators.style.training import parse, train
from gensr.making import inversion
from gensr.operators import Area
from gensr.priors import weights
from gensr.priors.card import REACH, GeneratorCard
from gensr.priors.generator import Stage
from gensr.priors.observation import Observation
from gensr.priors.whitening import measure
from gensr.search.presets import preset
from gensr.search.problem import Problem
from gensr.search.run import search
from gensr.values.random import Stream

SIDE = 16
SHAPE = Shape(bands=3, widths=(12, 8), latent=8, style=8, depth=2)
CARD = GeneratorCard(
    "style-toy", "style", "faces", 3, True, "share of full scale", (0.0, 1.0), "1 px", "CC0", "none", "train",
    "by hand", bias="all", audit="none", discrepancy=0.02,
)  # fmt: skip


def network(seed=0):
    """A small generator whose noise maps matter."""
    torch.manual_seed(seed)
    made = Network(SHAPE)
    with torch.no_grad():
        for name, p in made.named_parameters():
            if name.endswith("strength"):
                p.fill_(0.1)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def style():
    net = network()
    whitening = measure(net.mapping, SHAPE.latent, 4000)
    return Style(Parts(net, whitening, bank(net, whitening, 64), 0.5), CARD)


def streams(count):
    return [Stream(3).child("test", i) for i in range(count)]


def drawn(style, count):
    return style.latents((SIDE, SIDE)).sample(streams(count))


def observed(style, count=3, factor=2):
    y = Area(factor).forward(style.synthesize(drawn(style, count), (SIDE, SIDE)))
    return Observation(y, Area(factor), torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))


def pictures(count=24, side=SIDE, bands=3, seed=0):
    """Smooth synthetic pictures, 0..1: a disc of random place, size and colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    stack = np.empty((count, bands, side, side), np.float32)
    for image in stack:
        cy, cx, r = rng.uniform(0.3, 0.7, 3)
        image[:] = rng.uniform(0, 1, (bands, 1, 1)) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (0.1 * r))
    return stack


class TestNetwork:
    def test_modulation_is_a_kernel_per_sample(self):
        """Scaling the input and the output is the same as scaling and normalising every sample's own kernel."""
        torch.manual_seed(1)
        layer, x, w = Modulated(5, 4, 6), torch.randn(3, 5, 7, 7), torch.randn(3, 6)
        scale = layer.affine(w)
        for i in range(3):
            kernel = layer.weight * scale[i][:, None, None]
            kernel = kernel / kernel.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            torch.testing.assert_close(layer(x, w)[i], conv2d(x[i : i + 1], kernel, padding=1)[0], rtol=1e-4, atol=1e-5)

    def test_haar_bands_are_exact_and_the_first_is_the_area_mean(self):
        x = torch.randn(2, 3, 8, 6)
        low, detail = haar_split(x)
        torch.testing.assert_close(low, avg_pool2d(x, 2))
        torch.testing.assert_close(haar_joined(low, detail), x)

    def test_samples_of_a_batch_do_not_touch_each_other(self, style):
        latents = drawn(style, 3)
        alone = {k: v[1:2] for k, v in latents.items()}
        whole = style.synthesize(latents, (SIDE, SIDE))
        torch.testing.assert_close(whole[1:2], style.synthesize(alone, (SIDE, SIDE)), rtol=1e-4, atol=1e-5)

    def test_the_usual_size_fits_a_small_file(self):
        shape = Shape()
        assert shape.side == 64
        assert 1_000_000 < sum(p.numel() for p in Network(shape).parameters()) < 1_400_000

    def test_configuration_survives_and_the_impossible_is_refused(self):
        assert Shape.from_config(SHAPE.to_config()) == SHAPE
        for change in ({"widths": []}, {"style": 0}, {"depth": "deep"}, {"widths": 7}):
            with pytest.raises(WeightsError, match="configuration"):
                Shape.from_config(SHAPE.to_config() | change)

    def test_a_group_of_equal_pictures_has_no_deviation(self):
        x = torch.randn(1, 2, 4, 4).expand(4, 2, 4, 4)
        assert float(deviation(x)[:, -1].max()) < 1e-3
        assert float(deviation(torch.randn(4, 2, 4, 4))[:, -1].min()) > 0.3


class TestWhitening:
    def test_whitened_values_have_mean_0_and_covariance_1(self):
        net = network()
        whitening = measure(net.mapping, SHAPE.latent, 20_000)
        z = torch.randn(20_000, SHAPE.latent, generator=torch.Generator().manual_seed(77))
        u = whitening.whiten(net.mapping(z))
        assert float(u.mean(0).abs().max()) < 0.05
        assert float((u.T.cov() - torch.eye(SHAPE.style)).abs().max()) < 0.1

    def test_colouring_is_the_inverse(self, style):
        u = torch.randn(50, SHAPE.style)
        whitening = style.parts.whitening
        torch.testing.assert_close(whitening.whiten(whitening.colour(u)), u, rtol=1e-3, atol=1e-3)

    def test_the_bank_finds_the_picture_that_it_holds(self, style):
        bank = style.parts.bank
        y, usable = bank.picture[[5, 40]], torch.ones(2, 3, 8, 8, dtype=torch.bool)
        assert torch.equal(bank.nearest(y, usable), bank.style[[5, 40]])
        spoilt, usable = y.clone(), usable.clone()
        spoilt[..., :3], usable[..., :3] = torch.nan, False
        assert torch.equal(bank.nearest(spoilt, usable), bank.style[[5, 40]])


class TestGenerator:
    def test_latents_have_names_shapes_and_layers(self, style):
        spec = style.latents((SIDE, SIDE))
        assert [(t.name, t.shape) for t in spec.tensors] == [
            ("style", (8,)), ("layers", (4, 8)), ("noise4", (1, 4, 4)), ("noise8", (2, 8, 8)),
        ]  # fmt: skip
        assert [t.name for t in spec.tensors if t.layered] == ["layers"]
        assert style.synthesize(spec.sample(streams(2)), (SIDE, SIDE)).shape == (2, 3, SIDE, SIDE)

    def test_noise_maps_are_searched_up_to_64_px(self):
        torch.manual_seed(0)
        net = Network(Shape(widths=(8, 8, 8, 4, 4, 4), latent=4, style=4)).requires_grad_(False)
        whitening = measure(net.mapping, 4, 500)
        made = Style(Parts(net, whitening, bank(net, whitening, 8), 0.5), CARD)
        assert [t.name for t in made.latents((256, 256)).tensors if not t.searched] == ["noise128"]

    @pytest.mark.parametrize("shape", [(32, 32), (SIDE, 8), (8, 8)])
    def test_another_side_is_refused_by_name(self, style, shape):
        with pytest.raises(SearchError, match="16 x 16"):
            style.latents(shape)
        with pytest.raises(SearchError, match="16 x 16"):
            style.synthesize(drawn(style, 1), shape)

    def test_every_searched_latent_has_a_gradient_that_is_right(self, style):
        latents = {k: v.requires_grad_() for k, v in drawn(style, 1).items()}
        target = torch.rand(1, 3, SIDE, SIDE)

        def loss(values):
            return (style.synthesize(values, (SIDE, SIDE)) - target).square().sum()

        grads = dict(zip(latents, torch.autograd.grad(loss(latents), list(latents.values())), strict=True))
        for name, value in latents.items():
            step = torch.randn_like(value)
            moved = [loss({**latents, name: value.detach() + s * 1e-2 * step}) for s in (1, -1)]
            slope = float((moved[0] - moved[1]).detach() / 2e-2)
            assert slope == pytest.approx(float((grads[name] * step).sum()), rel=0.05, abs=0.02), name

    def test_layers_share_most_of_their_style(self, style):
        """Every layer's white style has unit variance, and two of them the correlation that the spread leaves."""
        numbers = torch.Generator().manual_seed(0)
        latents = {
            "style": torch.randn(4000, 8, generator=numbers),
            "layers": torch.randn(4000, 4, 8, generator=numbers),
        }
        w = style._styles(latents)
        v = torch.where(w < 0, w / 0.2, w) / 2**0.5
        u = style.parts.whitening.whiten(v)
        assert float(u.var()) == pytest.approx(1, abs=0.05)
        assert float((u[:, 0] * u[:, 3]).mean()) == pytest.approx(1 - 0.5**2, abs=0.05)

    def test_the_early_picture_at_half_the_side_is_the_area_mean(self, style):
        latents = drawn(style, 2)
        shape = (SIDE, SIDE)
        small, half = style.stages(shape)
        whole = avg_pool2d(style.synthesize(latents, shape), 2)
        torch.testing.assert_close(style.synthesize(latents, shape, half), whole, rtol=1e-4, atol=1e-5)
        assert style.synthesize(latents, shape, small).shape == (2, 3, 4, 4)
        assert 0 < small.cost < half.cost < 1
        with pytest.raises(SearchError, match="early pictures of 4, 8 pixels, not 32 x 32"):
            style.synthesize(latents, shape, Stage((32, 32), 1.0))

    def test_the_encoder_starts_nearer_than_the_centre(self, style):
        data = observed(style, 8)
        spec = style.latents(data.shape)
        problem = Problem(style, data, style.encode(data), discrepancy=CARD.discrepancy)
        centre = problem.chi2(problem.predict(problem.start()))
        encoded = problem.chi2(problem.predict(spec.flatten(style.encode(data))))
        assert float(encoded.mean()) < 0.8 * float(centre.mean())

    def test_the_bank_matters(self, style):
        """With the styles of the bank in another order every search begins, and so ends, elsewhere."""
        bank = style.parts.bank
        order = torch.randperm(len(bank.style), generator=torch.Generator().manual_seed(1))
        nonsense = Style(replace(style.parts, bank=replace(bank, style=bank.style[order])), CARD)
        how = replace(preset("balanced"), solver="adam", start="bank", solver_options={"steps": 3})
        right, wrong = (search(s, observed(style), how, streams(3), 1) for s in (style, nonsense))
        assert (right.images - wrong.images).abs().amax((1, 2, 3)).min() > 0.01
        assert float(right.chi2.mean()) < float(wrong.chi2.mean())

    @pytest.mark.parametrize(("solver", "steps"), [("pulse", 30), ("adam", 30), ("gauss-newton", 5)])
    def test_solvers_reduce_the_residual(self, style, solver, steps):
        data = observed(style)
        how = replace(preset("pulse"), solver=solver, solver_options={"steps": steps})
        start = search(style, data, replace(how, solver_options={"steps": 0}), streams(3), 1)
        found = search(style, data, how, streams(3), 1)
        assert float(found.chi2.mean()) < 0.5 * float(start.chi2.mean())
        assert bool((found.steps > 0).all())

    def test_it_serves_any_operator_at_its_own_side(self, style):
        assert style.serves(Area(4), (SIDE, SIDE))
        assert not style.serves(Area(4), (2 * SIDE, 2 * SIDE))

    def test_device_copies_keep_their_weights(self, style):
        assert style.to("cpu") is style


class TestAugmentation:
    def test_probability_0_changes_nothing(self):
        x = torch.randn(4, 3, SIDE, SIDE)
        assert augment(x, 0.0, torch.Generator()) is x

    @pytest.mark.parametrize("bands", [1, 3])
    def test_probability_1_changes_every_picture_and_lets_gradients_through(self, bands):
        x = torch.randn(6, bands, SIDE, SIDE).requires_grad_()
        y = augment(x, 1.0, torch.Generator().manual_seed(0))
        assert y.shape == x.shape
        assert bool(((y - x).abs().amax((1, 2, 3)) > 0.01).all())
        (grad,) = torch.autograd.grad(y.square().sum(), x)
        assert bool((grad.abs().amax((1, 2, 3)) > 0).all())

    def test_the_probability_follows_the_sign_of_real_logits(self):
        assert probability(0.1, 0.9, 1000) > 0.1 > probability(0.1, 0.2, 1000)
        assert probability(0.0, -1.0, 1000) == 0.0
        assert probability(0.85, 1.0, 10**6) < 1


class Interrupted(Run):
    """Stops as a kill would, in the middle of a step."""

    def _once(self, draw):
        if self.step == 3:
            raise KeyboardInterrupt
        return super()._once(draw)


def small_run(kind, folder, steps=6):
    torch.manual_seed(5)
    opponent = Discriminator(3, (6, 8))
    budget = Budget(steps, minutes=1e6, batch=4, checkpoint=0.0)
    return kind(Network(SHAPE), opponent, Pictures(torch.from_numpy(pictures())), budget, folder)


class TestTraining:
    def test_a_killed_run_goes_on_as_if_nothing_had_happened(self, tmp_path):
        whole, broken = tmp_path / "whole", tmp_path / "broken"
        whole.mkdir()
        broken.mkdir()
        straight = small_run(Run, whole)
        assert not straight.resume()
        straight()
        with pytest.raises(KeyboardInterrupt):
            small_run(Interrupted, broken)()
        again = small_run(Run, broken)
        assert again.resume()
        assert again.step == 3
        again()
        assert again.step == 6
        for key, value in straight.average.items():
            torch.testing.assert_close(again.average[key], value, msg=key)
        assert (broken / "sheet.png").is_file()

    def test_both_networks_learn(self, tmp_path):
        run = small_run(Run, tmp_path, 3)
        before = {k: v.clone() for k, v in run.discriminator.state_dict().items()}
        own = {k: v.clone() for k, v in run.network.state_dict().items()}
        run()
        assert all(not torch.equal(before[k], v) for k, v in run.discriminator.state_dict().items())
        moved = [k for k, v in run.network.state_dict().items() if not torch.equal(own[k], v)]
        assert {"synthesis.constant", "mapping.layers.0.weight", "synthesis.first.strength"} <= set(moved)

    def test_a_foreign_checkpoint_is_refused(self, tmp_path):
        small_run(Run, tmp_path, 1)()
        run = small_run(Run, tmp_path)
        run.learners["network"] = (Network(Shape(widths=(8, 8), latent=8, style=8)), run.maker)
        with pytest.raises(WeightsError, match="remove it to begin anew"):
            run.resume()

    def test_frozen_networks_thaw_after_an_error(self):
        opponent = Discriminator(3, widths(2))
        seen = []

        def fails():
            with frozen(opponent):
                seen.extend(p.requires_grad for p in opponent.parameters())
                raise ValueError("inside")

        with pytest.raises(ValueError, match="inside"):
            fails()
        assert seen
        assert not any(seen)
        assert all(p.requires_grad for p in opponent.parameters())

    def test_from_pictures_to_a_generator_that_is_found(self, tmp_path, monkeypatch):
        monkeypatch.setattr(inversion, "ROUNDS", (2, 2))
        np.savez(tmp_path / "train.npz", images=np.round(255 * pictures(40, 2 * SIDE)))
        np.savez(tmp_path / "val.npz", images=np.round(255 * pictures(6, 2 * SIDE, seed=1)))
        options = {
            "domain": "faces", "data": str(tmp_path / "train.npz"), "validation": str(tmp_path / "val.npz"),
            "side": str(SIDE), "steps": "2", "batch": "4", "output": str(tmp_path), "name": "style-discs",
            "licence": "CC0", "device": "cpu",
        }  # fmt: skip
        path = train(options, None)
        generator, stored = weights.load(str(path))
        assert isinstance(generator, Style)
        card = stored.card
        assert (card.family, card.bands, card.aligned, card.side, card.licence) == ("style", 3, True, SIDE, "CC0")
        assert 0 < card.discrepancy < 1
        assert "40 images of train.npz" in card.split
        assert "2 steps of 4" in card.recipe
        assert "gensr train generator=style domain=faces data=train.npz validation=val.npz side=16" in card.recipe
        assert "6 held-out median" in card.audit
        assert (tmp_path / "style-discs-training" / "log.csv").is_file()
        assert stored.tensors["network.synthesis.constant"].dtype == torch.float16
        again = FAMILY.build(stored.tensors, stored.config, card)
        latents = again.latents((SIDE, SIDE)).sample(streams(2))
        assert torch.equal(again.synthesize(latents, (SIDE, SIDE)), generator.synthesize(latents, (SIDE, SIDE)))

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"images": pictures(5)}, "5 pictures are too few"),
            ({"images": np.zeros((20, 3, SIDE, SIDE + 2))}, "is not square"),
            ({"images": pictures(20, 8)}, "smaller than side=16"),
            ({"images": pictures(20), "more": pictures(20, 2 * SIDE)}, "pictures of 16 and of 32 pixels"),
            ({"images": pictures(20), "more": pictures(20, bands=1)}, "of 3 and of 1 bands"),
            ({"images": np.full((20, 3, SIDE, SIDE), np.nan)}, "not finite"),
        ],
    )
    def test_unsuitable_pictures_are_named(self, tmp_path, arrays, words):
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(UsageError, match=words):
            read([tmp_path / "bad.npz"], "faces", SIDE)

    def test_pictures_are_reduced_by_area(self, tmp_path):
        stack = np.round(255 * pictures(20, 2 * SIDE))
        np.savez(tmp_path / "fine.npz", images=stack)
        found = read([tmp_path / "fine.npz"], "faces", SIDE).all()
        torch.testing.assert_close(found, avg_pool2d(torch.from_numpy(stack), 2) / 255, atol=2e-5, rtol=0)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"data": ""}, "data= is missing"),
            ({"domain": ""}, "domain= is missing"),
            ({"side": "48"}, "side=48: expected one of 16, 32, 64, 128, 256"),
            ({"minutes": "soon"}, "minutes=soon: expected a number"),
            ({"batch": "1"}, "batch=1: expected a number from 2"),
            ({"companion": "nobody"}, "companion=nobody is not installed"),
            ({"device": "tpu"}, "device=tpu: expected cpu or cuda"),
        ],
    )
    def test_impossible_options_are_named(self, change, words):
        with pytest.raises(UsageError, match=words):
            parse({"domain": "faces", "data": "x.zip"} | change)


class TestFiles:
    def tensors(self, style):
        parts = style.parts
        return {f"network.{k}": v for k, v in parts.network.state_dict().items()} | {
            "whitening.mean": parts.whitening.mean, "whitening.factor": parts.whitening.factor,
            "bank.style": parts.bank.style, "bank.picture": (255 * parts.bank.picture).to(torch.uint8),
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("bank.style", None, "'bank.style' is missing"),
            ("network.synthesis.constant", torch.zeros(3), "expected"),
            ("whitening.factor", torch.zeros(8, 7), "expected"),
            ("bank.picture", torch.zeros(64, 1, 8, 8), "expected"),
        ],
    )
    def test_damaged_files_are_refused(self, style, name, value, words):
        tensors = self.tensors(style) | {name: value}
        if value is None:
            del tensors[name]
        with pytest.raises(WeightsError, match=words):
            FAMILY.build(tensors, SHAPE.to_config() | {"spread": 0.5}, CARD)

    def test_configuration_and_card_must_agree(self, style):
        for config, card in (({"spread": 1.5}, CARD), ({"spread": 0.5}, replace(CARD, bands=1)), ({}, CARD)):
            with pytest.raises(WeightsError):
                FAMILY.build(self.tensors(style), SHAPE.to_config() | config, card)


class TestCalibration:
    def test_inversion_finds_what_the_generator_cannot_express(self, style):
        """Its own pictures with white noise on them: the noise is what is left, and reduced they are in range."""
        with torch.no_grad():
            own = style.synthesize(drawn(style, 6), (SIDE, SIDE))
        noisy = own + 0.05 * torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
        ticks = []
        found = inversion.inverted(style, list(noisy), 4, lambda: ticks.append(1))
        assert 0.03 < found.discrepancy < 0.055  # latents explain a part of the noise
        assert 0.2 < found.reach < 1.6
        assert sum(inversion.ROUNDS) - 10 <= len(ticks) <= inversion.total()
        foreign = inversion.inverted(style, list(1 - noisy.flip(1)), 4)
        assert foreign.discrepancy > 1.5 * found.discrepancy
        with pytest.raises(UsageError, match="of one size that factor 5 divides"):
            inversion.inverted(style, list(noisy), 5)

    def test_calibrate_writes_it_into_the_card_and_searches_heed_it(self, style, tmp_path, monkeypatch):
        monkeypatch.setattr(inversion, "ROUNDS", (10, 10))
        monkeypatch.setattr(inversion, "STEPS", 10)
        path = tmp_path / "toy.safetensors"
        config = SHAPE.to_config() | {"spread": 0.5, "companion": ""}
        weights.save(path, TestFiles().tensors(style), config, replace(CARD, discrepancy=0.5))
        np.savez(tmp_path / "held.npz", images=np.round(255 * pictures(6, SIDE)))
        data = f"data={tmp_path / 'held.npz'}"
        assert main(["calibrate", f"generator={path}", data, "unit=255", "factors=2", "noise=0.02", "images=4"]) == 0
        card = weights.read(path).card
        assert 0.005 < card.discrepancy < 0.45
        assert card.metrics[REACH] > 0
        assert set(card.conformal) == {"x2 noise 0", "x2 noise 0.02"}
        generator, _ = weights.load(str(path))
        far = Observation(
            torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2)), Area(4),
            torch.full((1, 3, 4, 4), 1e-3), torch.ones(1, 3, 4, 4, dtype=torch.bool),
        )  # fmt: skip
        lengths = []
        for edge in (0.0, 1e9):
            generator.card = replace(card, discrepancy=0.0, metrics={REACH: edge})
            found = search(generator, far, preset("balanced"), streams(1), 1)
            lengths.append(float(found.norm[0]))
        assert lengths[0] > lengths[1]  # what is called in range keeps the prior's full weight
