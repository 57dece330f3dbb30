"""Checkpoints of pytorch_GAN_zoo, and pickles of TensorFlow, become generators that equal a plain reference."""

import math
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional as f

from gensr.errors import SearchError, WeightsError
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from tests.foreign_files import programs


def random_tensors(widths=(8, 8, 6), latent=10, bands=3, module="module."):
    draw = torch.Generator().manual_seed(len(widths))
    shapes = {"formatLayer": (16 * widths[0], latent), "groupScale0.0": (widths[0], widths[0], 3, 3)}
    for i, width in enumerate(widths):
        shapes[f"toRGBLayers.{i}"] = (bands, width, 1, 1)
        if i:
            shapes[f"scaleLayers.{i - 1}.0"] = (width, widths[i - 1], 3, 3)
            shapes[f"scaleLayers.{i - 1}.1"] = (width, width, 3, 3)
    t = {}
    for place, shape in shapes.items():
        t[f"{place}.{module}weight"] = torch.randn(shape, generator=draw)
        t[f"{place}.{module}bias"] = torch.randn(shape[:1], generator=draw)
    return t


def reference(t, z):
    """Layers are scaled by He's constant after the bias was added, as the zoo does it."""
    t = {k.replace("module.", ""): v.to(z) for k, v in t.items()}

    def norm(x):
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    def layer(x, place, linear=False):
        weight, bias = t[f"{place}.weight"], t[f"{place}.bias"]
        y = f.linear(x, weight, bias) if linear else f.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        return y * math.sqrt(2 / weight[0].numel())

    x = f.leaky_relu(layer(norm(z), "formatLayer", True), 0.2).view(len(z), -1, 4, 4)
    x = norm(f.leaky_relu(layer(norm(x), "groupScale0.0"), 0.2))
    i = 0
    while f"scaleLayers.{i}.0.weight" in t:
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        for j in (0, 1):
            x = norm(f.leaky_relu(layer(x, f"scaleLayers.{i}.{j}"), 0.2))
        i += 1
    return (layer(x, f"toRGBLayers.{i}") + 1) / 2


def made(tmp_path, said, **words):
    torch.save(said, tmp_path / "a.pth")
    convert(read_foreign(tmp_path / "a.pth"), Words("own", **words), tmp_path / "own.safetensors")
    return weights.load(str(tmp_path / "own.safetensors"))


@pytest.mark.parametrize("module", ["module.", ""])
@pytest.mark.parametrize("widths", [(8, 6), (8, 8, 6, 4)])
def test_pictures_equal_the_reference(tmp_path, module, widths):
    t = random_tensors(widths, module=module)
    generator, kept = made(
        tmp_path, {"netD": {"a": torch.ones(1)}, "netG": {k: v + 1 for k, v in t.items()}, "avgG": t}
    )
    side = 4 << len(widths) - 1
    for name, tensor in t.items():
        if "toRGB" not in name or str(len(widths) - 1) in name:
            assert torch.equal(kept.tensors[name.replace("module.", "")], tensor), name
    z = torch.randn(3, 10, dtype=torch.float64)
    generator.network.double()
    ours, theirs = generator.synthesize({"z": z}, (side, side)), reference(t, z)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


@pytest.mark.parametrize("levels", [4, 9])
@pytest.mark.parametrize("bands", [1, 3])
def test_sizes_are_told_from_shapes(tmp_path, levels, bands):
    generator, kept = made(tmp_path, random_tensors((5,) * levels, latent=12, bands=bands))
    side = 4 << levels - 1
    assert [(t.name, t.shape) for t in generator.latents((side, side)).tensors] == [("z", (12,))]
    assert kept.card.bands == bands
    with pytest.raises(SearchError, match=f"{side} x {side} pixels, not 5 x 5"):
        generator.latents((5, 5))


def test_a_range_of_its_own(tmp_path):
    t = random_tensors()
    plain = made(tmp_path, t)[0]
    other = made(tmp_path, t, low=0.0, high=2.0)[0]
    z = {"z": torch.randn(2, 10)}
    assert torch.allclose(other.synthesize(z, (16, 16)), plain.synthesize(z, (16, 16)) - 0.5, atol=1e-5)


def test_what_is_missing_is_said(tmp_path):
    t = random_tensors()
    torch.save({k: v for k, v in t.items() if not k.startswith("toRGB")}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"nearest: pggan misses toRGBLayers\.N\.weight"):
        detect(read_foreign(tmp_path / "a.pt"))
    with pytest.raises(WeightsError, match=r"scaleLayers\.1\.0\.weight"):
        made(tmp_path, {k: v for k, v in t.items() if "scaleLayers.1.0" not in k})


def old_variables(widths=(8, 6, 5), latent=10, bands=3, fused=True, seed=0):
    """As the first program names and lays them; ``lod`` and coarser pictures are in the file too."""
    draw = np.random.default_rng(seed)
    v = {"lod": np.zeros((), np.float32)}

    def layer(name, *shape, bias):
        v[f"{name}/weight"] = draw.standard_normal(shape).astype(np.float32)
        v[f"{name}/bias"] = draw.standard_normal(bias).astype(np.float32)

    layer("4x4/Dense", latent, 16 * widths[0], bias=widths[0])
    layer("4x4/Conv", 3, 3, widths[0], widths[0], bias=widths[0])
    for i, width in enumerate(widths):
        layer(f"ToRGB_lod{len(widths) - 1 - i}", 1, 1, width, bands, bias=bands)
        if i:
            place = f"{4 << i}x{4 << i}"
            if fused:
                layer(f"{place}/Conv0_up", 3, 3, width, widths[i - 1], bias=width)
            else:
                layer(f"{place}/Conv0", 3, 3, widths[i - 1], width, bias=width)
            layer(f"{place}/Conv1", 3, 3, width, width, bias=width)
    return v


def old_file(path, variables):
    """The tuple ``(G, D, Gs)``; D has names that are like those of G."""
    with programs() as program:

        def net(found):
            state = {"version": 2, "name": "Gs", "static_kwargs": {"num_channels": 3}, "build_func_name": "G_paper"}
            return program.Network({**state, "build_module_src": "raise SystemExit('run')", "variables": found})

        other = [(name, value + 1) for name, value in variables.items()]
        judge = [("4x4/Conv/weight", np.ones((3, 3, 9, 8), np.float32)), ("FromRGB_lod0/weight", np.ones(2))]
        path.write_bytes(pickle.dumps((net(other), net(judge), net(list(variables.items()))), 2))
    return path


def old_reference(v, z):
    """The published equations in the order of the first program, with its transposed convolution of four taps."""
    t = {k: torch.as_tensor(x).to(z) for k, x in v.items()}

    def norm(x):
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    def end(y, name):
        return norm(f.leaky_relu(y + t[f"{name}/bias"][:, None, None], 0.2))

    def conv(x, name, gain=2**0.5):
        w = t[f"{name}/weight"]
        w = w * gain / math.sqrt(w[..., 0].numel())
        return f.conv2d(x, w.permute(3, 2, 0, 1), padding=w.shape[0] // 2)

    def doubling(x, name):
        w = t[f"{name}/weight"]
        w = w * math.sqrt(2 / (9 * w.shape[3]))
        wide = f.pad(w.permute(3, 2, 0, 1), (1, 1, 1, 1))
        four = wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]
        return f.conv_transpose2d(x, four, stride=2, padding=1)

    w = t["4x4/Dense/weight"]
    y = norm(z) @ (w * (math.sqrt(2) / 4 / math.sqrt(w.shape[0])))
    y = end(y.view(len(z), -1, 4, 4), "4x4/Dense")
    y = end(conv(y, "4x4/Conv"), "4x4/Conv")
    side = 8
    while f"{side}x{side}/Conv1/weight" in t:
        place = f"{side}x{side}"
        if f"{place}/Conv0_up/weight" in t:
            y = end(doubling(y, f"{place}/Conv0_up"), f"{place}/Conv0_up")
        else:
            y = end(conv(y.repeat_interleave(2, 2).repeat_interleave(2, 3), f"{place}/Conv0"), f"{place}/Conv0")
        y = end(conv(y, f"{place}/Conv1"), f"{place}/Conv1")
        side *= 2
    return (conv(y, "ToRGB_lod0", 1.0) + t["ToRGB_lod0/bias"][:, None, None] + 1) / 2


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("widths", [(8, 6), (8, 8, 6, 4)])
def test_pickles_of_the_first_program(tmp_path, widths, fused):
    v = old_variables(widths, fused=fused)
    path = old_file(tmp_path / "karras2018.pkl", v)
    assert detect(read_foreign(path))[0].name == "pggan"
    convert(read_foreign(path), Words("own"), tmp_path / "own.safetensors")
    generator, kept = weights.load(str(tmp_path / "own.safetensors"))
    side = 4 << len(widths) - 1
    assert torch.equal(kept.tensors["formatLayer.weight"], torch.as_tensor(v["4x4/Dense/weight"].T.copy()))
    assert torch.equal(kept.tensors["formatLayer.bias"], torch.as_tensor(v["4x4/Dense/bias"]))
    last = v[f"{side}x{side}/Conv1/weight"].transpose(3, 2, 0, 1)
    assert torch.equal(kept.tensors[f"scaleLayers.{len(widths) - 2}.1.weight"], torch.as_tensor(last.copy()))
    z = torch.randn(3, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    generator.network.double()
    ours, theirs = generator.synthesize({"z": z}, (side, side)), old_reference(v, z)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


@pytest.mark.parametrize(("levels", "bands"), [(4, 1), (9, 3)])
def test_sizes_of_the_first_program_are_told_from_shapes(tmp_path, levels, bands):
    path = old_file(tmp_path / "a.pkl", old_variables((5,) * levels, latent=12, bands=bands))
    convert(read_foreign(path), Words("own"), tmp_path / "own.safetensors")
    generator, kept = weights.load(str(tmp_path / "own.safetensors"))
    side = 4 << levels - 1
    assert [(t.name, t.shape) for t in generator.latents((side, side)).tensors] == [("z", (12,))]
    assert kept.card.bands == bands


def test_a_level_that_the_first_program_left_out_is_named(tmp_path):
    v = old_variables((8, 8, 6))
    path = old_file(tmp_path / "a.pkl", {k: x for k, x in v.items() if "8x8/Conv0_up" not in k})
    with pytest.raises(WeightsError, match=r"pggan misses 8x8/Conv0\|Conv0_up/weight"):
        detect(read_foreign(path))
    path = old_file(tmp_path / "b.pkl", {k: x for k, x in v.items() if "16x16/Conv0_up" not in k})
    with pytest.raises(WeightsError, match=r"scaleLayers\.1\.0\.weight"):
        convert(read_foreign(path), Words("own"), tmp_path / "own.safetensors")
