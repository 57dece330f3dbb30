"""What the functions mean that pickles of weights call: tensors, arrays, numbers, objects of NVIDIA's networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gensr.priors.foreign.arrays import array
from gensr.priors.foreign.budget import OBJECT
from gensr.priors.foreign.inert import PERSISTENT, Array, Inert, Name
from gensr.priors.foreign.stack import Machine, Rebuild
from gensr.priors.foreign.views import DTYPES, Storage, TensorView, view

Nested = Callable[[Machine, memoryview], Storage]
"""From the bytes of a storage that was saved into a pickle to the storage."""


def _tensor(m: Machine, args: tuple[Any, ...]) -> TensorView:
    """``storage, offset, shape, stride, ...`` of torch's tensors."""
    storage, offset, shape, stride, *_ = args
    if not isinstance(storage, Storage):
        raise ValueError(f"a tensor on {type(storage).__name__}")
    return view(m.budget, storage, shape, stride, offset, _dtype(args[6]) if len(args) > 6 else None)


def _dtype(value: object) -> Any:  # noqa: ANN401
    found = {str(dtype): dtype for dtype in DTYPES.values()}.get(str(value))
    if found is None:
        raise ValueError(f"a tensor of type {str(value)[:40]}")
    return found


def _parameter(m: Machine, args: tuple[Any, ...]) -> object:
    """The tensor of a parameter."""
    if not isinstance(args[0], TensorView):
        raise ValueError("a parameter without a tensor")
    return args[0]


def _typed(m: Machine, args: tuple[Any, ...]) -> object:
    """``function, class, arguments, state``: a tensor with attributes, which are left out."""
    function, _, inner, *_ = args
    if str(function) not in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"):
        raise ValueError(f"a tensor made by {str(function)[:60]}")
    return m.call(function, inner)


def _dictionary(m: Machine, args: tuple[Any, ...]) -> object:
    """An ordered dictionary, with its pairs where they are given to it."""
    if not args:
        return {}
    (pairs,) = args
    if isinstance(pairs, dict):
        return dict(pairs)
    m.budget.take(OBJECT * len(pairs))
    return {str(k): v for k, v in pairs}


def _encoded(m: Machine, args: tuple[Any, ...]) -> object:
    """Bytes that protocol 2 wrote as a text."""
    text, encoding = args if len(args) == 2 else (*args, "latin1")
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in another encoding than latin-1")
    m.budget.take(len(text))
    return memoryview(text.encode("latin-1"))


def _collection(kind: type) -> Rebuild:
    def rebuilt(m: Machine, args: tuple[Any, ...]) -> object:
        values = args[0] if args else ()
        if not isinstance(values, list | tuple | set | frozenset | str | memoryview):
            raise ValueError(f"a {kind.__name__} of {type(values).__name__}")
        m.budget.take(OBJECT * len(values))
        if kind is bytearray:
            return values if isinstance(values, memoryview) else memoryview(str(values).encode("latin-1"))
        if kind in (set, frozenset):
            return Inert(f"builtins.{kind.__name__}", (), None, list(values))
        return kind(values)

    return rebuilt


def _old_new(m: Machine, args: tuple[Any, ...]) -> object:
    """``class, base, state`` of protocols 0 and 1."""
    kind, base, state = args
    if not isinstance(base, Name) or base.name not in ("object", "dict", "list"):
        raise ValueError("an object on an unusual base")
    found = m.made(kind, ())
    if isinstance(state, dict) and isinstance(found, dict):
        found.update(state)
    return found


def _persistent(m: Machine, args: tuple[Any, ...]) -> object:
    """An object of NVIDIA's ``persistence``: class, source text (which stays text) and state."""
    (meta,) = args
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("class_name"), str):
        raise ValueError("a persistent object without a class")
    if isinstance(meta.get("module_src"), str):
        m.note("carries the source text of its classes, which is never run")
    return Inert(f"{PERSISTENT}:{meta['class_name']}", (), meta.get("state"))


def _tagged(m: Machine, args: tuple[Any, ...]) -> object:
    """A value of TorchScript with the text of its type, which is left away."""
    value, _ = args
    return value


def _array(m: Machine, args: tuple[Any, ...]) -> object:
    """An empty array, whose state follows."""
    return Array("numpy.ndarray")


def _array_of_bytes(m: Machine, args: tuple[Any, ...]) -> object:
    """``buffer, dtype, shape, order`` of protocol 5."""
    raw, dtype, shape, order = args
    return Array("numpy.ndarray", (), None, [], {}, array(m.budget, shape, dtype, order == "F", raw))


def _array_type(m: Machine, args: tuple[Any, ...]) -> object:
    return Inert("numpy.dtype", args)


def _scalar(m: Machine, args: tuple[Any, ...]) -> object:
    """One number of numpy."""
    found = array(m.budget, (), args[0], False, args[1])
    return Inert("numpy.scalar") if found is None else found.read().item()


def table(nested: Nested) -> Mapping[str, Rebuild]:
    """Every function that has a meaning, by its full name.

    Args:
        nested: reads a storage that was saved into a pickle as a file of its own.
    """

    def from_bytes(m: Machine, args: tuple[Any, ...]) -> object:
        (raw,) = args
        if not isinstance(raw, memoryview):
            raise ValueError("a storage of no bytes")
        return nested(m, raw)

    multiarray = {
        f"numpy.{core}.{name}": rebuild
        for core in ("core", "_core")
        for name, rebuild in (
            ("multiarray._reconstruct", _array),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _array_of_bytes),
        )
    }
    builtin = {
        f"{module}.{kind.__name__}": _collection(kind)
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, bytearray, list, tuple)
    }
    script = {f"torch.jit._pickle.build_{kind}list": _collection(list) for kind in ("int", "double", "bool", "tensor")}
    return {
        **multiarray,
        **builtin,
        **script,
        "torch.jit._pickle.restore_type_tag": _tagged,
        "numpy.dtype": _array_type,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _typed,
        "torch.storage._load_from_bytes": from_bytes,
        "torch.Size": _collection(tuple),
        "collections.OrderedDict": _dictionary,
        "_codecs.encode": _encoded,
        "copyreg._reconstructor": _old_new,
        "copy_reg._reconstructor": _old_new,
        f"{PERSISTENT}._reconstruct_persistent_obj": _persistent,
    }
