"""The style family: a compact style-based GAN for aligned content, one pass and a smooth latent space.

What PULSE searches, trained by ``gensr train generator=style``.
"""

from __future__ import annotations

from .family import FAMILY, StyleFamily

__all__ = ["FAMILY", "StyleFamily"]
