"""Recognise a FITS file by its first card, without any FITS library."""

from __future__ import annotations

from pathlib import Path

from .packing import DAMAGE, packing, unpacked


def magic(path: Path) -> bytes:
    """First 80 bytes of the content (inside gzip, bzip2, xz or zip), b"" if unreadable."""
    try:
        kind = packing(path)
        if kind:
            return next(unpacked(path, kind, 80), b"")
        with path.open("rb") as stream:
            return stream.read(80)
    except DAMAGE:
        return b""


def is_fits(head: bytes) -> bool:
    """True for the mandatory first card of a FITS file."""
    return head.startswith(b"SIMPLE  =") and head[9:].strip()[:1] == b"T"
