"""Several scenes of one shape as the planes of one: times or depths of an array whose format has one plane a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.operators.base import Operator
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.rehearsal import Blank
from gensr.scenes.scene import Part, Reference, Scene
from gensr.values.grid import Factor, Window
from gensr.values.image import Image
from gensr.values.noise import Noise
from gensr.values.normalise import AffineNormaliser, Normaliser
from gensr.values.precision import Real

ASKED = 8
"""Planes whose contrast is asked for."""


class StackScene(Scene):
    """The planes of several scenes, one after the other; bands, grid, codes and physics are those of the first.

    Args:
        members: alike but for their pixels, each with one plane.
    """

    def __init__(self, members: Sequence[Scene]) -> None:
        self.members, first = tuple(members), members[0]
        self.path, self.planes = first.path, len(self.members)
        self.bands, self.grid, self.dtype, self.unit = first.bands, first.grid, first.dtype, first.unit
        self.quantum, self.origin, self.precision = first.quantum, first.origin, first.precision
        references = tuple(part.reference for part in self.members if part.reference is not None)
        self.reference = StackReference(references) if len(references) == self.planes else None

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        return self.members[plane].read(0, window)

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        return self.members[plane].stored(0, window)

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`: those of the first, in every plane."""
        return tuple(replace(part, planes=range(self.planes)) for part in self.members[0].parts())

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`."""
        return self.members[plane].encode(0, values, valid)

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`: that of the first plane, and how many there are."""
        return {**self.members[0].metadata(), "planes": self.planes}

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`."""
        return self.members[0].operator(factor)

    def noise(self) -> Noise | None:
        """See `Scene.noise`."""
        return self.members[0].noise()

    def generator(self) -> str:
        """See `Scene.generator`."""
        return self.members[0].generator()

    def normaliser(self) -> Normaliser:
        """See `Scene.normaliser`: the range that holds those of several planes, spread evenly."""
        places = sorted({round(p) for p in np.linspace(0, self.planes - 1, min(self.planes, ASKED))})
        found = [self.members[p].normaliser() for p in places]
        if not all(isinstance(n, AffineNormaliser) for n in found):
            return self.members[0].normaliser()
        lows = np.array([n.offset for n in found if isinstance(n, AffineNormaliser)])
        highs = lows + np.array([n.gain for n in found if isinstance(n, AffineNormaliser)])
        low, high = lows.min(0), highs.max(0)
        return AffineNormaliser(tuple(float(g) for g in high - low), tuple(float(o) for o in low))

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`: every plane as its format writes it, under a name with its number."""
        written = []
        for plane, part in enumerate(self.members):
            own = Names(f"{names.stem}-{plane + 1:0{len(str(self.planes))}d}", names.factor)
            written += part.write(_Plane(product, plane), folder, own)
        return written

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`: of one plane, as the others are alike."""
        self.members[0].rehearse(replace(product, shape=(1, *product.shape[1:])), folder, names)

    def render(self, values: Real, reference: Real) -> Codes:
        """See `Scene.render`."""
        return self.members[0].render(values, reference)

    def spill(self, folder: Path) -> None:
        """See `Scene.spill`."""
        if self.kept is not None and isinstance(self.reference, StackReference):
            self.reference = StackReference(tuple(part.moved(folder) for part in self.reference.parts))

    def close(self) -> None:
        """See `Scene.close`."""
        for part in self.members:
            part.close()


@dataclass(frozen=True)
class StackReference(Reference):
    """References of the scenes of a stack."""

    parts: tuple[Reference, ...]

    def scene(self) -> Scene:
        """See `Reference.scene`."""
        return _opened(self)


@lru_cache(maxsize=2)
def _opened(reference: StackReference) -> Scene:
    return StackScene([part.scene() for part in reference.parts])


@dataclass(frozen=True)
class _Plane:
    """One plane of a product."""

    whole: Product
    plane: int

    @property
    def factor(self) -> Factor:
        return self.whole.factor

    @property
    def slices(self) -> int:
        return 1

    @property
    def samples(self) -> int:
        return self.whole.samples

    @property
    def report(self) -> Any:  # noqa: ANN401
        return self.whole.report

    def mean(self, plane: int, window: Window) -> Codes:
        return self.whole.mean(self.plane, window)

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        return self.whole.sample(index, self.plane, window)

    def std(self, plane: int, window: Window) -> Real:
        return self.whole.std(self.plane, window)
