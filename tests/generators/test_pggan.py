"""Checkpoints of pytorch_GAN_zoo become generators that equal a plain reference."""

import math

import pytest
import torch
from torch.nn import functional as f

from gensr.errors import SearchError, WeightsError
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign


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
