"""The one door for files: what may be opened at all, and how large what it claims may be.

Every domain, the corpora of training and the weights ask here before a library sees a byte. A limit is a default that
no file of the field known to us reaches; all of them grow together by one option, the environment variable `OPTION`.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from gensr.errors import FormatError, UsageError

OPTION = "GENSR_LIMIT"
"""Environment variable with a factor on every limit, for example ``GENSR_LIMIT=4``."""
SYSTEM = ("/proc", "/sys", "/dev")
"""Folders whose files are no data: reading them waits, or never ends."""
VIRTUAL = re.compile(r"/+vsi[a-z0-9_]*(/|$|\?)", re.IGNORECASE)
"""Names that GDAL takes for archives, memory or addresses of the network."""
URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/|://")


@dataclass(frozen=True)
class Limit:
    """What a file may claim at most.

    Attributes:
        most: the number.
        what: it counts, in words for messages and the table in ``docs/formats.md``.
    """

    most: int
    what: str


LIMITS = {
    "scene": Limit(256 << 30, "bytes of all pixels, unpacked"),
    "believed": Limit(64 << 20, "bytes that any file may unpack to, whatever its own size"),
    "ratio": Limit(2000, "bytes unpacked for each byte stored (DEFLATE cannot exceed 1032)"),
    "block": Limit(1 << 30, "bytes of one strip, tile or frame, unpacked"),
    "slack": Limit(16 << 20, "bytes of a block beyond 64 times the pixels of the image"),
    "boxes": Limit(100_000, "boxes of a JPEG 2000 file"),
    "inflated": Limit(512 << 20, "bytes of a deflated DICOM data set, which is unpacked in memory"),
    "bands": Limit(4096, "bands of a raster"),
    "pages": Limit(100_000, "directories of a TIFF"),
    "cards": Limit(50_000, "cards of a FITS header"),
    "continued": Limit(1000, "CONTINUE cards of one FITS value"),
    "xml": Limit(64 << 20, "bytes of XML"),
    "elements": Limit(500_000, "elements of XML"),
    "depth": Limit(100, "levels of nested XML or JSON"),
    "sidecar": Limit(4 << 20, "bytes of a text beside an image (.aux.xml, world file, RPC)"),
    "corpus": Limit(1 << 30, "bytes of one array or picture of a corpus, unpacked"),
    "weights": Limit(2 << 30, "bytes of a weights file"),
    "memory": Limit(4 << 30, "bytes of memory of the process that runs decoders"),
    "seconds": Limit(20, "seconds that decoding one strip, tile or frame may take"),
}
"""Every limit by its name."""


def limit(name: str) -> int:
    """A limit of `LIMITS`, times the factor that the user gave.

    >>> limit("bands")
    4096

    Raises:
        UsageError: the factor is no positive number.
    """
    text = os.environ.get(OPTION, "").strip()
    try:
        factor = float(text or 1)
    except ValueError:
        factor = 0.0
    if not 0 < factor <= 1e6:
        raise UsageError(f"{OPTION}={text}: expected a factor on all limits from above 0 to 1e6, for example 4")
    return max(1, int(LIMITS[name].most * factor))


def within(name: str, claimed: int, path: Path | str) -> None:
    """Refuse what claims more than a limit.

    Args:
        name: of the limit.
        claimed: the number that a header states or a stream has reached.
        path: for the message.

    Raises:
        FormatError: names the file, the number, the limit and the option.
    """
    most = limit(name)
    if claimed > most:
        raise FormatError(
            f"{path}: claims {claimed} {LIMITS[name].what}, at most {most} are read; the file is damaged or a bomb "
            f"(if it is neither, raise all limits with {OPTION}={_enough(claimed / most)})"
        )


def _enough(excess: float) -> int:
    """The least power of two that is not below."""
    return 1 << max(1, int(excess - 1e-9).bit_length())


def expands(name: str, packed: int, unpacked: int, path: Path | str) -> None:
    """Refuse what claims to unpack to a size that no codec reaches, and more than any machine has to spare.

    Args:
        name: of the part that is packed, for the message.
        packed: bytes in the file.
        unpacked: bytes that it claims to be.
        path: for the message.

    Raises:
        FormatError: beyond "believed" and "ratio" of `LIMITS`.
    """
    if unpacked > max(limit("believed"), limit("ratio") * packed):
        raise FormatError(
            f"{path}: {name} claims {unpacked} bytes in {packed}, more than {LIMITS['ratio'].most} to one; "
            f"an empty (sparse) file or a decompression bomb (if it is neither, raise all limits with {OPTION}=)"
        )


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
        raise FormatError(f"{text}: GDAL virtual paths (/vsi...) are not opened; unpack or download the file first")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if URL.search(text):
            raise FormatError(f"{text}: URLs are not opened; download the file and give its path") from None
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


def at_home(text: str) -> Path:
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
