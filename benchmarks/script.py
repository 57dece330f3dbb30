"""What small benchmark scripts share: ``key=value`` words, a CSV file, and a page with one table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gensr.errors import UsageError

from .scores import Row


def words(argv: Sequence[str] | None, usual: Mapping[str, str]) -> dict[str, str]:
    """Arguments of a script.

    Args:
        argv: ``key=value`` each; None for those of the command line.
        usual: every key and what it is if not given.

    Raises:
        UsageError: an unknown key.
    """
    given = dict(usual)
    for word in argv if argv is not None else sys.argv[1:]:
        key, _, value = word.partition("=")
        if key not in given:
            raise UsageError(f"unknown argument {word!r}; keys: {', '.join(given)}")
        given[key] = value
    return given


def write(output: Path, name: str, text: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write ``NAME.csv`` with four digits and ``NAME.md`` with three.

    Args:
        output: folder, made if it is not there.
        name: of both files.
        text: lines before the table: a title first.
        columns: in order; a row may lack some.
        rows: of the table.
    """
    output.mkdir(parents=True, exist_ok=True)
    with (output / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in one.items()} for one in rows)
    lines = [*text, "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for one in rows:
        cells = (f"{v:.3g}" if isinstance(v := one.get(column, ""), float) else str(v) for column in columns)
        lines.append("| " + " | ".join(cells) + " |")
    (output / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
