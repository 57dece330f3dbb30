"""Antialiased Lanczos downsampling with three lobes."""

from __future__ import annotations

import numpy as np

from gensr.operators.separable import FloatArray, SeparableOperator, antialiased

LOBES = 3


def lanczos(t: FloatArray) -> FloatArray:
    """``sinc(t) sinc(t/3)`` of the distance ``t`` in pixels; vanishes from 3 on.

    Duchon (1979), doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2.

    >>> lanczos(np.array([0.0, 3.0, 4.0])).tolist()
    [1.0, 0.0, 0.0]
    """
    return np.where(np.abs(t) < LOBES, np.sinc(t) * np.sinc(t / LOBES), 0.0)


class Lanczos(SeparableOperator):
    """The three-lobed kernel stretched to the low-resolution pixel (6 s taps) at every low-resolution centre.

    Equal to Pillow's ``resize(LANCZOS)`` away from the border; there Pillow cuts the kernel, this operator reflects
    the image. GDAL's and most map services' overviews are made this way.

    >>> Lanczos(2).reach
    3
    """

    def kernel(self, s: int) -> FloatArray:
        """See `SeparableOperator.kernel`."""
        return antialiased(lanczos, LOBES, s)
