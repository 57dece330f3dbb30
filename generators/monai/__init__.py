"""MONAI bundles: a Generator, the decoder of an AutoencoderKL, a diffusion U-Net in pixels or in latents of it."""

from __future__ import annotations

from .foreign import FOREIGN, Monai

__all__ = ["FOREIGN", "Monai"]
