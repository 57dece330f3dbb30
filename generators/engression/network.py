"""The network of an engression: noise, and what a linear estimator knows, to an image, in one evaluation.

Draws depend on the noise; for mean and variance the noise is zero, and a flag says so. Fields are also shown what the
linear estimator imagines: texture that they may keep. On aligned content that would be grain, and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from gensr.priors import unet


@dataclass(frozen=True)
class Shape(unet.Shape):
    """See `gensr.priors.unet.Shape`."""

    fine: int = 16

    @property
    def imagines(self) -> bool:
        """Whether draws keep a share of what the linear estimator imagines."""
        return not self.aligned

    @property
    def inputs(self) -> int:
        """White noise, what is imagined, linear mean, its detail and deviation, known share, noise of the data."""
        return (4 + self.imagines) * self.bands + 2

    @property
    def outputs(self) -> int:
        """Per band: draw, logarithm of its gain on what is imagined, mean, logarithm of the variance."""
        return (3 + self.imagines) * self.bands

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
