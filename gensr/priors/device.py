"""Where tensors live, and in which precision networks compute: words of the user to what works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gensr.errors import UsageError
from gensr.priors.generator import Generator
from gensr.values.words import AUTO, FLOAT32


def choose_device(name: str) -> str:
    """``auto`` takes a CUDA GPU where there is one.

    Raises:
        UsageError: unknown or missing device.
    """
    if name == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device={name}: expected cpu or cuda") from error
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device={name}: not usable here ({str(error).splitlines()[0]}); use cpu or cuda") from error
    return name


def placed(generator: Generator, device: str, precision: str = AUTO) -> Generator:
    """A generator where it computes, as the user wants it to.

    Args:
        generator: anywhere.
        device: see `choose_device`.
        precision: "auto" or "float32", see `gensr.pipeline.request.Request`.

    Raises:
        UsageError: unknown or missing device.
    """
    moved = generator.to(choose_device(device))
    return moved.precise() if precision == FLOAT32 else moved


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """While networks compute: NVIDIA GPUs round what float32 convolutions read to TensorFloat-32 unless told not to."""
    backend = torch.backends.cudnn
    before = backend.allow_tf32
    backend.allow_tf32 = before and precision != FLOAT32
    try:
        yield
    finally:
        backend.allow_tf32 = before
