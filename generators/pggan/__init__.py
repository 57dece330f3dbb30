"""Progressive GANs as priors, from the checkpoints of pytorch_GAN_zoo."""

from __future__ import annotations

from .family import FAMILY, PgganFamily
from .foreign import FOREIGN, PgganFiles

__all__ = ["FAMILY", "FOREIGN", "PgganFamily", "PgganFiles"]
