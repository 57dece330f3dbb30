"""Generators with a mapping network: a style per layer and noise maps make the picture.

What StyleGAN and its successors share, as a contract: solvers that are written for such generators (PULSE as published)
and the calibration of their search space need no more of a family than this.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from gensr.priors.generator import Generator, Stage
from gensr.priors.whitening import Whitening


class Mapped(Generator):
    """A generator whose picture is made of one style vector per layer and of noise maps."""

    @property
    @abstractmethod
    def whitening(self) -> Whitening:
        """Statistics of the mapping's last pre-activation v, on the generator's device."""

    @property
    @abstractmethod
    def layers(self) -> int:
        """Styles that one picture takes."""

    @property
    @abstractmethod
    def maps(self) -> tuple[int, ...]:
        """Sides of the noise maps in the order in which they are added, pixels; empty if there is no noise."""

    @abstractmethod
    def style_of(self, v: Tensor) -> Tensor:
        """Styles w (..., style) of pre-activations v: the last activation of the mapping."""

    @abstractmethod
    def render(self, w: Tensor, noise: Sequence[Tensor], shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """Images (n, band, rows, cols) in generator units, of the precision of ``w``; differentiable.

        Args:
            w: styles (n, layers, style).
            noise: one map (n, side, side) for each of `maps`.
            shape: (rows, cols) of the full output.
            stage: see `Generator.synthesize`.
        """
