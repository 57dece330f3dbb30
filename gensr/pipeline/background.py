"""What stands where no inset lies, answered by a prior for fields of any size instead of interpolated.

Tiles of the whole scene go into rasters of the store before anything is laid over them: float32, with the same journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gensr.pipeline.reconstruct import TileWork
from gensr.pipeline.store import MEAN, STD, Layout, Shape, Store, result_names, sample_name
from gensr.pipeline.task import Task
from gensr.pipeline.tiles import Tile
from gensr.scenes.scene import Scene
from gensr.values.grid import Window
from gensr.values.precision import SINGLE, Real

REST = "rest "
"""What the names of its rasters and of its finished tiles begin with."""


@dataclass(frozen=True)
class Background:
    """A prior for all of a scene.

    Attributes:
        task: what decides its pixels; it explains the data exactly, as an interpolation would.
        why: its prior was chosen, in words.
        tiles: of the scene.
    """

    task: Task
    why: str
    tiles: tuple[Tile, ...]

    @property
    def name(self) -> str:
        """Of its generator."""
        return self.task.generator.card.name

    def describe(self) -> dict[str, Any]:
        """For people: JSON-able."""
        moments, samples = self.task.method.words
        reference = self.task.prior.reference
        return {
            "generator": self.name,
            "sha256": "" if reference is None else reference.digest,
            "licence": self.task.generator.card.licence,
            "chosen as": self.why,
            "mean and std": moments,
            "samples": samples,
        }

    def cautions(self, domain: str) -> list[str]:
        """What a user should know: whether the prior was made for other images than those of ``domain``."""
        domains = self.task.generator.card.domains
        return [] if domain in domains else [f"{self.name} was made for {' and '.join(domains)} images"]

    def layout(self, shape: Shape) -> Layout:
        """Its rasters in a store."""
        return {f"{REST}{name}": (shape, SINGLE) for name in result_names(self.task.samples)}

    def compute(self, scene: Scene, store: Store) -> Iterator[int]:
        """Answer the tiles that the store lacks; refined values that are there so far come back after each."""
        done, work = 0, TileWork(scene, self.task)
        for tile in self.tiles:
            fine = tile.core.refine(self.task.factor)
            part = f"{REST}{tile.index}"
            if part not in store.done:
                (found,) = work((tile,))
                named = {MEAN: found.mean, STD: found.std}
                named |= {sample_name(k): sample for k, sample in enumerate(found.samples)}
                for name, values in named.items():
                    store.rasters[f"{REST}{name}"].write(0, fine, values)
                store.finish(part, {})
            done += fine.rows * fine.cols * len(scene.bands)
            yield done


@dataclass(frozen=True)
class Ground:
    """A finished background, window by window.

    Attributes:
        store: that holds it.
        background: what was computed.
    """

    store: Store
    background: Background

    def values(self, window: Window, index: int = 0) -> Real:
        """Mean (0) or sample ``index`` - 1 (band, y, x) on a window of the input."""
        return self._read(sample_name(index - 1) if index else MEAN, window)

    def std(self, window: Window) -> Real:
        """Deviation on the same pixels."""
        return self._read(STD, window)

    def _read(self, name: str, window: Window) -> Real:
        fine = window.refine(self.background.task.factor)
        return np.asarray(self.store.rasters[f"{REST}{name}"].read(0, fine), np.float32)
