"""What a benchmark has finished, kept in a file so that a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gensr.priors.weights import Weights


def substance(stored: Weights) -> str:
    """Digest of what a generator computes with: tensors, configuration and the card's facts, not its words and scores.

    A card that is filled with the scores of a benchmark is no reason to compute them again.
    """
    card = stored.card
    facts = [stored.config, card.family, card.bands, card.aligned, list(card.value_range), card.discrepancy]
    hasher = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(stored.tensors):
        tensor = stored.tensors[name].contiguous()
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()


class Journal:
    """Finished cells by key, one JSON line each; the last line of a key counts.

    A line that a kill cut short is forgotten, and so is an entry made under other conditions: it is computed again.

    Args:
        path: made with the first entry.
        fresh: forget what the file holds.
    """

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self._path = path
        self.entries: dict[str, dict[str, Any]] = {}
        if fresh:
            path.unlink(missing_ok=True)
        if not path.exists():
            return
        whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        path.write_text("".join(whole), encoding="utf-8")
        for entry in map(json.loads, whole):
            self.entries[entry["key"]] = entry

    def has(self, key: str, given: Mapping[str, Any]) -> bool:
        """Whether the cell is finished under these conditions."""
        return key in self.entries and self.entries[key].get("given") == dict(given)

    def add(self, key: str, given: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
        """Keep a finished cell.

        Args:
            key: name of the cell.
            given: what its numbers depend on beside the key; JSON-able.
            entry: its rows and pictures; JSON-able.
        """
        self.entries[key] = {"key": key, "given": dict(given), **entry}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(self.entries[key]) + "\n")
