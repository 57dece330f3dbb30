"""What stands for the objects of a pickle: names and what was said about them, with nothing behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gensr.priors.foreign.views import TensorView

PERSISTENT = "torch_utils.persistence"
"""Last parts of the module under which NVIDIA's persistent objects are pickled."""


@dataclass(frozen=True)
class Name:
    """A global that a pickle mentions: ``module.name``, never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Inert:
    """An object that a pickle describes, never made.

    Attributes:
        name: of its class or of the function that would make it.
        args: what that would be called with.
        state: what would be set on it.
        elements: what would be appended to it.
        items: what would be set by key.
    """

    name: str
    args: tuple[object, ...] = ()
    state: object = None
    elements: list[object] = field(default_factory=list)
    items: dict[object, object] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, object]:
        """Its state by name; empty if it has none of that form."""
        return {k: v for k, v in self.state.items() if type(k) is str} if isinstance(self.state, dict) else {}


@dataclass(eq=False, slots=True)
class Array(Inert):
    """An array of numpy, known once its state is.

    Attributes:
        view: as a tensor; None while nothing is known, and for arrays of what is no number.
    """

    view: TensorView | None = None


def tensor(value: object) -> TensorView | None:
    """A value as a tensor, None if it is none."""
    return value if isinstance(value, TensorView) else value.view if isinstance(value, Array) else None


def is_module(value: object) -> bool:
    """Whether an object is a network of PyTorch: it has parameters, buffers and modules."""
    return isinstance(value, Inert) and {"_parameters", "_buffers", "_modules"} <= value.attributes.keys()


def tensors_of(module: Inert, prefix: str = "", depth: int = 32) -> Iterator[tuple[str, TensorView]]:
    """Parameters and buffers of a network by the names that its state dict would have.

    Args:
        module: see `is_module`.
        prefix: put before every name.
        depth: levels of modules that are followed; what is deeper is not a network.
    """
    state = module.attributes
    for kind in ("_parameters", "_buffers"):
        found = state[kind]
        if isinstance(found, dict):
            yield from ((f"{prefix}{k}", t) for k, v in found.items() if (t := tensor(v)) is not None)
    children = state["_modules"]
    if isinstance(children, dict) and depth:
        for name, child in children.items():
            if is_module(child):
                yield from tensors_of(child, f"{prefix}{name}.", depth - 1)
