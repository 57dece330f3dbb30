"""What the metadata of Zarr arrays of unknown origin say, checked: shapes, chunks, types, and codecs that only unpack.

Specifications: https://zarr-specs.readthedocs.io (version 2 and 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import FormatError
from gensr.values.limits import within

CODECS_2 = frozenset({"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta", "vlen-utf8"})
CODECS_3 = frozenset({"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed", "vlen-utf8"})
"""Codecs that turn bytes into numbers and do nothing else (``pickle`` runs programs)."""
RANK = 8
"""Most axes of an array."""


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


def facts_of(name: str, raw: Mapping[str, Any], attributes: Mapping[str, Any], path: Path, three: bool) -> Facts:
    """What the metadata of an array claim.

    Args:
        name: of the array in the hierarchy.
        raw: its metadata.
        attributes: of the user.
        path: for messages.
        three: whether they are those of version 3.

    Raises:
        FormatError: damaged, codecs that are not read, or claims beyond the limits.
    """
    try:
        found = (_third if three else _second)(name, raw, attributes, path)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        text = " ".join(str(error).split())[:80]
        raise FormatError(f"{path}: metadata of array {name!r} are damaged ({text})") from error
    where = f"{path}: array {name!r}"
    shape, chunks = found.shape, found.chunks
    if len(shape) > RANK or len(chunks) != len(shape) or min(shape, default=1) < 1 or min(chunks, default=1) < 1:
        raise FormatError(f"{where} has shape {shape} in chunks {chunks}; it is empty or damaged")
    within("scene", found.nbytes, where)
    within("block", math.prod(chunks) * found.dtype.itemsize, where)
    return found


def _second(name: str, raw: Mapping[str, Any], attributes: Mapping[str, Any], path: Path) -> Facts:
    if raw.get("zarr_format") != 2:
        raise ValueError(f"zarr_format {raw.get('zarr_format')!r}")
    for codec in [raw.get("compressor"), *(raw.get("filters") or [])]:
        if codec is not None:
            _known(name, str(codec["id"]), CODECS_2, path)
    dims = attributes.get("_ARRAY_DIMENSIONS") or []
    return Facts(
        name, 2, _whole(raw["shape"]), _whole(raw["chunks"]), _dtype(name, str(raw["dtype"]), path),
        raw.get("fill_value"), tuple(map(str, dims)), attributes,
    )  # fmt: skip


def _third(name: str, raw: Mapping[str, Any], attributes: Mapping[str, Any], path: Path) -> Facts:
    if raw["chunk_grid"]["name"] != "regular":
        raise ValueError(f"chunk grid {raw['chunk_grid']['name']!r}")
    if raw.get("storage_transformers"):
        raise ValueError("storage transformers")
    shape, chunks = _whole(raw["shape"]), _whole(raw["chunk_grid"]["configuration"]["chunk_shape"])
    inner = _inner(name, raw["codecs"], chunks, 0, path)
    dims = [d or "" for d in raw.get("dimension_names") or []]
    dtype = _dtype(name, raw["data_type"] if isinstance(raw["data_type"], str) else "?", path)
    return Facts(name, 3, shape, inner, dtype, raw.get("fill_value"), tuple(map(str, dims)), attributes)


def _inner(
    name: str, codecs: list[Mapping[str, Any]], chunks: tuple[int, ...], depth: int, path: Path
) -> tuple[int, ...]:
    """The chunks that are unpacked together: those inside a shard, where there are shards."""
    if depth > 1:
        raise ValueError("shards in shards")
    found = chunks
    for codec in codecs:
        _known(name, str(codec["name"]), CODECS_3, path)
        if codec["name"] == "sharding_indexed":
            how = codec["configuration"]
            found = _inner(name, how["codecs"], _whole(how["chunk_shape"]), depth + 1, path)
            _inner(name, how.get("index_codecs", []), found, depth + 1, path)
            pairs = list(zip(chunks, found, strict=True))
            if min(found) < 1 or any(c % f for c, f in pairs):
                raise ValueError(f"shards of {chunks} in chunks of {found}")
            within("block", 16 * math.prod(c // f for c, f in pairs), f"{path}: {name}")
    return found


def _known(name: str, codec: str, known: frozenset[str], path: Path) -> None:
    if codec not in known:
        names = ", ".join(sorted(known))
        raise FormatError(f"{path}: array {name!r} is packed with {codec[:40]!r}; codecs that are read: {names}")


def _dtype(name: str, text: str, path: Path) -> np.dtype[Any]:
    if text in ("string", "|O"):
        return np.dtype(object)  # texts: the codecs make nothing else
    try:
        dtype: np.dtype[Any] = np.dtype(text)
    except TypeError:
        dtype = np.dtype(np.void)
    if dtype.kind not in "uifbMmUS":
        raise FormatError(f"{path}: array {name!r} holds {text[:40]!r}, not numbers; choose another array")
    return dtype


def _whole(numbers: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Whole numbers from JSON.

    Raises:
        ValueError: others.
    """
    if not isinstance(numbers, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        raise ValueError(f"{numbers!r} are no whole numbers")
    return tuple(numbers)
