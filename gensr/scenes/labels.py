"""Which parts of a scene are labels: a bounded look at its stored codes, judged by the one rule of all domains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gensr.scenes.scene import Part, Scene
from gensr.scenes.statistics import places
from gensr.values.grid import Window
from gensr.values.labels import Verdict, judge
from gensr.values.plateaus import Block, measure

SIDE = 256
WINDOWS = 64
CODES = 1 << 22
"""Codes of all parts together that are looked at."""
FIRST = 4
"""Windows after which an image that is plainly one is not looked at any longer."""
PLAIN_EDGES, PLAIN_VALUES = 2000, 64


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        labels: parts that are labels, and why.
        doubts: what a user should know of parts that are not.
    """

    labels: tuple[tuple[Part, str], ...]
    doubts: tuple[str, ...]


def survey(scene: Scene) -> Survey:
    """Judge every part of a scene."""
    labels, doubts = [], []
    for planes, parts in _together(_parts(scene)):
        for part, verdict in zip(parts, _judged(scene, planes, parts), strict=True):
            if verdict.labels:
                labels.append((part, verdict.reason))
            elif verdict.reason:
                doubts.append(f"{part.name}: {verdict.reason}")
    return Survey(tuple(labels), tuple(doubts))


def _parts(scene: Scene) -> Sequence[Part]:
    """Parts of a scene; what an array of xarray says of itself is said of all of them."""
    said = scene.labels
    if said is None:
        return scene.parts()
    return [
        replace(part, names=(*part.names, said.name), declared=part.declared or said.proof) for part in scene.parts()
    ]


def _together(parts: Sequence[Part]) -> list[tuple[Sequence[int], list[Part]]]:
    """Parts that lie in the same planes are read together."""
    found: dict[tuple[int, ...], list[Part]] = {}
    for part in parts:
        found.setdefault(tuple(part.planes), []).append(part)
    return list(found.items())


def _judged(scene: Scene, planes: Sequence[int], parts: Sequence[Part]) -> list[Verdict]:
    asked = [part for part in parts if not part.declared]
    blocks: list[list[Block]] = [[] for _ in asked]
    for count, (plane, window) in enumerate(_windows(scene, planes, len(asked)), 1):
        codes, mask = scene.stored(plane, window)
        valid = np.broadcast_to(mask, codes.shape)
        for part, own in zip(asked, blocks, strict=True):
            if valid[part.band].any():
                own.append((codes[part.band], valid[part.band]))
        if count == FIRST and all(_plain(own) for own in blocks):
            break
    seen = iter(blocks)
    return [judge([] if part.declared else next(seen), part.names, part.declared) for part in parts]


def _plain(blocks: Sequence[Block]) -> bool:
    """Whether a few windows say already that pixels are an image: many values, hardly any with a neighbour like it."""
    seen = measure(blocks)
    return not seen.values.size or (
        seen.values.size >= PLAIN_VALUES and seen.edges >= PLAIN_EDGES and seen.lonely > 0.3
    )


def _windows(scene: Scene, planes: Sequence[int], parts: int) -> Iterator[tuple[int, Window]]:
    rows, cols = scene.grid.shape
    size = min(SIDE, rows) * min(SIDE, cols) * max(1, len(scene.bands))
    count = max(2, min(WINDOWS * SIDE**2 // (min(SIDE, rows) * min(SIDE, cols)), CODES // size)) if parts else 0
    for number, window in places(len(planes), scene.grid.shape, count, SIDE):
        yield planes[number], window
