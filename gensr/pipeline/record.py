"""What the report on disk says of the run that made it: digests of input and request, and the files that came of it.

From it a run knows that an input is finished, without opening it: the same input, asked the same, and every file there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from gensr.errors import OutputError
from gensr.pipeline.instrument import absolute_words
from gensr.pipeline.request import Request
from gensr.scenes.names import Names
from gensr.scenes.provenance import as_json, content_digest
from gensr.search.presets import Preset, preset

INPUT, REQUEST = "input", "request"
DIGESTS, FILES = "digests", "files"
ASIDE = ("source", "device", "output", "existing", "overwrite", "resume", "batch", "runtime", "check")
"""Fields of a request that do not decide what comes out."""
LARGEST = 64 << 20
"""Bytes of a report that is read."""


@dataclass(frozen=True)
class Record:
    """A finished input.

    Attributes:
        report: as it was written.
        files: of the run, the first is the report's first.
        digests: of input and request.
    """

    report: Mapping[str, Any]
    files: tuple[Path, ...]
    digests: Mapping[str, str]


def report_name(names: Names) -> str:
    """Name of the report."""
    return f"{names.mean('')}_report.json"


def preview_name(names: Names) -> str:
    """Name of the preview."""
    return f"{names.mean('')}_preview.png"


def sheet_name(names: Names) -> str:
    """Name of the sheet of several answers."""
    return f"{names.mean('')}_answers.png"


def recipe_name(names: Names) -> str:
    """Name of the file that asks for the same again."""
    return f"{names.mean('')}_run.yaml"


def entries(digests: Mapping[str, str] | None, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What a report on disk says beside the report itself.

    Args:
        digests: of input and request; None for an input in memory.
        sizes: bytes of every file, by its path below the folder of the outputs.
    """
    return {DIGESTS: None if digests is None else dict(digests), FILES: dict(sizes)}


def digests(request: Request, domain: str, source: str) -> dict[str, str]:
    """Digests of an input and of everything asked of it that decides the result.

    Args:
        request: batch, device and runtime do not count.
        domain: name of the domain that reads it.
        source: digest of the input's content.
    """
    chosen = request.search if isinstance(request.search, Preset) else preset(request.search)
    asked = {f.name: getattr(request, f.name) for f in fields(request) if f.name not in ASIDE}
    asked |= {
        "factor": str(request.factor),
        "domain": domain,
        "generator": _with_content(request.generator),
        "operator": None if request.operator is None else _with_content(absolute_words(request.operator)),
        "noise": None if request.noise is None else str(request.noise),
        "search": asdict(replace(chosen, said=())),
    }
    text = json.dumps(json.loads(as_json(asked)), sort_keys=True)
    return {INPUT: source, REQUEST: hashlib.sha256(text.encode("ascii")).hexdigest()}


def _with_content(word: str | None) -> str | None:
    """A word, or the digest of the file that it names; an operator names it behind a sign of equality."""
    if word is None:
        return None
    path = Path(word.partition("=")[2] or word)
    return f"{path.name} {content_digest(path)}" if path.is_file() else word


def read(target: Path, names: Names) -> Record | None:
    """What a finished run left; None if there is no report, or files that it names are missing or of another size.

    Args:
        target: folder of the outputs.
        names: of the outputs.
    """
    report = _report(target, names)
    sizes = _sizes(report, names)
    said = report.get(DIGESTS)
    if not sizes or not isinstance(said, dict):
        return None
    for name, size in sizes.items():
        path = target / name
        if not path.is_file() or path.stat().st_size != size:
            return None
    again = target / recipe_name(names)
    paths = (*(target / name for name in sizes), target / report_name(names), *([again] if again.is_file() else []))
    return Record(report, paths, {str(key): str(value) for key, value in said.items()})


def files(target: Path, names: Names) -> list[str]:
    """Paths below a folder that an earlier run wrote, as its report says."""
    return list(_sizes(_report(target, names), names))


def _report(target: Path, names: Names) -> Mapping[str, Any]:
    path = target / report_name(names)
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _sizes(report: Mapping[str, Any], names: Names) -> dict[str, int]:
    """Files that a report names, as far as they can be outputs of that name."""
    found = report.get(FILES)
    if not isinstance(found, dict):
        return {}
    paths = {name: PurePosixPath(name) for name in found}
    good = all(p.parts[0].startswith(names.mean("")) and ".." not in p.parts for p in paths.values() if p.parts)
    whole = all(isinstance(size, int) for size in found.values()) and all(p.parts for p in paths.values())
    return found if good and whole else {}


def finished(request: Request, domain: str, names: Names, source: str) -> Record | None:
    """The record of an input that needs no work, if the request wants such inputs left alone.

    Args:
        request: what is asked.
        domain: name of the domain that reads the input.
        names: of the outputs.
        source: digest of the input's content.

    Raises:
        OutputError: outputs exist, but of another input or another request, and may not be replaced.
    """
    if not request.goes_on or request.output is None:
        return None
    found = read(Path(request.output), names)
    if found is None:
        return None
    wanted = digests(request, domain, source)
    if found.digests == wanted:
        return found
    if request.replaces:
        return None
    what = "from an input that has changed" if found.digests.get(INPUT) != source else "with other settings"
    raise OutputError(
        f"{found.files[0]}: exists already, made {what}; give overwrite=true to make it again, or another output=DIR"
    )
