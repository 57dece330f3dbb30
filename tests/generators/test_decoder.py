"""Decoders of anybody's own: described in a few lines, run as torch runs them, refused where they do not fit."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from gensr.cli.main import main
from gensr.errors import SearchError, WeightsError
from gensr.operators import Area
from gensr.priors import weights
from gensr.priors.families import family
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from gensr.priors.layers import OPS, Stack, check_layers, shaped
from gensr.priors.quantile import as_trained, whitened


class Own(nn.Module):
    """A generator as it is written in many a project."""

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8 * 4 * 4)
        self.bn0 = nn.BatchNorm1d(8 * 4 * 4)
        self.up1 = nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.up2 = nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1)
        self.act = nn.PReLU(4)
        self.conv = nn.Conv2d(4, bands, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn0(self.fc(z))).reshape(len(z), 8, 4, 4)
        x = nn.functional.leaky_relu(self.bn1(self.up1(x)), 0.2)
        return torch.tanh(self.conv(self.act(self.up2(x))))


LAYERS = [
    {"op": "linear", "name": "fc"},
    {"op": "batchnorm", "name": "bn0"},
    {"op": "relu"},
    {"op": "reshape", "shape": [8, 4, 4]},
    {"op": "convtranspose", "name": "up1", "stride": 2, "padding": 1},
    {"op": "batchnorm", "name": "bn1"},
    {"op": "leakyrelu", "slope": 0.2},
    {"op": "convtranspose", "name": "up2", "stride": 2, "padding": 1},
    {"op": "prelu", "name": "act"},
    {"op": "conv", "name": "conv", "padding": 1},
    {"op": "tanh"},
]


def network(bands: int = 3) -> Own:
    torch.manual_seed(3)
    made = Own(bands)
    for name, tensor in made.state_dict().items():
        if "running" in name or "bn" in name:
            tensor.copy_(torch.rand_like(tensor.float()) + 0.5)
    return made.eval().requires_grad_(False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    torch.save({"state_dict": nn.DataParallel(network()).state_dict()}, tmp_path / "own" / "net.pt")
    (tmp_path / "own" / "decoder.json").write_text(json.dumps({"latent": [6], "layers": LAYERS}))
    return tmp_path / "own"


def converted(folder: Path, out: Path, **words):
    convert(read_foreign(folder), Words(**{"name": "own", **words}), out)
    return weights.load(str(out))


def change(folder: Path, **more) -> None:
    file = folder / "decoder.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))


def test_it_makes_what_the_network_makes(folder, tmp_path):
    ours, found = converted(folder, tmp_path / "own.safetensors")
    theirs = network()
    z = torch.randn(3, 6)
    assert torch.allclose(ours.synthesize({"z": z}, (16, 16)), (theirs(z) + 1) / 2, atol=1e-6)
    state = theirs.state_dict()
    assert torch.equal(found.tensors["network.4.weight"], state["up1.weight"])
    assert torch.equal(found.tensors["network.5.running_var"], state["bn1.running_var"])
    assert sum(t.numel() for t in found.tensors.values()) == sum(
        t.numel() for k, t in state.items() if "num_batches" not in k
    )
    with pytest.raises(SearchError, match="makes images of 16 x 16 pixels only, not 32 x 32"):
        ours.latents((32, 32))


@pytest.mark.parametrize(
    ("said", "z"),
    [
        ({"distribution": "uniform"}, torch.special.ndtr),
        ({"distribution": "uniform", "mean": -1, "scale": 2.0}, lambda u: 2 * torch.special.ndtr(u) - 1),
        ({"mean": 0.5, "scale": 3}, lambda u: 0.5 + 3 * u),
    ],
)
def test_latents_are_those_it_was_trained_on(folder, tmp_path, said, z):
    change(folder, **said)
    ours, _ = converted(folder, tmp_path / "own.safetensors")
    u = torch.randn(2, 6)
    assert torch.allclose(ours.synthesize({"z": u}, (16, 16)), (network()(z(u)) + 1) / 2, atol=1e-6)


def test_range_by_description_and_by_the_user(folder, tmp_path):
    change(folder, range=[0.0, 4.0])
    z = torch.randn(1, 6)
    for words, low, high in (({}, 0.0, 4.0), ({"low": 1.0, "high": -1.0}, 1.0, -1.0)):
        ours, _ = converted(folder, tmp_path / "own.safetensors", **words)
        want = (network()(z) - low) / (high - low)
        assert torch.allclose(ours.synthesize({"z": z}, (16, 16)), want, atol=1e-6)


@pytest.mark.parametrize("doublings", [0, 1, 3, 6, 8])
@pytest.mark.parametrize("width", [1, 3])
def test_sizes_and_widths_are_told_from_shapes(tmp_path, doublings, width):
    """Stacks from 4 to 1024 pixels, of any number of channels: the description names layers, shapes say the rest."""
    torch.manual_seed(doublings)
    channels = [width * max(1, 8 >> k) for k in range(doublings + 1)]
    parts = [nn.Linear(5, channels[0] * 16), *(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(channels))]
    parts.append(nn.Conv2d(channels[-1], 3, 1))
    names = ["fc", *(f"up{k}" for k in range(doublings)), "image"]
    top = tmp_path / "own"
    top.mkdir()
    state = {f"{name}.{k}": t for name, part in zip(names, parts, strict=True) for k, t in part.state_dict().items()}
    torch.save(state, top / "net.pt")
    layers = [{"op": "linear", "name": "fc"}, {"op": "reshape", "shape": [channels[0], 4, 4]}]
    for name in names[1:-1]:
        layers += [{"op": "convtranspose", "name": name, "stride": 2, "padding": 1}, {"op": "relu"}]
    layers += [{"op": "conv", "name": "image"}, {"op": "tanh"}]
    (top / "decoder.json").write_text(json.dumps({"latent": [5], "layers": layers}))
    ours, _ = converted(top, tmp_path / "own.safetensors")
    side, z = 4 << doublings, torch.randn(2, 5)
    with torch.no_grad():
        x = parts[0](z).view(2, channels[0], 4, 4)
        for part in parts[1:-1]:
            x = part(x).relu()
        want = (parts[-1](x).tanh() + 1) / 2
        torch.testing.assert_close(ours.synthesize({"z": z}, (side, side)), want, rtol=0, atol=1e-5)


def test_fields_of_any_size(tmp_path):
    (tmp_path / "own").mkdir()
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=4), nn.Conv2d(4, 1, 1))
    save_file(net.state_dict(), tmp_path / "own" / "weights")
    layers = [
        {"op": "conv", "name": "0", "padding": 1},
        {"op": "silu"},
        {"op": "upsample", "factor": 4},
        {"op": "conv", "name": "3"},
    ]
    (tmp_path / "own" / "decoder.json").write_text(json.dumps({"latent": [2], "layers": layers, "field": True}))
    ours, found = converted(tmp_path / "own", tmp_path / "own.safetensors", domain="microscopy", low=0, high=1)
    assert (found.card.aligned, found.card.bands, found.config["factor"]) == (False, 1, 4)
    assert ours.latents((10, 13)).tensors[0].shape == (2, 3, 4)
    z = torch.randn(1, 2, 3, 4)
    assert torch.allclose(ours.synthesize({"z": z}, (10, 13)), net(z)[..., :10, :13], atol=1e-6)


def test_upsample_runs_end_to_end(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))
    converted(folder, tmp_path / "own.safetensors")
    values = np.random.default_rng(1).integers(100, 140, (4, 4, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "face.png")
    for search in ("fast", "pulse"):
        words = [f"output={tmp_path / search}", "factor=4", "samples=1", "noise=3", f"search={search}"]
        words += ["search.steps=10"] if search == "fast" else []
        assert main(["upsample", str(tmp_path / "face.png"), f"generator={tmp_path / 'own.safetensors'}", *words]) == 0
        assert np.asarray(Image.open(next((tmp_path / search).glob("face_x4*.png")))).shape[2] == 3


def test_gauss_newton_takes_its_derivatives(folder, tmp_path):
    """Second derivatives and batched gradients, on layers with attention and normalisation."""
    from gensr.priors.observation import Observation
    from gensr.search.presets import PRESETS
    from gensr.search.run import candidates
    from gensr.values.random import Stream

    layers = [
        *LAYERS[:9],
        {"op": "attention", "channels": 4, "groups": 2, "heads": 2},
        {"op": "residual", "in": 4, "out": 3, "groups": 1},
        {"op": "tanh"},
    ]
    plain, _ = shaped([{**w, **_sizes(w)} for w in layers], (6,), "x")
    torch.manual_seed(2)
    tensors = {f"network.{k}": torch.randn(v.shape) * 0.3 for k, v in plain.state_dict().items()}
    tensors |= {k: t.abs() + 0.5 for k, t in tensors.items() if k.endswith("var")}
    config = {
        "layers": [{**{k: v for k, v in w.items() if k != "name"}, **_sizes(w)} for w in layers],
        "latent": [6],
        "factor": 0,
        "distribution": {"kind": "uniform", "mean": 0.0, "scale": 1.0},
        "range": [-1.0, 1.0],
    }
    _, found = converted(folder, tmp_path / "own.safetensors")
    generator = family("decoder").build(tensors, config, found.card)
    truth = generator.synthesize({"z": torch.randn(1, 6)}, (16, 16))
    operator = Area((4, 4))
    y = operator.forward(truth)
    data = Observation(y, operator, torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))
    from dataclasses import replace

    chosen = replace(PRESETS["fast"], solver="gauss-newton", solver_options={"steps": 12}, start="prior")
    made = candidates(generator, data, chosen, [Stream(1)], 4)
    assert float(made.solution.chi2.min()) < 2


def _sizes(words):
    name = words.get("name")
    if name is None:
        return {}
    module = getattr(network(), name)
    if isinstance(module, nn.Linear):
        return {"in": module.in_features, "out": module.out_features}
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        bias = module.bias is not None
        return {"in": module.in_channels, "out": module.out_channels, "kernel": module.kernel_size[0], "bias": bias}
    return {"channels": len(module.weight)}


@pytest.mark.parametrize(
    ("change_to", "words"),
    [
        ({"layers": [{"op": "exec", "name": "fc"}]}, "unknown layer 'exec'"),
        ({"layers": [{"op": "__import__('os').system('x')"}]}, "unknown layer|at most 30"),
        ({"layers": LAYERS[:3]}, "expected bands, rows and columns"),
        ({"layers": LAYERS[1:]}, "do not fit an input"),
        ({"layers": [*LAYERS, *[{"op": "upsample", "factor": 64}] * 4]}, "more than"),
        ({"layers": [{**LAYERS[0], "out": 5}, *LAYERS[1:]]}, "do not fit|is of shape"),
        ({"layers": [{**LAYERS[0], "name": "nothing"}, *LAYERS[1:]]}, r"nothing\.weight"),
        ({"layers": [{**LAYERS[0], "code": "x"}, *LAYERS[1:]]}, "linear has no 'code'"),
        ({"layers": [{"op": "reshape", "shape": [10**9, 4, 4]}]}, "a whole number"),
        ({"layers": [{"op": "sum", "branches": [[{"op": "sum", "branches": [[]]}]]}] * 2}, "bands"),
        ({"layers": "x"}, "a list"),
        ({"latent": [0]}, "latent"),
        ({"latent": [7]}, "do not fit an input"),
        ({"distribution": "$x"}, "distribution"),
        ({"range": [1, 1]}, "the same"),
        ({"weights": "../../etc/passwd"}, "weights"),
        ({"weights": "none.pt"}, "is missing"),
        ({"field": True}, "do not fit an input"),
    ],
)
def test_descriptions_that_do_not_fit(folder, tmp_path, change_to, words):
    change(folder, **change_to)
    with pytest.raises(WeightsError, match=words):
        converted(folder, tmp_path / "own.safetensors")


def test_several_files_must_be_told_apart(folder, tmp_path):
    (folder / "other.pt").write_bytes(b"x")
    with pytest.raises(WeightsError, match="2 files may be them"):
        detect(read_foreign(folder))
    change(folder, weights="net.pt")
    assert detect(read_foreign(folder))[1].fits


def test_every_layer_is_built_and_checked():
    examples = {
        "linear": {"in": 4, "out": 4},
        "conv": {"in": 4, "out": 4, "kernel": 3, "padding": 1},
        "convtranspose": {"in": 4, "out": 4, "kernel": 4, "stride": 2, "padding": 1},
        "reshape": {"shape": [4, 4, 4]},
        "upsample": {"factor": 2, "mode": "bilinear"},
        "pixelshuffle": {"factor": 2},
        "pad": {"pad": [1, 0, 2, 0], "mode": "reflect"},
        "batchnorm": {"channels": 4},
        "instancenorm": {"channels": 4},
        "groupnorm": {"channels": 4, "groups": 2},
        "residual": {"in": 4, "out": 6, "groups": 2},
        "attention": {"channels": 4, "groups": 2, "heads": 2, "project": False},
        "sum": {"branches": [[{"op": "relu"}], [{"op": "identity"}]]},
        "prelu": {"channels": 4},
    }
    x = torch.randn(2, 4, 4, 4)
    for name in OPS:
        words = {"op": name, **examples.get(name, {})}
        check_layers([words], "x")
        stack = Stack([words]).eval()
        made = stack(x.reshape(2, 64)[:, :4] if name == "linear" else x)
        assert torch.isfinite(made).all(), name
        alone = stack((x.reshape(2, 64)[:, :4] if name == "linear" else x)[:1])
        assert torch.allclose(alone, made[:1], atol=1e-6), name  # samples do not influence each other


def test_distributions_are_inverted():
    u = torch.linspace(-3, 3, 61).double()
    for said in (
        {"kind": "normal", "mean": 2.0, "scale": 3.0},
        {"kind": "uniform", "mean": -1.0, "scale": 2.0},
        {"kind": "truncated", "mean": 0.0, "scale": 0.5},
    ):
        trained = as_trained(u, said)
        assert torch.allclose(whitened(trained, said), u, atol=1e-6)
        assert (trained.diff() > 0).all()
    truncated = as_trained(torch.tensor([-9.0, 9.0]), {"kind": "truncated", "mean": 0.0, "scale": 1.0})
    assert torch.allclose(truncated, torch.tensor([-2.0, 2.0]), atol=1e-5)
