"""Antialiased bicubic downsampling, what Pillow, PULSE and most learned upscalers call "bicubic"."""

from __future__ import annotations

import numpy as np

from gensr.operators.separable import FloatArray, SeparableOperator, antialiased

SUPPORT = 2


def keys(t: FloatArray, a: float = -0.5) -> FloatArray:
    """Keys' cubic convolution kernel of the distance ``t`` in pixels; vanishes from 2 on.

    Keys (1981), eq. 15, doi:10.1109/TASSP.1981.1163711.

    >>> keys(np.array([0.0, 1.0, 1.5, 2.0]))[[0, 2]].tolist()
    [1.0, -0.0625]
    """
    t = np.abs(t)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t < 1, near, np.where(t < SUPPORT, far, 0.0))


class Bicubic(SeparableOperator):
    """Keys' kernel with a = -0.5 stretched to the low-resolution pixel (4 s taps) at every low-resolution centre.

    Equal to Pillow's ``resize(BICUBIC)`` away from the border; there Pillow cuts the kernel, this operator reflects
    the image. The operator of PULSE (arXiv:2003.03808, ``bicubic.py``). It describes how a picture was resized, not
    how an instrument saw: detectors integrate (`Area`).

    >>> import torch
    >>> Bicubic(4).forward(torch.ones(1, 8, 8)).shape
    torch.Size([1, 2, 2])
    """

    def kernel(self, s: int) -> FloatArray:
        """See `SeparableOperator.kernel`."""
        return antialiased(keys, SUPPORT, s)
