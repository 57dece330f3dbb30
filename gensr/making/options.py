"""Options of training commands: typed values out of texts, with errors that name key, text and range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gensr.errors import UsageError


class Reader:
    """Reads typed values out of option texts.

    Raises:
        UsageError: from every method, naming the key, the text and what is expected.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options

    def text(self, key: str, default: str = "") -> str:
        """A word."""
        return self.options.get(key, "").strip() or default

    def number(self, key: str, low: float, high: float) -> float | None:
        """A number in a range, None if not given."""
        text = self.text(key)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError as error:
            raise UsageError(f"{key}={text}: expected a number from {low:g} to {high:g}") from error
        if not low <= value <= high:
            raise UsageError(f"{key}={text}: expected a number from {low:g} to {high:g}")
        return value

    def value(self, key: str, default: float, low: float, high: float) -> float:
        """A number in a range, ``default`` if not given."""
        found = self.number(key, low, high)
        return default if found is None else found

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number in a range."""
        value = self.number(key, low, high)
        if value is not None and value != int(value):
            raise UsageError(f"{key}={self.text(key)}: expected a whole number from {low} to {high}")
        return default if value is None else int(value)

    def switch(self, key: str) -> bool | None:
        """True or false, None if not given."""
        text = self.text(key)
        if text not in ("", "true", "false"):
            raise UsageError(f"{key}={text}: expected true or false")
        return None if not text else text == "true"

    def paths(self, text: str) -> tuple[Path, ...]:
        """Paths between commas."""
        return tuple(Path(part.strip()) for part in text.split(",") if part.strip())
