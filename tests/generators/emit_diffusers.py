"""Folders as diffusers writes them, with random tensors: names and shapes after the description of its format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Shapes = Iterator[tuple[str, tuple[int, ...]]]
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.30.0",
    "act_fn": "silu",
    "block_out_channels": [8, 16],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "sample_size": 32,
    "scaling_factor": 0.5,
    "shift_factor": 0.1,
}
UNET: dict[str, Any] = {
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.30.0",
    "act_fn": "silu",
    "attention_head_dim": 4,
    "block_out_channels": [8, 16],
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-5,
    "norm_num_groups": 4,
    "sample_size": 16,
    "time_embedding_type": "positional",
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "DDPMScheduler",
    "_diffusers_version": "0.30.0",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
}


def conv(name: str, inward: int, outward: int, kernel: int = 3) -> Shapes:
    yield f"{name}.weight", (outward, inward, kernel, kernel)
    yield f"{name}.bias", (outward,)


def norm(name: str, channels: int) -> Shapes:
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def linear(name: str, inward: int, outward: int) -> Shapes:
    yield f"{name}.weight", (outward, inward)
    yield f"{name}.bias", (outward,)


def resnet(name: str, inward: int, outward: int, time: int = 0) -> Shapes:
    yield from norm(f"{name}.norm1", inward)
    yield from conv(f"{name}.conv1", inward, outward)
    if time:
        yield from linear(f"{name}.time_emb_proj", time, outward)
    yield from norm(f"{name}.norm2", outward)
    yield from conv(f"{name}.conv2", outward, outward)
    if inward != outward:
        yield from conv(f"{name}.conv_shortcut", inward, outward, 1)


def attention(name: str, channels: int) -> Shapes:
    yield from norm(f"{name}.group_norm", channels)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        yield from linear(f"{name}.{part}", channels, channels)


def middle(name: str, channels: int, time: int = 0) -> Shapes:
    yield from resnet(f"{name}.resnets.0", channels, channels, time)
    yield from attention(f"{name}.attentions.0", channels)
    yield from resnet(f"{name}.resnets.1", channels, channels, time)


def autoencoder(config: dict[str, Any]) -> Shapes:
    widths, latent = config["block_out_channels"], config["latent_channels"]
    yield from conv("encoder.conv_in", config["in_channels"], widths[0])
    x = widths[0]
    for i, width in enumerate(widths):
        for k in range(config["layers_per_block"]):
            yield from resnet(f"encoder.down_blocks.{i}.resnets.{k}", x, width)
            x = width
        if i < len(widths) - 1:
            yield from conv(f"encoder.down_blocks.{i}.downsamplers.0.conv", width, width)
    yield from middle("encoder.mid_block", x)
    yield from norm("encoder.conv_norm_out", x)
    yield from conv("encoder.conv_out", x, 2 * latent)
    yield from conv("quant_conv", 2 * latent, 2 * latent, 1)
    yield from conv("post_quant_conv", latent, latent, 1)
    yield from conv("decoder.conv_in", latent, x)
    yield from middle("decoder.mid_block", x)
    for i, width in enumerate(reversed(widths)):
        for k in range(config["layers_per_block"] + 1):
            yield from resnet(f"decoder.up_blocks.{i}.resnets.{k}", x, width)
            x = width
        if i < len(widths) - 1:
            yield from conv(f"decoder.up_blocks.{i}.upsamplers.0.conv", width, width)
    yield from norm("decoder.conv_norm_out", x)
    yield from conv("decoder.conv_out", x, config["out_channels"])


def unet(config: dict[str, Any]) -> Shapes:
    widths, time = config["block_out_channels"], 4 * config["block_out_channels"][0]
    yield from linear("time_embedding.linear_1", widths[0], time)
    yield from linear("time_embedding.linear_2", time, time)
    yield from conv("conv_in", config["in_channels"], widths[0])
    kept, x = [widths[0]], widths[0]
    for i, width in enumerate(widths):
        for k in range(config["layers_per_block"]):
            yield from resnet(f"down_blocks.{i}.resnets.{k}", x, width, time)
            if config["down_block_types"][i].startswith("Attn"):
                yield from attention(f"down_blocks.{i}.attentions.{k}", width)
            x = width
            kept.append(x)
        if i < len(widths) - 1:
            yield from conv(f"down_blocks.{i}.downsamplers.0.conv", width, width)
            kept.append(x)
    yield from middle("mid_block", x, time)
    for i, width in enumerate(reversed(widths)):
        for k in range(config["layers_per_block"] + 1):
            yield from resnet(f"up_blocks.{i}.resnets.{k}", x + kept.pop(), width, time)
            if config["up_block_types"][i].startswith("Attn"):
                yield from attention(f"up_blocks.{i}.attentions.{k}", width)
            x = width
        if i < len(widths) - 1:
            yield from conv(f"up_blocks.{i}.upsamplers.0.conv", width, width)
    yield from norm("conv_norm_out", x)
    yield from conv("conv_out", x, config["out_channels"])


def random(shapes: Shapes, seed: int = 1) -> dict[str, Tensor]:
    """Tensors of the size that training leaves."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes:
        tensor = torch.randn(shape, generator=draw)
        scale = 1 / max(1, torch.Size(shape[1:]).numel()) ** 0.5 if len(shape) > 1 else 0.1
        found[name] = (1.0 if "norm" in name and name.endswith("weight") else 0.0) + scale * tensor
    return found


def write(folder: Path, parts: dict[str, tuple[dict[str, Any], dict[str, Tensor]]], name: str = "DDPMPipeline") -> Path:
    """A folder of components; tensors under the name of the library's files."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {k: ["diffusers", config["_class_name"]] for k, (config, _) in parts.items()}
    about = {"_class_name": name, "_diffusers_version": "0.30.0", **index}
    (folder / "model_index.json").write_text(json.dumps(about))
    for part, (config, tensors) in parts.items():
        (folder / part).mkdir(exist_ok=True)
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        (folder / part / file).write_text(json.dumps(config))
        if tensors:
            save_file(tensors, folder / part / "diffusion_pytorch_model.safetensors")
    return folder


def pixel(folder: Path, **more: Any) -> Path:
    """A pixel diffusion with its schedule."""
    config = {**UNET, **more}
    return write(folder, {"unet": (config, random(unet(config))), "scheduler": (SCHEDULER, {})})


def vae(folder: Path, **more: Any) -> Path:
    """An autoencoder by itself, with what a pipeline has beside it."""
    config = {**VAE, **more}
    other = {"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.30.0"}
    parts = {"vae": (config, random(autoencoder(config))), "unet": (other, {})}
    return write(folder, parts, "StableDiffusionPipeline")


def latent(folder: Path, **more: Any) -> Path:
    """A diffusion in latents of an autoencoder."""
    config = {**UNET, "in_channels": 4, "out_channels": 4, "sample_size": 8, **more}
    parts = {
        "vae": (VAE, random(autoencoder(VAE))),
        "unet": (config, random(unet(config), 2)),
        "scheduler": ({**SCHEDULER, "prediction_type": "v_prediction", "beta_schedule": "scaled_linear"}, {}),
    }
    return write(folder, parts, "LDMPipeline")
