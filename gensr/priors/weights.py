"""Reading and writing weights as data: safetensors with configuration, card and digest in the header.

A weights file is never executed. A pickle or a zip of pickles is refused by name; a flipped bit fails the digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gensr import registry
from gensr.errors import FormatError, WeightsError
from gensr.priors.card import GeneratorCard
from gensr.priors.families import family
from gensr.priors.generator import Generator
from gensr.priors.schema import CARD, Record, check_depth
from gensr.values.limits import within

KINDS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8, torch.int32, torch.int64)
"""Types of tensors that are read."""
KEY = "gensr"
SUFFIX = ".safetensors"
CONVERT = "gensr models convert FILE out=NAME.safetensors makes a generator of what it knows"
LONGEST = 4 << 20
"""Characters of a header."""


@dataclass(frozen=True)
class Weights:
    """Contents of a weights file, digest checked."""

    path: Path
    tensors: dict[str, Tensor]
    config: dict[str, Any]
    card: GeneratorCard
    digest: str


def _digest(tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    hasher = hashlib.sha256(json.dumps([config, card], sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()


def save(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> str:
    """Write a weights file under a temporary name, then rename it.

    Args:
        path: ends with ``.safetensors``.
        tensors: stored with the dtype they have.
        config: what the family needs to rebuild the generator; JSON-able.
        card: goes into the header.

    Returns:
        The digest.
    """
    cpu = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    plain = json.loads(json.dumps(card.to_dict()))
    digest = _digest(cpu, config, plain)
    header = json.dumps({"config": config, "card": plain, "digest": digest})
    partial = path.with_name(f".{path.name}.partial")
    save_file(cpu, partial, metadata={KEY: header})
    os.chmod(partial, 0o644)  # safetensors writes for the owner alone
    os.replace(partial, path)
    return digest


def _refuse_foreign(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    safe = head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size
    if not safe and (head[:1] == b"\x80" or head[:2] == b"PK" or head[:4] in (b"\x93NUM", b"\x89HDF")):
        raise WeightsError(f"{path}: a pickle, zip or array file, never executed by gensr; {CONVERT}")
    try:
        within("weights", size, path)
    except FormatError as error:
        raise WeightsError(str(error)) from None
    if not safe:
        raise WeightsError(f"{path}: not a safetensors file; give the .safetensors file of a gensr generator")


def _header(path: Path, text: str | None) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Configuration, card and digest, checked before a tensor is read.

    Raises:
        WeightsError: no gensr header, or one that says what it cannot.
    """
    if text is None:
        raise WeightsError(f"{path}: no gensr header; it was written by another program; {CONVERT}")
    try:
        if len(text) > LONGEST:
            raise ValueError(f"{len(text)} characters, at most {LONGEST}")
        check_depth(text)
        header = json.loads(text)
        config, card, digest = header["config"], header["card"], header["digest"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path}: unreadable gensr header ({error}); fetch it again") from error
    try:
        CARD.check(card, "card")
        Record({}).check(config, "config")
        if card["value_range"][0] > card["value_range"][1]:
            raise WeightsError(f"card.value_range = {card['value_range']}: expected the lower end first")
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}; fetch the file again") from None
    return config, card, digest


def read(path: Path) -> Weights:
    """Read and check a weights file.

    Raises:
        WeightsError: missing, foreign, damaged or not a gensr file.
    """
    _refuse_foreign(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as stream:
            config, plain, digest = _header(path, (stream.metadata() or {}).get(KEY))
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError, MemoryError) as error:
        raise WeightsError(f"{path}: damaged safetensors file ({error}); fetch it again") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in KINDS:
            raise WeightsError(f"{path}: tensor {name[:60]!r} is of type {tensor.dtype}, which no generator has")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{path}: tensor {name[:60]!r} is not finite; fetch the file again")
    known = {f.name for f in fields(GeneratorCard)}
    kept: dict[str, Any] = {k: tuple(v) if k == "value_range" else v for k, v in plain.items() if k in known}
    card = GeneratorCard(**kept)
    if _digest(tensors, config, plain) != digest:
        raise WeightsError(f"{path}: digest mismatch, the file is damaged or was changed; fetch it again")
    return Weights(path, tensors, config, card, digest)


def user_folder() -> Path:
    """Where generators trained by the user are kept: ``$GENSR_HOME`` or ``~/.local/share/gensr``."""
    home = os.environ.get("GENSR_HOME")
    return Path(home) if home else Path.home() / ".local" / "share" / "gensr"


def available() -> dict[str, Path]:
    """Name to file of every installed generator; the user's own come last and do not replace shipped ones."""
    found: dict[str, Path] = {}
    for folder in [*registry.weight_folders(), user_folder()]:
        if folder.is_dir():
            for path in sorted(p for p in folder.glob(f"*{SUFFIX}") if p.is_file()):
                found.setdefault(path.name.removesuffix(SUFFIX), path)
    return found


def find(name: str) -> Path:
    """File of a generator given by name or path.

    Raises:
        WeightsError: if there is none; the message lists what is installed.
    """
    known = available()
    if name in known:
        return known[name]
    path = Path(name)
    if name.endswith(SUFFIX) or os.sep in name or path.is_file():
        if path.is_file():
            return path
        raise WeightsError(f"{name}: no such weights file; installed generators: {', '.join(sorted(known))}")
    raise WeightsError(f"generator {name!r} is not installed; installed: {', '.join(sorted(known)) or 'none'}")


def load(name: str) -> tuple[Generator, Weights]:
    """Rebuild a generator by name or path.

    Raises:
        WeightsError: see `find` and `read`.
        PluginError: the family that the card names is not installed.
    """
    path = find(name)
    try:
        stat = path.stat()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return _loaded(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _loaded(path: Path, changed: int, size: int) -> tuple[Generator, Weights]:
    """One generator per state of a file, so that many inputs share its matrices."""
    weights = read(path)
    return family(weights.card.family).build(weights.tensors, weights.config, weights.card), weights


@dataclass(frozen=True)
class Reference:
    """A generator in a few bytes: any process finds its weights by name, or by path, and checks their digest.

    Attributes:
        name: as it was asked for, a name or a path.
        path: the file that was read.
        digest: of the weights.
    """

    name: str
    path: str
    digest: str

    def generator(self) -> Generator:
        """The generator on the CPU; one process rebuilds it once.

        Raises:
            WeightsError: no such weights here, or others of that name.
        """
        here = Path(self.path)
        generator, weights = load(str(here) if here.is_file() else self.name)
        if weights.digest != self.digest:
            raise WeightsError(
                f"{weights.path}: other weights than the run began with (digest {weights.digest[:12]}, expected "
                f"{self.digest[:12]}); install the same file everywhere"
            )
        return generator


def reference(name: str, weights: Weights) -> Reference:
    """The reference of weights that were loaded by a name or path."""
    return Reference(name if os.sep not in name else weights.card.name, str(weights.path.absolute()), weights.digest)
