"""Whether pixels are labels, classes or a mask: one rule for all domains, of what the file says and the pixels show.

Labels have no values between them, so what interpolates them makes classes up. Numbers below were chosen on label maps
and images of every domain (`tests/values/test_labels.py` lists the kinds) with room on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gensr.values.plateaus import Block, Plateaus, measure

_WORDS = (
    r"[a-z0-9]*masks?|labels?|labell?ed|labelmaps?|segm?|[ad]seg|[a-z]*segmentations?|segmented|seg_?maps?|w?m?parc|aparc"
    r"|parcellations?|class(es)?|class_?maps?|classification|thematic|land_?cover|lulc|nlcd|clc|world_?cover|b?qa\d*"
    r"|pixel_qa|scl|msk_classi|annotations?|ground_?truth|instances|rois?|trimap"
)
_PRODUCTS = re.compile(r"(?:^|_)(scl|qa_pixel|qa_radsat|qa60|pixel_qa|msk_classi[a-z]*)(?:_|$)")
"""Bands of products that hold classes or bits by definition, whatever their pixels look like."""
_NAME = re.compile(rf"(?:^|_)({_WORDS})(?:_|$)")
_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])")
FEW = 3
"""Values of a mask: two, or three of which the codes do not follow each other as those of a dark image do."""
LEAST_EDGES = 8
SPARSE = 0.98
"""Share of the background beyond which spots must be flat: faint stars are not."""


@dataclass(frozen=True)
class Verdict:
    """What pixels are.

    Attributes:
        labels: whether they are labels, classes or a mask.
        reason: why, in words that follow "it is a label image or mask: "; or a doubt that a user should know; or "".
    """

    labels: bool
    reason: str


def named(texts: Sequence[str]) -> str:
    """The word in names that stands for labels, "" if there is none.

    >>> named(["sub-01_aseg_dseg"]), named(["CloudMask"]), named(["T1w", "segment 3"]), named(["QA_PIXEL"])
    ('aseg', 'mask', '', 'qa')
    """
    return _found(_NAME, texts)


def _found(pattern: re.Pattern[str], texts: Sequence[str]) -> str:
    for text in texts:
        match = pattern.search(re.sub(r"[^a-z0-9]+", "_", _BREAK.sub("_", text).lower()))
        if match:
            return match.group(1)
    return ""


def judge(blocks: Sequence[Block], names: Sequence[str] = (), declared: str = "") -> Verdict:
    """Judge the pixels of one image.

    Args:
        blocks: values (y, x) as they are stored, and where they are valid.
        names: of file, band, extension or channel.
        declared: what the file itself says that proves labels, such as "a palette of classes"; "" for nothing.

    Returns:
        Proof counts whatever the pixels are; a name counts where they could be labels; else they must look it.
    """
    product = _found(_PRODUCTS, names)
    if declared or product:
        return Verdict(True, declared or f"{product.upper()} holds classes or bits")
    seen = measure(blocks)
    word = named(names)
    if word and could_be(seen):
        return Verdict(True, f"its name says {word!r}")
    shown = looks(seen)
    if shown:
        return Verdict(True, shown)
    return Verdict(False, f"its name says {word!r}, but its values are those of an image" if word else "")


def could_be(seen: Plateaus) -> bool:
    """Whether pixels could be labels where a name says so: whole numbers in areas, or all alike."""
    if not seen.integral or not seen.pixels or not seen.values.size:
        return False
    if seen.values.size == 1:
        return True
    areas = seen.clumped < 0.5 and not seen.lonely > 0.2
    return areas and (seen.values.size <= 256 or seen.jumps >= 0.04)


def looks(seen: Plateaus) -> str:
    """What makes pixels look like labels, "" if they are those of an image."""
    count = int(seen.values.size)
    if count < 2 or not seen.integral or seen.edges < LEAST_EDGES:
        return ""
    if count <= FEW and _apart(seen.values):
        least = 0.9 if seen.commonest > SPARSE else 0.55
        flat = seen.clumped < 0.5 and seen.lonely < 0.1 and seen.steps >= least
        return f"{count} values in connected areas" if flat else ""
    if count < FEW or seen.pixels < 16 * count:
        return ""
    tidy = seen.clumped < 0.25 and seen.lonely < 0.02 and seen.jumps >= 0.06 and seen.reach >= 0.65
    speckled = seen.clumped < 0.65 and seen.jumps >= 0.04 and seen.reach >= 0.92
    patchwork = seen.clumped < 0.15 and seen.lonely < 0.02 and seen.jumps >= 0.3
    return f"{count} values in connected areas without values between them" if tidy or speckled or patchwork else ""


def _apart(values: np.ndarray) -> bool:
    """Whether two or three values are codes of a mask: from 0 or 1, and three do not follow each other."""
    return bool(values[0] <= 1) and (values.size == 2 or bool((np.diff(values) > 1).all()))
