"""Tensors of a foreign file that are not read before they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from gensr.priors.foreign.budget import Budget

MOST_AXES = 16
DTYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
"""Types of tensors by the word that torch's storages carry."""
NUMPY = {
    "f8": torch.float64,
    "f4": torch.float32,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u1": torch.uint8,
    "b1": torch.bool,
}
"""Types of tensors by numpy's word for them."""


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers in a row, somewhere in a file.

    Attributes:
        dtype: of a number; None for bytes that every tensor on them interprets.
        size: in bytes.
        load: the bytes; a view of the file where they lie there as they are.
    """

    dtype: torch.dtype | None
    size: int
    load: Callable[[], memoryview] = field(repr=False)


@dataclass(frozen=True, eq=False)
class TensorView:
    """A tensor of a file.

    Attributes:
        shape: its axes.
        dtype: of its numbers.
        stride: numbers from one element to the next along each axis.
        offset: of its first number in the storage.
        storage: where its numbers lie.
        swapped: whether the bytes of each number stand in the other order than here.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    stride: tuple[int, ...]
    offset: int
    storage: Storage
    swapped: bool = False

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the tensor once it is read."""
        return self.count * self.dtype.itemsize

    def read(self) -> Tensor:
        """The tensor, a copy of its own on the CPU."""
        if not self.count:
            return torch.empty(self.shape, dtype=self.dtype)
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        item = self.dtype.itemsize
        raw = bytearray(self.storage.load()[self.offset * item : (last + 1) * item])
        if self.swapped:
            np.frombuffer(raw, dtype=f"u{item}").byteswap(inplace=True)
        flat = torch.frombuffer(raw, dtype=self.dtype)
        return flat.as_strided(self.shape, self.stride).contiguous()


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a tensor without gaps, the last axis fastest."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def view(
    budget: Budget,
    storage: Storage,
    shape: object,
    stride: object = None,
    offset: object = 0,
    dtype: torch.dtype | None = None,
    *,
    swapped: bool = False,
) -> TensorView:
    """A tensor on a storage, checked: nothing it claims lies outside, and it has no more elements than there are.

    Raises:
        WeightsError: sizes, strides or offset that the storage cannot hold, or together more than the file may take.
    """
    kind = dtype or storage.dtype
    if kind is None:
        raise budget.refuse("a tensor of no type")
    if not _whole(shape) or len(shape) > MOST_AXES:
        raise budget.refuse(f"a tensor of shape {str(shape)[:60]}")
    steps = contiguous(shape) if stride is None else stride
    if not _whole(steps) or len(steps) != len(shape) or type(offset) is not int or offset < 0:
        raise budget.refuse(f"a tensor with strides {str(steps)[:60]} and offset {str(offset)[:20]}")
    count, there = math.prod(shape), storage.size // kind.itemsize
    last = offset + sum((n - 1) * s for n, s in zip(shape, steps, strict=True)) if count else offset
    if count > there or (count and last >= there) or offset > there:
        raise budget.refuse(
            f"a tensor of shape {tuple(shape)}, strides {tuple(steps)} and offset {offset} on {there} numbers"
        )
    budget.promise(count * kind.itemsize)
    return TensorView(tuple(shape), kind, tuple(steps), offset, storage, swapped)


def _whole(values: object) -> TypeGuard[Sequence[int]]:
    return isinstance(values, tuple | list) and all(type(n) is int and 0 <= n < 1 << 48 for n in values)
