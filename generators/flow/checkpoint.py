"""Checkpoints of a training run as data: safetensors, replaced in one step, so that a kill leaves a whole one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gensr.errors import WeightsError

KEY = "training"


def save(
    path: Path, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Write network, average, moments of the optimiser and facts (step, seconds, settings)."""
    tensors = {f"net.{k}": v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    tensors |= {f"ema.{k}": v.detach().cpu().contiguous() for k, v in average.items()}
    for name, parameter in network.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"opt.{key}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous().clone()
    partial = path.with_name(f".{path.name}.partial")
    save_file(tensors, partial, metadata={KEY: json.dumps(facts)})
    os.replace(partial, path)


def load(
    path: Path, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore what `save` wrote; returns the facts.

    Raises:
        WeightsError: damaged, or of another network.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as stream:
            facts: dict[str, Any] = json.loads((stream.metadata() or {})[KEY])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        network.load_state_dict({k: tensors[f"net.{k}"] for k in network.state_dict()})
        for k, v in average.items():
            v.copy_(tensors[f"ema.{k}"])
        moments: dict[str, dict[str, Tensor]] = {}
        for key in tensors:
            kind, _, rest = key.partition(".")
            if kind == "opt":
                moment, _, name = rest.partition(".")
                moments.setdefault(name, {})[moment] = tensors[key]
        for name, parameter in network.named_parameters():
            found = moments.get(name, {})
            optimiser.state[parameter] = {k: v if k == "step" else _like(v, parameter) for k, v in found.items()}
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: no checkpoint of this network ({error}); remove it to begin anew") from error
    return facts


def _like(moment: Tensor, parameter: Tensor) -> Tensor:
    """In the memory order of the parameter: fused optimisers walk both as they lie, and would pair strangers."""
    return torch.empty_like(parameter, requires_grad=False).copy_(moment)
