"""The two files of PULSE, and those of TensorFlow, become one generator that equals a plain reference."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as f

from gensr.errors import WeightsError
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from tests.foreign_files import tensorflow


def random_tensors(side=16, base=64, most=12, latent=9, style=10, depth=3, bands=3):
    draw = torch.Generator().manual_seed(side)

    def rand(*shape, scale=1.0):
        return torch.randn(shape, generator=draw) * scale

    t = {}
    for i in range(depth):
        t[f"dense{i}.weight"] = rand(style, style if i else latent, scale=100)
        t[f"dense{i}.bias"] = rand(style, scale=30)
    before, res = 0, 4
    while res <= side:
        width, place = max(4, min(base // res, most)), f"blocks.{res}x{res}"
        if res == 4:
            t[f"{place}.const"], t[f"{place}.bias"] = rand(1, width, 4, 4), rand(width)
            layers = (("conv", width),)
        else:
            layers = (("conv0_up", before), ("conv1", width))
            t[f"{place}.conv0_up.intermediate.kernel"] = torch.outer(*[torch.tensor([1.0, 2, 1])] * 2)[None, None] / 16
        for name, channels in layers:
            t[f"{place}.{name}.weight"], t[f"{place}.{name}.bias"] = rand(width, channels, 3, 3), rand(width)
        for end in ("epi1", "epi2"):
            t[f"{place}.{end}.top_epi.noise.weight"] = rand(width, scale=0.3)
            t[f"{place}.{end}.style_mod.lin.weight"] = rand(2 * width, style)
            t[f"{place}.{end}.style_mod.lin.bias"] = rand(2 * width)
        before, res = width, 2 * res
    t["torgb.weight"], t["torgb.bias"] = rand(bands, before, 1, 1), rand(bands)
    return t


def reference(t, z, noise, tweak):
    """w of z, and the image of w for all layers plus a tweak of each."""
    t = {k: v.to(z) for k, v in t.items()}
    x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for i in range(sum(k.startswith("dense") for k in t) // 2):
        weight = t[f"dense{i}.weight"]
        x = f.leaky_relu(x @ (weight * math.sqrt(2 / weight.shape[1]) * 0.01).T + t[f"dense{i}.bias"] * 0.01, 0.2)
    w = x[:, None] + tweak
    maps, styles = iter(noise), iter(w.unbind(1))

    def conv(x, place):
        weight = t[f"{place}.weight"]
        return f.conv2d(x, weight * math.sqrt(2 / weight[0].numel()), padding=1)

    def end(y, place):
        y = f.leaky_relu(y + t[f"{place}.top_epi.noise.weight"][:, None, None] * next(maps)[:, None], 0.2)
        y = f.instance_norm(y, eps=1e-5)
        lin = t[f"{place}.style_mod.lin.weight"]
        said = next(styles) @ (lin / math.sqrt(lin.shape[1])).T + t[f"{place}.style_mod.lin.bias"]
        said = said.view(len(y), 2, -1, 1, 1)
        return y * (said[:, 0] + 1) + said[:, 1]

    y = (t["blocks.4x4.const"] + t["blocks.4x4.bias"][:, None, None]).expand(len(z), -1, -1, -1)
    y = end(y, "blocks.4x4.epi1")
    y = end(conv(y, "blocks.4x4.conv") + t["blocks.4x4.conv.bias"][:, None, None], "blocks.4x4.epi2")
    res = 8
    while f"blocks.{res}x{res}.conv1.weight" in t:
        place = f"blocks.{res}x{res}"
        wide = y.repeat_interleave(2, 2).repeat_interleave(2, 3)
        weight = t[f"{place}.conv0_up.weight"]
        weight = weight.flip(2, 3) if res >= 128 else weight
        y = f.conv2d(wide, weight * math.sqrt(2 / weight[0].numel()), padding=1)
        blur = torch.outer(*[torch.tensor([1.0, 2, 1])] * 2).to(z)[None, None] / 16
        y = f.conv2d(y, blur.expand(y.shape[1], -1, -1, -1), padding=1, groups=y.shape[1])
        y = end(y + t[f"{place}.conv0_up.bias"][:, None, None], f"{place}.epi1")
        y = end(conv(y, f"{place}.conv1") + t[f"{place}.conv1.bias"][:, None, None], f"{place}.epi2")
        res *= 2
    weight = t["torgb.weight"]
    image = f.conv2d(y, weight / math.sqrt(weight.shape[1]), t["torgb.bias"])
    return x, (image + 1) / 2


def equal(generator, t):
    network = generator.network.double()
    draw = torch.Generator().manual_seed(3)
    z = torch.randn(2, network.latent, generator=draw, dtype=torch.float64)
    tweak = 0.1 * torch.randn(2, generator.layers, network.style, generator=draw, dtype=torch.float64)
    noise = [torch.randn(2, s, s, generator=draw, dtype=torch.float64) for s in network.maps]
    w, theirs = reference(t, z, noise, tweak)
    assert torch.allclose(generator.style_of(network.mapping(z)), w, rtol=1e-6, atol=1e-6)
    ours = generator.render(w[:, None] + tweak, noise, (network.side, network.side))
    assert float(theirs.std()) > 0.1
    return float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


def halves(t):
    return ({k: v for k, v in t.items() if "dense" not in k}, {k: v for k, v in t.items() if "dense" in k})


@pytest.mark.parametrize("side", [16, 128])
def test_the_two_files_of_pulse(tmp_path, side):
    t = random_tensors(side)
    synthesis, mapping = halves(t)
    torch.save(synthesis, tmp_path / "synthesis.pt")
    torch.save(mapping, tmp_path / "mapping.pt", _use_new_zipfile_serialization=False)
    found = read_foreign(tmp_path / "synthesis.pt", tmp_path / "mapping.pt")
    assert detect(found)[0].name == "stylegan1"
    convert(found, Words("own"), tmp_path / "own.safetensors")
    generator, kept = weights.load(str(tmp_path / "own.safetensors"))
    assert all(torch.equal(kept.tensors[k], v) for k, v in t.items() if "kernel" not in k)
    assert generator.maps == tuple(s for s in (4, 8, 16, 32, 64, 128) if s <= side for _ in range(2))
    assert equal(generator, t)


def test_half_of_it_is_said_to_be_half(tmp_path):
    torch.save(halves(random_tensors())[0], tmp_path / "synthesis.pt")
    with pytest.raises(WeightsError, match=r"dense0\.weight \(the mapping, often a file of its own: give both\)"):
        detect(read_foreign(tmp_path / "synthesis.pt"))


@pytest.mark.parametrize("prefix", ["", "g_"])
def test_one_file_of_both(tmp_path, prefix):
    t = random_tensors()
    said = {f"{prefix}{'mapping' if 'dense' in k else 'synthesis'}.{k}": v for k, v in t.items()}
    torch.save(said, tmp_path / "a.pkl")
    convert(read_foreign(tmp_path / "a.pkl"), Words("own"), tmp_path / "own.safetensors")
    assert equal(weights.load(str(tmp_path / "own.safetensors"))[0], t)


def test_pickles_of_tensorflow(tmp_path):
    t = random_tensors(32)
    said = {}
    for name, value in t.items():
        array = value.numpy()
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 and "const" not in name else array
        parts = name.split(".")
        if "dense" in name:
            said[f"mapping/Dense{parts[0][5:]}/{parts[1]}"] = array.T
        elif parts[0] == "torgb":
            said[f"synthesis/ToRGB_lod0/{parts[1]}"] = array
        elif "kernel" not in name:
            first = "Const" if parts[1] == "4x4" else "Conv0_up"
            second = "Conv" if parts[1] == "4x4" else "Conv1"
            layer = {"const": first, "bias": first, "epi1": first, "epi2": second, "conv": second,
                     "conv0_up": first, "conv1": second}[parts[2]]  # fmt: skip
            inner = (
                {"top_epi": "Noise/weight", "style_mod": f"StyleMod/{parts[-1]}"}.get(parts[3])
                if len(parts) > 4
                else parts[-1]
            )
            said[f"synthesis/{parts[1]}/{layer}/{inner}"] = array.T if inner == "StyleMod/weight" else array
    path = tensorflow(tmp_path / "karras2019.pkl", {k: np.ascontiguousarray(v) for k, v in said.items()})
    convert(read_foreign(path), Words("own"), tmp_path / "own.safetensors")
    generator, kept = weights.load(str(tmp_path / "own.safetensors"))
    assert torch.equal(kept.tensors["blocks.8x8.conv0_up.weight"], t["blocks.8x8.conv0_up.weight"])
    assert equal(generator, t)


@pytest.mark.parametrize("side", [32, 64, 256, 1024])
@pytest.mark.parametrize(("bands", "most"), [(1, 5), (4, 12)])
def test_sizes_are_told_from_shapes(tmp_path, side, bands, most):
    t = random_tensors(side, bands=bands, latent=7, depth=8, most=most)
    torch.save(t, tmp_path / "a.pt")
    convert(read_foreign(tmp_path / "a.pt"), Words("own"), tmp_path / "own.safetensors")
    generator, kept = weights.load(str(tmp_path / "own.safetensors"))
    assert (generator.network.side, generator.layers, kept.card.bands) == (side, 2 * int(math.log2(side)) - 2, bands)
    assert all(torch.equal(kept.tensors[k], v) for k, v in t.items() if "kernel" not in k)


def test_a_tensor_of_another_shape_is_named(tmp_path):
    t = random_tensors()
    t["blocks.8x8.conv1.bias"] = torch.zeros(5)
    torch.save(t, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"blocks\.8x8\.conv1\.bias.*expected \(8\)"):
        convert(read_foreign(tmp_path / "a.pt"), Words("own"), tmp_path / "own.safetensors")
