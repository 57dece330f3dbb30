"""Gathering the tensors of a foreign checkpoint under our names, each looked at before it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.foreign.views import TensorView

MOST_NAMED = 3


def missing(names: Mapping[str, str], tensors: Mapping[str, TensorView]) -> tuple[str, ...]:
    """Names there that a checkpoint lacks, in order."""
    return tuple(dict.fromkeys(name for name in names.values() if name not in tensors))


def gathered(
    names: Mapping[str, str],
    shapes: Mapping[str, Sequence[int]],
    tensors: Mapping[str, TensorView],
    where: object,
    prefix: str = "",
) -> dict[str, Tensor]:
    """Tensors under our names, bit for bit.

    Args:
        names: ours to theirs.
        shapes: by our names; 1 x 1 convolutions may stand for linear layers.
        tensors: theirs.
        where: the file, for messages.
        prefix: put before our names.

    Raises:
        WeightsError: a tensor is missing or of another shape.
    """
    lacking = missing(names, tensors)
    if lacking:
        more = f" and {len(lacking) - MOST_NAMED} more" if len(lacking) > MOST_NAMED else ""
        raise WeightsError(f"{where}: tensors {', '.join(lacking[:MOST_NAMED])}{more} are missing; get the whole model")
    found = {}
    for own, theirs in names.items():
        view, shape = tensors[theirs], tuple(shapes[own])
        if view.shape != shape and not (view.shape[: len(shape)] == shape and set(view.shape[len(shape) :]) <= {1}):
            raise WeightsError(
                f"{where}: tensor {theirs} is of shape {view.shape}, its configuration says {shape}; weights and "
                "configuration are of different models"
            )
        if not view.dtype.is_floating_point:
            raise WeightsError(f"{where}: tensor {theirs} holds {view.dtype}, not floating-point numbers")
        found[f"{prefix}{own}"] = view.read().reshape(shape)
    return found


def merged(*parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Several dictionaries of tensors as one; tied tensors become copies, as safetensors asks."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for part in parts:
        for name, tensor in part.items():
            found[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
            seen.add(tensor.data_ptr())
    return found


def folded(weight: Tensor, u: Tensor, v: Tensor | None) -> Tensor:
    """A weight divided by its largest singular value, as spectral normalisation does when it is not training.

    Args:
        weight: (out, ...).
        u: (out,), the left singular vector as it was left by training.
        v: the right one; made from the left where it was not kept.
    """
    flat = weight.reshape(len(weight), -1)
    right = torch.nn.functional.normalize(flat.T @ u, dim=0, eps=1e-12) if v is None else v
    return weight / torch.dot(u, torch.mv(flat, right))
