"""The form of an array: which axis is which, and the way back to that form for results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import UsageError

ROLES = ("plane", "band", "y", "x")
"""What an axis can be, in the order in which scenes have them; several may be planes."""
MOST_BANDS = 32
"""Channels last are believed to be bands up to this many."""


@dataclass(frozen=True)
class Form:
    """What every axis of an array is.

    Attributes:
        roles: of every axis, of `ROLES`; ``y`` and ``x`` once, ``band`` at most once.
        planes: lengths of the axes that are planes, in their order.
    """

    roles: tuple[str, ...]
    planes: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int], roles: Sequence[str]) -> Form:
        """The form of an array of ``shape`` whose axes have these roles.

        Raises:
            UsageError: roles that do not fit.
        """
        said = ",".join(roles)
        unknown = [role for role in roles if role not in ROLES]
        if unknown:
            raise UsageError(f"dims={said}: {unknown[0]!r} is none of {', '.join(ROLES)}")
        if len(roles) != len(shape):
            raise UsageError(f"dims={said} names {len(roles)} axes of an array of shape {tuple(shape)}; name each one")
        if roles.count("y") != 1 or roles.count("x") != 1 or roles.count("band") > 1:
            raise UsageError(f"dims={said}: an image has one y, one x and at most one band; the others are plane")
        return cls(tuple(roles), tuple(int(n) for n, role in zip(shape, roles, strict=True) if role == "plane"))

    @property
    def order(self) -> tuple[int, ...]:
        """Axes of the array in the order of `ROLES`."""
        return tuple(i for role in ROLES for i, own in enumerate(self.roles) if own == role)

    def whole(self, array: Any) -> Any:  # noqa: ANN401
        """An array (NumPy or Dask) as (plane, band, y, x), without a copy where that is possible."""
        turned = array.transpose(self.order)
        bands = 1 if "band" not in self.roles else turned.shape[-3]
        return turned.reshape((int(np.prod(self.planes, dtype=int)), bands, *turned.shape[-2:]))

    def back(self, array: Any) -> Any:  # noqa: ANN401
        """The inverse of `whole`, for arrays of any number of rows, columns and (of the last of its axes) planes."""
        bands = (array.shape[1],) if "band" in self.roles else ()
        planes = (*self.planes[:-1], -1) if self.planes else ()
        turned = array.reshape((*planes, *bands, *array.shape[-2:]))
        return turned.transpose(tuple(int(i) for i in np.argsort(self.order)))


def roles_of(shape: Sequence[int], dims: str | Sequence[str] | None) -> tuple[str, ...]:
    """Roles of the axes of an array without names: as the user says, else the last of (plane, band, y, x).

    Raises:
        UsageError: too few or too many axes.
    """
    if dims is not None:
        words = dims.split(",") if isinstance(dims, str) else dims
        return tuple(str(word).strip() for word in words)
    if len(shape) not in (2, 3, 4):
        raise UsageError(
            f"array of shape {tuple(shape)}: expected numbers of shape (y, x), (band, y, x) or (plane, band, y, x); "
            "say what each axis is with dims=, for example dims=plane,plane,y,x"
        )
    return ROLES[-len(shape) :]


ADVICE = "say dims=y,x,band (bands last), dims=band,y,x or dims=plane,y,x"


def ask_for_dims(shape: Sequence[int], advice: str = ADVICE) -> None:
    """Refuse a shape whose last axis looks like bands, as pictures have them, where the first is meant to be.

    Raises:
        UsageError: it does.

    >>> ask_for_dims((4, 32, 32), "")
    """
    if len(shape) < 3:
        return
    first, rows, last = shape[-3:]
    if last <= 4 or (last <= MOST_BANDS and last < min(first, rows)):
        raise UsageError(f"array of shape {tuple(shape)}: the last axis looks like bands, not like columns; {advice}")


def as_numbers(array: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """The array, if it holds numbers that can be refined.

    Raises:
        UsageError: text, objects, complex numbers, booleans, or nothing at all.
    """
    if array.dtype.kind not in "uif" or 0 in array.shape:
        raise UsageError(
            f"{what} of shape {tuple(array.shape)} and dtype {array.dtype}: expected numbers of shape (y, x), "
            "(band, y, x) or (plane, band, y, x)"
        )
    return array
