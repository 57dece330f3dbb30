"""Checkpoints of a training run as data: safetensors, replaced in one step, so that a kill leaves a whole one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gensr.errors import WeightsError

KEY = "training"
Learner = tuple[nn.Module, torch.optim.Optimizer]


def save(path: Path, learners: Mapping[str, Learner], average: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write networks with the moments of their optimisers, the average, and facts (step, seconds, settings)."""
    tensors = {f"average.{k}": v for k, v in average.items()}
    for name, (network, optimiser) in learners.items():
        tensors |= {f"{name}.{k}": v for k, v in network.state_dict().items()}
        for key, parameter in network.named_parameters():
            for moment, value in optimiser.state.get(parameter, {}).items():
                tensors[f"{name}-{moment}.{key}"] = torch.as_tensor(value)
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    partial = path.with_name(f".{path.name}.partial")
    save_file(plain, partial, metadata={KEY: json.dumps(dict(facts))})
    os.replace(partial, path)


def load(path: Path, learners: Mapping[str, Learner], average: Mapping[str, Tensor]) -> dict[str, Any]:
    """Restore what `save` wrote, in place; returns the facts.

    Raises:
        WeightsError: damaged, or of other networks.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as stream:
            facts: dict[str, Any] = json.loads((stream.metadata() or {})[KEY])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        for k, v in average.items():
            v.copy_(tensors[f"average.{k}"])
        for name, (network, optimiser) in learners.items():
            network.load_state_dict({k: tensors[f"{name}.{k}"] for k in network.state_dict()})
            for key, parameter in network.named_parameters():
                moments = [m for m in ("step", "exp_avg", "exp_avg_sq") if f"{name}-{m}.{key}" in tensors]
                optimiser.state[parameter] = {
                    m: tensors[f"{name}-{m}.{key}"] if m == "step" else _like(tensors[f"{name}-{m}.{key}"], parameter)
                    for m in moments
                }
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: no checkpoint of these networks ({error}); remove it to begin anew") from error
    return facts


def _like(moment: Tensor, parameter: Tensor) -> Tensor:
    """In the memory order of the parameter: fused optimisers walk both as they lie, and would pair strangers."""
    return torch.empty_like(parameter, requires_grad=False).copy_(moment)
