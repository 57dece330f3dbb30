"""A foreign checkpoint as it was read: tensors not read yet, inert objects, and where a generator may be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from gensr.priors.foreign.inert import PERSISTENT, Array, Inert, is_module, tensor, tensors_of
from gensr.priors.foreign.views import TensorView

Kind = Literal[
    "safetensors",
    "torch-zip",
    "torch-legacy",
    "pickle",
    "torchscript",
    "torch-export",
    "onnx",
    "folder",
    "several",
    "module",
]
"""What a file is by its content: the ending of its name says nothing."""
OPAQUE: tuple[Kind, ...] = ("torchscript", "torch-export", "onnx")
"""Kinds that are programs: inspected here, run only where the user says ``trust=true``."""
FIRST = (
    "G_ema", "g_ema", "Gs", "avgG", "params_ema", "generator_ema", "netG_ema", "ema", "model_ema", "ema_model", "G",
    "netG", "g", "generator", "state_dict", "params", "model", "weights",
)  # fmt: skip
"""Keys under which generators are kept, the averaged ones first."""
PREFIXES = (
    "module.", "_orig_mod.", "model.", "generator_ema.", "g_ema.", "ema.", "netG_ema.", "generator.", "netG.", "g.",
    "stylegan_decoder.", "decoder.",
)  # fmt: skip
"""What training programs put before the names of a network's tensors."""
DEPTH = 6
"""Levels of containers in which generators are looked for."""
MOST_PARTS = 256


@dataclass(frozen=True)
class Part:
    """Tensors that may be a generator, with what is said about them.

    Attributes:
        place: where in the file, such as ``G_ema`` or ``state_dict (decoder.)``; "" for the file itself.
        tensors: by name, not read yet.
        kwargs: what its constructor was called with, and its plain attributes; numbers, texts, lists.
        class_name: of the class that it was an object of, "" for a plain state dict.
    """

    place: str
    tensors: Mapping[str, TensorView]
    kwargs: Mapping[str, object] = field(default_factory=dict)
    class_name: str = ""

    def without(self, prefix: str) -> Part:
        """The tensors whose names begin with a prefix, under what is left of their names."""
        kept = {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}
        return replace(self, place=f"{self.place} ({prefix})".strip(), tensors=kept)


@dataclass(frozen=True)
class Checkpoint:
    """A file, or a folder, of weights that another program wrote.

    Attributes:
        path: as the user named it.
        kind: what it is by its content.
        root: its object: dictionaries, lists, tuples, numbers, texts, `TensorView` and `Inert`; None for opaque kinds.
        metadata: texts of its header (safetensors), figures of what is only inspected.
        notes: what a user should know before trusting it, in words.
        files: of a folder by their path in it, without links; empty for a file.
        documents: JSON files of a folder by their path in it, parsed.
    """

    path: Path
    kind: Kind
    root: object = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    documents: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """Of the file; of a folder, of the names and digests of its files."""
        if not self.files:
            return _digest(self.path)
        every = "".join(f"{name} {_digest(path)}\n" for name, path in sorted(self.files.items()))
        return hashlib.sha256(every.encode()).hexdigest()

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Where a generator may be, the likeliest first; those with a common prefix also without it."""
        found = list(_parts(self.root, "", 0))
        for part in list(found):
            found += _stripped(part)
        order = {name: i for i, name in enumerate(FIRST)}
        return tuple(sorted(found[:MOST_PARTS], key=lambda p: order.get(p.place.split(" ")[0].split("/")[-1], 99)))

    @property
    def tensors(self) -> Mapping[str, TensorView]:
        """Every tensor of the file by its place and name."""
        return {
            f"{part.place}/{name}" if part.place else name: t
            for part in _parts(self.root, "", 0)
            for name, t in part.tensors.items()
        }


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stripped(part: Part, depth: int = 3) -> Iterator[Part]:
    for prefix in PREFIXES:
        if depth and any(name.startswith(prefix) for name in part.tensors):
            inner = part.without(prefix)
            yield inner
            yield from _stripped(inner, depth - 1)


def _parts(value: object, place: str, depth: int) -> Iterator[Part]:
    if isinstance(value, Inert):
        yield from _of_object(value, place, depth)
    elif isinstance(value, dict):
        own = {k: t for k, v in value.items() if type(k) is str and (t := tensor(v)) is not None}
        if own:
            yield Part(place, own, plain({k: v for k, v in value.items() if k not in own}))
        for k, v in value.items():
            if depth < DEPTH and isinstance(v, dict | list | tuple | Inert) and not isinstance(v, Array):
                yield from _parts(v, f"{place}/{k}".lstrip("/"), depth + 1)
    elif isinstance(value, list | tuple) and len(value) <= 64 and depth < DEPTH:
        for i, v in reversed(list(enumerate(value))):  # (G, D, Gs): the averaged one stands last
            yield from _parts(v, f"{place}[{i}]", depth + 1)


def _of_object(value: Inert, place: str, depth: int) -> Iterator[Part]:
    name = value.name.rpartition(":" if value.name.startswith(PERSISTENT) else ".")[2]
    state = value.attributes
    if is_module(value):
        yield Part(place, dict(tensors_of(value)), _kwargs(state), name)
    elif value.name.startswith("__torch__.") and state:
        yield Part(place, dict(_scripted(value, "", 16)), plain(state), name)
    elif isinstance(state.get("variables"), list) and "static_kwargs" in state:
        yield Part(place, dict(_variables(value, "", 3)), plain(_dict(state["static_kwargs"])), "tensorflow")
    elif state and depth < DEPTH:
        yield from _parts(state, place, depth + 1)
    elif value.items and depth < DEPTH:
        yield from _parts(value.items, place, depth + 1)


def _scripted(module: Inert, prefix: str, depth: int) -> Iterator[tuple[str, TensorView]]:
    """Tensors of a module of TorchScript, whose attributes are its tensors and its modules."""
    for name, value in module.attributes.items():
        if (found := tensor(value)) is not None:
            yield f"{prefix}{name}", found
        elif isinstance(value, Inert) and value.name.startswith("__torch__.") and depth:
            yield from _scripted(value, f"{prefix}{name}.", depth - 1)


def _variables(network: Inert, prefix: str, depth: int) -> Iterator[tuple[str, TensorView]]:
    """Variables of a network of TensorFlow's time, its components' too."""
    state = network.attributes
    variables = state.get("variables")
    for pair in variables if isinstance(variables, list) else []:
        if isinstance(pair, tuple | list) and len(pair) == 2 and (found := tensor(pair[1])) is not None:
            yield f"{prefix}{pair[0]}", found
    for name, component in _dict(state.get("components")).items():
        if isinstance(component, Inert) and depth:
            yield from _variables(component, f"{prefix}{name}/", depth - 1)


def _dict(value: object) -> dict[object, object]:
    if isinstance(value, Inert):
        return value.items
    return value if isinstance(value, dict) else {}


def _kwargs(state: Mapping[str, object]) -> dict[str, object]:
    """Plain attributes of a network, those of its modules with a dot, and above them what it was constructed with."""
    found = plain({k: v for k, v in state.items() if not k.startswith("_")})
    modules = state["_modules"]
    for name, module in modules.items() if isinstance(modules, dict) else ():
        if is_module(module):
            inner = plain({k: v for k, v in module.attributes.items() if not k.startswith("_")})
            found |= {f"{name}.{k}": v for k, v in inner.items()}
    return found | plain(_dict(state.get("_init_kwargs")))


def plain(value: Mapping[object, object] | Mapping[str, object], depth: int = 4) -> dict[str, object]:
    """What of a dictionary is numbers, texts, truth values and lists and dictionaries of them."""
    found: dict[str, object] = {}
    for k, v in list(value.items())[:1000]:
        if type(k) is not str:
            continue
        kept = _plain(v, depth)
        if kept is not None or v is None:
            found[k] = kept
    return found


def _plain(value: object, depth: int) -> object:
    if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 1000):
        return value
    view = tensor(value)
    if view is not None and view.count <= 64 and not view.dtype.is_complex:
        return view.read().tolist()
    if depth and isinstance(value, list | tuple) and len(value) <= 256:
        kept = [_plain(v, depth - 1) for v in value]
        return None if any(k is None for k in kept) else kept
    inner = _dict(value)
    return plain(inner, depth - 1) if depth and (inner or isinstance(value, dict)) else None
