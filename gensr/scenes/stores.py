"""Zarr hierarchies of unknown origin, in a folder or a zip: metadata are checked before the library sees an array.

A name in metadata never leaves the hierarchy, codecs are those that only unpack, and what an array claims is bounded.
Specifications: https://zarr-specs.readthedocs.io (version 2 and 3).
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import FormatError, PluginError
from gensr.scenes.door import admit
from gensr.values.limits import expands, limit, within

CODECS_2 = frozenset({"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta"})
CODECS_3 = frozenset({"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed"})
"""Codecs that turn bytes into numbers and do nothing else (``pickle`` runs programs)."""
METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
ENDINGS = (".zarr", ".ozx", ".zip")
RANK = 8
"""Most axes of an array."""
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


@dataclass(frozen=True)
class Facts:
    """What the metadata of an array say, checked.

    Attributes:
        name: of the array in the hierarchy.
        version: of Zarr, 2 or 3.
        shape: array shape.
        chunks: what is unpacked together.
        dtype: of the values.
        fill: value of chunks that are not stored.
        dims: names of the axes, () if it has none.
        attributes: of the user.
    """

    name: str
    version: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    dims: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        """Bytes of all values, unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize


def looks_like(path: Path) -> bool:
    """Whether a folder or zip holds a Zarr group or array at its root; never raises."""
    try:
        if path.is_dir():
            return any((path / name).is_file() for name in METADATA[:3])
        if path.is_file() and path.name.lower().endswith(ENDINGS) and zipfile.is_zipfile(path):
            with ZarrStore(path) as store:
                return store.version() > 0
    except (FormatError, OSError, zipfile.BadZipFile):
        return False
    return False


class ZarrStore:
    """A hierarchy that is read.

    Args:
        path: folder, or zip that is one (``.zarr.zip``, ``.ozx``), also with one folder around it.

    Raises:
        FormatError: no such thing, or a zip that is damaged or unsafe.
    """

    def __init__(self, path: Path) -> None:
        admit(path)
        self.path, self._zip, self._inside = path, None, ""
        if not path.is_dir():
            try:
                self._zip = zipfile.ZipFile(path)
                self._entries = {e.filename: e for e in self._zip.infolist()}
            except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
                raise FormatError(f"{path}: is no readable zip ({error}); get an intact copy") from error
            self._inside = self._root()
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
            prefix = self._inside + (f"{group}/" if group else "")
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
        try:
            found = self._third(name, raw) if three else self._second(name, raw)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            text = " ".join(str(error).split())[:80]
            raise FormatError(f"{self.path}: metadata of array {name!r} are damaged ({text})") from error
        self._check(found)
        return found

    def array(self, facts: Facts) -> Any:  # noqa: ANN401
        """The ``zarr.Array`` of checked facts."""
        zarr = load()
        if self._store is None and self._zip is not None:
            self._store = zarr.storage.ZipStore(self.path, mode="r")
        elif self._store is None:
            self._store = zarr.storage.LocalStore(self.path, read_only=True)
        path = self._inside + facts.name
        try:
            return zarr.open_array(self._store, path=path, mode="r", zarr_format=facts.version)
        except Exception as error:  # the library meets metadata with any exception there is
            raise FormatError(f"{self.path}: array {facts.name!r} cannot be opened ({brief(error)})") from error

    def stored(self, name: str, enough: int) -> int:
        """Bytes of the files of an array, or ``enough`` as soon as there are as many."""
        total, seen = 0, 0
        if self._zip is not None:
            prefix = f"{self._inside}{name}/"
            return sum(e.compress_size for n, e in self._entries.items() if n.startswith(prefix))
        for folder, _, names in os.walk(self.path / name):
            for file in names:
                total, seen = total + os.lstat(os.path.join(folder, file)).st_size, seen + 1
                if total >= enough or seen >= COUNTED:
                    return max(total, enough if seen >= COUNTED else 0)
        return total

    def _check(self, facts: Facts) -> None:
        where = f"{self.path}: array {facts.name!r}"
        if not 1 <= len(facts.shape) <= RANK or len(facts.chunks) != len(facts.shape) or min(facts.shape) < 1:
            raise FormatError(f"{where} has shape {facts.shape} in chunks {facts.chunks}; it is empty or damaged")
        if min(facts.chunks) < 1:
            raise FormatError(f"{where} has chunks {facts.chunks}; the metadata are damaged")
        within("scene", facts.nbytes, where)
        within("block", math.prod(facts.chunks) * facts.dtype.itemsize, where)
        if facts.nbytes > limit("believed"):
            expands(
                f"array {facts.name!r}",
                self.stored(facts.name, facts.nbytes // limit("ratio") + 1),
                facts.nbytes,
                self.path,
            )

    def _second(self, name: str, raw: Mapping[str, Any]) -> Facts:
        if raw.get("zarr_format") != 2:
            raise ValueError(f"zarr_format {raw.get('zarr_format')!r}")
        for codec in [raw.get("compressor"), *(raw.get("filters") or [])]:
            if codec is not None:
                self._known(name, str(codec["id"]), CODECS_2)
        attributes = self.attributes(name)
        dims = attributes.get("_ARRAY_DIMENSIONS") or []
        return Facts(
            name, 2, _whole(raw["shape"]), _whole(raw["chunks"]), self._dtype(name, str(raw["dtype"])),
            raw.get("fill_value"), tuple(map(str, dims)), attributes,
        )  # fmt: skip

    def _third(self, name: str, raw: Mapping[str, Any]) -> Facts:
        if raw["chunk_grid"]["name"] != "regular":
            raise ValueError(f"chunk grid {raw['chunk_grid']['name']!r}")
        if raw.get("storage_transformers"):
            raise ValueError("storage transformers")
        shape, chunks = _whole(raw["shape"]), _whole(raw["chunk_grid"]["configuration"]["chunk_shape"])
        inner = self._inner(name, raw["codecs"], chunks, 0)
        dims = [d or "" for d in raw.get("dimension_names") or []]
        dtype = self._dtype(name, raw["data_type"] if isinstance(raw["data_type"], str) else "?")
        return Facts(name, 3, shape, inner, dtype, raw.get("fill_value"), tuple(map(str, dims)), self.attributes(name))

    def _inner(
        self, name: str, codecs: list[Mapping[str, Any]], chunks: tuple[int, ...], depth: int
    ) -> tuple[int, ...]:
        """The chunks that are unpacked together: those inside a shard, where there are shards."""
        if depth > 1:
            raise ValueError("shards in shards")
        found = chunks
        for codec in codecs:
            self._known(name, str(codec["name"]), CODECS_3)
            if codec["name"] == "sharding_indexed":
                how = codec["configuration"]
                found = self._inner(name, how["codecs"], _whole(how["chunk_shape"]), depth + 1)
                self._inner(name, how.get("index_codecs", []), found, depth + 1)
                pairs = list(zip(chunks, found, strict=True))
                if min(found) < 1 or any(c % f for c, f in pairs):
                    raise ValueError(f"shards of {chunks} in chunks of {found}")
                within("block", 16 * math.prod(c // f for c, f in pairs), f"{self.path}: {name}")
        return found

    def _known(self, name: str, codec: str, known: frozenset[str]) -> None:
        if codec not in known:
            names = ", ".join(sorted(known))
            raise FormatError(
                f"{self.path}: array {name!r} is packed with {codec[:40]!r}; codecs that are read: {names}"
            )

    def _dtype(self, name: str, text: str) -> np.dtype[Any]:
        try:
            dtype: np.dtype[Any] = np.dtype(text)
        except TypeError:
            dtype = np.dtype(object)
        if dtype.kind not in "uifbMm":
            raise FormatError(f"{self.path}: array {name!r} holds {text[:40]!r}, not numbers; choose another array")
        return dtype

    def _check_name(self, name: str) -> None:
        parts = name.split("/")
        if not name or len(name) > 1024 or "\\" in name or any(p in ("", ".", "..") or "\0" in p for p in parts):
            raise FormatError(f"{self.path}: its metadata name {name[:80]!r}, which is no place inside it; refused")
        if self._zip is None:
            real, root = os.path.realpath(self.path / name), os.path.realpath(self.path)
            if not real.startswith(root + os.sep):
                raise FormatError(f"{self.path}: {name!r} is a link out of the store; refused")

    def _has(self, key: str) -> bool:
        return (self.path / key).is_file() if self._zip is None else f"{self._inside}{key}" in self._entries

    def _json(self, key: str) -> dict[str, Any]:
        try:
            if self._zip is None:
                within("sidecar", (self.path / key).stat().st_size, self.path / key)
                text = (self.path / key).read_bytes()
            else:
                entry = self._entries[f"{self._inside}{key}"]
                within("sidecar", entry.file_size, f"{self.path}: {key}")
                text = self._zip.read(entry)
            found = json.loads(text)
        except (OSError, ValueError, RecursionError, zipfile.BadZipFile) as error:
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


def _join(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _whole(numbers: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Whole numbers from JSON.

    Raises:
        ValueError: others.
    """
    if not isinstance(numbers, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        raise ValueError(f"{numbers!r} are no whole numbers")
    return tuple(numbers)
