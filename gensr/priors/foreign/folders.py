"""Folders of weights: what lies in them, without links, and their JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint
from gensr.priors.schema import check_depth

MOST_FILES = 2000
DEPTH = 6
LONGEST = 4 << 20
"""Bytes of a JSON file that is parsed."""


def read(folder: Path) -> Checkpoint:
    """List a folder and parse its JSON; no file of weights is opened yet.

    Raises:
        WeightsError: a link, a device, too many files, or JSON that is none.
    """
    files: dict[str, Path] = {}
    _list(folder, folder, files, 0)
    documents = {name: _json(path) for name, path in files.items() if name.endswith(".json")}
    code = [name for name in files if name.endswith((".py", ".pyc", ".so", ".dll"))]
    notes = (f"holds code that is never run ({', '.join(code[:3])})",) if code else ()
    return Checkpoint(folder, "folder", None, {}, notes, files, documents)


def _list(top: Path, folder: Path, files: dict[str, Path], depth: int) -> None:
    if depth > DEPTH:
        raise WeightsError(f"{top}: folders more than {DEPTH} deep; give the folder of the weights themselves")
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError as error:
        raise WeightsError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
    for entry in entries:
        if entry.name.startswith("."):  # of version control and file managers
            continue
        path = Path(entry.path)
        if entry.is_symlink():
            raise WeightsError(f"{path}: a link in a folder of weights; put the file itself there")
        if entry.is_dir():
            _list(top, path, files, depth + 1)
        elif entry.is_file():
            files[path.relative_to(top).as_posix()] = path
        else:
            raise WeightsError(f"{path}: a device or pipe in a folder of weights; remove it")
        if len(files) > MOST_FILES:
            raise WeightsError(f"{top}: more than {MOST_FILES} files; give the folder of the weights themselves")


def _json(path: Path) -> object:
    try:
        size = path.stat().st_size
        if size > LONGEST:
            raise ValueError(f"{size} bytes, at most {LONGEST}")
        text = path.read_text("utf-8")
        check_depth(text)
        return json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: unreadable JSON ({str(error)[:80]}); get the folder again") from None
