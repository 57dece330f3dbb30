"""The biggan family: BigGAN-deep, its class a place in the space of class embeddings that a search may move in."""

from __future__ import annotations

from .family import FAMILY, BigGanFamily
from .foreign import FOREIGN, HubBigGan

__all__ = ["FAMILY", "FOREIGN", "BigGanFamily", "HubBigGan"]
