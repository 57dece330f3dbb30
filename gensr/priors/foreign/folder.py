"""Folders of weights (diffusers, MONAI bundles): their files, their JSON as data, and no link that leads out."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint
from gensr.priors.schema import check_depth

FILES, DEEP = 10_000, 12
"""Most files, and most folders inside each other."""
DOCUMENT = 1 << 20
"""Bytes of JSON that are parsed; what is larger is vocabulary, not configuration."""
DOCUMENTS = 32 << 20
"""Bytes of all JSON that is parsed."""
BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""Names of files in the cache of the Hugging Face hub, whose folders hold links to them."""


def read_folder(path: Path) -> Checkpoint:
    """List a folder and parse its JSON; weights are read when a family asks for them.

    Args:
        path: of the folder.

    Raises:
        WeightsError: it cannot be read, has too many files, a link that leads out, a device, or JSON that is none.
    """
    files: dict[str, Path] = {}
    try:
        home = os.path.realpath(path)
        for entry in _walk(path, home, "", 0):
            files[entry.relative_to(path).as_posix()] = entry
            if len(files) > FILES:
                raise WeightsError(f"{path}: more than {FILES} files; give the folder of one model")
        documents, size = {}, 0
        for name, file in sorted(files.items()):
            length = file.stat().st_size
            if name.lower().endswith(".json") and length <= DOCUMENT:
                size += length
                if size > DOCUMENTS:
                    raise WeightsError(f"{path}: more than {DOCUMENTS} bytes of JSON; give the folder of one model")
                documents[name] = _document(path, name, file)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return Checkpoint(path, "folder", None, {}, (), files, documents)


def _walk(top: Path, home: str, inside: str, depth: int) -> Iterator[Path]:
    """Regular files; hidden ones and those of Git are left out."""
    if depth > DEEP:
        raise WeightsError(f"{top}: folders more than {DEEP} deep; give the folder of one model")
    with os.scandir(top / inside) as found:
        entries = sorted(found, key=lambda e: e.name)
    for entry in entries:
        name = f"{inside}/{entry.name}".lstrip("/")
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            yield _followed(top, home, name)
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(top, home, name, depth + 1)
        elif entry.is_file(follow_symlinks=False):
            yield top / name
        else:
            raise WeightsError(f"{top}: {name!r} is a device or pipe, which no model has; get it again")


def _followed(top: Path, home: str, name: str) -> Path:
    """A link to a file of the folder itself, or of the hub's cache (``blobs`` beside ``snapshots``).

    Raises:
        WeightsError: it leads elsewhere.
    """
    real = os.path.realpath(top / name)
    blobs = os.path.join(os.path.dirname(os.path.dirname(home)), "blobs")
    cached = os.path.basename(os.path.dirname(home)) == "snapshots" and os.path.dirname(real) == blobs
    kept = real.startswith(home + os.sep) or (cached and BLOB.fullmatch(os.path.basename(real)) is not None)
    if not kept or not stat.S_ISREG(os.stat(real).st_mode):
        raise WeightsError(f"{top}: {name!r} is a link out of the folder; put the file itself there")
    return top / name


def _document(top: Path, name: str, file: Path) -> object:
    try:
        text = file.read_text("utf-8")
        check_depth(text)
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{top}: {name} is no JSON ({str(error)[:80]}); get it again") from None
