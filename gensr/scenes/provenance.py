"""What made a file: the words and numbers that every output carries, whatever its format.

The "generated" mark must survive copying a single file without its report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

MARK = "Contains generated detail: super-resolved by gensr; not a measurement at this resolution"


def software() -> str:
    """Name and version of this program."""
    return f"gensr {version('gensr')}"


def sentence(report: Mapping[str, Any]) -> str:
    """One ASCII line for a header: mark, version, generator with hash, operator, factor, seed, residual."""
    generator = report.get("generator", {})
    slices = (report.get("through_plane") or {}).get("factor")
    parts = [
        MARK,
        str(report.get("gensr", software())),
        f"generator {generator.get('name', '?')} sha256 {str(generator.get('sha256', ''))[:16]}",
        f"operator {report.get('operator', {}).get('name', '?')}",
        f"factor {report.get('factor', '?')}" + (f" and {slices} across slices" if slices else ""),
        f"seed {report.get('seed', '?')}",
        f"residual rms {report.get('consistency', {}).get('rms', '?')}",
    ]
    return "; ".join(parts).encode("ascii", "replace").decode("ascii")


def as_json(report: Mapping[str, Any], indent: int | None = None) -> str:
    """The report as ASCII JSON; numbers that JSON lacks (NaN, infinities) become null."""
    return json.dumps(_plain(report), indent=indent, ensure_ascii=True, allow_nan=False, sort_keys=False)


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str | int | bool) or value is None:
        return value
    if isinstance(value, Path):
        return value.name
    if callable(getattr(value, "item", None)):
        return _plain(value.item())
    raise TypeError(f"{type(value).__name__} does not belong in a report")


def fingerprint(path: Path) -> dict[str, Any]:
    """Name, size and time of change of a file, or of everything in a folder: cheap identity of an input."""
    if not path.exists():
        return {"name": path.name}
    members = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    stats = [p.stat() for p in members]
    return {
        "name": path.name,
        "files": len(stats),
        "bytes": sum(s.st_size for s in stats),
        "modified": max((s.st_mtime_ns for s in stats), default=0),
    }
