"""The unit of fluxes to train on: 16 times the noise of an empty pixel, said by the user and held against the data."""

from __future__ import annotations

from gensr.errors import UsageError

BRIGHTEST = 6e4
"""Largest value of an image, generator units: images are kept in half precision."""
FAINTEST = 1 / 16
"""Values that never exceed this many units lie below the noise that the unit says."""


def check_unit(unit: float, largest: float, where: str) -> None:
    """Refuse a unit that the data cannot have.

    Args:
        unit: value of one generator unit.
        largest: absolute value in the data.
        where: the data, for the message.

    Raises:
        UsageError: values beyond half precision, or none above the noise.

    >>> check_unit(0.1, 200.0, "a.npz")
    """
    if largest > BRIGHTEST * unit:
        raise UsageError(f"unit={unit:g}: values of data={where} reach more than {BRIGHTEST:g} times that; give more")
    noise = unit * FAINTEST
    if largest <= noise:
        raise UsageError(
            f"unit={unit:g}: no value of data={where} is above {noise:g}, what it says is the noise of an empty pixel; "
            "give 16 times that noise"
        )
