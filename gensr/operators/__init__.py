"""Linear forward operators."""

from gensr.operators.base import Operator, conjugate_gradients
from gensr.operators.separable import Area, SeparableOperator

__all__ = ["Area", "Operator", "SeparableOperator", "conjugate_gradients"]
