"""The user's own generators: installed from files and addresses, removed again, licence shown before first use."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

from gensr import registry
from gensr.errors import WeightsError, nearest
from gensr.priors import trust, weights
from gensr.priors.fetch import DIGEST, Progress, fetched, file_name, parse_digest
from gensr.priors.schema import NAME
from gensr.priors.weights import SUFFIX, Weights

Existing = Literal["error", "overwrite"]
WEB = re.compile(r"https?://", re.IGNORECASE)


def downloads() -> Path:
    """Where fetched files are kept, so that they are fetched once."""
    return weights.user_folder() / "downloads"


def is_weights(path: Path) -> bool:
    """Whether a file is of our own kind: safetensors with our header, damaged or not."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8 + weights.LONGEST)
    except OSError:
        return False
    size = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and f'"{weights.KEY}":'.encode() in head[8 : 8 + size]


def install(path: Path, name: str | None = None, existing: Existing = "error") -> Weights:
    """Copy a weights file to where generators are found by name.

    Args:
        path: of a file that gensr wrote.
        name: to install under; that of its card if not given.
        existing: whether a generator of that name is replaced.

    Returns:
        The installed weights.

    Raises:
        WeightsError: damaged, foreign, or the name is taken, shipped with gensr, or no name.
    """
    found = weights.read(path)
    name = found.card.name if name is None else name
    NAME.check(name, "name")
    if name.endswith(SUFFIX) or not name.strip():
        raise WeightsError(f"name={name}: give the name alone, without {SUFFIX}")
    target = weights.user_folder() / f"{name}{SUFFIX}"
    taken = weights.available().get(name)
    if taken is not None and taken != target:
        raise WeightsError(f"{name}: a generator of that name comes with gensr or a plug-in; give another name=")
    if taken is not None and existing != "overwrite":
        if weights.read(target).digest == found.digest:
            return replace(found, path=target)
        raise WeightsError(f"{name}: is installed from another file; give another name=, or existing=overwrite")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        shutil.copyfile(path, partial)
        if weights.read(partial).digest != found.digest:
            raise WeightsError(f"{path}: changed while it was copied; try again")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return replace(found, path=target)


def trusted(path: Path) -> str:
    """Let the program in a weights file run on this machine from now on.

    Returns:
        What that means, in words.

    Raises:
        WeightsError: there is no program in it.
    """
    found = weights.read(path)
    digest = found.config.get(trust.KEY)
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise WeightsError(f"{path}: holds no program, so there is nothing to trust; leave out trust=true")
    trust.trust(digest, f"{found.card.name}: {path}")
    return f"trusted on this machine from now on: {trust.MEANING}"


def remove(name: str) -> Path:
    """Delete an installed generator of the user.

    Returns:
        The file that was deleted.

    Raises:
        WeightsError: no such generator, or one that the user did not install.
    """
    target = weights.user_folder() / f"{name}{SUFFIX}"
    known = weights.available()
    if known.get(name) != target:
        own = sorted(n for n, path in known.items() if path.parent == weights.user_folder())
        if name in known:
            raise WeightsError(f"{name}: comes with gensr or a plug-in ({known[name]}), so it is not removed")
        raise WeightsError(f"{name}: is not installed{nearest(name, own) or ';'} yours are: {', '.join(own) or 'none'}")
    target.unlink()
    return target


def forget_downloads() -> int:
    """Delete every file that was fetched; returns the bytes that are free now."""
    folder = downloads()
    size = sum(p.lstat().st_size for p in folder.rglob("*") if not p.is_dir()) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=not folder.exists())
    return size


def pull(
    address: str, sha256: str | None, seconds: float, offline: bool = False, progress: Progress | None = None
) -> Path:
    """Fetch what lies at an address of the web.

    Args:
        address: http or https.
        sha256: of the file, as its publisher states it.
        seconds: see `gensr.priors.fetch.fetched`.
        offline: only what was fetched before.
        progress: see `gensr.priors.fetch.fetched`.

    Raises:
        WeightsError: not an address, no digest, or see `gensr.priors.fetch.fetched`.
    """
    if not WEB.match(address):
        raise WeightsError(f"{address}: is no address; give https://... with sha256=, or hf://OWNER/NAME")
    file_name(address)
    if sha256 is None:
        raise WeightsError(f"{address}: give sha256=, which its publisher states: what is fetched is known by it")
    return fetched(address, parse_digest(sha256), downloads(), seconds, offline, progress)


def first_use(found: Weights) -> str:
    """The licence of a generator that did not come with gensr, the first time that it is used here; "" from then on.

    Args:
        found: what is about to be used.
    """
    if found.path.parent in registry.weight_folders():
        return ""
    seen = weights.user_folder() / "licences" / found.digest[:32]
    if seen.is_file():
        return ""
    with contextlib.suppress(OSError):  # a home that cannot be written to: it is shown again next time
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.write_text(f"{found.card.name}: {found.card.licence}\n", "utf-8")
    return f"{found.card.name} is used for the first time; licence: {found.card.licence or 'not stated'}"
