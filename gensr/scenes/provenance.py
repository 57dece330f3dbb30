"""What made a file: the words and numbers that every output carries, whatever its format.

The "generated" mark must survive copying a single file without its report.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

MARK = "Contains generated detail: super-resolved by gensr; not a measurement at this resolution"
DEBLURRED = "Contains generated detail: deblurred by gensr; not a measurement at this resolution"
REPEATED = "Labels repeated by gensr: every pixel is one of the input, nothing is generated"
INTERPOLATED = "Interpolated by gensr: explains every pixel of the input, nothing is generated"
BESIDE = 1 << 20
"""Bytes up to which a file that only shares the stem of an input is taken for a part of it."""


def software() -> str:
    """Name and version of this program."""
    return f"gensr {version('gensr')}"


def repeated(report: Mapping[str, Any]) -> bool:
    """Whether a report is of labels whose pixels were repeated: nothing is generated, and there is no deviation."""
    return report.get("mark") == REPEATED


def interpolated(report: Mapping[str, Any]) -> bool:
    """Whether a report is of a picture of which no prior knew anything: there is no deviation and no sample."""
    return report.get("mark") == INTERPOLATED


def mark_of(report: Mapping[str, Any]) -> str:
    """The mark that belongs into an output."""
    if repeated(report):
        return REPEATED
    if interpolated(report):
        return INTERPOLATED
    return DEBLURRED if report.get("factor") in (1, "1", [1, 1], (1, 1)) else MARK


def sentence(report: Mapping[str, Any]) -> str:
    """One ASCII line for a header: mark, version, generator with hash, operator, factor, seed, residual."""
    generator = report.get("generator", {})
    slices = (report.get("through_plane") or {}).get("factor")
    if repeated(report):
        scale = f"factor {report.get('factor', '?')}" + (f" and {slices} across slices" if slices else "")
        return f"{REPEATED}; {report.get('gensr', software())}; {scale}"
    parts = [
        mark_of(report),
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


def content_digest(path: Path) -> str:
    """SHA-256 of a file and of small files beside it that share its name, or of everything in a folder.

    Masks, world files and the like change what an image says, and they are named after it. Where a file lies and when
    it was changed do not count.

    Args:
        path: of the input; one that does not exist has the digest of nothing.
    """
    hasher = hashlib.sha256()
    for member in _members(path):
        name = member.name if path.is_file() else member.relative_to(path).as_posix()
        hasher.update(f"{name} {member.stat().st_size}\n".encode(errors="surrogateescape"))
        with member.open("rb") as stream:
            while block := stream.read(1 << 20):
                hasher.update(block)
    return hasher.hexdigest()


def _members(path: Path) -> list[Path]:
    """An input and what belongs to it, in an order that does not depend on the file system."""
    if not path.is_file():
        return sorted(p for p in path.rglob("*") if p.is_file())
    beside = []
    with os.scandir(path.parent) as entries:
        for entry in entries:
            own, stem = entry.name.startswith(f"{path.name}."), entry.name.startswith(f"{path.stem}.")
            if (own or stem) and entry.is_file() and (own or entry.stat().st_size <= BESIDE):
                beside.append(Path(entry))
    return sorted({path, *beside})
