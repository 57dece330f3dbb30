"""Arrays of numpy as they stand in a pickle, as tensors that are not read yet."""

from __future__ import annotations

import numpy as np

from gensr.priors.foreign.budget import Budget
from gensr.priors.foreign.inert import Array, Inert
from gensr.priors.foreign.views import NUMPY, Storage, TensorView, contiguous, view


def array(budget: Budget, shape: object, dtype: object, fortran: object, raw: object) -> TensorView | None:
    """An array as a tensor; None for one that holds no numbers.

    Args:
        budget: of the file.
        shape: as the pickle says.
        dtype: the inert ``numpy.dtype``.
        fortran: whether the first axis is the fastest.
        raw: its bytes.

    Raises:
        WeightsError: more is claimed than there are bytes.
    """
    if not isinstance(dtype, Inert) or dtype.name != "numpy.dtype":
        raise ValueError("an array without a type")
    state = dtype.state if isinstance(dtype.state, tuple) else ()
    order = str(state[1]) if len(state) > 1 else "="
    kind = str(dtype.args[0] if dtype.args else "").lstrip("<>|=")
    if kind not in NUMPY:
        return None
    if isinstance(raw, str):  # Python 2
        budget.take(len(raw))
        raw = memoryview(raw.encode("latin-1"))
    if not isinstance(raw, memoryview):
        raise ValueError(f"an array of {type(raw).__name__}")
    if not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
        raise ValueError("an array without a shape")
    data = raw
    storage = Storage(NUMPY[kind], len(data), lambda: data)
    stride = tuple(reversed(contiguous(tuple(reversed(shape))))) if fortran else None
    swapped = not np.dtype(f"{order if order in ('<', '>') else '='}{kind}").isnative
    return view(budget, storage, shape, stride, 0, swapped=swapped)


def fill(budget: Budget, target: Array, state: object) -> None:
    """Give an array the state that its pickle has: ``version, shape, dtype, Fortran order, bytes``."""
    if not isinstance(state, tuple) or len(state) != 5 or target.view is not None:
        raise ValueError("an array with an unusual state")
    _, shape, dtype, fortran, raw = state
    target.view = array(budget, shape, dtype, fortran, raw)
