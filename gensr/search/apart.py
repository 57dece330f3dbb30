"""Candidates that share a batch and no arithmetic: what one becomes does not depend on how many there are.

Kernels for products and convolutions on a CPU add up in an order that depends on the size of the batch. That changes
the seventh digit of a gradient, and tens of quasi-Newton steps make a hundredth of the picture of it. Here every row of
such an operation is computed as if it were alone, forward and backward; what goes element by element stays together.
Rows of a convolution differ because torch has a kernel of its own for inputs up to 20,480 numbers, and oneDNN's beyond.
oneDNN's for all sizes would be alike in every row; it was tried, and slowed what is alone more than it was worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

LINE = 64
"""Bytes at whose multiples memory begins; kernels sum in another order where a row lies elsewhere."""
TRIED = 12
"""Rows of random numbers on which a shorter way is tried."""
MATRIX = 2
"""Axes of what has no rows of its own: they are summed over."""
PRODUCTS = frozenset(
    {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm, torch.mm, torch.Tensor.mm}
)
"""Of two factors, of which either or both have rows."""
LAYERS = frozenset(
    {
        torch.conv1d,
        torch.conv2d,
        torch.conv3d,
        torch.conv_transpose1d,
        torch.conv_transpose2d,
        torch.conv_transpose3d,
        nn.functional.linear,
    }
)
"""Whose first argument has rows, and the others none."""
ATTENTION = frozenset({nn.functional.scaled_dot_product_attention})
"""Whose tensors all have rows."""


class Apart(TorchFunctionMode):
    """See the module text.

    Args:
        count: rows of the batch; tensors with that many rows are cut into them.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:  # fmt: skip
        """Called by torch in place of each of its functions."""
        named = dict(kwargs or {})
        if func in LAYERS and not args and "input" in named:
            args = (named.pop("input"),)
        rows = self._rows(func, args)
        if not any(rows):
            return func(*args, **named)
        plain = func in PRODUCTS or func is nn.functional.linear
        if plain and not any(rows[1:]) and not named and (alike := _alike(func, *args)) is not None:
            return alike
        cut = [_cut(a) if has else None for a, has in zip(args, rows, strict=True)]
        alone = [
            func(*(a if parts is None else parts[k] for a, parts in zip(args, cut, strict=True)), **named)
            for k in range(self.count)
        ]
        joined: Tensor = _Joined.apply(*alone)  # type: ignore[no-untyped-call]
        return joined

    def _rows(self, func: Callable[..., Any], args: tuple[Any, ...]) -> list[bool]:
        """Which arguments have rows that a function computes one by one."""
        if func in LAYERS:
            return [k == 0 and self._batched(a) for k, a in enumerate(args)]
        if func in PRODUCTS and len(args) == 2:
            left, right = args
            wide = right.ndim > MATRIX
            return [self._batched(left) and (not wide or left.ndim == right.ndim), wide and self._batched(right)]
        if func in ATTENTION:
            return [self._batched(a) for a in args]
        if func is torch.einsum and isinstance(args[0], str) and args[0].count("->") == 1:
            terms, out = args[0].replace(" ", "").split("->")
            if terms.count(",") + 2 != len(args):
                return []  # operands in a list, which are left together
            leads = (bool(out) and term[:1] == out[:1] for term in terms.split(","))
            return [False, *(first and self._batched(a) for first, a in zip(leads, args[1:], strict=True))]
        return []

    def _batched(self, x: object) -> bool:
        return isinstance(x, Tensor) and x.ndim > 1 and len(x) == self.count


def apart(x: Tensor) -> AbstractContextManager[Any]:
    """For what is made of the rows of ``x``: on a CPU each as if it were alone.

    An accelerator waits for every operation that is begun; there, rows stay together.
    """
    return Apart(len(x)) if len(x) > 1 and x.device.type == "cpu" else nullcontext()


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products (n, ...) of vectors along the last axis, summed in double precision where the device has it.

    In single precision the last digit hangs on how a kernel divides its rows.
    """
    product = a * b
    return wide(product).sum(-1).to(product.dtype)


def wide(x: Tensor) -> Tensor:
    """Double precision where the device has it."""
    return x if x.device.type == "mps" else x.double()


class _Joined(torch.autograd.Function):
    """Rows as a batch; its gradient is cut as the rows were."""

    @staticmethod
    def forward(ctx: object, *rows: Tensor) -> Tensor:
        return torch.cat(rows)

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> tuple[Tensor, ...]:
        return tuple(_cut(grads[0]))


def _cut(x: Tensor) -> list[Tensor]:
    """The rows, each in memory as the only one of a batch is."""
    aligned = x[0].numel() * x.element_size() % LINE == 0
    return [part if aligned else part.clone() for part in x.split(1)]


def _alike(func: Callable[..., Any], x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor | None:
    """A product of all rows with one matrix, where that adds up as for a row alone; None elsewhere."""
    if func is nn.functional.linear:
        matrix = matrix.T
    if x.ndim != MATRIX or matrix.ndim != MATRIX or matrix.requires_grad:
        return None
    if any(size * x.element_size() % LINE for size in matrix.shape):
        return None  # rows, or those of the gradient, begin between lines
    known = _proven(x.shape[1], matrix.shape[1], matrix.stride(), bias is not None, x.dtype, torch.get_num_threads())
    return _product(x, matrix, bias) if known else None


def _product(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """One small product for every row, begun at once."""
    many, line = matrix.expand(len(x), -1, -1), x[:, None]
    made = torch.bmm(line, many) if bias is None else torch.baddbmm(bias, line, many)
    return made[:, 0]


@lru_cache(maxsize=1024)
def _proven(inward: int, outward: int, stride: tuple[int, ...], biased: bool, dtype: torch.dtype, threads: int) -> bool:
    """Whether `_product` has the bits of each row by itself, derivatives included, on this machine: it is tried."""
    numbers = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        x, g = (torch.randn(TRIED, size, generator=numbers).to(dtype) for size in (inward, outward))
        matrix = torch.randn(outward, inward, generator=numbers).to(dtype).T
        matrix = matrix if stride[0] == 1 else matrix.contiguous()
        bias = torch.randn(outward, generator=numbers).to(dtype) if biased else None
        x.requires_grad_()
        together = _product(x, matrix, bias)
        alone = torch.cat([nn.functional.linear(row.clone(), matrix.T, bias) for row in x.split(1)])
        back = [torch.autograd.grad(made, x, g)[0] for made in (together, alone)]
    return torch.equal(together, alone) and torch.equal(*back)
