"""The engression family: one network for any linear instrument, trained by the energy score to draw as truths do."""

from .family import FAMILY
from .generator import Engression

__all__ = ["FAMILY", "Engression"]
