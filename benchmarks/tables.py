"""The finished benchmark as CSV, Markdown and HTML."""

from __future__ import annotations

import csv
from pathlib import Path

from . import page
from .journal import Journal
from .scores import Row
from .sets import FAMILIES, SETS

HEAD = ("domain", "factor", "noise", "method", "cases")
PREFACE = (
    "Held-out test splits. PSNR in dB, mean over pictures and pooled; astronomy in its stretched unit, photometry in "
    "per cent. lmmse: full-covariance patch LMMSE of 16 px (astronomy: flux LMMSE in 12 classes), fitted on the same "
    "training split. Coverage of nominal 90 % intervals before and after conformal scaling on other pictures. swd and "
    "spectrum: distance of detail finer than the data from that of the truth, on parts of some pictures, 0 for the "
    "truth itself; rows named sample and mean of n are of those parts alone."
)


def write(output: Path, journal: Journal) -> None:
    """Write ``benchmark.csv``, ``benchmark.md`` and ``benchmark.html`` of all finished cells, in the order of sets."""
    order = {s.name: i for i, s in enumerate(SETS)}
    rows: list[Row] = []
    pictures: dict[str, str] = {}
    for entry in journal.entries.values():
        if "part" in entry:
            rows += entry["rows"]
            pictures |= entry.get("pictures", {})
    rows.sort(key=lambda r: (order[str(r["domain"])], int(r["factor"]), r["noise"] not in (0, 0.0), _place(r)))
    extra = list(dict.fromkeys(key for row in rows for key in row if key not in HEAD))
    with (output / "benchmark.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, [*HEAD, *extra], lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    (output / "benchmark.md").write_text(page.markdown(rows, PREFACE), encoding="utf-8")
    (output / "benchmark.html").write_text(page.page(rows, pictures, PREFACE), encoding="utf-8")


def _place(row: Row) -> int:
    """Competitors come first, then the families, the default of the package last; rows of one keep their order."""
    family = str(row["method"]).split(" ", 1)[0]
    return len(FAMILIES) - FAMILIES.index(family) if family in FAMILIES else 0
