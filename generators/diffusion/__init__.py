"""The diffusion family: a U-Net that was trained to remove noise, in pixels or in the latents of an autoencoder."""

from __future__ import annotations

from .family import FAMILY, DiffusionFamily
from .foreign import FOREIGN, EdmFiles

__all__ = ["FAMILY", "FOREIGN", "DiffusionFamily", "EdmFiles"]
