"""Safetensors of other programs: a table of tensors in JSON, then their bytes."""

from __future__ import annotations

import json
from typing import Any

import torch

from gensr.priors.foreign.budget import OBJECT, Budget
from gensr.priors.foreign.views import Storage, TensorView, view
from gensr.priors.schema import check_depth

LONGEST = 25_000_000
"""Characters of a header."""
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(data: memoryview) -> bool:
    """Whether bytes begin as such a file does."""
    return bytes(data[8:9]) == b"{" and int.from_bytes(data[:8], "little") + 8 <= len(data)


def read(data: memoryview, budget: Budget) -> tuple[dict[str, TensorView], dict[str, str]]:
    """Tensors by name, and the texts of the header.

    Raises:
        WeightsError: a header that claims what is not there.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        if length > LONGEST:
            raise ValueError(f"a header of {length} bytes")
        text = bytes(data[8 : 8 + length]).decode("utf-8")
        budget.take(OBJECT * sum(text.count(mark) for mark in "[{,"))
        check_depth(text)
        header = json.loads(text)
        said = header.pop("__metadata__", {})
        metadata = {str(k): str(v) for k, v in said.items()}
        body = data[8 + length :]
        spans: list[tuple[int, int]] = []
        tensors = {str(name): _tensor(budget, body, entry, spans) for name, entry in header.items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise budget.refuse(f"unreadable header of safetensors ({str(error)[:80]})") from None
    last = 0
    for start, end in sorted(spans):
        if start < last:
            raise budget.refuse("tensors of the safetensors file lie over each other")
        last = end
    return tensors, metadata


def _tensor(budget: Budget, body: memoryview, entry: dict[str, Any], spans: list[tuple[int, int]]) -> TensorView:
    kind, shape, (start, end) = DTYPES.get(entry["dtype"]), entry["shape"], entry["data_offsets"]
    if kind is None:
        raise ValueError(f"a tensor of type {str(entry['dtype'])[:20]}")
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(body):
        raise ValueError(f"a tensor from {start} to {end} of {len(body)} bytes")
    raw = body[start:end]
    found = view(budget, Storage(kind, len(raw), lambda: raw), shape)
    if found.size != len(raw):
        raise ValueError(f"a tensor of shape {shape} in {len(raw)} bytes")
    if raw:
        spans.append((start, end))
    return found
