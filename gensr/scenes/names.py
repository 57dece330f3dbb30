"""Names of outputs; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

MARKED = "_generated"
"""What the name of every output holds."""
SUMMARIES = ("summary.csv", "summary.json")
"""Names of the files that say what came of many inputs."""
RUN = "run.yaml"
"""Name of the file that asks for many inputs again."""


@dataclass(frozen=True)
class Names:
    """File names of one output set: ``<stem>_x<factor>_generated<suffix>`` and its relatives.

    Attributes:
        stem: of the input's name.
        factor: a number, or rows and columns as "2x4".
    """

    stem: str
    factor: int | str

    def mean(self, suffix: str) -> str:
        """Name of the posterior mean."""
        return f"{self.stem}_x{self.factor}{MARKED}{suffix}"

    def std(self, suffix: str) -> str:
        """Name of the standard deviation."""
        return f"{self.stem}_x{self.factor}{MARKED}_std{suffix}"

    def sample(self, index: int, suffix: str) -> str:
        """Name of sample ``index`` (0-based here, 1-based in the name)."""
        return f"{self.stem}_x{self.factor}{MARKED}_sample{index + 1}{suffix}"
