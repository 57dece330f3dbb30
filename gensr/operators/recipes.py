"""How each operator of ours is made from its words; registered as a stranger's would be."""

from __future__ import annotations

from pathlib import Path

from gensr.errors import UsageError
from gensr.operators.bicubic import Bicubic
from gensr.operators.blurs import Defocus, Motion
from gensr.operators.kspace import KSpaceCrop
from gensr.operators.lanczos import Lanczos
from gensr.operators.psf import GaussianPSF, MeasuredPSF
from gensr.operators.registry import Recipe
from gensr.operators.separable import Area


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a number") from error


def _pair(text: str) -> tuple[float, float]:
    first, comma, second = text.partition(",")
    if not comma:
        raise UsageError(f"{text!r} is not two numbers with a comma between them")
    return _number(first), _number(second)


AREA = Recipe(lambda f, total, _: Area(f, total), "", False, "area")
BICUBIC = Recipe(lambda f, total, _: Bicubic(f, total), "", False, "bicubic")
LANCZOS = Recipe(lambda f, total, _: Lanczos(f, total), "", False, "lanczos")
GAUSSIAN = Recipe(
    lambda f, total, v: GaussianPSF(f, _number(v), total), "sigma", True, "gaussian:sigma=0.5 (low-resolution pixels)"
)
MTF = Recipe(
    lambda f, total, v: GaussianPSF.from_mtf(f, _number(v), total),
    "value",
    True,
    "mtf:0.26 (at Nyquist, pixel included)",
)
PSF = Recipe(lambda f, total, v: MeasuredPSF.load(f, Path(v), total), "file", True, "psf:FILE", file=True)
KSPACE = Recipe(
    lambda f, total, v: KSpaceCrop(f, v or "none", total), "window", False, "kspace or kspace:window=hamming"
)
DEFOCUS = Recipe(
    lambda f, total, v: Defocus(f, _number(v), total), "radius", True, "defocus:radius=3 (low-resolution pixels)"
)
MOTION = Recipe(
    lambda f, total, v: Motion(f, *_pair(v), total),
    "line",
    True,
    "motion:9,30 (length in low-resolution pixels, degrees counter-clockwise from the right)",
)
