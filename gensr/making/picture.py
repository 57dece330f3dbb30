"""Decoding pictures of a corpus in the child process: a file that imports nothing of gensr."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt


def picture(most: int, data: bytes = b"") -> npt.NDArray[Any]:
    """A picture as (rows, cols) or (rows, cols, 3), in the values of the file.

    Args:
        most: bytes that it may have, decoded as float32.
        data: the file.

    Raises:
        ValueError: it has more.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as found:
            if found.width * found.height * 4 > most:
                raise ValueError(f"{found.width} x {found.height} pixels is too large")
            kept = found if found.mode in ("L", "I;16", "F") else found.convert("RGB")
            return np.asarray(kept)
