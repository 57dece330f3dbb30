"""Bundles as MONAI lays them out, with random tensors: names and shapes after the description of its format."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from emit_diffusers import Shapes, conv, linear, norm, random

GENERATOR: dict[str, Any] = {
    "_target_": "monai.networks.nets.Generator",
    "latent_shape": "@latent_size",
    "start_shape": [8, 4, 4],
    "channels": [6, 4, 1],
    "strides": [2, 2, 1],
}
AUTOENCODER: dict[str, Any] = {
    "_target_": "monai.networks.nets.AutoencoderKL",
    "spatial_dims": "@spatial_dims",
    "in_channels": "$@image_channels",
    "out_channels": "@image_channels",
    "latent_channels": 2,
    "channels": [4, 8],
    "num_res_blocks": 1,
    "norm_num_groups": 2,
    "attention_levels": [False, True],
    "with_encoder_nonlocal_attn": True,
    "with_decoder_nonlocal_attn": True,
}
UNET: dict[str, Any] = {
    "_target_": "monai.networks.nets.DiffusionModelUNet",
    "spatial_dims": "@spatial_dims",
    "in_channels": 2,
    "out_channels": 2,
    "channels": [4, 8],
    "num_res_blocks": 1,
    "num_head_channels": [0, 4],
    "norm_num_groups": 2,
    "attention_levels": [False, True],
}
SCHEDULER: dict[str, Any] = {
    "_target_": "monai.networks.schedulers.DDPMScheduler",
    "num_train_timesteps": 1000,
    "schedule": "scaled_linear_beta",
    "beta_start": 0.0015,
    "beta_end": 0.0195,
}
PLAIN = {"spatial_dims": 2, "image_channels": 1, "latent_size": 5}


def literal(words: dict[str, Any]) -> dict[str, Any]:
    """Arguments with references followed, for a constructor."""
    return {k: PLAIN.get(str(v).lstrip("$@"), v) for k, v in words.items() if not k.startswith("_")}


def generator(words: dict[str, Any] = GENERATOR) -> Shapes:
    start = words["start_shape"]
    yield from linear("linear", PLAIN["latent_size"], start[0] * start[1] * start[2])
    x, last = start[0], len(words["channels"]) - 1
    for i, width in enumerate(words["channels"]):
        yield f"conv.layer_{i}.0.conv.weight", (x, width, 3, 3)
        yield f"conv.layer_{i}.0.conv.bias", (width,)
        for k in range(2):
            yield from conv(f"conv.layer_{i}.1.conv.unit{k}.conv", width, width)
            if (i, k) != (last, 1):
                yield f"conv.layer_{i}.1.conv.unit{k}.adn.A.weight", (1,)
        x = width


def residual(name: str, x: int, width: int, time: int = 0) -> Shapes:
    yield from norm(f"{name}.norm1", x)
    yield from conv(f"{name}.conv1.conv", x, width)
    if time:
        yield from linear(f"{name}.time_emb_proj", time, width)
    yield from norm(f"{name}.norm2", width)
    yield from conv(f"{name}.conv2.conv", width, width)
    if x != width:
        yield from conv(f"{name}.{'skip_connection' if time else 'nin_shortcut'}.conv", x, width, 1)


def attention(name: str, x: int) -> Shapes:
    yield from norm(f"{name}.norm", x)
    for part in ("to_q", "to_k", "to_v", "out_proj"):
        yield from linear(f"{name}.attn.{part}", x, x)


def autoencoder(words: dict[str, Any] = AUTOENCODER) -> Shapes:
    widths, latent, count = words["channels"], words["latent_channels"], words["num_res_blocks"]

    def middle(place: Iterator[str], x: int) -> Shapes:
        yield from residual(next(place), x, x)
        yield from attention(next(place), x)
        yield from residual(next(place), x, x)

    def names(part: str) -> Iterator[str]:
        yield from (f"{part}.blocks.{i}" for i in range(1000))

    place = names("encoder")
    yield from conv(f"{next(place)}.conv", 1, widths[0])
    x = widths[0]
    for i, width in enumerate(widths):
        for _ in range(count):
            yield from residual(next(place), x, width)
            x = width
            if words["attention_levels"][i]:
                yield from attention(next(place), x)
        if i < len(widths) - 1:
            yield from conv(f"{next(place)}.conv.conv", x, x)
    yield from middle(place, x)
    yield from norm(next(place), x)
    yield from conv(f"{next(place)}.conv", x, latent)
    for part in ("quant_conv_mu", "quant_conv_log_sigma", "post_quant_conv"):
        yield from conv(f"{part}.conv", latent, latent, 1)
    place = names("decoder")
    yield from conv(f"{next(place)}.conv", latent, x)
    yield from middle(place, x)
    for i in reversed(range(len(widths))):
        for _ in range(count):
            yield from residual(next(place), x, widths[i])
            x = widths[i]
            if words["attention_levels"][i]:
                yield from attention(next(place), x)
        if i:
            yield from conv(f"{next(place)}.postconv.conv", x, x)
    yield from norm(next(place), x)
    yield from conv(f"{next(place)}.conv", x, 1)


def unet(words: dict[str, Any] = UNET) -> Shapes:
    widths, time, count = words["channels"], 4 * words["channels"][0], words["num_res_blocks"]
    yield from linear("time_embed.0", widths[0], time)
    yield from linear("time_embed.2", time, time)
    yield from conv("conv_in.conv", words["in_channels"], widths[0])
    kept, x = [widths[0]], widths[0]
    for i, width in enumerate(widths):
        for k in range(count):
            yield from residual(f"down_blocks.{i}.resnets.{k}", x, width, time)
            if words["attention_levels"][i]:
                yield from attention(f"down_blocks.{i}.attentions.{k}", width)
            x = width
            kept.append(x)
        if i < len(widths) - 1:
            yield from conv(f"down_blocks.{i}.downsampler.op.conv", x, x)
            kept.append(x)
    yield from residual("middle_block.resnet_1", x, x, time)
    yield from attention("middle_block.attention", x)
    yield from residual("middle_block.resnet_2", x, x, time)
    for i, width in enumerate(reversed(widths)):
        for k in range(count + 1):
            yield from residual(f"up_blocks.{i}.resnets.{k}", x + kept.pop(), width, time)
            if words["attention_levels"][len(widths) - 1 - i]:
                yield from attention(f"up_blocks.{i}.attentions.{k}", width)
            x = width
        if i < len(widths) - 1:
            yield from conv(f"up_blocks.{i}.upsampler.postconv.conv", x, x)
    yield from norm("out.0", x)
    yield from conv("out.2.conv", x, words["out_channels"])


def write(folder: Path, config: dict[str, Any], weights: dict[str, Any], value_range: list[float]) -> Path:
    """A bundle: metadata, one configuration, weights by name."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    image = {"type": "image", "num_channels": 1, "value_range": value_range}
    metadata = {
        "schema": "https://example.org/meta_schema.json",
        "monai_version": "1.5.0",
        "network_data_format": {"outputs": {"pred": image}},
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "LICENSE").write_text("Apache-2.0")
    for name, content in weights.items():
        torch.save(content, folder / "models" / name)
    return folder


def gan(folder: Path, **more: Any) -> Path:
    """As the generator of hand X-rays is published."""
    config = {
        "imports": ["$import torch"],
        "latent_size": 5,
        "network_def": {**GENERATOR, **more},
        "network": "$@network_def.to('cpu')",
        "input": "$torch.rand(1, @latent_size)",
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}],
        },
    }
    return write(folder, config, {"model.pt": random(generator({**GENERATOR, **more}))}, [0, 1])


def latent(folder: Path, **more: Any) -> Path:
    """A latent diffusion: an autoencoder, a U-Net in its latents, a schedule."""
    config = {
        "bundle_root": ".",
        "spatial_dims": 2,
        "image_channels": 1,
        "autoencoder_def": AUTOENCODER,
        "load_autoencoder_path": "$@bundle_root + '/models/model_autoencoder.pt'",
        "diffusion_def": UNET,
        "noise_scheduler": SCHEDULER,
        "latent_shape": [2, 8, 8],
        **more,
    }
    diffusion: dict[str, Any] = {"model": random(unet(), 2), "scale_factor": 0.8, "epoch": 3}
    return write(folder, config, {"model_autoencoder.pt": random(autoencoder()), "model.pt": diffusion}, [0.0, 1.0])


def tensors(name: str) -> dict[str, Tensor]:
    """What `gan` or `latent` wrote."""
    return {"gan": random(generator()), "autoencoder": random(autoencoder()), "unet": random(unet(), 2)}[name]
