"""Snapshots of StyleGAN3 become generators: tensors to the bit, pictures equal to a plain reference."""

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch.nn import functional as f

from gensr.errors import WeightsError
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from tests.foreign_files import nvidia
from tests.generators.reference_stylegan2 import dense, upfirdn


def plan(side, layers=6, critical=2, base=64, most=12, margin=10):
    """Sampling, cutoff, half width, size and channels of every layer, as the paper's appendix has them."""
    exponents = np.minimum(np.arange(layers + 1) / (layers - critical), 1)
    cutoffs = 2 * (side / 2 / 2) ** exponents
    stopbands = 2**2.1 * (side / 2 * 2**0.3 / 2**2.1) ** exponents
    samplings = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, side))))
    halves = np.maximum(stopbands, samplings / 2) - cutoffs
    sizes = samplings + margin * 2
    sizes[-2:] = side
    channels = np.rint(np.minimum(base / 2 / cutoffs, most)).clip(4)
    return samplings.astype(int), cutoffs, halves, sizes.astype(int), channels.astype(int)


def design(taps, cutoff, width, sampling, radial):
    """Kaiser low-pass; radial ones by the jinc, windowed both ways."""
    if taps == 1:
        return None
    if not radial:
        return torch.as_tensor(signal.firwin(taps, cutoff, width=width, fs=sampling), dtype=torch.float32)
    from scipy.special import j1

    x = (np.arange(taps) - (taps - 1) / 2) / sampling
    r = np.hypot(*np.meshgrid(x, x))
    kernel = j1(2 * cutoff * (np.pi * r)) / (np.pi * r)
    beta = signal.kaiser_beta(signal.kaiser_atten(taps, width / (sampling / 2)))
    window = np.kaiser(taps, beta)
    kernel *= np.outer(window, window)
    return torch.as_tensor(kernel / kernel.sum(), dtype=torch.float32)


def random_tensors(side=32, layers=6, kernel=3, radial=False, latent=9, style=10, classes=0, bands=3, **sizes):
    draw = torch.Generator().manual_seed(side + kernel)

    def rand(*shape, scale=1.0, shift=0.0):
        return torch.randn(shape, generator=draw) * scale + shift

    samplings, cutoffs, halves, extents, channels = plan(side, layers, **sizes)
    channels[-1] = bands
    t, embedding = {}, style if classes else 0
    for i in range(2):
        t[f"mapping.fc{i}.weight"] = rand(style, style if i else latent + embedding, scale=100)
        t[f"mapping.fc{i}.bias"] = rand(style, scale=30)
    if classes:
        t["mapping.embed.weight"], t["mapping.embed.bias"] = rand(style, classes), rand(style)
    t["mapping.w_avg"] = rand(style)
    c, place = int(channels[0]), "synthesis.input"
    t[f"{place}.weight"], t[f"{place}.transform"] = rand(c, c), torch.eye(3) + rand(3, 3, scale=0.01)
    t[f"{place}.freqs"], t[f"{place}.phases"] = rand(c, 2, scale=1.2), rand(c, scale=0.3)
    t[f"{place}.affine.weight"], t[f"{place}.affine.bias"] = rand(4, style, scale=0.2), torch.tensor([1.0, 0, 0, 0])
    for i in range(layers + 1):
        before, last = max(i - 1, 0), i == layers
        inward, outward = int(channels[before]), int(channels[i])
        place = f"synthesis.L{i}_{extents[i]}_{outward}"
        k = 1 if last else kernel
        t[f"{place}.weight"], t[f"{place}.bias"] = rand(outward, inward, k, k), rand(outward, scale=0.3)
        t[f"{place}.affine.weight"] = rand(inward, style)
        t[f"{place}.affine.bias"] = rand(inward, scale=0.1, shift=1.0)
        t[f"{place}.magnitude_ema"] = rand(scale=0.1, shift=1.5)
        between = max(samplings[before], samplings[i]) * (1 if last else 2)
        up, down = round(between / samplings[before]), round(between / samplings[i])
        critical = i >= layers - 2
        for name, times, at, round_one in (("up", up, before, False), ("down", down, i, radial and not critical)):
            taps = 6 * times if times > 1 and not last else 1
            found = design(taps, cutoffs[at], 2 * halves[at], between, round_one)
            if found is not None:
                t[f"{place}.{name}_filter"] = found
    return t


def reference(t, z, tweak, side, layers=6, label=None, clamp=256.0, **sizes):
    """w of z, and the picture, one sample after the other."""
    t = {k: v.to(z) for k, v in t.items()}
    x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    if label is not None:
        y = dense(t, "mapping.embed", label)
        x = torch.cat([x, y / (y.square().mean(1, keepdim=True) + 1e-8).sqrt()], 1)
    for i in range(2):
        x = dense(t, f"mapping.fc{i}", x, 0.01, True)
    samplings, cutoffs, _, extents, _ = plan(side, layers, **sizes)
    images = []
    for w in x[:, None] + tweak:
        images.append(_picture(t, w, samplings, cutoffs, extents, layers, clamp))
    return x, (torch.cat(images) + 1) / 2


def _picture(t, w, samplings, cutoffs, extents, layers, clamp):
    place = "synthesis.input"
    a, b, right, down = (v := dense(t, f"{place}.affine", w[:1])[0]) / v[:2].norm()
    turn, move = torch.eye(3, dtype=w.dtype), torch.eye(3, dtype=w.dtype)
    turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1] = a, -b, b, a
    move[0, 2], move[1, 2] = -right, -down
    total = turn @ move @ t[f"{place}.transform"]
    freqs, phases = t[f"{place}.freqs"], t[f"{place}.phases"]
    phases, freqs = phases + freqs @ total[:2, 2], freqs @ total[:2, :2]
    high, band, size = samplings[0], cutoffs[0], extents[0]
    loud = (1 - (freqs.norm(dim=1) - band) / (high / 2 - band)).clamp(0, 1)
    at = (torch.arange(size, dtype=w.dtype) + 0.5 - size / 2) / high
    rows, cols = torch.meshgrid(at, at, indexing="ij")
    waves = cols[..., None] * freqs[:, 0] + rows[..., None] * freqs[:, 1] + phases
    weight = t[f"{place}.weight"]
    x = (torch.sin(2 * math.pi * waves) * loud) @ (weight / math.sqrt(len(weight))).T
    x = x.permute(2, 0, 1)[None]
    for i in range(layers + 1):
        before, last = max(i - 1, 0), i == layers
        place = next(k for k in t if k.startswith(f"synthesis.L{i}_")).rpartition("synthesis.")[2]
        place = "synthesis." + place.split(".")[0]
        weight, s = t[f"{place}.weight"], dense(t, f"{place}.affine", w[i + 1 : i + 2])[0]
        if last:
            kernel = weight * s[:, None, None] / math.sqrt(weight[0].numel())
        else:
            weight = weight / weight.square().mean((1, 2, 3), keepdim=True).sqrt()
            s = s / s.square().mean().sqrt()
            kernel = weight * s[:, None, None]
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        k = weight.shape[-1]
        y = f.conv2d(x, kernel / t[f"{place}.magnitude_ema"].sqrt(), padding=k - 1) + t[f"{place}.bias"][:, None, None]
        between = max(samplings[before], samplings[i]) * (1 if last else 2)
        up, down = round(between / samplings[before]), round(between / samplings[i])
        taps = [t.get(f"{place}.{n}_filter", torch.ones(1, dtype=w.dtype)) for n in ("up", "down")]
        lengths = [len(v) for v in taps]
        pads = (extents[i] - 1) * down + 1 - (extents[before] + k - 1) * up + sum(lengths) - 2
        low = (pads + up) // 2
        flat = [v if v.ndim == 2 else torch.outer(v, v) for v in taps]
        y = upfirdn(y, flat[0], up=up, before=int(low), after=int(pads - low), gain=float(up**2))
        y = y if last else f.leaky_relu(y, 0.2) * math.sqrt(2)
        x = upfirdn(y.clamp(-clamp, clamp), flat[1], down=down)
    return x / 4


def made(path, words=None):
    out = path.with_suffix(".safetensors")
    convert(read_foreign(path), words or Words("own"), out)
    return weights.load(str(out))


def equal(generator, t, side, label=None, **more):
    network = generator.network.double()
    draw = torch.Generator().manual_seed(5)
    z = torch.randn(2, network.latent, generator=draw, dtype=torch.float64)
    tweak = 0.1 * torch.randn(2, generator.layers, network.style, generator=draw, dtype=torch.float64)
    told = None if label is None else f.one_hot(torch.tensor([label] * 2), network.classes).double()
    w, theirs = reference(t, z, tweak, side, label=told, **more)
    assert torch.allclose(generator.style_of(network.mapping(z, told)), w, rtol=1e-6, atol=1e-6)
    ours = generator.render(w[:, None] + tweak, [], (side, side))
    assert float(theirs.std()) > 1e-3
    return float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


KWARGS = {"z_dim": 9, "c_dim": 0, "w_dim": 10, "img_resolution": 32, "img_channels": 3, "mapping_kwargs": {}}


@pytest.mark.parametrize(("kernel", "radial"), [(3, False), (1, True)])
def test_snapshots_of_nvidia(tmp_path, kernel, radial):
    t = random_tensors(kernel=kernel, radial=radial)
    assert any(v.ndim == 2 for k, v in t.items() if "down_filter" in k) == radial
    path = nvidia(tmp_path / "stylegan3.pt", t, {**KWARGS, "conv_kernel": kernel, "use_radial_filters": radial})
    family, match = detect(read_foreign(path))
    assert (family.name, match.found.place) == ("stylegan3", "G_ema")
    generator, kept = made(path)
    assert all(torch.equal(kept.tensors[k], v) for k, v in t.items())
    assert ("StyleGAN3-r" if kernel == 1 else "StyleGAN3-t") in kept.card.recipe
    assert generator.layers == 8
    assert [x.name for x in generator.latents((32, 32)).tensors] == ["style", "layers"]
    assert equal(generator, t, 32)


def test_a_state_dict_alone_is_enough_for_the_usual_training(tmp_path):
    t = random_tensors(classes=3)
    torch.save({"G_ema": t}, tmp_path / "a.pt")
    assert equal(made(tmp_path / "a.pt")[0], t, 32, label=2)


def test_clamps_and_margins_are_those_of_the_training(tmp_path):
    t = random_tensors(margin=6)
    torch.save(t, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="give the snapshot, which says how it was trained"):
        made(tmp_path / "a.pt")
    path = nvidia(tmp_path / "b.pkl", t, {**KWARGS, "margin_size": 6, "conv_clamp": 0.5})
    assert equal(made(path)[0], t, 32, margin=6, clamp=0.5)


@pytest.mark.parametrize(("side", "layers"), [(32, 6), (64, 8), (256, 14), (1024, 14)])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("most", [4, 8])
def test_sizes_widths_and_classes_are_told_from_names(tmp_path, side, layers, kernel, classes, most):
    t = random_tensors(side, layers, kernel, most=most, base=side, bands=1, classes=classes)
    torch.save(t, tmp_path / "a.pt")
    generator, kept = made(tmp_path / "a.pt")
    network = generator.network
    assert (network.side, generator.layers, network.classes, kept.card.bands) == (side, layers + 2, classes, 1)
    assert all(torch.equal(kept.tensors[k], v) for k, v in t.items())
    if (side, most) == (64, 8):
        assert equal(generator, t, side, label=1 if classes else None, layers=layers, base=side, most=most)


def test_one_class_of_several(tmp_path):
    torch.save(random_tensors(classes=3), tmp_path / "a.pt")
    means = []
    for label in (0, 2):
        generator, kept = made(tmp_path / "a.pt", Words("own", label=label))
        told = f.one_hot(torch.full((4000,), label), 3).float()
        v = generator.network.mapping(torch.randn(4000, 9, generator=torch.Generator().manual_seed(1)), told)
        assert torch.allclose(generator.whitening.mean, v.mean(0), atol=0.1 * float(v.std()))
        means.append(generator.whitening.mean)
        assert f"number {label}" in kept.card.recipe
    assert not torch.allclose(*means, atol=1e-2)
    with pytest.raises(WeightsError, match="label=3: expected one of 3 classes"):
        made(tmp_path / "a.pt", Words("own", label=3))


def test_samples_do_not_know_of_each_other(tmp_path):
    torch.save(random_tensors(), tmp_path / "a.pt")
    generator, _ = made(tmp_path / "a.pt")
    w = torch.randn(4, generator.layers, 10) * torch.tensor([0.1, 1, 10, 100])[:, None, None]
    every, alone = (generator.render(x, [], (32, 32)) for x in (w, w[:1]))
    assert torch.allclose(every[:1], alone, atol=1e-5)


def test_a_missing_filter_is_named(tmp_path):
    t = random_tensors()
    name = next(k for k in t if k.startswith("synthesis.L3") and k.endswith("down_filter"))
    torch.save({k: v for k, v in t.items() if k != name}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        made(tmp_path / "a.pt")
