"""StyleGAN2 as its papers and its files describe it, written plainly, one kernel per sample: a reference for tests."""

import math

import torch
from torch.nn import functional as f


def upfirdn(x, taps, up=1, down=1, before=0, after=0, gain=1.0):
    """Zeros between samples, zeros around, a filter (k, k), every n-th sample."""
    n, c, h, w = x.shape
    y = x.new_zeros(n, c, h * up, w * up)
    y[:, :, ::up, ::up] = x
    y = f.pad(y, (before, after, before, after))
    kernel = (taps.flip(0, 1) * gain).to(x)[None, None]
    y = f.conv2d(y.reshape(n * c, 1, *y.shape[2:]), kernel).reshape(n, c, *(s - len(taps) + 1 for s in y.shape[2:]))
    return y[:, :, ::down, ::down]


def dense(t, name, x, rate=1.0, active=False):
    weight = t[f"{name}.weight"].to(x)
    y = x @ (weight * (rate / math.sqrt(weight.shape[1]))).T + t[f"{name}.bias"].to(x) * rate
    return f.leaky_relu(y, 0.2) * math.sqrt(2) if active else y


def modulated(weight, x, s, demodulate, up, taps):
    """The kernel of every sample, scaled and brought to unit norm, then applied in groups."""
    n, (o, i, k, _) = len(x), weight.shape
    kernels = weight[None] * s[:, None, :, None, None]
    if demodulate:
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    flat = x.reshape(1, n * i, *x.shape[2:])
    if up:
        turned = kernels.transpose(1, 2).reshape(n * i, o, k, k)
        y = f.conv_transpose2d(flat, turned, stride=2, groups=n)
        y = y.reshape(n, o, *y.shape[2:])
        return upfirdn(y, taps, before=1, after=1, gain=4.0)
    y = f.conv2d(flat, kernels.reshape(n * o, i, k, k), padding=k // 2, groups=n)
    return y.reshape(n, o, *y.shape[2:])


def layer(t, place, x, w, noise, up, taps, gain=1.0, clamp=None):
    y = modulated(t[f"{place}.weight"].to(x), x, dense(t, f"{place}.affine", w), True, up, taps)
    y = y + noise[:, None] * t[f"{place}.noise_strength"].to(x)
    y = f.leaky_relu(y + t[f"{place}.bias"].to(x)[:, None, None], 0.2) * math.sqrt(2) * gain
    return y if clamp is None else y.clamp(-clamp * gain, clamp * gain)


def mapping(t, z, label=None, rate=0.01):
    """Style w of z."""
    x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    if label is not None:
        y = dense(t, "mapping.embed", label)
        x = torch.cat([x, y / (y.square().mean(1, keepdim=True) + 1e-8).sqrt()], 1)
    for i in range(sum(k.startswith("mapping.fc") for k in t) // 2):
        x = dense(t, f"mapping.fc{i}", x, rate, True)
    return x


def synthesis(t, w, noise, architecture="skip", clamp=None, stop=None):
    """Images of styles (n, layers, style) and noise maps in the order of their use."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=w.dtype)
    taps = torch.outer(line, line) / 64
    maps = iter(noise)
    side = max(int(k.split(".")[1][1:]) for k in t if k.startswith("synthesis.b"))
    x = t["synthesis.b4.const"].to(w).expand(len(w), -1, -1, -1)
    image, at, res = None, 0, 4
    while res <= side:
        place = f"synthesis.b{res}"
        if res == 4:
            x = layer(t, f"{place}.conv1", x, w[:, at], next(maps), False, taps, clamp=clamp)
            at += 1
        else:
            y = layer(t, f"{place}.conv0", x, w[:, at], next(maps), True, taps, clamp=clamp)
            gain = math.sqrt(0.5) if architecture == "resnet" else 1.0
            y = layer(t, f"{place}.conv1", y, w[:, at + 1], next(maps), False, taps, gain, clamp)
            if architecture == "resnet":
                skip = t[f"{place}.skip.weight"].to(w)
                across = f.conv2d(x, skip / math.sqrt(skip.shape[1]))
                y = y + upfirdn(across, taps, up=2, before=2, after=1, gain=4.0) * gain
            x, at = y, at + 2
        if architecture == "skip" or res == side:
            weight = t[f"{place}.torgb.weight"].to(w)
            s = dense(t, f"{place}.torgb.affine", w[:, at]) / math.sqrt(weight.shape[1])
            seen = modulated(weight, x, s, False, False, taps) + t[f"{place}.torgb.bias"].to(w)[:, None, None]
            seen = seen if clamp is None else seen.clamp(-clamp, clamp)
            image = seen if image is None else upfirdn(image, taps, up=2, before=2, after=1, gain=4.0) + seen
        if res == stop:
            return image
        res *= 2
    return image


def random_tensors(side=32, base=128, most=16, latent=12, style=10, depth=2, classes=0, bands=3, architecture="skip"):
    """A state dict by NVIDIA's names, with every number random."""
    draw = torch.Generator().manual_seed(side + classes)

    def rand(*shape, scale=1.0, shift=0.0):
        return torch.randn(shape, generator=draw) * scale + shift

    t, embedding = {}, style if classes else 0
    for i in range(depth):
        t[f"mapping.fc{i}.weight"] = rand(style, latent + embedding if i == 0 else style, scale=100)
        t[f"mapping.fc{i}.bias"] = rand(style, scale=10)
    if classes:
        t["mapping.embed.weight"], t["mapping.embed.bias"] = rand(style, classes), rand(style)
    t["mapping.w_avg"] = rand(style)
    before, res = 0, 4
    while res <= side:
        width, place = min(base // res, most), f"synthesis.b{res}"
        if res == 4:
            t[f"{place}.const"] = rand(width, 4, 4)
        t[f"{place}.resample_filter"] = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 64
        for name, channels in (("conv0", before), ("conv1", width))[res == 4 :]:
            t[f"{place}.{name}.weight"] = rand(width, channels, 3, 3)
            t[f"{place}.{name}.bias"] = rand(width, scale=0.3)
            t[f"{place}.{name}.noise_strength"] = rand(scale=0.3)
            t[f"{place}.{name}.noise_const"] = rand(res, res)
            t[f"{place}.{name}.resample_filter"] = t[f"{place}.resample_filter"].clone()
            t[f"{place}.{name}.affine.weight"] = rand(channels, style)
            t[f"{place}.{name}.affine.bias"] = rand(channels, scale=0.1, shift=1.0)
        if architecture == "skip" or res == side:
            t[f"{place}.torgb.weight"] = rand(bands, width, 1, 1)
            t[f"{place}.torgb.bias"] = rand(bands, scale=0.1)
            t[f"{place}.torgb.affine.weight"] = rand(width, style)
            t[f"{place}.torgb.affine.bias"] = rand(width, scale=0.1, shift=1.0)
        if architecture == "resnet" and res > 4:
            t[f"{place}.skip.weight"] = rand(width, before, 1, 1)
        before, res = width, res * 2
    return t


def rosinality(t):
    """The same network by rosinality's names and shapes."""
    side = max(int(k.split(".")[1][1:]) for k in t if k.startswith("synthesis.b"))
    kernel = t["synthesis.b4.resample_filter"] * 4
    out = {"input.input": t["synthesis.b4.const"][None]}
    for i in range(sum(k.startswith("mapping.fc") for k in t) // 2):
        for part in ("weight", "bias"):
            out[f"style.{i + 1}.{part}"] = t[f"mapping.fc{i}.{part}"]

    def convolution(ours, theirs):
        out[f"{theirs}.conv.weight"] = t[f"{ours}.weight"][None]
        out[f"{theirs}.conv.modulation.weight"] = t[f"{ours}.affine.weight"]
        out[f"{theirs}.conv.modulation.bias"] = t[f"{ours}.affine.bias"]

    def styled(ours, theirs):
        convolution(ours, theirs)
        out[f"{theirs}.noise.weight"] = t[f"{ours}.noise_strength"].reshape(1)
        out[f"{theirs}.activate.bias"] = t[f"{ours}.bias"]

    def picture(ours, theirs):
        convolution(ours, theirs)
        out[f"{theirs}.bias"] = t[f"{ours}.bias"].reshape(1, -1, 1, 1)

    styled("synthesis.b4.conv1", "conv1")
    picture("synthesis.b4.torgb", "to_rgb1")
    for i, res in enumerate(8 << k for k in range(int(math.log2(side)) - 2)):
        styled(f"synthesis.b{res}.conv0", f"convs.{2 * i}")
        out[f"convs.{2 * i}.conv.blur.kernel"] = kernel.clone()
        styled(f"synthesis.b{res}.conv1", f"convs.{2 * i + 1}")
        picture(f"synthesis.b{res}.torgb", f"to_rgbs.{i}")
        out[f"to_rgbs.{i}.upsample.kernel"] = kernel.clone()
        out[f"noises.noise_{2 * i + 1}"] = torch.zeros(1, 1, res, res)
    return out


def old(t):
    """The same network by TensorFlow's names, its orders of axes, and a 1 less in every scale."""
    out = {}
    for name, value in t.items():
        parts = name.split(".")
        array = value.numpy()
        if parts[0] == "mapping" and parts[1].startswith("fc"):
            out[f"mapping/Dense{parts[1][2:]}/{parts[2]}"] = array.T if parts[2] == "weight" else array
        if parts[0] != "synthesis" or parts[-1] in ("noise_const", "resample_filter"):
            continue
        res = parts[1][1:]
        if parts[2] == "const":
            out[f"synthesis/{res}x{res}/Const/const"] = array[None]
            continue
        layer = {"conv0": "Conv0_up", "conv1": "Conv" if res == "4" else "Conv1", "torgb": "ToRGB", "skip": "Skip"}
        place = f"synthesis/{res}x{res}/{layer[parts[2]]}"
        if parts[-2] == "affine":
            out[f"{place}/mod_{parts[-1]}"] = array.T if parts[-1] == "weight" else array - 1
        elif parts[-1] == "weight":
            turned = array.transpose(2, 3, 1, 0)
            out[f"{place}/weight"] = turned[::-1, ::-1] if parts[2] in ("conv0", "skip") else turned
        else:
            out[f"{place}/{parts[-1]}"] = array
    return out
