"""The networks of EDM as plain functions of tensors by name, from the equations of arXiv:2206.00364 and its sources."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as f

SONG = {
    "img_resolution": 16,
    "img_channels": 3,
    "label_dim": 0,
    "use_fp16": False,
    "model_type": "SongUNet",
    "model_channels": 8,
    "channel_mult": [1, 2, 2],
    "channel_mult_emb": 2,
    "channel_mult_noise": 1,
    "num_blocks": 2,
    "attn_resolutions": [8],
    "embedding_type": "positional",
    "encoder_type": "standard",
    "decoder_type": "standard",
    "resample_filter": [1, 1],
    "augment_dim": 9,
    "dropout": 0.13,
}
"""As DDPM++ is trained, small."""
NCSN = {**SONG, "embedding_type": "fourier", "encoder_type": "residual", "channel_mult_noise": 2,
        "resample_filter": [1, 3, 3, 1]}  # fmt: skip
ADM = {
    "img_resolution": 8,
    "img_channels": 3,
    "label_dim": 5,
    "model_type": "DhariwalUNet",
    "model_channels": 32,
    "channel_mult": [1, 2],
    "channel_mult_emb": 2,
    "num_blocks": 1,
    "attn_resolutions": [8, 4],
    "dropout": 0.1,
}


def block(kw, inward, outward, attend=False, way=""):
    """Shapes of a block."""
    adm, k = kw["model_type"] == "DhariwalUNet", len(kw.get("resample_filter", [1, 1]))
    told = kw["model_channels"] * kw["channel_mult_emb"]
    yield from ((f"norm0.{n}", (inward,)) for n in ("weight", "bias"))
    yield from (("conv0.weight", (outward, inward, 3, 3)), ("conv0.bias", (outward,)))
    if way:
        yield "conv0.resample_filter", (1, 1, k, k)
    yield from (("affine.weight", (outward * (1 + adm), told)), ("affine.bias", (outward * (1 + adm),)))
    yield from ((f"norm1.{n}", (outward,)) for n in ("weight", "bias"))
    yield from (("conv1.weight", (outward, outward, 3, 3)), ("conv1.bias", (outward,)))
    if inward != outward or (way and not adm):
        yield from (("skip.weight", (outward, inward, 1, 1)), ("skip.bias", (outward,)))
    if way:
        yield "skip.resample_filter", (1, 1, k, k)
    if attend and (not adm or outward >= 64):
        yield from ((f"norm2.{n}", (outward,)) for n in ("weight", "bias"))
        yield from (("qkv.weight", (3 * outward, outward, 1, 1)), ("qkv.bias", (3 * outward,)))
        yield from (("proj.weight", (outward, outward, 1, 1)), ("proj.bias", (outward,)))


def shapes(kw, double=False):
    """Name and shape of every tensor of a network with these arguments."""
    adm, base, colours = kw["model_type"] == "DhariwalUNet", kw["model_channels"], kw["img_channels"]
    mults, count, k = kw["channel_mult"], kw["num_blocks"], len(kw.get("resample_filter", [1, 1]))
    noise, told = base * kw.get("channel_mult_noise", 1), base * kw["channel_mult_emb"]
    encoder, decoder = kw.get("encoder_type"), kw.get("decoder_type")
    out = colours * (1 + double)
    if kw.get("embedding_type") == "fourier":
        yield "map_noise.freqs", (noise // 2,)
    if kw["label_dim"]:
        yield "map_label.weight", (told if adm else noise, kw["label_dim"])
        if not adm:
            yield "map_label.bias", (noise,)
    if kw.get("augment_dim"):
        yield "map_augment.weight", (noise, kw["augment_dim"])
    for name, inward in (("map_layer0", noise), ("map_layer1", told)):
        yield from ((f"{name}.weight", (told, inward)), (f"{name}.bias", (told,)))

    def conv(name, inward, outward, kernel=3):
        yield from ((f"{name}.weight", (outward, inward, kernel, kernel)), (f"{name}.bias", (outward,)))

    def part(name, *args):
        yield from ((f"{name}.{leaf}", shape) for leaf, shape in block(kw, *args))

    x = base * mults[0] if adm else base
    kept, beside = [x], colours
    for i, mult in enumerate(mults):
        side = kw["img_resolution"] >> i
        name = f"enc.{side}x{side}"
        if i == 0:
            yield from conv(f"{name}_conv", colours, x)
        else:
            yield from part(f"{name}_down", x, x, False, "down")
            kept.append(x)
            if encoder == "skip":
                yield f"{name}_aux_down.resample_filter", (1, 1, k, k)
                yield from conv(f"{name}_aux_skip", beside, x, 1)
            if encoder == "residual":
                yield from conv(f"{name}_aux_residual", beside, x)
                yield f"{name}_aux_residual.resample_filter", (1, 1, k, k)
                beside = x
        for j in range(count):
            yield from part(f"{name}_block{j}", x, base * mult, side in kw["attn_resolutions"])
            x = base * mult
            kept.append(x)
    for i in reversed(range(len(mults))):
        side = kw["img_resolution"] >> i
        name = f"dec.{side}x{side}"
        if i == len(mults) - 1:
            yield from part(f"{name}_in0", x, x, True)
            yield from part(f"{name}_in1", x, x)
        else:
            yield from part(f"{name}_up", x, x, False, "up")
        for j in range(count + 1):
            attend = side in kw["attn_resolutions"] and (adm or j == count)
            yield from part(f"{name}_block{j}", x + kept.pop(), base * mults[i], attend)
            x = base * mults[i]
        if not adm and (decoder == "skip" or i == 0):
            if decoder == "skip" and i < len(mults) - 1:
                yield f"{name}_aux_up.resample_filter", (1, 1, k, k)
            yield from ((f"{name}_aux_norm.{n}", (x,)) for n in ("weight", "bias"))
            yield from conv(f"{name}_aux_conv", x, out)
    if adm:
        yield from (("out_norm.weight", (x,)), ("out_norm.bias", (x,)))
        yield from conv("out_conv", x, out)


def random_tensors(kw, double=False, seed=1):
    """Tensors of the size that training leaves, under ``model.`` as they lie in the file."""
    draw, found = torch.Generator().manual_seed(seed), {}
    taps = torch.tensor(kw.get("resample_filter", [1, 1])).float()
    for name, shape in shapes(kw, double):
        tensor = torch.randn(shape, generator=draw)
        if name.endswith("resample_filter"):
            tensor = (torch.outer(taps, taps) / taps.sum() ** 2)[None, None]
        elif name == "map_noise.freqs":
            tensor = 16 * tensor
        else:
            scale = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.2
            tensor = scale * tensor + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        found[f"model.{name}"] = tensor
    return found


def norm(t, name, x, eps):
    groups = min(32, x.shape[1] // 4)
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(2, keepdim=True)) / (y.var(2, unbiased=False, keepdim=True) + eps).sqrt()
    return y.reshape(x.shape) * t[f"{name}.weight"][:, None, None] + t[f"{name}.bias"][:, None, None]


def conv(t, name, x):
    weight = t[f"{name}.weight"]
    return f.conv2d(x, weight, t[f"{name}.bias"], padding=weight.shape[-1] // 2)


def filtered(x, taps, way):
    """Convolve with the product of two filters; every second pixel, or zeros between pixels."""
    taps = torch.as_tensor(taps, dtype=x.dtype) / sum(taps)
    kernel = torch.outer(taps, taps)
    n, c, rows, cols = x.shape
    if way == "up":
        wide = x.new_zeros(n, c, 2 * rows, 2 * cols)
        wide[:, :, ::2, ::2] = x
        k, margin = len(taps), (len(taps) - 1) // 2
        wide = f.pad(wide, (k - 1 - margin, margin, k - 1 - margin, margin)).reshape(n * c, 1, 2 * rows + k - 1, -1)
        return 4 * f.conv2d(wide, kernel.flip(0, 1)[None, None]).reshape(n, c, 2 * rows, 2 * cols)
    margin = (len(taps) - 1) // 2
    wide = f.pad(x, (margin,) * 4).reshape(n * c, 1, rows + 2 * margin, -1)
    return f.conv2d(wide, kernel[None, None])[:, :, ::2, ::2].reshape(n, c, rows // 2, cols // 2)


def run_block(t, kw, name, x, told, way=""):
    adm = kw["model_type"] == "DhariwalUNet"
    taps, eps, share = kw.get("resample_filter", [1, 1]), 1e-5 if adm else 1e-6, 1.0 if adm else 0.5**0.5

    def resized(y):
        return filtered(y, taps, way) if way else y

    h = conv(t, f"{name}.conv0", resized(f.silu(norm(t, f"{name}.norm0", x, eps))))
    said = (told @ t[f"{name}.affine.weight"].T + t[f"{name}.affine.bias"])[:, :, None, None]
    if adm:
        gain, shift = said[:, : h.shape[1]], said[:, h.shape[1] :]
        h = f.silu(shift + norm(t, f"{name}.norm1", h, eps) * (gain + 1))
    else:
        h = f.silu(norm(t, f"{name}.norm1", h + said, eps))
    skip = resized(x)
    if f"{name}.skip.weight" in t:
        skip = conv(t, f"{name}.skip", skip)
    x = (conv(t, f"{name}.conv1", h) + skip) * share
    if f"{name}.qkv.weight" in t:
        n, c, rows, cols = x.shape
        heads = c // 64 if adm else 1
        y = conv(t, f"{name}.qkv", norm(t, f"{name}.norm2", x, eps))
        seen = torch.zeros_like(x)
        for b in range(n):
            for h in range(heads):
                wide = y[b, h * 3 * (c // heads) : (h + 1) * 3 * (c // heads)].reshape(-1, rows * cols)
                q, k, v = wide[0::3], wide[1::3], wide[2::3]
                weight = (q.T @ k / math.sqrt(c // heads)).softmax(1)
                seen[b, h * (c // heads) : (h + 1) * (c // heads)] = (v @ weight.T).reshape(-1, rows, cols)
        x = (conv(t, f"{name}.proj", seen) + x) * share
    return x


def raw(t, kw, x, noise, label=None):
    """What the network says of ``x`` (n, c, rows, cols) told ``noise`` (n,)."""
    t = {k.removeprefix("model."): v.to(x) for k, v in t.items()}
    adm, mults, count = kw["model_type"] == "DhariwalUNet", kw["channel_mult"], kw["num_blocks"]
    half = kw["model_channels"] * kw.get("channel_mult_noise", 1) // 2
    taps = kw.get("resample_filter", [1, 1])
    if kw.get("embedding_type") == "fourier":
        angle = noise[:, None] * (2 * math.pi * t["map_noise.freqs"])
    else:
        angle = noise[:, None] / 10_000 ** (torch.arange(half).to(x) / (half if adm else half - 1))
    told = torch.cat([angle.cos(), angle.sin()] if adm else [angle.sin(), angle.cos()], 1)
    hot = x.new_zeros(kw["label_dim"])
    if label is not None:
        hot[label] = 1

    def layer(y, name):
        return y @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    if not adm and kw["label_dim"]:
        told = told + layer(hot * math.sqrt(kw["label_dim"]), "map_label")
    told = layer(f.silu(layer(told, "map_layer0")), "map_layer1")
    if adm and kw["label_dim"]:
        told = told + t["map_label.weight"] @ hot
    told = f.silu(told)
    kept, beside = [], x
    for i in range(len(mults)):
        side = kw["img_resolution"] >> i
        name = f"enc.{side}x{side}"
        if i == 0:
            x = conv(t, f"{name}_conv", x)
        else:
            x = run_block(t, kw, f"{name}_down", x, told, "down")
            if kw.get("encoder_type") == "skip":
                beside = filtered(beside, taps, "down")
                x = x + conv(t, f"{name}_aux_skip", beside)
            if kw.get("encoder_type") == "residual":
                weight, margin = t[f"{name}_aux_residual.weight"], (len(taps) - 1) // 2
                wide = f.conv2d(beside, weight, padding=1 + margin)
                kernel = torch.outer(v := torch.as_tensor(taps).to(x) / sum(taps), v)
                wide = f.conv2d(wide, kernel.repeat(len(weight), 1, 1, 1), stride=2, groups=len(weight))
                beside = x = (x + wide + t[f"{name}_aux_residual.bias"][:, None, None]) / math.sqrt(2)
        kept.append(x)
        for j in range(count):
            x = run_block(t, kw, f"{name}_block{j}", x, told)
            kept.append(x)
    picture = 0
    for i in reversed(range(len(mults))):
        side = kw["img_resolution"] >> i
        name = f"dec.{side}x{side}"
        if i == len(mults) - 1:
            x = run_block(t, kw, f"{name}_in1", run_block(t, kw, f"{name}_in0", x, told), told)
        else:
            x = run_block(t, kw, f"{name}_up", x, told, "up")
        for j in range(count + 1):
            x = run_block(t, kw, f"{name}_block{j}", torch.cat([x, kept.pop()], 1), told)
        if f"{name}_aux_conv.weight" in t:
            if f"{name}_aux_up.resample_filter" in t:
                picture = filtered(picture, taps, "up")
            picture = picture + conv(t, f"{name}_aux_conv", f.silu(norm(t, f"{name}_aux_norm", x, 1e-6)))
    return conv(t, "out_conv", f.silu(norm(t, "out_norm", x, 1e-5))) if adm else picture


def levels_of_iddpm(steps=1000):
    """Noise levels of improved DDPM, the largest first and none last (table 1 there)."""

    def kept(j):
        return math.sin(0.5 * math.pi * j / steps / 1.008) ** 2

    u = [0.0] * (steps + 1)
    for j in range(steps, 0, -1):
        u[j - 1] = math.sqrt((u[j] ** 2 + 1) / max(kept(j - 1) / kept(j), 0.001) - 1)
    return torch.tensor(u)


def clean(kind, t, kw, x, sigma, label=None):
    """The clean image behind ``x`` at levels ``sigma`` (n,), by the table of preconditioning."""
    s = sigma[:, None, None, None]
    if kind == "EDMPrecond":
        total = s**2 + 0.5**2
        said = raw(t, kw, x / total.sqrt(), sigma.log() / 4, label)
        return 0.5**2 / total * x + s * 0.5 / total.sqrt() * said
    if kind == "VPPrecond":
        time = ((0.1**2 + 2 * 19.9 * (sigma**2 + 1).log()).sqrt() - 0.1) / 19.9
        return x - s * raw(t, kw, x / (s**2 + 1).sqrt(), 999 * time, label)
    if kind == "VEPrecond":
        return x + s * raw(t, kw, x, (0.5 * sigma).log(), label)
    u = levels_of_iddpm().to(sigma)
    step = 999 - (u[None] - sigma[:, None]).abs().argmin(1).to(sigma)
    return x - s * raw(t, kw, x / (s**2 + 1).sqrt(), step, label)[:, : x.shape[1]]
