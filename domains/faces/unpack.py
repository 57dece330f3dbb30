"""Decoding a picture in the child process: a file that imports nothing of gensr."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt


def look(path: str, formats: list[str]) -> npt.NDArray[np.uint8]:
    """Decode a picture and forget it, so that what a damaged one does to its codec is done here first.

    Args:
        path: of the file.
        formats: Pillow's names of the formats that may open it.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Image.open(path, formats=formats) as image:
            image.load()
    return np.zeros(0, np.uint8)
