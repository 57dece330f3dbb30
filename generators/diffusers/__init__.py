"""Folders of diffusers: the decoder of an AutoencoderKL, a UNet2DModel as diffusion prior, or both together."""

from __future__ import annotations

from .foreign import FOREIGN, Diffusers

__all__ = ["FOREIGN", "Diffusers"]
