"""Where tensors live: a word of the user to a device that works."""

from __future__ import annotations

import torch

from gensr.errors import UsageError

AUTO = "auto"


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
