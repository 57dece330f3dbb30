"""How much a file may claim: every limit in one table, raised together by one option.

A limit is a default that no file of the field known to us reaches; all of them grow by the environment variable
`OPTION`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gensr.errors import FormatError, UsageError

OPTION = "GENSR_LIMIT"
"""Environment variable with a factor on every limit, for example ``GENSR_LIMIT=4``."""


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
    "block": Limit(2 << 30, "bytes of one strip, tile or frame, unpacked"),
    "slack": Limit(16 << 20, "bytes of a block beyond 64 times the pixels of the image"),
    "boxes": Limit(100_000, "boxes of a JPEG 2000 file"),
    "inflated": Limit(512 << 20, "bytes of a deflated DICOM data set, which is unpacked in memory"),
    "gunzipped": Limit(256 << 20, "bytes that a gzipped FITS file may unpack to beyond 200 times its own size"),
    "bands": Limit(4096, "bands of a raster"),
    "pages": Limit(100_000, "directories of a TIFF"),
    "planes": Limit(1_000_000, "planes of a micrograph"),
    "cards": Limit(20_000, "cards of a FITS header, and a fifth of those of a file"),
    "continued": Limit(1000, "CONTINUE cards of one FITS value"),
    "xml": Limit(64 << 20, "bytes of XML"),
    "elements": Limit(50_000, "elements of XML, beyond ten for every page of a TIFF"),
    "depth": Limit(100, "levels of nested XML or JSON"),
    "sidecar": Limit(4 << 20, "bytes of a text beside an image (.aux.xml, world file, RPC)"),
    "corpus": Limit(1 << 30, "bytes of one array or picture of a corpus, unpacked"),
    "packed": Limit(200, "bytes unpacked for each byte stored in a zip of a corpus"),
    "weights": Limit(2 << 30, "bytes of a weights file"),
    "memory": Limit(3 << 30, "bytes of memory of the process that runs decoders"),
    "seconds": Limit(10, "seconds that decoding may take, and one more for every 16 MiB that it yields"),
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
