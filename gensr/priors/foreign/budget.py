"""How much memory a foreign file may claim while it is read: counted before it is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gensr.errors import WeightsError

FLOOR = 32 << 20
"""Bytes that any file may take, however small it is."""
TIMES = 2
"""Beyond `FLOOR`, what is held at once is at most this many times the file."""
PACKED = 1 << 20
"""Bytes that any file may unpack to, however small it is."""
OBJECT = 256
"""Bytes that a small object is counted as."""


@dataclass
class Budget:
    """What is left for one file.

    Attributes:
        path: for messages.
        size: bytes of the file.
    """

    path: Path
    size: int
    taken: int = field(default=0, init=False)
    promised: int = field(default=0, init=False)
    unpacked: int = field(default=0, init=False)

    @property
    def most(self) -> int:
        """Bytes in all."""
        return max(FLOOR, TIMES * self.size)

    def take(self, count: int) -> None:
        """Count bytes that are about to be held.

        Raises:
            WeightsError: more than the file may claim.
        """
        self.taken += count
        self._check(self.taken, self.most)

    def promise(self, count: int) -> None:
        """Count bytes of a tensor, which are held once it is read.

        Raises:
            WeightsError: all tensors together are more than the file may claim.
        """
        self.promised += count
        self._check(self.promised, max(PACKED, TIMES * self.size))

    def unpack(self, count: int) -> None:
        """Count bytes that something in the file unpacks to, before it is unpacked.

        Raises:
            WeightsError: all together are more than the file may claim.
        """
        self.unpacked += count
        self._check(self.unpacked, max(PACKED, TIMES * self.size))

    def _check(self, count: int, most: int) -> None:
        if count > most:
            raise WeightsError(
                f"{self.path}: unpacks to more than {most} bytes from {self.size}; a bomb, or damaged: refused"
            )

    def refuse(self, what: str) -> WeightsError:
        """The error for something that no intact file has."""
        return WeightsError(f"{self.path}: {what}; the file is damaged or hostile, get it again from its author")
