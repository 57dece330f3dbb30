"""The network of a flow: a noisy image, and what is known of it, to the clean one."""

from __future__ import annotations

from torch import Tensor

from gensr.priors import unet


class Shape(unet.Shape):
    """See `gensr.priors.unet.Shape`."""

    @property
    def inputs(self) -> int:
        """The noisy image, the hint twice, where it is known, and its noise."""
        return 3 * self.bands + 2

    @property
    def outputs(self) -> int:
        """Prediction and logarithm of its variance."""
        return 2 * self.bands

    @property
    def scalars(self) -> int:
        """Noise level, whether a hint is given, factor of rows and columns, side."""
        return 5

    @property
    def floor(self) -> float:
        """See `gensr.priors.unet.Shape.floor`."""
        return 1e-4


class Network(unet.UNet):
    """See the module text."""

    shape: Shape

    def predict(self, planes: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and logarithm of its variance, each (n, bands, rows, cols); see `unet.UNet.forward`."""
        value, spread = self(planes, scalars).chunk(2, 1)
        return value, spread.clamp(-12, 6)
