"""``summary.csv`` and ``summary.json``: what came of many inputs, beside their outputs."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.scenes.names import SUMMARIES
from gensr.scenes.provenance import as_json, software

if TYPE_CHECKING:
    from gensr.pipeline.many import Outcome
    from gensr.pipeline.request import Request

COLUMNS = ("input", "status", "domain", "generator", "factor", "output", "residual sigma", "seconds", "error")
CSV, JSON = SUMMARIES
_FORMULA = ("=", "+", "-", "@", "\t")
"""What a spreadsheet takes for a formula where a cell begins so."""


@dataclass(frozen=True)
class Entry:
    """One input of a batch.

    Attributes:
        path: as it is shown.
        status: "done", "skipped" (finished before), "failed" or "open" (not tried, because the run was stopped).
        request: what was asked; None for what could not be asked.
        found: what came of it.
        error: why it failed, in one line.
    """

    path: str
    status: str
    request: Request | None = None
    found: Outcome | None = None
    error: str = ""

    @property
    def folder(self) -> Path | None:
        """Where its outputs go."""
        return None if self.request is None or self.request.output is None else Path(self.request.output)

    def row(self) -> dict[str, Any]:
        """Its line of a table, by `COLUMNS`."""
        report = {} if self.found is None else self.found.report
        chi2 = report.get("consistency", {}).get("chi2 per datum")
        domain = None if self.request is None else self.request.domain
        values = (
            self.path,
            self.status,
            report.get("input", {}).get("domain", domain),
            report.get("generator", {}).get("name"),
            None if self.request is None else str(self.request.factor),
            self.found.files[0].name if self.found is not None and self.found.files else None,
            None if chi2 is None else round(math.sqrt(chi2), 4),
            None if self.found is None else round(self.found.seconds, 3),
            self.error or None,
        )
        return dict(zip(COLUMNS, values, strict=True))


def write_summaries(entries: Sequence[Entry]) -> list[str]:
    """Write both files into every folder of outputs, of the inputs whose outputs lie there.

    What could be asked of no folder is listed in the first.

    Returns:
        Why they could not be written, a line each.
    """
    folders = sorted({entry.folder for entry in entries if entry.folder is not None})
    notes = []
    for folder in folders:
        own = [e for e in entries if e.folder == folder or (e.folder is None and folder == folders[0])]
        rows = [entry.row() for entry in own]
        for name, text in ((CSV, as_csv(rows)), (JSON, as_json({"gensr": software(), "inputs": rows}, indent=2))):
            try:
                _write(folder / name, text)
            except OSError as error:
                notes.append(f"{folder / name}: not written ({error.strerror})")
    return notes


def as_csv(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV; no cell is a formula.

    >>> as_csv([{"input": "=1+1.tif", "status": "done"}]).splitlines()[1]
    "'=1+1.tif,done,,,,,,,"
    """
    stream = io.StringIO()
    table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({k: f"'{v}" if isinstance(v, str) and v.startswith(_FORMULA) else v for k, v in row.items()})
    return stream.getvalue()


def _write(path: Path, text: str) -> None:
    """Put a file into place, unless one stands there that gensr did not write.

    Raises:
        OSError: it does, or nothing can be written.
    """
    if os.path.lexists(path) and not _ours(path):
        raise FileExistsError(0, "a file of that name stands there that gensr did not write")
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with partial.open("x", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)
    partial.replace(path)


def _ours(path: Path) -> bool:
    """Whether a summary was written by an earlier run."""
    if path.is_symlink() or not path.is_file():
        return False
    if path.name == CSV:
        with path.open("rb") as stream:
            return stream.readline(1000).decode(errors="replace").strip() == ",".join(COLUMNS)
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and str(found.get("gensr", "")).startswith("gensr ")
