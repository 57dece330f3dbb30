"""Decoding a picture in the child process: a file that imports nothing of gensr."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt


def deep_png(path: str) -> npt.NDArray[np.uint16]:
    """Pixels of a PNG of 16 bits (y, x, sample), two to four samples.

    Args:
        path: of the file.
    """
    import imagecodecs

    with open(path, "rb") as stream:
        return np.asarray(imagecodecs.png_decode(stream.read()), np.uint16)


def deep_tiff(path: str) -> npt.NDArray[np.uint16]:
    """Pixels of the first page of a TIFF of 16-bit colour (y, x, sample); a fourth that is no alpha is left out.

    Args:
        path: of the file.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        pixels = page.asarray()
        pixels = np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 else pixels
        seen = 4 if 2 in page.extrasamples else 3
        if pixels.ndim != 3 or pixels.shape[-1] < seen or pixels.dtype.kind != "u" or pixels.dtype.itemsize != 2:
            raise ValueError(f"its pixels are {pixels.shape} {pixels.dtype}")
        return np.ascontiguousarray(pixels[..., :seen], np.uint16)


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
