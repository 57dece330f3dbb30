"""Distortion lookup tables (CPDIS and D2IMDIS, FITS distortion draft of 2004) on a refined grid.

A table holds shifts in pixels at nodes whose place is in pixels: both scale, and a node's place follows the pixel rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError

from .container import Container, Layer
from .headers import number
from .wcs_cards import Edit

_TABLES = (("CPDIS", "DP", "WCSDVARR"), ("D2IMDIS", "D2IM", "D2IMARR"))
LIMIT = 1 << 26
"""Most nodes of a table."""


@dataclass(frozen=True, eq=False)
class Table:
    """A refined lookup table.

    Attributes:
        header: cards of its HDU.
        values: float32 (rows, columns), shifts in refined pixels.
    """

    header: Any
    values: npt.NDArray[np.float32]


def needed(header: Any, layers: Sequence[Layer], file: str) -> dict[int, Layer]:  # noqa: ANN401
    """Tables that the header names.

    Returns:
        The layer of every reference, keyed by ``10 * kind + axis``, so that a shared table appears twice.

    Raises:
        FormatError: if a table is missing.
    """
    found: dict[int, Layer] = {}
    for kind, (distortion, record, name) in enumerate(_TABLES):
        for axis in (1, 2):
            if f"{distortion}{axis}" not in header:
                continue
            version = _version(header, f"{record}{axis}")
            layer = next((x for x in layers if x.name == name and x.version == version), None)
            if layer is None:
                raise FormatError(f"{file}: {distortion}{axis} needs the table {name},{version}, which the file lacks")
            if len(layer.shape) != 2 or np.prod(layer.shape) > LIMIT:
                raise FormatError(f"{file}: table {name},{version} of shape {layer.shape} is no plausible lookup table")
            found[10 * kind + axis] = layer
    return found


def _version(header: Any, record: str) -> int:  # noqa: ANN401
    for card in header.cards:
        match = re.match(rf"^{record}\.EXTVER$", str(card.keyword).upper())
        if match:
            return int(float(card.value))
    return 1


def refine_tables(
    container: Container,
    header: Any,  # noqa: ANN401
    layers: Sequence[Layer],
    scale: dict[int, int],
    corner: Mapping[int, int],
) -> list[Table]:
    """Read and refine the tables of an image header.

    Args:
        container: the source file.
        header: the image header before refinement.
        layers: lookup HDUs of the file.
        scale: refinement by 1-based FITS axis.
        corner: pixels before the part of the image that is refined, by 1-based FITS axis.

    Raises:
        FormatError: if a table is missing, or is shared by two axes that are refined differently.
    """
    axes: dict[int, set[int]] = {}
    tables: dict[int, Layer] = {}
    for key, layer in needed(header, layers, container.path.name).items():
        tables[layer.index] = layer
        axes.setdefault(layer.index, set()).add(scale.get(key % 10, 1))
    refined = []
    for index, layer in tables.items():
        if len(axes[index]) > 1:
            raise FormatError(
                f"{container.path.name}: {layer.label} serves two axes refined by {scale}; use equal factors"
            )
        values, _ = container.pixels(layer).physical(np.s_[:, :])
        edit = Edit(layer.header.copy(), scale)
        for axis, s in scale.items():
            # Nodes are placed in pixels of the image by CRVAL.
            edit.header[f"CRVAL{axis}"] = number(edit.header, f"CRVAL{axis}", 0.0) - corner[axis]
            edit.move(f"CRVAL{axis}", s, default=0.0)
            edit.multiply(f"CDELT{axis}", s, default=1.0)
            edit.header[f"CRPIX{axis}"] = number(edit.header, f"CRPIX{axis}", 0.0)
        refined.append(Table(edit.header, (values * axes[index].pop()).astype(np.float32)))
    return refined
