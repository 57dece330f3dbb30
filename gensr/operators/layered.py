"""Layers that move apart during the exposure: people before a background, each with a blur of its own.

    y_0 = K_0 x_0,        y_i = K_i (m_i x) + (1 - K_i m_i) y_(i-1)        for people i = 1 .. n from back to front

``m_i`` is the share of person ``i`` in every pixel of the sharp image, so ``K_i m_i`` is what the exposure saw of that
person at a pixel, and what is left of it shows what is behind: right where one occludes the other, too. Behind people
the background ``x_0`` is not visible in ``x``; there it is the mean of what the blur reaches of the visible part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.operators.base import Operator
from gensr.operators.psf import MeasuredPSF
from gensr.values.grid import Window

HIDDEN = 0.01
"""Share of hidden background in a datum from which the sharp image does not decide it."""
FAINTEST = 1e-3
"""Share of visible background below which it is not divided by: people hide the pixel then."""


class Layered(Operator):
    """See the module text; the grid of data and image is one.

    Args:
        background: blur of what is behind the people.
        people: share (rows, cols) of each person, from 0 to 1, and its blur, from back to front; shares sum to at
            most 1.

    Raises:
        UsageError: shares of different shapes or out of range, or blurs that refine.
    """

    def __init__(self, background: MeasuredPSF, people: Sequence[tuple[npt.ArrayLike, MeasuredPSF]]) -> None:
        shares = [np.array(share, np.float64) for share, _ in people]
        blurs = [background, *(blur for _, blur in people)]
        if not shares or any(s.ndim != 2 or s.shape != shares[0].shape for s in shares):
            raise UsageError("layers need shares of the same rows and columns, and one person at least")
        if min(float(s.min()) for s in shares) < 0 or float(sum(shares).max()) > 1 + 1e-6:  # type: ignore[union-attr]
            raise UsageError("shares of people are not between 0 and 1, or sum to more")
        if any(blur.factor != (1, 1) or blur.gain != 1.0 for blur in blurs):
            raise UsageError("layers move on the grid of the data, and values are means; give blurs of factor 1")
        self.factor = (1, 1)
        self.background, self.blurs = background, tuple(blurs[1:])
        self.shares = tuple(torch.from_numpy(s) for s in shares)
        self.visible = 1 - torch.stack(self.shares).sum(0).clamp(max=1)
        self.reach = max(blur.reach for blur in blurs)
        self.seen = tuple(b.forward(s).clamp(0, 1) for b, s in zip(self.blurs, self.shares, strict=True))
        """What the exposure saw of each person at every pixel."""
        self._open = background.forward(self.visible).clamp(min=FAINTEST)

    @property
    def placed(self) -> bool:
        """See `Operator.placed`."""
        return True

    def within(self, window: Window) -> Layered:
        """See `Operator.within`."""
        row, col, rows, cols = window
        if (row, col, rows, cols) == (0, 0, *self.shares[0].shape):
            return self
        cut = np.s_[row : row + rows, col : col + cols]
        return Layered(self.background, [(s[cut].numpy(), b) for s, b in zip(self.shares, self.blurs, strict=True)])

    def certain(self, usable: Tensor) -> Tensor:
        """See `Operator.certain`: not where background was seen that people hide in the sharp image."""
        through = torch.stack([1 - seen for seen in self.seen]).prod(0)
        hidden = through * (1 - self.background.forward(self.visible).clamp(0, 1))
        return usable & (hidden < HIDDEN).to(usable.device)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        y = self.background.forward(self._as(self.visible, x) * x) / self._as(self._open, x)
        for share, blur, seen in zip(self.shares, self.blurs, self.seen, strict=True):
            y = blur.forward(self._as(share, x) * x) + (1 - self._as(seen, x)) * y
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        x = torch.zeros_like(y)
        for share, blur, seen in reversed(list(zip(self.shares, self.blurs, self.seen, strict=True))):
            x = x + self._as(share, y) * blur.adjoint(y)
            y = (1 - self._as(seen, y)) * y
        return x + self._as(self.visible, y) * self.background.adjoint(y / self._as(self._open, y))

    @property
    def layers(self) -> tuple[tuple[Tensor, MeasuredPSF, Tensor], ...]:
        """Of background and people: share of a pixel, blur, and share of a datum that nobody in front hides.

        ``y = sum shown_l K_l (share_l x_l)``, the share of the background being 1.
        """
        found, shown = [], torch.ones_like(self.visible)
        for share, blur, seen in reversed(list(zip(self.shares, self.blurs, self.seen, strict=True))):
            found.append((share, blur, shown))
            shown = shown * (1 - seen)
        return ((torch.ones_like(shown), self.background, shown), *reversed(found))

    def over(self, behind: Tensor, people: Sequence[Tensor]) -> Tensor:
        """The same exposure where the background is known behind the people, too.

        Args:
            behind: the sharp background, (..., rows, cols), everywhere.
            people: the sharp image of each person, same shape; only its share counts.
        """
        y = self.background.forward(behind)
        for share, blur, seen, x in zip(self.shares, self.blurs, self.seen, people, strict=True):
            y = blur.forward(self._as(share, x) * x) + (1 - self._as(seen, x)) * y
        return y

    def _as(self, share: Tensor, like: Tensor) -> Tensor:
        return share.to(device=like.device, dtype=like.dtype)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        shares = [hashlib.sha256(s.numpy().tobytes()).hexdigest() for s in self.shares]
        return {
            "name": "layered",
            "factor": [1, 1],
            "background": self.background.describe(),
            "people": [{"share": h, **b.describe()} for h, b in zip(shares, self.blurs, strict=True)],
        }
