"""Linear forward operators: what an instrument makes of a high-resolution image.

All put low-resolution pixel ``i`` in the middle of high-resolution pixels ``s i .. s i + s - 1``.
"""

from gensr.operators.base import EVERYWHERE, Operator
from gensr.operators.bicubic import Bicubic
from gensr.operators.blind import BlindGaussianPSF
from gensr.operators.blurs import Defocus, Motion
from gensr.operators.kspace import KSpaceCrop
from gensr.operators.lanczos import Lanczos
from gensr.operators.layered import Layered
from gensr.operators.psf import GaussianPSF, MeasuredPSF, PixelResponse
from gensr.operators.registry import operator_names, parse_operator
from gensr.operators.separable import Area, SeparableOperator

__all__ = [
    "EVERYWHERE",
    "Area",
    "Bicubic",
    "BlindGaussianPSF",
    "Defocus",
    "GaussianPSF",
    "KSpaceCrop",
    "Lanczos",
    "Layered",
    "MeasuredPSF",
    "Motion",
    "Operator",
    "PixelResponse",
    "SeparableOperator",
    "operator_names",
    "parse_operator",
]
