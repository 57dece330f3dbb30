"""Inputs at an address: the one place where anything is fetched, and only where the user said ``remote=true``.

A file is fetched whole, then opened like any other: what is in it is checked on this machine, and no library follows
addresses that a file names. Web addresses need nothing; object stores are read by fsspec and its drivers.
"""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gensr.errors import FormatError, OutputError, PluginError
from gensr.values.limits import limit, within
from gensr.values.web import HEADERS, opener

WEB = ("http", "https")
STORES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""Schemes of object stores, and the package with the driver of fsspec."""
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>[^\s/][^\s]*)")
_VIRTUAL = {"/vsicurl/": "", "/vsis3/": "s3://", "/vsigs/": "gs://", "/vsiaz/": "az://"}
"""Names of GDAL for the same, and what stands for them."""
SECONDS = 60
"""Of silence, after which a server is given up."""
BLOCK = 1 << 20


def address_of(source: str | Path) -> str:
    """The address that a text or path means; "" for a file on this machine.

    >>> address_of("/vsis3/bucket/a.tif"), address_of(Path("https://example.org/a.tif")), address_of("C:/a.tif")
    ('s3://bucket/a.tif', 'https://example.org/a.tif', '')
    """
    text = str(source)
    for name, scheme in _VIRTUAL.items():
        if text.startswith(name):
            text = scheme + text.removeprefix(name)
    found = _ADDRESS.fullmatch(text)
    if found is None or Path(str(source)).exists():
        return ""
    scheme = found["scheme"].lower()
    return f"{scheme}://{found['rest']}" if scheme in (*WEB, *STORES) else ""


def fetched(address: str, folder: Path) -> Path:
    """A copy of what lies at an address; one of the same size that is there already is taken for it.

    Args:
        address: see `address_of`.
        folder: where the copy goes.

    Raises:
        FormatError: nothing there, no server, an address of many parts, or more than the limits allow.
        OutputError: another file has its name.
        PluginError: a driver is not installed.
    """
    name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rstrip("/").rpartition("/")[2])
    if not name or name in (".", "..") or re.search(r"[\\/\0]", name) or "::" in address:
        raise FormatError(f"{address}: names no file; give the address of one")
    target = folder / name
    try:
        with _opened(address) as (stream, size):
            within("scene", size or 0, address)
            if target.exists():
                if target.is_file() and size is not None and target.stat().st_size == size:
                    return target
                raise OutputError(f"{target}: exists, and is not {address}; remove it, or give another output=")
            folder.mkdir(parents=True, exist_ok=True)
            _copy(stream, target, address, size)
    except (OSError, ValueError) as error:  # URLError, timeouts and the errors of object stores are OSErrors
        reason = " ".join(str(error).split())[:160]
        raise FormatError(f"{address}: cannot be fetched ({reason}); check the address and the connection") from error
    return target


@contextmanager
def _opened(address: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """A stream at an address, and its size where the server says it."""
    scheme = address.partition(":")[0]
    if scheme in WEB:
        with opener().open(urllib.request.Request(address, headers=HEADERS), timeout=SECONDS) as stream:
            length = stream.headers.get("Content-Length", "")
            yield stream, int(length) if length.isdigit() else None
        return
    try:
        import fsspec

        system = fsspec.filesystem(scheme)
    except (ImportError, ValueError) as error:
        raise PluginError(f"{address}: needs the package {STORES[scheme]}; pip install {STORES[scheme]}") from error
    with system.open(address, "rb") as stream:
        size = getattr(stream, "size", None)
        yield stream, size if isinstance(size, int) else None


def _copy(stream: IO[bytes], target: Path, address: str, size: int | None) -> None:
    """Write a stream under another name first, so that a copy with its name is whole."""
    part = target.with_name(f"{target.name}.part")
    done, most = 0, limit("scene")
    try:
        with part.open("wb") as sink:
            while block := stream.read(BLOCK):
                done += len(block)
                if done > most:
                    within("scene", done, address)
                sink.write(block)
        if size is not None and done != size:
            raise FormatError(f"{address}: broke off after {done} of {size} bytes; try again")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
