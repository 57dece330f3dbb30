"""Drawing: arrays as RGB on a common scale, strips, labelled sheets, and JPEG below a size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sets import SKY, BenchmarkSet

Picture = NDArray[np.uint8]
"""(y, x, 3)."""
GAP = 4
SOFTENING = 2 * SKY
"""Where asinh turns from linear to logarithmic in pictures of flux, electron/s."""
QUALITY = 85
LIMIT = 400_000
"""Bytes of a sheet."""


def drawn(item: BenchmarkSet, values: NDArray[Any], reference: NDArray[Any]) -> Picture:
    """Values (band, y, x) as RGB: asinh of flux, else linear between the 0.5 and 99.5 percentiles of the reference."""
    if item.flux:
        values, reference = np.arcsinh(values / SOFTENING), np.arcsinh(reference / SOFTENING)
    low, high = (float(q) for q in np.percentile(reference, (0.5, 99.5)))
    level = np.clip((values - low) / ((high - low) or 1.0), 0, 1) * 255
    rgb = level if len(level) == 3 else np.repeat(level[:1], 3, 0)
    return np.asarray(rgb.transpose(1, 2, 0), np.uint8)


def heat(std: NDArray[Any]) -> Picture:
    """A standard deviation (band, y, x) as grey, white at its 99.5 percentile."""
    spread = std.mean(0)
    level = np.clip(spread / max(float(np.percentile(spread, 99.5)), 1e-12), 0, 1) * 255
    return np.repeat(level.astype(np.uint8)[..., None], 3, -1)


def enlarged(picture: Picture, side: int) -> Picture:
    """Pixels repeated a whole number of times, as often as fits into ``side``."""
    zoom = max(1, side // max(picture.shape[:2]))
    return np.repeat(np.repeat(picture, zoom, 0), zoom, 1)


def row_of(pictures: Sequence[Picture], side: int) -> Picture:
    """Pictures of one size beside each other, each enlarged to about ``side``, with gaps on their right."""
    return np.concatenate(
        [np.pad(enlarged(p, side), ((0, 0), (0, GAP), (0, 0)), constant_values=255) for p in pictures], 1
    )


def sheet(rows: Sequence[Sequence[Picture]], labels: Sequence[str], title: str, side: int) -> Picture:
    """Rows of pictures below a title and the labels of their columns, spread evenly over the width."""
    from PIL import Image, ImageDraw, ImageFont

    lines = [np.pad(row_of(row, side), ((0, GAP), (0, 0), (0, 0)), constant_values=255) for row in rows]
    body = np.concatenate(lines, 0)
    font = ImageFont.load_default(13)
    head = Image.new("RGB", (body.shape[1], 42), "white")
    pen = ImageDraw.Draw(head)
    pen.text((3, 3), title, "black", font)
    width = body.shape[1] / len(labels)
    for i, label in enumerate(labels):
        pen.text((3 + i * width, 22), label, "black", font)
    return np.concatenate([np.asarray(head, np.uint8), body], 0)


def jpeg(picture: Picture, quality: int = QUALITY, limit: int | None = None) -> bytes:
    """JPEG of a quality; one that is lower, in steps of 5, if the file would not stay below the limit.

    Raises:
        ValueError: even quality 5 is above the limit.
    """
    from PIL import Image

    for level in range(quality, 0, -5):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=level, optimize=True)
        if limit is None or buffer.tell() < limit:
            return buffer.getvalue()
    raise ValueError(f"a picture of {picture.shape[1]} x {picture.shape[0]} does not fit into {limit} bytes")
