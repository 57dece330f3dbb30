"""The one door for files: what may be opened at all, and which files beside it.

Every domain and the corpora of training ask here before a library sees a byte; how much a file may claim is in
`gensr.values.limits`.
"""

from __future__ import annotations

import lzma
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path

from gensr.errors import FormatError

SYSTEM = ("/proc", "/sys", "/dev")
"""Folders whose files are no data: reading them waits, or never ends."""
VIRTUAL = re.compile(r"/+vsi[a-z0-9_]*(/|$|\?)", re.IGNORECASE)
"""Names that GDAL takes for archives, memory or addresses of the network."""
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, IndexError, RuntimeError)
"""What libraries raise, beside OSError, for damaged, truncated, encrypted or unknown zip, gzip, bzip2 and xz.

A RuntimeError is also what is not implemented or nested too deep, an IndexError an entry without a name.
"""
URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/|://")


def admit(path: Path) -> None:
    """Let in regular files and folders of data, and nothing else.

    Args:
        path: what the user named.

    Raises:
        FormatError: an address, a virtual path, a device, a pipe, a file of the system, or nothing at all.
    """
    text = str(path)
    if "\0" in text:
        raise FormatError(f"{text!r}: is no file name; give a file, folder or glob")
    if VIRTUAL.match(text) or VIRTUAL.match(os.path.abspath(text)):
        raise FormatError(f"{text}: GDAL virtual paths (/vsi...) are not opened; unpack the file first, or fetch it")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if URL.search(text):
            raise FormatError(f"{text}: URLs are not opened; remote=true fetches one, or give a copy's path") from None
        raise FormatError(f"{path}: no such file or folder; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FormatError(f"{path}: cannot be read ({reason}); check the path and its permissions") from None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise FormatError(f"{path}: is a device or pipe; give a regular file")
    real = os.path.realpath(path)
    if any(real == top or real.startswith(top + os.sep) for top in SYSTEM) and not real.startswith("/dev/shm/"):
        top = real.split(os.sep)[1]
        raise FormatError(f"{path}: lies in /{top}, which belongs to the system and holds no images; copy it first")


def at_home(text: str | Path) -> Path:
    """A path as the user typed it; ``~`` and ``~name`` are home folders where there is one, else part of a name."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def neighbours(path: Path, names: list[str]) -> dict[str, Path]:
    """Files beside an image that have one of the given names in any case, as the libraries look for them.

    Args:
        path: the image.
        names: of files in the same folder, as they are usually written.

    Returns:
        By the name as it was given; where several files differ in case alone, the one that is written like it.

    Raises:
        FormatError: such a file is no regular file, or a link out of a folder whose image is none.
    """
    wanted = {name.lower(): name for name in reversed(names)}
    found: dict[str, Path] = {}
    try:
        entries = sorted(os.scandir(path.parent), key=lambda e: e.name)
    except OSError:  # a folder that may be entered but not listed has no neighbours that anybody can see
        return {}
    for entry in entries:
        name = wanted.get(entry.name.lower())
        if name is None or (name in found and entry.name != name) or entry.is_dir():
            continue
        if not entry.is_file():
            raise FormatError(f"{entry.path}: is a device, pipe or broken link beside an image; remove it")
        if entry.is_symlink() and not path.is_symlink():
            raise FormatError(f"{entry.path}: is a link to another file; put the file itself beside the image")
        found[name] = Path(entry.path)
    return found
