"""The card of a generator as Markdown, for the file beside the weights."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from gensr.priors.card import GeneratorCard

_CELL = re.compile(r"(x\d+ noise \S+)(?: (.+))?")
"""Keys of scores and conformal factors: factor and noise level, then what was scored."""


def card_text(card: GeneratorCard, digest: str, size: int) -> str:
    """The card as Markdown.

    Args:
        card: from the header of the weights file.
        digest: of the weights.
        size: of the file, bytes.
    """
    plain = {
        "Licence": card.licence,
        "Training data": card.data,
        "Fitted on": card.split,
        "Recipe": card.recipe,
        "Values": f"{card.unit}; range {card.value_range[0]:.4g} to {card.value_range[1]:.4g}",
        "Pixels": card.pixel,
        "Bands": "one by one" if card.bands == 1 else f"{card.bands} jointly",
        "Content": "aligned square pictures" if card.aligned else "fields of any size",
        "Known bias and failure": card.bias,
        "Nearest-neighbour audit": card.audit,
        "Discrepancy S": f"{card.discrepancy:.3g}, generator units"
        if card.discrepancy
        else "not measured, or part of the prior",
        "File": f"{size} bytes, digest {digest}",
    }
    lines = [f"# {card.name}", "", f"Family {card.family}, domain {card.domain}, version {card.version}.", ""]
    lines += [f"* **{name}**: {value}" for name, value in plain.items()]
    for title, table in (("Scores on held-out data", card.metrics), ("Conformal factors on std", card.conformal)):
        if table:
            lines += ["", f"## {title}", "", *_rows(table)]
    return "\n".join(lines) + "\n"


def _rows(table: Mapping[str, float]) -> list[str]:
    """A table with a row per factor and noise level, a column per score."""
    cells: dict[str, dict[str, float]] = {}
    for key, value in table.items():
        found = _CELL.fullmatch(key)
        row, column = (found[1], found[2] or "factor") if found else ("all", key)
        cells.setdefault(row, {})[column] = value
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in cells.items():
        lines.append(f"| {name} | {' | '.join(f'{row[c]:.4g}' if c in row else '' for c in columns)} |")
    return lines


def write(path: Path, card: GeneratorCard, digest: str) -> Path:
    """Write the card beside its weights, under a temporary name first.

    Args:
        path: the weights file, already written.
        card: its card.
        digest: its digest.

    Returns:
        The Markdown file.
    """
    beside = path.with_suffix(".md")
    partial = beside.with_name(f".{beside.name}.partial")
    partial.write_text(card_text(card, digest, path.stat().st_size), encoding="utf-8")
    os.replace(partial, beside)
    return beside
