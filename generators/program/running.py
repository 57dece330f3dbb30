"""Making something that runs of a program's bytes. Whoever calls this has been told that the user trusts it."""

from __future__ import annotations

import importlib
import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gensr.errors import PluginError, WeightsError

Run = Callable[[Tensor], Tensor]
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
"""``module:attribute`` of code of the user's own."""


@dataclass(frozen=True)
class Program:
    """A program, not started yet.

    Attributes:
        kind: torchscript, torch-export, onnx or module.
        raw: its bytes; empty for a module.
        module: ``module:attribute``; "" for the others.
        state: tensors of a module.
    """

    kind: str
    raw: bytes = b""
    module: str = ""
    state: Mapping[str, Tensor] | None = None


def started(program: Program, device: str, name: str) -> Run:
    """From latents (n, ...) to what the program makes of them.

    Args:
        program: what to run.
        device: where it computes; ONNX on the CPU always.
        name: for messages.

    Raises:
        WeightsError: it does not start.
        PluginError: what runs it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is going away is no news to whoever has such a file
            if program.kind == "torchscript":
                return _script(program.raw, device)
            if program.kind == "torch-export":
                return _exported(program.raw, device)
            if program.kind == "onnx":
                return _onnx(program.raw)
            return _module(program, device)
    except (PluginError, WeightsError):
        raise
    except Exception as error:  # a program may fail in any way
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{name}: the program does not start ({type(error).__name__}: {reason})") from error


def _script(raw: bytes, device: str) -> Run:
    module = torch.jit.load(io.BytesIO(raw), map_location=device)
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)

    def run(z: Tensor) -> Tensor:
        # the optimising executor has derivatives of its own, which have none in turn
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return _tensor(module(z))

    return run


def _exported(raw: bytes, device: str) -> Run:
    program = torch.export.load(io.BytesIO(raw))
    module = program.module().to(device)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return lambda z: _tensor(module(z))


def _onnx(raw: bytes) -> Run:
    try:
        import onnxruntime
    except ImportError as error:
        raise PluginError("ONNX needs the package onnxruntime; pip install gensr[onnx]") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    (taken, *more) = session.get_inputs()
    if more:
        raise WeightsError(f"takes {1 + len(more)} inputs; a generator takes latents alone")

    def run(z: Tensor) -> Tensor:
        made = session.run(None, {taken.name: z.detach().cpu().numpy().astype(np.float32)})[0]
        return torch.from_numpy(np.ascontiguousarray(made))

    return run


def _module(program: Program, device: str) -> Run:
    network = imported(program.module)
    if program.state is not None:
        network.load_state_dict({k: t.clone() for k, t in program.state.items()})
    network.eval().requires_grad_(False).to(device)
    return lambda z: _tensor(network(z))


def imported(text: str) -> nn.Module:
    """The network that ``module:attribute`` names: one, or what makes one when it is called without arguments.

    Raises:
        WeightsError: no such thing.
    """
    if not NAME.fullmatch(text):
        raise WeightsError(f"{text}: expected module:attribute")
    module, _, attribute = text.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        made = found if isinstance(found, nn.Module) else found()
    except Exception as error:  # code of the user's own may fail in any way
        raise WeightsError(f"{text}: cannot be imported or called ({type(error).__name__}: {error})") from error
    if not isinstance(made, nn.Module):
        raise WeightsError(f"{text}: gave {type(made).__name__}, expected a torch.nn.Module")
    return made


def _tensor(made: object) -> Tensor:
    """The image of what a program returned: it, or the first of several."""
    while isinstance(made, tuple | list) and made:
        made = made[0]
    if not isinstance(made, Tensor):
        raise WeightsError(f"returns {type(made).__name__}, expected images")
    return made
