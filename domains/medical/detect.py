"""What a file or folder is, from its first bytes; and names that say nothing about the patient."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from pathlib import Path

NIFTI, DICOM = "nifti", "dicom"
_GZIP = b"\x1f\x8b"
_HEAD = 1024
_LOOKED_AT = 64
_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split())


def kind(path: Path) -> str:
    """``"nifti"``, ``"dicom"`` or ``""`` for a file; never raises for a damaged or unreadable one."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return ""
    if head[128:132] == b"DICM" or bare_dataset(head):
        return DICOM
    if head[:2] == _GZIP:
        try:
            # No more than the magic needs: a wrong checksum at the end is for `open` to report.
            head = zlib.decompressobj(wbits=31).decompress(head, 348)
        except zlib.error:
            return ""
    return NIFTI if nifti_version(head) else ""


def nifti_version(head: bytes) -> int:
    """1 or 2 for the start of a NIfTI header (single file or detached), 0 for anything else."""
    if head[344:348] in (b"n+1\0", b"ni1\0") and 348 in (
        *struct.unpack("<i", head[:4]),
        *struct.unpack(">i", head[:4]),
    ):
        return 1
    if head[4:8] in (b"n+2\0", b"ni2\0") and 540 in (*struct.unpack("<i", head[:4]), *struct.unpack(">i", head[:4])):
        return 2
    return 0


def bare_dataset(head: bytes) -> bool:
    """A DICOM data set without preamble: it starts with a plausible element of group 0002 or 0008."""
    if len(head) < 16:
        return False
    for order in "<>":
        group, element = struct.unpack(order + "HH", head[:4])
        if group not in (0x0002, 0x0008) or element > 0x0070:
            continue
        if head[4:6] in _VRS:
            return True
        (length,) = struct.unpack(order + "I", head[4:8])
        if length % 2 == 0 and 0 < length <= 256 and _next_is_close(head, 8 + length, group, order):
            return True
    return False


def _next_is_close(head: bytes, at: int, group: int, order: str) -> bool:
    """The element behind the first one belongs to the same or a near group."""
    if at + 4 > len(head):
        return False
    (found,) = struct.unpack(order + "H", head[at : at + 2])
    return bool(group <= found <= 0x0010)


def dicom_files(folder: Path) -> list[Path]:
    """DICOM files directly inside a folder, sorted by name, without DICOMDIR and hidden files."""
    found = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    return [p for p in found if not p.name.upper().startswith("DICOMDIR") and kind(p) == DICOM]


def holds_dicom(folder: Path) -> bool:
    """Whether a DICOM file is among the first files of a folder."""
    try:
        names = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    except OSError:
        return False
    return any(kind(p) == DICOM for p in names[:_LOOKED_AT])


def plain_stem(name: str) -> str:
    """File name without the endings of the formats, which may be doubled.

    >>> plain_stem("sub-01_T1w.nii.gz"), plain_stem("1.2.840.113619"), plain_stem("a.IMA")
    ('sub-01_T1w', '1.2.840.113619', 'a')
    """
    cut = re.sub(r"(\.nii(\.gz)?|\.hdr|\.img|\.dcm|\.dicom|\.ima)$", "", name, flags=re.IGNORECASE)
    return cut or name


def words(*values: object) -> frozenset[str]:
    """Lower-case words of at least three letters or digits in texts that identify a person."""
    found = (re.split(r"[^0-9a-z]+", str(value).lower()) for value in values if value)
    return frozenset(word for part in found for word in part if len(word) >= 3)


def scrubbed(name: str, identifying: frozenset[str]) -> str:
    """A file name, or a hash in its place when it holds an identifying word.

    >>> scrubbed("doe_jane_knee", frozenset({"doe", "jane"}))[:6]
    'input_'
    """
    own = words(name)
    hit = own & identifying or any(len(w) >= 5 and w in name.lower() for w in identifying)
    return f"input_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}" if hit else name
