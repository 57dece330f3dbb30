"""BigGAN as it is published becomes a prior: spectral norms folded, the library's own pictures, its class searched."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from emit_diffusers import Shapes, random

from gensr.cli.main import main
from gensr.errors import SearchError, WeightsError
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from gensr.values.random import Stream

CONFIG = {
    "output_dim": 16,
    "z_dim": 6,
    "class_embed_dim": 6,
    "channel_width": 8,
    "num_classes": 10,
    "layers": [[False, 16, 16], [True, 16, 8], [False, 8, 4], [True, 4, 2], [False, 2, 1]],
    "attention_layer_position": 3,
    "eps": 1e-4,
    "n_stats": 51,
}


def spectral(name: str, *shape: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight_orig", shape
    yield f"{name}.weight_u", (shape[0],)
    yield f"{name}.weight_v", (int(np.prod(shape[1:])),)
    if bias:
        yield f"{name}.bias", (shape[0],)


def layout(config: dict = CONFIG) -> Shapes:
    width, told, stats = config["channel_width"], 2 * config["z_dim"], config["n_stats"]
    yield "embeddings.weight", (config["z_dim"], config["num_classes"])
    yield from spectral("generator.gen_z", 16 * 16 * width, told)
    index = 0
    for i, (_, inward, outward) in enumerate(config["layers"]):
        x, y = inward * width, outward * width
        if i == config["attention_layer_position"]:
            name = f"generator.layers.{index}"
            yield f"{name}.gamma", (1,)
            for part, a, b in (("theta", x // 8, x), ("phi", x // 8, x), ("g", x // 2, x), ("o_conv", x, x // 2)):
                yield from spectral(f"{name}.snconv1x1_{part}", a, b, 1, 1, bias=False)
            index += 1
        name, middle = f"generator.layers.{index}", x // 4
        for k, (a, b, kernel) in enumerate(((x, middle, 1), (middle, middle, 3), (middle, middle, 3), (middle, y, 1))):
            yield f"{name}.bn_{k}.running_means", (stats, a)
            yield f"{name}.bn_{k}.running_vars", (stats, a)
            for part in ("scale", "offset"):
                yield from spectral(f"{name}.bn_{k}.{part}", a, told, bias=False)
            yield from spectral(f"{name}.conv_{k}", b, a, kernel, kernel)
        index += 1
    yield from (("generator.bn.weight", (width,)), ("generator.bn.bias", (width,)))
    yield from (("generator.bn.running_means", (stats, width)), ("generator.bn.running_vars", (stats, width)))
    yield from spectral("generator.conv_to_rgb", width, width, 3, 3)


def tensors(config: dict = CONFIG) -> dict[str, Tensor]:
    found = random(layout(config))
    for name, tensor in found.items():
        if name.endswith("vars"):
            found[name] = tensor.abs() + 0.5
        elif name.endswith("gamma"):
            found[name] = torch.full((1,), 0.7)
    for name in [n for n in found if n.endswith("_orig")]:  # vectors as training leaves them: close to singular
        flat = found[name].flatten(1)
        u, _, v = torch.linalg.svd(flat, full_matrices=False)
        found[f"{name[:-5]}_u"], found[f"{name[:-5]}_v"] = u[:, 0].clone(), v[0].clone()
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("biggan")
    (top / "config.json").write_text(json.dumps(CONFIG))
    torch.save(tensors(), top / "pytorch_model.bin")
    return top


def converted(folder: Path, out: Path, **words):
    _, made, match = convert(read_foreign(folder), Words(**{"name": "big", **words}), out)
    return *weights.load(str(out)), made, match


@pytest.fixture
def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pytorch_pretrained_biggan", reason="needs it, for an independent implementation")


def test_it_makes_what_the_library_makes(folder, tmp_path, library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, on its way of spectral normalisation
        theirs = library.BigGAN(library.BigGANConfig.from_dict(CONFIG))
        theirs.load_state_dict(tensors())
        theirs.eval()
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).clamp(-1.9, 1.9)
    for label in (0, 7):
        ours, _, _, match = converted(folder, tmp_path / "big.safetensors", label=label)
        assert match.words == "BigGAN-deep, 16 px, 10 classes"
        with torch.no_grad():
            want = theirs(z, torch.eye(10)[[label] * 3], 1.0)
            told = ours.parts.mean.expand(3, -1)
            assert torch.allclose(ours.parts.network(z, told), want, atol=1e-5)
    assert float(want.std()) > 0.05


@pytest.mark.parametrize(("doublings", "width"), [(1, 8), (3, 16), (5, 8), (8, 8)])
@pytest.mark.parametrize("classes", [1, 3])
def test_sizes_widths_and_classes_are_told_from_the_configuration(tmp_path, doublings, width, classes):
    """From 8 to 1024 pixels: what was written down is built, and every kernel arrives."""
    halves = [*[(16, 16)] * max(1, doublings - 4), (16, 8), (8, 4), (4, 2), (2, 1)]
    blocks = [[k < doublings, a, b] for k, (a, b) in enumerate(halves)]
    more = {"output_dim": 4 << doublings, "channel_width": width, "num_classes": classes, "layers": blocks}
    config = CONFIG | more | {"attention_layer_position": 1}
    top = tmp_path / "net"
    top.mkdir()
    (top / "config.json").write_text(json.dumps(config))
    torch.save(made := tensors(config), top / "pytorch_model.bin")
    ours, found, _, match = converted(top, tmp_path / "big.safetensors", label=0)
    side = 4 << doublings
    assert match.words == f"BigGAN-deep, {side} px, {classes} classes"
    picture = ours.synthesize(ours.latents((side, side)).sample([Stream(0)]), (side, side))
    assert picture.shape == (1, 3, side, side)
    assert bool(torch.isfinite(picture).all())
    theirs = sorted(t.numel() for name, t in made.items() if "layers." in name and ".conv_" in name and "_orig" in name)
    kernels = [t for name, t in found.tensors.items() if ".convs." in name and name.endswith("weight")]
    assert sorted(t.numel() for t in kernels) == theirs


def test_weights_are_those_the_norm_leaves_to_the_bit(folder, tmp_path):
    _, found, _, _ = converted(folder, tmp_path / "big.safetensors")
    theirs = tensors()
    name = "generator.layers.1.conv_1"
    layer = torch.nn.utils.spectral_norm(torch.nn.Conv2d(32, 32, 3, padding=1), eps=1e-4)
    layer.load_state_dict({k.removeprefix(f"{name}."): t for k, t in theirs.items() if k.startswith(f"{name}.")})
    layer.eval()(torch.zeros(1, 32, 4, 4))
    assert torch.equal(found.tensors["network.blocks.1.convs.1.weight"], layer.weight)
    assert torch.equal(
        found.tensors["network.blocks.1.norms.2.mean"], theirs["generator.layers.1.bn_2.running_means"][-1]
    )
    assert torch.equal(found.tensors["network.blocks.3.convs.0.bias"], theirs["generator.layers.4.conv_0.bias"])
    assert found.tensors["network.image.weight"].shape == (3, 8, 3, 3)


def test_the_class_is_searched_as_a_gaussian_of_all(folder, tmp_path):
    ours, _, _, _ = converted(folder, tmp_path / "big.safetensors")
    spec = {t.name: t.shape for t in ours.latents((16, 16)).tensors}
    assert spec == {"noise": (6,), "class": (6,)}
    table = tensors()["embeddings.weight"]
    centred = table - table.mean(1, keepdim=True)
    assert torch.allclose(ours.parts.mean, table.mean(1), atol=1e-6)
    assert torch.allclose(ours.parts.factor @ ours.parts.factor.T, centred @ centred.T / 9, atol=1e-5)
    one, *_ = converted(folder, tmp_path / "one.safetensors", label=3)
    assert {t.name for t in one.latents((16, 16)).tensors} == {"noise"}
    assert torch.equal(one.parts.mean, table[:, 3])
    u = torch.linalg.lstsq(ours.parts.factor, table[:, 3] - ours.parts.mean).solution
    noise = torch.randn(1, 6)
    same = ours.synthesize({"noise": noise, "class": u[None]}, (16, 16))
    assert torch.allclose(same, one.synthesize({"noise": noise}, (16, 16)), atol=1e-4)
    with pytest.raises(SearchError, match="makes images of 16 x 16 pixels only, not 32 x 16"):
        ours.latents((16, 32))


def test_noise_is_that_of_a_truncated_normal(folder, tmp_path):
    ours, *_ = converted(folder, tmp_path / "big.safetensors", label=0)
    seen = []
    ours.parts.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ours.synthesize({"noise": torch.cat([torch.randn(400, 6), torch.full((1, 6), 9.0)])}, (16, 16))
    assert float(seen[0].max()) == pytest.approx(2, abs=1e-3)
    assert float(seen[0][:400].std()) == pytest.approx(0.88, abs=0.03)  # that of a normal cut at two deviations


def test_upsample_runs_end_to_end(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))
    converted(folder, tmp_path / "big.safetensors")
    values = np.random.default_rng(1).integers(110, 140, (4, 4, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "face.png")
    words = [f"output={tmp_path / 'out'}", "factor=4", "samples=1", "noise=40", "search=fast", "search.steps=5"]
    assert main(["upsample", str(tmp_path / "face.png"), f"generator={tmp_path / 'big.safetensors'}", *words]) == 0
    assert np.asarray(Image.open(tmp_path / "out" / "face_x4_generated.png")).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": []}, "a list of 1 to 40"),
        ({"layers": [[False, 16, 16], [True, 8, 4], [False, 2, 1]]}, "do not fit each other"),
        ({"layers": [[False, 16, 5], [True, 5, 1]]}, "do not fit each other"),
        ({"layers": [["$x", 16, 16]]}, "doubles the side"),
        ({"layers": [[False, 16]]}, "doubles the side"),
        ({"layers": [[False, 16, 16]]}, "end with 16"),
        ({"z_dim": 10**9}, "a whole number"),
        ({"z_dim": 7}, "says"),
        ({"channel_width": 16}, "says"),
        ({"channel_width": 9}, "do not fit each other"),
        ({"attention_layer_position": 2}, "gamma|misses"),
        ({"eps": "1e-4"}, "a number"),
    ],
)
def test_configurations_that_do_not_fit(folder, tmp_path, change, words):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "config.json").write_text(json.dumps({**CONFIG, **change}))
    (tmp_path / "in" / "pytorch_model.bin").symlink_to("model.bin")
    (tmp_path / "in" / "model.bin").write_bytes((folder / "pytorch_model.bin").read_bytes())
    with pytest.raises(WeightsError, match=words):
        converted(tmp_path / "in", tmp_path / "big.safetensors")


def test_labels_and_missing_files(folder, tmp_path):
    with pytest.raises(WeightsError, match="there are classes 0 to 9"):
        converted(folder, tmp_path / "big.safetensors", label=10)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(WeightsError, match=r"biggan misses generator\.gen_z\.weight"):
        detect(read_foreign(tmp_path))
