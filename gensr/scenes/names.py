"""Names of outputs; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

MARKED, REPEATED_MARK, INTERPOLATED_MARK = "_generated", "_repeated", "_interpolated"
"""What the name of every output holds: of what was generated, of labels whose pixels were repeated, of
pictures of which no prior knows anything."""
UNEXPLAINED = "_unexplained"
"""What is added to the mark of outputs that do not explain their data."""
SUMMARIES = ("summary.csv", "summary.json")
"""Names of the files that say what came of many inputs."""
RUN = "run.yaml"
"""Name of the file that asks for many inputs again."""


def marked(name: str) -> str:
    """The mark in the name of an output, "" for any other file."""
    return next((mark for mark in (MARKED, REPEATED_MARK, INTERPOLATED_MARK) if mark in name), "")


@dataclass(frozen=True)
class Names:
    """File names of one output set: ``<stem>_x<factor>_generated<suffix>`` and its relatives.

    Attributes:
        stem: of the input's name.
        factor: a number, or rows and columns as "2x4"; 1 is written as "deblurred".
        mark: how the outputs came about, see `MARKED`.
    """

    stem: str
    factor: int | str
    mark: str = MARKED

    @property
    def made(self) -> str:
        """Stem, and what was done."""
        return f"{self.stem}_deblurred" if str(self.factor) == "1" else f"{self.stem}_x{self.factor}"

    def mean(self, suffix: str) -> str:
        """Name of the posterior mean."""
        return f"{self.made}{self.mark}{suffix}"

    def std(self, suffix: str) -> str:
        """Name of the standard deviation."""
        return f"{self.made}{self.mark}_std{suffix}"

    def sample(self, index: int, suffix: str) -> str:
        """Name of sample ``index`` (0-based here, 1-based in the name)."""
        return f"{self.made}{self.mark}_sample{index + 1}{suffix}"
