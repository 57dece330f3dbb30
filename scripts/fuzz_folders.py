"""Inputs that are folders, packed into one file each: spoiled file by file, and by links and pipes."""

from __future__ import annotations

import io
import os
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

SUFFIX = ".folder"
"""Ending of a packed folder, behind the name that it has when it is unpacked."""
LINKS = ("/etc/passwd", "../outside", "..", ".", "/proc/self/environ", "/dev/zero", "/")
TIME = (2026, 1, 1, 0, 0, 0)
"""Of every entry, so that equal folders are equal bytes."""
Mutate = Callable[[random.Random, str, bytes], bytes]
Entry = tuple[int, bytes]
"""Type of a file (of `stat`) and its content; of a link, where it leads."""


def pack(folder: Path) -> bytes:
    """The files of a folder as a zip."""
    names = sorted(p for p in folder.rglob("*") if p.is_file())
    return _packed({p.relative_to(folder).as_posix(): (stat.S_IFREG, p.read_bytes()) for p in names})


def unpack(packed: Path) -> Path:
    """Lay a packed folder down beside its file, under its name without `SUFFIX`.

    Raises:
        ValueError: an entry that would lie outside.
    """
    folder = packed.with_name(packed.name.removesuffix(SUFFIX))
    folder.mkdir()
    for name, (kind, content) in _entries(packed.read_bytes()).items():
        target = folder / name
        if name.startswith("/") or ".." in Path(name).parts:
            raise ValueError(f"{name} lies outside of the folder")
        if target.exists() or any(p.is_symlink() or p.is_file() for p in target.parents if folder in p.parents):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == stat.S_IFLNK:
            target.symlink_to(content.decode())
        elif kind == stat.S_IFIFO:
            os.mkfifo(target)
        else:
            target.write_bytes(content)
    return folder


def spoil(rng: random.Random, raw: bytes, mutate: Mutate) -> bytes:
    """One file spoiled by its structure, or gone, emptied, renamed, exchanged, a link or a pipe."""
    entries = _entries(raw)
    # Small files say what the large ones are; each kind of file is as likely as any other.
    kinds = {name: Path(name).suffix or Path(name).name for name in sorted(entries)}
    kind = rng.choice(sorted(set(kinds.values())))
    name = rng.choice([name for name, of in kinds.items() if of == kind])
    form, content = entries[name]
    what = rng.randrange(16)
    if what == 0:
        del entries[name]
    elif what == 1:
        entries[name] = (stat.S_IFREG, b"")
    elif what == 2:
        entries[rng.choice((f"{name}.bak", name.upper(), f"{name}/x", f"a/{name}", Path(name).name))] = entries.pop(
            name
        )
    elif what == 3:
        other = rng.choice(sorted(entries))
        entries[name], entries[other] = entries[other], entries[name]
    elif what == 4:
        entries[name] = (stat.S_IFLNK, rng.choice((*LINKS, Path(rng.choice(sorted(entries))).name)).encode())
    elif what == 5:
        entries[name] = (stat.S_IFIFO, b"")
    elif form == stat.S_IFREG:
        entries[name] = (form, mutate(rng, Path(name).name, content or b"x"))
    return _packed(entries or {"a": (stat.S_IFREG, b"")})


def _entries(raw: bytes) -> dict[str, Entry]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {i.filename: (stat.S_IFMT(i.external_attr >> 16), archive.read(i)) for i in archive.infolist()}


def _packed(entries: dict[str, Entry]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (kind, content) in entries.items():
            info = zipfile.ZipInfo(name, TIME)
            info.external_attr = (kind | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return target.getvalue()
