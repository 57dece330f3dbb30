"""PULSE as published, through a generator with a mapping network: against a program written from the equations alone.

The reference below shares no line with the package but the generator itself. Its sources are the text of
arXiv:2003.03808 and the defaults of its program: 100 Adam steps of rate 0.4 under linear1cycledrop, one sphere per
layer and per noise map, 100 L2 + 0.05 GEOCROSS, and five trainable noise maps.
"""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import gensr
from gensr.generators.style import FAMILY
from gensr.generators.style.bank import bank
from gensr.generators.style.generator import Parts, Style
from gensr.generators.style.network import Network, Shape
from gensr.operators import Area, Bicubic
from gensr.pipeline.task import Prior
from gensr.priors import weights
from gensr.priors.card import GeneratorCard
from gensr.priors.grey import Grey
from gensr.priors.observation import Observation
from gensr.priors.whitening import measure
from gensr.search.loop import solve
from gensr.search.posterior import answer, method_of
from gensr.search.presets import preset
from gensr.search.problem import Problem, repeat
from gensr.search.published import BAD, TRAINABLE, PublishedSpace, published
from gensr.search.pulse import DISTANCE, Pulse
from gensr.values.random import Stream

SIDE, FACTOR = 32, 4
SHAPE = Shape(bands=3, widths=(12, 10, 8), latent=8, style=8, depth=2)
CARD = GeneratorCard(
    "style-toy", "style", "faces", 3, True, "share of full scale", (0.0, 1.0), "1 px", "CC0", "none", "train",
    "by hand", bias="all", audit="none", discrepancy=0.05,
)  # fmt: skip


def made(dtype=torch.float64):
    """A small generator whose noise maps matter."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = Network(SHAPE)
    for name, p in network.named_parameters():
        if name.endswith("strength"):
            torch.nn.init.constant_(p, 0.2)
    network.eval().requires_grad_(False)
    whitening = measure(network.mapping, SHAPE.latent, 4000)
    parts = Parts(network.to(dtype), whitening, bank(network.float(), whitening, 16), 0.5)
    network.to(dtype)
    return Style(parts, CARD)


@pytest.fixture(scope="module")
def style():
    return made()


def observed(count=2, dtype=torch.float64, operator=None):
    y = torch.rand(count, 3, SIDE // FACTOR, SIDE // FACTOR, generator=torch.Generator().manual_seed(8), dtype=dtype)
    y = 0.4 + 0.2 * y
    return Observation(y, operator or Bicubic(FACTOR), torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))


def bicubic_matrix(side, factor):
    """Keys' kernel with a = -0.5, 4 factor taps, normalised, centred at half pixels, half-sample reflection."""

    def keys(t):
        t = abs(t)
        if t <= 1:
            return 1.5 * t**3 - 2.5 * t**2 + 1
        return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0

    taps = [keys((k + 0.5) / factor - 2) for k in range(4 * factor)]
    matrix = torch.zeros(side // factor, side, dtype=torch.float64)
    for row in range(side // factor):
        for k, weight in enumerate(taps):
            col = row * factor + k + factor // 2 - 2 * factor
            col = -1 - col if col < 0 else 2 * side - 1 - col if col >= side else col
            matrix[row, col] += weight / sum(taps)
    return matrix


def reference(style, u, noise, y, steps=100):
    """Losses before each step and after the last, and the final latents."""
    network = style.parts.network
    z = torch.randn(4000, SHAPE.latent, generator=torch.Generator().manual_seed(50_021))
    v = network.mapping(z.double())
    mean, std = v.mean(0), v.std(0, unbiased=True)
    matrix = bicubic_matrix(SIDE, FACTOR)
    u = u.clone().requires_grad_()
    noise = [m.clone().requires_grad_(k < 5) for k, m in enumerate(noise)]
    moved = [u, *noise[:5]]
    lengths = [x.detach().flatten(2 if x is u else 1).norm(dim=-1) for x in moved]
    adam = torch.optim.Adam(moved, lr=0.4)
    losses = []
    for step in range(steps + 1):
        w = torch.nn.functional.leaky_relu(u * std + mean, 0.2) * math.sqrt(2)
        levels = [noise[0][:, None], torch.stack(noise[1:3], 1), torch.stack(noise[3:5], 1)]
        image = (network.synthesis(w, levels) + 1) / 2
        low = matrix @ image @ matrix.T
        square = (low - y).square().mean((1, 2, 3)).clamp(min=2e-3)
        cross = torch.zeros(len(u), dtype=torch.float64)
        for a in range(w.shape[1]):
            for b in range(w.shape[1]):
                if a != b:
                    apart, together = (w[:, a] - w[:, b]).norm(dim=1), (w[:, a] + w[:, b]).norm(dim=1)
                    cross = cross + (2 * torch.atan2(apart, together)).square()
        loss = 100 * square + 0.05 * cross / w.shape[1] ** 2 * w.shape[2] / 8
        losses.append(loss.detach())
        if step == steps:
            break
        progress = step / steps
        rate = 0.1 + 0.9 * (1 - abs(progress / 0.9 - 0.5) * 2) if progress < 0.9 else 0.1 - 0.99 * (progress - 0.9)
        adam.param_groups[0]["lr"] = 0.4 * rate
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
        with torch.no_grad():
            for x, length in zip(moved, lengths, strict=True):
                now = x.flatten(2 if x is u else 1).norm(dim=-1)
                x.mul_((length / now).view(*now.shape, *[1] * (x.ndim - now.ndim)))
    return torch.stack(losses), u.detach()


def starts(space, count):
    spec = space.latents((SIDE, SIDE))
    drawn = spec.sample([Stream(0).child("pulse", k) for k in range(count)])
    return spec, {name: t.double() for name, t in drawn.items()}


def test_the_loss_curve_is_that_of_the_published_equations(style):
    """100 steps, two pictures, seed 0, double precision: to 1e-5 at every step, by the package's own loop."""
    space, data = published(style), observed()
    spec, drawn = starts(space, 2)
    curve = []
    problem = Problem(space, data, drawn)
    found = solve(Pulse(), problem, spec.flatten(drawn), callback=lambda step, loss, chi2: curve.append(loss.clone()))
    begin = Pulse().init(problem, spec.flatten(drawn)).loss
    noise = [drawn[f"noise{k}"] for k in range(5)]
    expected, _ = reference(style, drawn["styles"], noise, data.y)
    assert len(curve) == 100
    torch.testing.assert_close(torch.stack([begin, *curve]), expected, rtol=1e-5, atol=0)
    assert torch.equal(found.loss, torch.stack([begin, *curve]).min(0).values)
    assert float((expected[0] / expected.min(0).values).min()) > 1.5  # it searched
    # Best iterate, with its own low-resolution picture, and no correction for the discrepancy of the card.
    assert torch.equal(found.images, problem.images(spec.flatten(found.latents)))
    torch.testing.assert_close(found.images, space.synthesize(found.latents, (SIDE, SIDE)), rtol=0, atol=1e-12)
    assert torch.equal(found.low, data.operator.forward(found.images))
    assert not found.correction.any()


def test_the_space_is_the_published_one(style):
    space = published(style)
    assert isinstance(space, PublishedSpace)
    spec = space.latents((SIDE, SIDE))
    assert [(t.name, t.shape, t.searched, t.layered) for t in spec.tensors] == [
        ("styles", (6, 8), True, True), *((f"noise{k}", (s, s), True, False) for k, s in enumerate((4, 8, 8, 16, 16))),
    ]  # fmt: skip
    assert (TRAINABLE, BAD) == (5, 17)
    white = style.whitening
    torch.testing.assert_close(white.deviation, (white.factor @ white.factor.T).diagonal().sqrt())


def test_only_five_maps_are_searched_and_the_eighteenth_is_zero(style, monkeypatch):
    """Of a generator with eighteen maps: the first five move, the last is zero whatever was drawn."""
    space = published(style)
    sides = tuple(4 << (k // 2) for k in range(18))
    monkeypatch.setattr(Style, "maps", property(lambda self: sides))
    given = {}

    def rendered(self, w, noise, shape, stage=None):
        given.update(enumerate(noise))
        return torch.zeros(len(w), 3, *shape)

    monkeypatch.setattr(Style, "render", rendered)
    spec, drawn = starts(space, 1)
    assert [t.name for t in spec.searched] == ["styles", *(f"noise{k}" for k in range(5))]
    space.synthesize(drawn, (SIDE, SIDE))
    assert not given[17].any()
    assert torch.equal(given[16], drawn["noise16"])


def test_a_candidate_alone_is_the_same_candidate_in_a_batch(style):
    """Candidate k alone and in a batch of eight: 1e-6 in double precision, 1e-3 in single."""
    for generator, dtype, tolerance in ((style, torch.float64, 1e-6), (made(torch.float32), torch.float32, 1e-3)):
        space, data = published(generator), repeat(observed(1, dtype), 8)
        spec, drawn = starts(space, 8)
        drawn = {name: t.to(dtype) for name, t in drawn.items()}
        whole = solve(Pulse(40), Problem(space, data, drawn), spec.flatten(drawn))
        row = {name: t[5:6] for name, t in drawn.items()}
        alone = solve(Pulse(40), Problem(space, replace(data, **rows(data, 5)), row), spec.flatten(row))
        torch.testing.assert_close(alone.images[0], whole.images[5], rtol=0, atol=tolerance)
        torch.testing.assert_close(alone.loss[0], whole.loss[5], rtol=tolerance, atol=0)


def rows(data, row):
    return {name: getattr(data, name)[row : row + 1] for name in ("y", "variance", "usable")}


def test_what_cannot_be_matched_comes_back_with_how_far_it_is(style):
    data = observed(1)
    far = replace(data, y=torch.full_like(data.y, 30.0), operator=Area(FACTOR))
    how = replace(preset("pulse"), solver_options={"steps": 5})
    found = answer(style, far, how, method_of(style, far.operator, how), 1, lambda *_: far.y, [Stream(0)])
    assert found.search is not None
    assert torch.equal(found.mean, found.search.images)
    assert "not matched" in found.search.reason[0].sentence
    error = float((found.search.low - far.y).square().mean() / 2e-3)
    assert float(found.search.figures[DISTANCE]) == pytest.approx(error, rel=1e-6)
    assert error > 1e5


@pytest.fixture
def installed(tmp_path):
    """The generator as a file."""
    style = made(torch.float32)
    parts = style.parts
    tensors = {f"network.{k}": v for k, v in parts.network.state_dict().items()}
    tensors |= {"whitening.mean": parts.whitening.mean, "whitening.factor": parts.whitening.factor}
    tensors |= {"bank.style": parts.bank.style, "bank.picture": (255 * parts.bank.picture).to(torch.uint8)}
    path = tmp_path / "style-toy.safetensors"
    weights.save(path, tensors, SHAPE.to_config() | {"spread": 0.5}, CARD)
    assert FAMILY.name == CARD.family
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pictures_of_every_kind_go_through_the_command_s_way(installed, tmp_path, mode):
    """Seed 0 twice is the same picture twice; the deviation is not made up."""
    bands = {"RGB": 3, "L": 1, "RGBA": 4}[mode]
    codes = np.random.default_rng(1).integers(80, 180, (8, 8, bands), dtype=np.uint8)
    Image.fromarray(codes.squeeze()).save(tmp_path / "in.png")
    asked = {"factor": FACTOR, "domain": "faces", "generator": str(installed), "search": "pulse", "check": "off"}
    first, again, other = (
        gensr.upsample(tmp_path / "in.png", **{**asked, "seed": seed}, operator="bicubic") for seed in (0, 0, 1)
    )
    assert first.mean.shape[-2:] == (SIDE, SIDE)
    assert np.array_equal(first.mean, again.mean)
    assert not np.array_equal(first.mean, other.mean)
    assert np.isnan(first.std).all()
    told = first.report["latent search"]
    assert told["solver"] == "pulse"
    assert told["candidates"] == 1
    assert told[f"least {DISTANCE}"] >= 0


def test_a_grey_picture_is_explained_by_the_luminance_and_leaves_colour_free(style):
    grey = Grey(style)
    data = observed(1)
    data = replace(data, **{name: getattr(data, name)[:, :1] for name in ("y", "variance", "usable")})
    assert (grey.card.bands, grey.capabilities) == (1, {"encode", "starts", "stages"})
    _, drawn = starts(grey, 1)
    colour = style.synthesize(drawn, (SIDE, SIDE))
    expected = 0.299 * colour[:, 0] + 0.587 * colour[:, 1] + 0.114 * colour[:, 2]
    torch.testing.assert_close(grey.synthesize(drawn, (SIDE, SIDE))[:, 0], expected)
    assert grey.starts(data, 2)["style"].shape == (2, 8)
    how = replace(preset("pulse"), solver_options={"steps": 30})
    found = answer(grey, data, how, method_of(grey, data.operator, how), 1, lambda *_: data.y, [Stream(0)])
    assert found.mean.shape == (1, 1, SIDE, SIDE)
    with pytest.raises(ValueError, match="red, green and blue"):
        Grey(grey)


def test_a_grey_prior_travels(installed):
    _, stored = weights.load(str(installed))
    prior = Prior(Grey(made(torch.float32)), weights.reference(str(installed), stored), grey=True)
    arrived = pickle.loads(pickle.dumps(prior))
    assert isinstance(arrived.generator, Grey)
    assert arrived.generator.card.bands == 1
