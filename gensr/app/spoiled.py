"""An opened scene as a worse instrument would have seen it.

"Take your own image, blur it, feed it": the spoiled scene is a scene like any other, so a plan is settled on it, and
its answer is written by the scene it came from, with that one's headers.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gensr.app.spoil import Spoil
from gensr.errors import DomainError
from gensr.operators import Area, MeasuredPSF, Operator, SeparableOperator
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.rehearsal import Blank
from gensr.scenes.scene import Part, Scene
from gensr.values.grid import Affine, Factor, PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import Noise
from gensr.values.normalise import Normaliser
from gensr.values.precision import Real
from gensr.values.random import Stream


class Spoiled(Scene):
    """What blurred and pixelated scenes have in common: everything but pixels is said by the scene they came from.

    Attributes:
        added: noise that is added to what they show.
    """

    added: Noise | None = None

    def __init__(self, inner: Scene, spoil: Spoil, grid: PixelGrid) -> None:
        self.inner, self.spoiling, self.grid = inner, spoil, grid
        self.path, self.planes, self.bands = inner.path, inner.planes, inner.bands
        self.dtype, self.unit, self.quantum, self.precision = inner.dtype, inner.unit, inner.quantum, inner.precision
        self.origin, self.kept, self.doubt, self.judged = inner.origin, inner.kept, inner.doubt, inner.judged

    @abstractmethod
    def seen(self, plane: int, window: Window) -> Image:
        """A window without added noise."""

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`; noise belongs to its pixel, whatever the window."""
        image = self.seen(plane, window)
        if self.added is None:
            return image
        draw = Stream(0, ("spoil", plane)).field(*window, bands=len(self.bands))
        deviation = self.added.variance(torch.from_numpy(image.values.copy()).double()).sqrt()
        noisy = image.values + (draw.double() * deviation).numpy()
        return replace(image, values=np.where(image.valid, noisy, 0.0).astype(self.precision))

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`."""
        return self.inner.encode(plane, values, valid)

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`."""
        return self.inner.parts()

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        return {**self.inner.metadata(), "shape": list(self.grid.shape), "spoiled on purpose": self.spoiling.words}

    def cautions(self) -> list[str]:
        """See `Scene.cautions`."""
        return [f"the input was {self.spoiling.words}", *self.inner.cautions()]

    def noise(self) -> Noise | None:
        """See `Scene.noise`: what the file said is not true any more; what was added is known, if it was told."""
        return self.added if self.spoiling.told else None

    def generator(self) -> str:
        """See `Scene.generator`."""
        return self.inner.generator()

    def stand_in(self) -> str:
        """See `Scene.stand_in`."""
        return self.inner.stand_in()

    def deblurs(self) -> str:
        """See `Scene.deblurs`."""
        return self.inner.deblurs()

    def normaliser(self) -> Normaliser:
        """See `Scene.normaliser`."""
        return self.inner.normaliser()

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`."""
        return self.inner.write(product, folder, names)

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`."""
        self.inner.rehearse(product, folder, names)

    def render(self, values: Real, reference: Real) -> Codes:
        """See `Scene.render`."""
        return self.inner.render(values, reference)

    def hand(self, codes: Codes, valid: npt.NDArray[np.bool_]) -> Codes:
        """See `Scene.hand`."""
        return self.inner.hand(codes, valid)

    def content(self) -> str:
        """See `Scene.content`."""
        return hashlib.sha256(f"{self.inner.content()} {self.spoiling}".encode()).hexdigest()

    def close(self) -> None:
        """See `Scene.close`."""
        self.inner.close()


class Blurred(Spoiled):
    """A scene behind a blur, reflected at its borders; gaps stay gaps and lend nothing to their neighbours."""

    def __init__(self, inner: Scene, spoil: Spoil) -> None:
        super().__init__(inner, spoil, inner.grid)

    def seen(self, plane: int, window: Window) -> Image:
        """See `Spoiled.seen`."""
        from scipy import ndimage

        kernel = self.spoiling.kernel()
        down, across = (n // 2 for n in kernel.shape)
        rows, cols = self.grid.shape
        top, left = max(window.row - down, 0), max(window.col - across, 0)
        bottom = min(window.row + window.rows + down, rows)
        right = min(window.col + window.cols + across, cols)
        found = self.inner.read(plane, Window(top, left, bottom - top, right - left))
        use = found.valid & np.isfinite(found.values)
        values = np.where(use, found.values, 0.0).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            blurred = np.stack(
                [
                    ndimage.convolve(v, kernel, mode="reflect") / ndimage.convolve(u * 1.0, kernel, mode="reflect")
                    for v, u in zip(values, use, strict=True)
                ]
            )
        inside = np.s_[
            :,
            window.row - top : window.row - top + window.rows,
            window.col - left : window.col - left + window.cols,
        ]
        kept = np.where(use, blurred, 0.0)[inside].astype(self.precision)
        return Image(
            kept, self.grid.crop(window), use[inside], use[inside] & found.usable[inside], self.bands, self.unit
        )

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: the pixel, then the blur between pixels; the same as a blur before with gaps in it.

        Raises:
            DomainError: the input has an instrument of its own.
        """
        own = self.inner.operator(factor)
        if not self.spoiling.told:
            return own
        if type(own) is not Area:
            raise DomainError(
                f"{self.path.name}: comes from an instrument of its own ({own.describe()['name']}); do not spoil it"
            )
        if self.spoiling.kind == "blur":
            return BlurredArea(factor, self.spoiling, own.gain != 1.0)
        kernel = self.spoiling.kernel()
        fine = np.zeros([(n - 1) * f + 1 for n, f in zip(kernel.shape, factor, strict=True)])
        fine[:: factor[0], :: factor[1]] = kernel
        return MeasuredPSF(factor, fine, own.gain != 1.0)


class BlurredArea(SeparableOperator):
    """Pixel integration, then a Gaussian between pixels; separable, so that closed forms serve it.

    Args:
        factor: refinement.
        spoil: a blur.
        total: see `SeparableOperator`.
    """

    def __init__(self, factor: Factor, spoil: Spoil, total: bool = False) -> None:
        self._spoil = spoil
        super().__init__(factor, total)

    def kernel(self, s: int) -> npt.NDArray[np.float64]:
        """See `SeparableOperator.kernel`."""
        taps = self._spoil.taps()
        spread = np.zeros((len(taps) - 1) * s + 1)
        spread[::s] = taps
        return np.convolve(spread, np.ones(s))

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        sigma = self._spoil.amount
        return {"name": "area, then gaussian", "factor": list(self.factor), "sigma": sigma, "total": self.total}


class Pixelated(Spoiled):
    """A scene of larger pixels: means over blocks, or sums where pixels hold sums. A block with a gap is a gap."""

    def __init__(self, inner: Scene, spoil: Spoil) -> None:
        self.side = int(spoil.amount)
        t, n = inner.grid.transform, self.side
        rows, cols = inner.grid.shape
        coarse = Affine(t.a * n, t.b * n, t.c, t.d * n, t.e * n, t.f)
        super().__init__(inner, spoil, replace(inner.grid, shape=(rows // n, cols // n), transform=coarse))

    def seen(self, plane: int, window: Window) -> Image:
        """See `Spoiled.seen`."""
        n = self.side
        found = self.inner.read(plane, window.refine((n, n)))
        blocks = (len(self.bands), window.rows, n, window.cols, n)
        mean = found.values.astype(np.float64).reshape(blocks).mean((2, 4))
        values = mean * n * n if self._sums else mean
        valid = np.asarray((found.valid & np.isfinite(found.values)).reshape(blocks).all((2, 4)))
        usable = np.asarray(found.usable.reshape(blocks).all((2, 4)) & valid)
        kept = np.where(valid, values, 0.0).astype(self.precision)
        return Image(kept, self.grid.crop(window), valid, usable, self.bands, self.unit)

    @property
    def _sums(self) -> bool:
        return self.inner.operator((2, 2)).gain != 1.0

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: means over pixels of the input are exactly what was done.

        Raises:
            DomainError: the answer would lie between the pixels of the input.
        """
        self._left(factor)
        return Area(factor, self._sums)

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Scene.write`: on the grid of the input, or a refinement of it."""
        return self.inner.write(Rescaled(product, self._left(product.factor)), folder, names)

    def rehearse(self, product: Blank, folder: Path, names: Names) -> None:
        """See `Scene.rehearse`."""
        self.inner.rehearse(replace(product, factor=self._left(product.factor)), folder, names)

    def _left(self, factor: Factor) -> Factor:
        """What remains of a factor once the blocks are undone."""
        if any(f % self.side for f in factor):
            raise DomainError(
                f"{self.path.name}: factor={factor[0]} does not undo blocks of {self.side} pixels; "
                f"give {self.side} or a multiple of it"
            )
        return factor[0] // self.side, factor[1] // self.side


@dataclass(frozen=True)
class Rescaled:
    """A `gensr.scenes.product.Product` as the scene sees it that the blocks were made of."""

    product: Product
    factor: Factor

    @property
    def slices(self) -> int:
        """See `Product.slices`."""
        return self.product.slices

    @property
    def samples(self) -> int:
        """See `Product.samples`."""
        return self.product.samples

    @property
    def report(self) -> Mapping[str, Any]:
        """See `Product.report`."""
        return self.product.report

    def mean(self, plane: int, window: Window) -> Codes:
        """See `Product.mean`."""
        return self.product.mean(plane, window)

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """See `Product.sample`."""
        return self.product.sample(index, plane, window)

    def std(self, plane: int, window: Window) -> Real:
        """See `Product.std`."""
        return self.product.std(plane, window)
