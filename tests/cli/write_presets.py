"""Write conf/search/*.yaml from gensr.search.presets: ``python tests/cli/write_presets.py`` after changing numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from gensr.cli.presets import flat
from gensr.search.presets import PRESETS

FOLDER = Path(__file__).parents[2] / "conf" / "search"


def lines(values: Mapping[str, Any], pad: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        if is_dataclass(value) and not isinstance(value, type):
            value = asdict(value)
        if isinstance(value, Mapping):
            found += [f"{pad}{name}:", *lines(value, f"{pad}  ")]
        else:
            value = "null" if value is None else value
            quoted = isinstance(value, str) and any(mark in value for mark in ":,#")
            found.append(f'{pad}{name}: "{value}"' if quoted else f"{pad}{name}: {value}")
    return found


def document(name: str) -> str:
    return "\n".join(["# Same numbers as gensr.search.presets.", *lines(flat(PRESETS[name]))]) + "\n"


if __name__ == "__main__":
    for old in FOLDER.glob("*.yaml"):
        old.unlink()
    for name in PRESETS:
        (FOLDER / f"{name}.yaml").write_text(document(name), encoding="utf-8")
