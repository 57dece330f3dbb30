"""Where people are in a photo: grown by GrabCut from their faces, head and shoulders first.

Rother, Kolmogorov and Blake 2004 (doi:10.1145/1015706.1015720), as OpenCV has it: colours of a person and of what is
around are told apart by mixtures, borders lie where the picture has edges. A face says where a person is for certain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from . import centre
from .align import Face

LONGEST = 480
"""Longer side at which a photo is cut, pixels."""
LEAST_EYES = 10.0
"""Distance of the eyes below which a person is too small to have a motion of its own, pixels."""
MOST = 6
"""People that are told apart."""
ROUNDS = 3
WIDE, HIGH, ABOVE = 1.9, 4.5, 0.7
"""Half width, height below and height above the face of what may be a person, in widths and heights of the face."""
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def people(photo: Picture, faces: Sequence[Face]) -> list[Mask]:
    """Where each person is (rows, cols), those with small faces, who are behind, first.

    Args:
        photo: (y, x, 3) uint8, RGB; grey three times.
        faces: that were found in it, the largest first.
    """
    taken = np.zeros(photo.shape[:2], bool)
    found: list[Mask] = []
    for face in [face for face in faces if face.eyes >= LEAST_EYES][:MOST]:  # who is in front comes first
        mask = grown(photo, face) & ~taken
        taken |= mask
        found.append(mask)
    return [mask for mask in found[::-1] if mask.any()]


def grown(photo: Picture, face: Face) -> Mask:
    """The person of a face (rows, cols)."""
    from scipy.ndimage import label  # late: every photo comes by this module, few have people in motion

    cv2 = centre.opencv()
    step = max(1, -(-max(photo.shape[:2]) // LONGEST))
    small = np.ascontiguousarray(photo[::step, ::step, ::-1])
    rows, cols = small.shape[:2]
    x, y, width, height = (float(v) / step for v in face.box)
    down, across = np.mgrid[:rows, :cols]
    middle = x + width / 2
    marks = np.full((rows, cols), cv2.GC_BGD, np.uint8)
    maybe = (abs(across - middle) < WIDE * width) & (down > y - ABOVE * height) & (down < y + HIGH * height)
    marks[maybe] = cv2.GC_PR_BGD
    below = (down - y - height) / height
    body = (below > 0) & (below < HIGH) & (abs(across - middle) < (0.6 + 0.5 * np.minimum(below, 1)) * width)
    head = np.hypot((across - middle) / (0.75 * width), (down - y - 0.4 * height) / (0.85 * height)) < 1
    marks[(body | head) & maybe] = cv2.GC_PR_FGD
    sure = np.hypot((across - middle) / (0.42 * width), (down - y - 0.5 * height) / (0.5 * height)) < 1
    marks[sure] = cv2.GC_FGD
    if not sure.any() or not (marks == cv2.GC_BGD).any():
        return np.zeros(photo.shape[:2], bool)
    room = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(small, marks, None, room[0], room[1], ROUNDS, cv2.GC_INIT_WITH_MASK)
    inside = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    pieces, _ = label(inside)
    own = np.isin(pieces, np.unique(pieces[sure & inside]))
    full = np.repeat(np.repeat(own & inside, step, 0), step, 1)  # at least as large as the photo
    return np.asarray(full[: photo.shape[0], : photo.shape[1]])
