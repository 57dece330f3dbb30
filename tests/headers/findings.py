"""One row of the table of headers: what an independent reader found, and whether that is what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field

COLUMNS = (
    "field of view",
    "pixel size",
    "dtype",
    "bands",
    "units",
    "nodata, mask",
    "tags",
    "orientation",
)
BOUNDS = (1e-9, 1e-6, 1e-3, 1.0)


@dataclass
class Findings:
    """Cells of one file.

    Attributes:
        file: its name.
        reader: the library that read input and output.
        cells: text by column.
        problems: what is not as it must be.
    """

    file: str
    reader: str
    cells: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def say(self, column: str, text: str, *demands: bool) -> None:
        """Fill a cell; every demand must hold."""
        assert column in COLUMNS
        self.cells[column] = text
        wrong = [str(i + 1) for i, demand in enumerate(demands) if not demand]
        if wrong:
            self.problems.append(f"{column}: {text} (demand {', '.join(wrong)} of {len(demands)})")

    def error(self, column: str, size: float, limit: float, unit: str, note: str = "") -> None:
        """Fill a cell with the size of an error, as a bound that does not depend on the last bit."""
        bound = next((b for b in BOUNDS if size < b), size)
        self.say(column, f"< {bound:.0e} {unit}{note}".replace("e-0", "e-"), size <= limit)

    def line(self) -> str:
        """The row as Markdown."""
        verdict = "; ".join(self.problems) or "ok"
        cells = [self.file, self.reader, *(self.cells.get(c, "-") for c in COLUMNS), verdict]
        return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def differing(old: dict[str, object], new: dict[str, object], may: set[str]) -> list[str]:
    """Keys of ``old`` that are absent from ``new`` or hold something else, except those that ``may``."""
    return sorted(k for k, v in old.items() if k not in may and (k not in new or new[k] != v))


def few(names: list[str]) -> str:
    """Up to four names."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
