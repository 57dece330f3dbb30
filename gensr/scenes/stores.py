"""Zarr hierarchies of unknown origin, in a folder or a zip: metadata are checked before the library sees an array.

A name in metadata never leaves the hierarchy, codecs are those that only unpack, and what an array claims is bounded.
Specifications: https://zarr-specs.readthedocs.io (version 2 and 3).
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gensr.errors import FormatError, PluginError
from gensr.scenes import zarr_unpack
from gensr.scenes.decoding import decoded
from gensr.scenes.distant import DistantArray
from gensr.scenes.door import DAMAGE, admit
from gensr.scenes.zarrays import Facts, facts_of
from gensr.values.limits import expands, limit, within

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
ENDINGS = (".zarr", ".ozx", ".zip")
OME = ("multiscales", "plate", "well", "bioformats2raw.layout")
COUNTED = 4096
"""Files of an array whose sizes are added up before its claim is believed."""


def load() -> Any:  # noqa: ANN401
    """The format library.

    Raises:
        PluginError: if it is not installed.
    """
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise PluginError("Zarr stores need the package zarr; pip install 'gensr[zarr]'") from error
    return zarr


def holds_ome(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes of a group say that it holds an image, a plate or a collection of OME."""
    found = attributes.get("ome")
    return any(key in (found if isinstance(found, Mapping) else attributes) for key in OME)


def looks_like(path: Path) -> bool:
    """Whether a folder or zip holds a Zarr group or array at its root; never raises."""
    try:
        if path.is_dir():
            return any((path / name).is_file() for name in METADATA[:3])
        if path.is_file() and path.name.lower().endswith(ENDINGS) and zipfile.is_zipfile(path):
            with ZarrStore(path) as store:
                return store.version() > 0
    except (FormatError, OSError, *DAMAGE):
        return False
    return False


class ZarrStore:
    """A hierarchy that is read.

    Args:
        path: folder, or zip that is one (``.zarr.zip``, ``.ozx``), also with one folder around it, ``inside``.

    Raises:
        FormatError: no such thing, or a zip that is damaged or unsafe.
    """

    def __init__(self, path: Path) -> None:
        admit(path)
        self.path, self._zip, self.inside = path, None, ""
        if not path.is_dir():
            try:
                self._zip = zipfile.ZipFile(path)
                self._entries = {e.filename: e for e in self._zip.infolist()}
            except (OSError, *DAMAGE) as error:
                raise FormatError(f"{path}: is no readable zip ({error}); get an intact copy") from error
            self.inside = self._root()
        self._store: Any = None

    def __enter__(self) -> ZarrStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files."""
        if self._store is not None:
            self._store.close()
        if self._zip is not None:
            self._zip.close()

    @property
    def zipped(self) -> bool:
        """Whether it is a zip."""
        return self._zip is not None

    def version(self, group: str = "") -> int:
        """Version of Zarr at a place of the hierarchy; 0 where there is no group and no array."""
        if self._has(_join(group, "zarr.json")):
            return 3
        return 2 if any(self._has(_join(group, name)) for name in (".zgroup", ".zarray")) else 0

    def is_array(self, name: str) -> bool:
        """Whether there is an array of that name."""
        if self._has(_join(name, ".zarray")):
            return True
        return self._has(_join(name, "zarr.json")) and self._json(_join(name, "zarr.json")).get("node_type") == "array"

    def attributes(self, name: str = "") -> dict[str, Any]:
        """Attributes of a group or array; {} where there are none.

        Raises:
            FormatError: damaged.
        """
        if self._has(_join(name, "zarr.json")):
            found = self._json(_join(name, "zarr.json")).get("attributes", {})
        else:
            found = self._json(_join(name, ".zattrs")) if self._has(_join(name, ".zattrs")) else {}
        if not isinstance(found, dict):
            raise FormatError(f"{self.path}: attributes of {name or 'the root'} are no mapping; the store is damaged")
        return found

    def members(self, group: str = "") -> list[str]:
        """Names of the groups and arrays directly in a group, sorted."""
        if self._zip is None:
            folder = self.path / group
            names = [e.name for e in os.scandir(folder) if e.is_dir()] if folder.is_dir() else []
        else:
            prefix = self.inside + (f"{group}/" if group else "")
            names = [e.removeprefix(prefix).split("/")[0] for e in self._entries if e.startswith(prefix) and "/" in e]
        return sorted({n for n in names if n and self.version(_join(group, n))})

    def facts(self, name: str) -> Facts:
        """What an array claims.

        Args:
            name: path inside the hierarchy, as metadata give it.

        Raises:
            FormatError: no such array, a name that leads out, or claims that are refused.
        """
        self._check_name(name)
        if not self.is_array(name):
            raise FormatError(f"{self.path}: has no array {name!r}, which its metadata name; get a whole copy")
        three = self._has(_join(name, "zarr.json"))
        raw = self._json(_join(name, "zarr.json" if three else ".zarray"))
        found = facts_of(name, raw, self.attributes(name), self.path, three)
        if found.nbytes > limit("believed"):
            stored = self.stored(name, found.nbytes // limit("ratio") + 1)
            expands(f"array {name!r}", stored, found.nbytes, self.path)
        return found

    def numbers(self, name: str) -> Facts:
        """What an array of numbers with rows and columns claims.

        Raises:
            FormatError: see `facts`; also any other array.
        """
        found = self.facts(name)
        if found.dtype.kind not in "uif" or len(found.shape) < 2:
            raise FormatError(f"{self.path}: array {name!r} of {found.dtype} {found.shape} holds no rows and columns")
        return found

    def array(self, facts: Facts) -> DistantArray:
        """The array of checked facts, whose chunks are decoded in the child process."""
        return DistantArray(zarr_unpack.block, self._words(facts), facts.shape, facts.dtype)

    def rehearse(self, facts: Facts) -> None:
        """Read a whole array in the child process, before this one does.

        Raises:
            FormatError: it cannot be unpacked.
        """
        try:
            decoded(zarr_unpack.trial, self._words(facts), 0)
        except Exception as error:  # codecs raise errors of their own kinds for damaged data
            raise FormatError(f"{self.path}: array {facts.name!r} cannot be unpacked ({brief(error)})") from error

    def _words(self, facts: Facts) -> list[Any]:
        load()
        return [str(self.path.absolute()), self.zipped, self.inside + facts.name, facts.version]

    @property
    def library(self) -> Any:  # noqa: ANN401
        """The hierarchy as a ``zarr`` store that is only read; its names begin with ``inside``."""
        storage = load().storage
        if self._store is None and self._zip is not None:
            self._store = storage.ZipStore(self.path, mode="r")
        elif self._store is None:
            self._store = zarr_unpack.inside(str(self.path))
        return self._store

    def stored(self, name: str, enough: int) -> int:
        """Bytes of the files of an array, or ``enough`` as soon as there are as many."""
        total, seen = 0, 0
        if self._zip is not None:
            prefix = f"{self.inside}{name}/"
            return sum(e.compress_size for n, e in self._entries.items() if n.startswith(prefix))
        for folder, _, names in os.walk(self.path / name):
            for file in names:
                total, seen = total + os.lstat(os.path.join(folder, file)).st_size, seen + 1
                if total >= enough or seen >= COUNTED:
                    return max(total, enough if seen >= COUNTED else 0)
        return total

    def _check_name(self, name: str) -> None:
        parts = name.split("/")
        if not name or len(name) > 1024 or "\\" in name or any(p in ("", ".", "..") or "\0" in p for p in parts):
            raise FormatError(f"{self.path}: its metadata name {name[:80]!r}, which is no place inside it; refused")
        if self._zip is None and not _inside(self.path, name):
            raise FormatError(f"{self.path}: {name!r} is a link out of the store; refused")

    def _has(self, key: str) -> bool:
        return (self.path / key).is_file() if self._zip is None else f"{self.inside}{key}" in self._entries

    def _json(self, key: str) -> dict[str, Any]:
        try:
            if self._zip is None:
                if not _inside(self.path, key):
                    raise FormatError(f"{self.path}: {key!r} is a link out of the store; refused")
                within("sidecar", (self.path / key).stat().st_size, self.path / key)
                text = (self.path / key).read_bytes()
            else:
                entry = self._entries[f"{self.inside}{key}"]
                within("sidecar", entry.file_size, f"{self.path}: {key}")
                text = self._zip.read(entry)
            found = json.loads(text)
        except (OSError, *DAMAGE) as error:
            raise FormatError(f"{self.path}: {key} cannot be read ({brief(error)}); the store is damaged") from error
        if not isinstance(found, dict):
            raise FormatError(f"{self.path}: {key} is no mapping; the store is damaged")
        return found

    def _root(self) -> str:
        """The folder of the zip that is the root of the hierarchy, with a slash behind it; "" for the zip itself."""
        within("elements", len(self._entries), self.path)
        for name in self._entries:
            if name.startswith("/") or ".." in name.split("/") or "\\" in name:
                raise FormatError(f"{self.path}: the zip holds {name[:80]!r}, which is no place inside it; refused")
        tops = {name.split("/")[0] for name in self._entries}
        if len(tops) == 1 and not tops & set(METADATA):
            return f"{tops.pop()}/"
        return ""


def brief(error: BaseException) -> str:
    """One line of a library's message."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def _inside(folder: Path, name: str) -> bool:
    """Whether a name leads to something in a folder, with all links followed."""
    return os.path.realpath(folder / name).startswith(os.path.realpath(folder) + os.sep)


def _join(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name
