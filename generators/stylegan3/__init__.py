"""StyleGAN3 (t and r) as a prior: networks that others trained, converted from NVIDIA's files."""

from __future__ import annotations

from .family import FAMILY, StyleGan3Family
from .foreign import FOREIGN, StyleGan3Files

__all__ = ["FAMILY", "FOREIGN", "StyleGan3Family", "StyleGan3Files"]
