"""Operators by name, as the command line writes them: ``area``, ``gaussian:sigma=0.5``, ``kspace:window=hamming``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gensr.errors import UsageError
from gensr.operators.base import Operator
from gensr.operators.bicubic import Bicubic
from gensr.operators.kspace import KSpaceCrop
from gensr.operators.lanczos import Lanczos
from gensr.operators.psf import GaussianPSF, MeasuredPSF
from gensr.operators.separable import Area
from gensr.values.grid import Factor


@dataclass(frozen=True)
class Recipe:
    """How one named operator is made from text.

    Attributes:
        build: from factor, total and the value of ``parameter`` ("" if not given).
        parameter: name of its only parameter, "" if it has none.
        required: whether the parameter must be given.
        usage: how it is written.
    """

    build: Callable[[int | Factor, bool, str], Operator]
    parameter: str
    required: bool
    usage: str


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a number") from error


OPERATORS: Mapping[str, Recipe] = {
    "area": Recipe(lambda f, total, _: Area(f, total), "", False, "area"),
    "bicubic": Recipe(lambda f, total, _: Bicubic(f, total), "", False, "bicubic"),
    "lanczos": Recipe(lambda f, total, _: Lanczos(f, total), "", False, "lanczos"),
    "gaussian": Recipe(
        lambda f, total, v: GaussianPSF(f, _number(v), total),
        "sigma",
        True,
        "gaussian:sigma=0.5 (low-resolution pixels)",
    ),
    "mtf": Recipe(
        lambda f, total, v: GaussianPSF.from_mtf(f, _number(v), total),
        "value",
        True,
        "mtf:0.26 (at Nyquist, pixel included)",
    ),
    "psf": Recipe(lambda f, total, v: MeasuredPSF.load(f, Path(v), total), "file", True, "psf:FILE.npy"),
    "kspace": Recipe(
        lambda f, total, v: KSpaceCrop(f, v or "none", total), "window", False, "kspace or kspace:window=hamming"
    ),
}


def parse_operator(spec: str, factor: int | Factor, total: bool = False) -> Operator:
    """Make an operator from its text form ``name``, ``name:value`` or ``name:parameter=value``.

    Args:
        spec: for example ``"gaussian:sigma=0.45"``.
        factor: refinement, an integer or (rows, cols).
        total: sum over the block instead of the mean (flux per pixel).

    Raises:
        UsageError: for an unknown name or parameter, or an impossible value; the message shows what is possible.
        GridError: for an impossible factor.

    >>> parse_operator("gaussian:sigma=0.45", 4).describe()
    {'name': 'gaussian', 'factor': [4, 4], 'sigma': 0.45, 'total': False}
    """
    name, colon, text = spec.strip().partition(":")
    if name not in OPERATORS:
        known = ", ".join(recipe.usage for recipe in OPERATORS.values())
        raise UsageError(f"unknown operator {name!r}; write one of: {known}")
    recipe = OPERATORS[name]
    if colon and not recipe.parameter:
        raise UsageError(f"operator {spec!r}: {name} has no parameter; write {recipe.usage}")
    value = text.removeprefix(f"{recipe.parameter}=").strip()
    if (recipe.required or colon) and not value:
        raise UsageError(f"operator {spec!r} lacks its {recipe.parameter}; write {recipe.usage}")
    if "=" in value and name != "psf":  # a file name may hold the sign
        raise UsageError(f"operator {spec!r}: {name} only has the parameter {recipe.parameter}; write {recipe.usage}")
    try:
        return recipe.build(factor, total, value)
    except UsageError as error:
        raise UsageError(f"operator {spec!r}: {error}; write {recipe.usage}") from error
