"""The program family: generators that are code (TorchScript, torch.export, ONNX, the user's own)."""

from __future__ import annotations

from .family import FAMILY, ProgramFamily
from .foreign import FOREIGN, Programs

__all__ = ["FAMILY", "FOREIGN", "ProgramFamily", "Programs"]
