"""Recognise a FITS file by its first card, without any FITS library."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path


def magic(path: Path) -> bytes:
    """First 80 bytes of the content (inside gzip, if gzipped), b"" if unreadable."""
    try:
        with path.open("rb") as stream:
            head = stream.read(80)
        if head[:2] == b"\x1f\x8b":
            with gzip.open(path, "rb") as stream:
                head = stream.read(80)
    except (OSError, EOFError, zlib.error):
        return b""
    return head


def is_fits(head: bytes) -> bool:
    """True for the mandatory first card of a FITS file."""
    return head.startswith(b"SIMPLE  =") and head[9:].strip()[:1] == b"T"
