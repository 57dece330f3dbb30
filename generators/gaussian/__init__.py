"""The gaussian family: linear and mixture priors whose posteriors are known in closed form.

The truth that solvers and samplers are tested on, and honest default priors in their own right.
"""

from __future__ import annotations

from .family import FAMILY, Gaussian

__all__ = ["FAMILY", "Gaussian"]
