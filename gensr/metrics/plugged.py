"""Distances that others bring, through entry points ``gensr.metrics``: LPIPS, identity, whatever needs a network.

gensr ships none of their weights and downloads nothing. A plug-in says with its name what it measured with.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gensr import registry
from gensr.errors import PluginError

Array = npt.NDArray[np.floating[Any]]


class Distance(Protocol):
    """A distance of two pictures, such as LPIPS or the cosine of two identities."""

    name: str
    """As tables write it, with the network that it looks through: ``LPIPS (alex)``."""

    def __call__(self, first: Array, second: Array, peak: float) -> float:
        """Distance of two pictures (band, y, x), 0 to ``peak``; 0 for equal ones, larger is worse."""


def available() -> list[str]:
    """Names of the distances that are installed."""
    return registry.names("metrics")


def distance(name: str) -> Distance:
    """A distance of that name, ready to be called.

    Raises:
        PluginError: it is not installed, lacks its weights, or is no distance.
    """
    made = registry.load("metrics", name)
    try:
        found = made()
    except Exception as error:
        raise PluginError(f"distance {name!r} cannot be used: {error}") from error
    if not callable(found) or not isinstance(getattr(found, "name", None), str):
        raise PluginError(f"distance {name!r} ({made}) has no name or cannot be called; see gensr.metrics.plugged")
    checked: Distance = found
    return checked
