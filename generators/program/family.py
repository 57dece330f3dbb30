"""Registration of the program family: a program runs only where the user trusts exactly it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gensr.errors import UsageError, WeightsError
from gensr.priors import trust
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Options
from gensr.priors.quantile import DISTRIBUTION, RANGE
from gensr.priors.schema import Flag, List, Record, Text, Whole, check_config

from .generator import BlackBox, Parts
from .running import NAME, Program, started

KINDS = "torchscript|torch-export|onnx|module"
CONFIG = Record(
    {
        "kind": Text(20, KINDS),
        trust.KEY: Text(64, "[0-9a-f]{64}"),
        "latent": List(Whole(1, 1 << 20), 1, 4),
        "size": List(Whole(1, 1 << 14), 2, 2),
        "distribution": DISTRIBUTION,
        "range": RANGE,
        **dict.fromkeys(("single", "differentiable"), Flag()),
    },
    {"module": Text(300, NAME.pattern)},
)
STATE = "state."
"""What the names of a module's tensors begin with."""


class ProgramFamily:
    """See `gensr.priors.generator.Family`."""

    name = "program"
    options: Options = BlackBox.options
    train_options: Mapping[str, str] = {}

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """See `gensr.priors.generator.Family.train`."""
        raise UsageError("programs are not trained here; convert one: gensr models convert FILE trust=true")

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`; nothing runs before its digest is found among the trusted."""
        check_config(CONFIG, config, card.name)
        low, high = (float(x) for x in config["range"])
        if low == high or not card.aligned:
            raise WeightsError(f"{card.name}: configuration and card do not fit; fetch the file again")
        program = _program(tensors, config, card.name)
        if digest_of(program) != config[trust.KEY]:
            raise WeightsError(f"{card.name}: another program than its header says; fetch the file again")
        trust.check(config[trust.KEY], card.name)
        rows, cols = config["size"]
        parts = Parts(
            program,
            started(program, "cpu", card.name),
            tuple(config["latent"]),
            (rows, cols),
            config["distribution"],
            (low, high),
            config["single"],
            config["differentiable"],
        )
        return BlackBox(parts, card)


def _program(tensors: Mapping[str, Tensor], config: Mapping[str, Any], name: str) -> Program:
    if config["kind"] == "module":
        if "module" not in config:
            raise WeightsError(f"{name}: config.module is missing; fetch the file again")
        state = {k.removeprefix(STATE): t for k, t in tensors.items() if k.startswith(STATE)}
        return Program("module", module=config["module"], state=state)
    raw = tensors.get(trust.KEY)
    if raw is None or raw.dtype != torch.uint8 or raw.ndim != 1:
        raise WeightsError(f"{name}: the bytes of its program are missing; fetch the file again")
    return Program(config["kind"], raw.numpy().tobytes())


def digest_of(program: Program) -> str:
    """What a program is trusted by: its bytes; of code of the user's own, its name."""
    return hashlib.sha256(program.raw or program.module.encode()).hexdigest()


FAMILY = ProgramFamily()
