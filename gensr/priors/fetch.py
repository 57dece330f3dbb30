"""Fetching weights from web addresses: known by their SHA-256, gone on with after a break, kept for later.

A server is not trusted: what it says of lengths and ranges is compared with what comes, and in the end the digest alone
decides. So a copy that was begun elsewhere, or by a run that was killed, can be gone on with.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gensr.errors import FormatError, WeightsError
from gensr.values.limits import limit, within
from gensr.values.web import HEADERS, opener

DIGEST = re.compile(r"[0-9a-f]{64}")
BLOCK = 1 << 18
SECONDS = 30.0
"""Of silence, after which a server is given up."""
SLOWEST = 1024
"""Bytes that must come in that time."""
FRUITLESS = 3
"""Attempts in a row that bring nothing, after which a server is given up."""
ATTEMPTS = 100
PAUSE = 0.5
"""Seconds before the first attempt that follows a failed one; each further pause is twice as long."""
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Codes of a server that may answer later."""
Progress = Callable[[int, int], None]


class _Broken(Exception):
    """A connection ended before the file did."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_digest(text: str) -> str:
    """A SHA-256 as people write it; ``sha256:`` may stand before it.

    Raises:
        WeightsError: it is none.
    """
    plain = text.strip().lower().removeprefix("sha256:")
    if not DIGEST.fullmatch(plain):
        raise WeightsError(f"sha256={text[:80]}: expected 64 hexadecimal digits, as sha256sum prints them")
    return plain


def file_name(address: str) -> str:
    """The name of the file at an address.

    >>> file_name("https://example.org/nets/hands%20v2.safetensors?download=1")
    'hands v2.safetensors'

    Raises:
        WeightsError: the address names none.
    """
    name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
    if not name or name.startswith(".") or re.search(r"[\\/\0-\x1f]", name) or len(name.encode()) > 200:
        raise WeightsError(f"{address}: names no file; give the address of one")
    return name


def fetched(
    address: str,
    sha256: str,
    folder: Path,
    seconds: float = SECONDS,
    offline: bool = False,
    progress: Progress | None = None,
    pause: float = PAUSE,
) -> Path:
    """The file with a digest, from ``folder`` if it is there, else from an address.

    Args:
        address: http or https.
        sha256: 64 hexadecimal digits.
        folder: where files are kept, each in a folder named by its digest.
        seconds: of silence, after which an attempt is given up.
        offline: only what is in ``folder``.
        progress: called with bytes that are there and bytes in all.
        pause: seconds before the second attempt.

    Raises:
        WeightsError: no such file, no server, one that lies, or other bytes than the digest says.
    """
    target = folder / sha256 / file_name(address)
    for kept in sorted(target.parent.glob("[!.]*")):  # under whatever name it was fetched before
        if kept.is_file() and sha256_of(kept) == sha256:
            return kept
        kept.unlink()
    if offline:
        raise WeightsError(f"{address}: not fetched yet, and offline=true; run it once without")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / ".part"
    with _alone(target.parent / ".lock", address):
        begun = part.exists()
        _complete(address, part, seconds, progress, pause)
        if begun and sha256_of(part) != sha256:  # what was there may be of another file
            part.unlink()
            _complete(address, part, seconds, progress, pause)
        found = sha256_of(part)
        if found != sha256:
            part.unlink()
            raise WeightsError(
                f"{address}: other bytes than expected (sha256 {found}, expected {sha256}); nothing was kept: compare "
                "the digest with what the publisher says"
            )
        part.replace(target)
    return target


@contextmanager
def _alone(path: Path, address: str) -> Iterator[None]:
    """Hold a lock, so that two commands do not write into one file."""
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WeightsError(f"{address}: is being fetched by another command; wait for it") from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):  # a file system without locks
                raise
        yield


def _complete(address: str, part: Path, seconds: float, progress: Progress | None, pause: float) -> None:
    """Add to ``part`` until the server says that it is whole."""
    fruitless, wait, reason = 0, pause, ""
    for _ in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _attempt(address, part, before, seconds, progress)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # more is there than the server has: of another file
                part.unlink(missing_ok=True)
            elif error.code not in PASSING:
                raise _given_up(address, f"{error.code} {error.msg}", part) from error
            reason = f"{error.code} {error.msg}"
        except (OSError, http.client.HTTPException, ValueError, _Broken) as error:
            if isinstance(error, urllib.error.URLError) and isinstance(error.reason, str):
                raise _given_up(address, error.reason, part) from error  # not the connection: the address
            reason = str(error) or type(error).__name__
        after = part.stat().st_size if part.exists() else 0
        fruitless, wait = (0, pause) if after > before else (fruitless + 1, wait * 2)
        if fruitless >= FRUITLESS:
            break
        time.sleep(wait)
    raise _given_up(address, reason, part)


def _given_up(address: str, reason: str, part: Path) -> WeightsError:
    there = part.stat().st_size if part.exists() else 0
    advice = f"the same command goes on after {there} bytes" if there else "check the address and the connection"
    return WeightsError(f"{address}: cannot be fetched ({' '.join(reason.split())[:160]}); {advice}")


def _attempt(address: str, part: Path, there: int, seconds: float, progress: Progress | None) -> None:
    """One connection: append what comes; what was there is given up where the server begins again."""
    headers = {**HEADERS, **({"Range": f"bytes={there}-"} if there else {})}
    with opener().open(urllib.request.Request(address, headers=headers), timeout=seconds) as answer:
        if answer.status not in (200, 206):
            raise _Broken(f"answered {answer.status}")
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isascii() and length.isdigit() else None
        if answer.status == 206:
            said = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", answer.headers.get("Content-Range", ""))
            if said is None or int(said[1]) != there:
                part.unlink(missing_ok=True)
                raise _Broken("sent another part than it was asked for")
            total = int(said[2])
        else:
            there = 0
        try:
            within("weights", total or 0, address)
        except FormatError as error:
            raise WeightsError(str(error)) from None
        _pour(answer, part, there, total, address, seconds, progress)


def _pour(
    answer: http.client.HTTPResponse,
    part: Path,
    there: int,
    total: int | None,
    address: str,
    seconds: float,
    progress: Progress | None,
) -> None:
    most = limit("weights")
    with part.open("r+b" if there else "wb") as sink:
        sink.seek(there)
        since, counted = time.monotonic(), there
        while block := answer.read1(BLOCK):
            sink.write(block)
            there += len(block)
            if there > most:
                part.unlink()
                raise WeightsError(f"{address}: sends more than {most} bytes, which no weights file has")
            if progress is not None and total:
                progress(min(there, total), total)
            if there - counted >= SLOWEST:
                since, counted = time.monotonic(), there
            elif time.monotonic() - since > seconds:
                raise _Broken(f"sends less than {SLOWEST} bytes in {seconds:g} s")
        sink.truncate()
    if total is not None and there != total:
        raise _Broken(f"broke off after {there} of {total} bytes")
