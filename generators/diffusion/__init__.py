"""The diffusion family: a U-Net that was trained to remove noise, in pixels or in the latents of an autoencoder."""

from __future__ import annotations

from .family import FAMILY, DiffusionFamily

__all__ = ["FAMILY", "DiffusionFamily"]
