"""StyleGAN2 as a prior: networks that others trained, converted from NVIDIA's, rosinality's or TensorFlow's files."""

from __future__ import annotations

from .family import FAMILY, StyleGan2Family
from .foreign import FOREIGN, StyleGan2Files

__all__ = ["FAMILY", "FOREIGN", "StyleGan2Family", "StyleGan2Files"]
