"""StyleGAN of 2018 as a prior: what PULSE searched, from the two files that it used, or from TensorFlow's."""

from __future__ import annotations

from .family import FAMILY, StyleGan1Family
from .foreign import FOREIGN, StyleGan1Files

__all__ = ["FAMILY", "FOREIGN", "StyleGan1Family", "StyleGan1Files"]
