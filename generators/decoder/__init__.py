"""The decoder family: any feed-forward network from latents to images that a list of layers describes."""

from __future__ import annotations

from .family import FAMILY, DecoderFamily
from .foreign import FOREIGN, Described

__all__ = ["FAMILY", "FOREIGN", "DecoderFamily", "Described"]
