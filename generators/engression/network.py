"""The network of an engression: noise, and what a linear estimator knows, to an image, in one evaluation.

Draws depend on the noise; for mean and variance the noise is zero, and a flag says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from gensr.priors import unet


@dataclass(frozen=True)
class Shape(unet.Shape):
    """See `gensr.priors.unet.Shape`."""

    fine: int = 16

    @property
    def inputs(self) -> int:
        """White noise, linear mean, its detail and deviation, known share, noise of the data."""
        return 4 * self.bands + 2

    @property
    def outputs(self) -> int:
        """Per band: draw, logarithm of a gain on what data see of it, mean, logarithm of the variance."""
        return 4 * self.bands

    @property
    def scalars(self) -> int:
        """Whether a draw is meant, factor of rows and of columns; of aligned content the side."""
        return 4 if self.aligned else 3

    @property
    def floor(self) -> float:
        """See `gensr.priors.unet.Shape.floor`."""
        return 1e-5


class Network(unet.UNet):
    """See the module text."""

    shape: Shape
