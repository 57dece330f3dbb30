"""Matrices of windows, kept for the operators and noise levels that were last asked for."""

from __future__ import annotations

import json
from collections import OrderedDict

from torch import Tensor

from gensr.operators.base import Operator

from .basis import cosine_matrix, inside
from .closed import Seen, WindowMoments, WindowPosterior, window_matrix
from .parameters import FLOOR, MixtureParameters

CACHED, MATRICES, PRIORS = 24, 3, 2
"""How many solutions, matrices of operators, and prior moments are kept."""


class WindowSolvers:
    """Closed forms of windows of a mixture; pure caches, everything depends on the arguments alone.

    Args:
        parameters: the mixture.
        top: components kept per window.
        device: where solutions live.
    """

    def __init__(self, parameters: MixtureParameters, top: int, device: str) -> None:
        self.parameters, self.top, self.device = parameters, top, device
        self._posteriors: OrderedDict[str, WindowPosterior] = OrderedDict()
        self._priors: OrderedDict[int, WindowMoments] = OrderedDict()
        self._seen: OrderedDict[str, tuple[Seen, Tensor]] = OrderedDict()

    def prior(self, window: int) -> WindowMoments:
        """Exact prior moments of a ``window`` x ``window`` piece, float64 on the CPU."""
        if window not in self._priors:
            p = self.parameters.to("cpu")
            basis = cosine_matrix(p.side)[:, inside(p.side, window)].T  # (window^2, d)
            spread = basis @ p.directions.double()  # (k, window^2, r)
            covariance = spread @ spread.transpose(1, 2) + (basis * p.remainder.double()[:, None]) @ basis.T
            self._priors[window] = WindowMoments(p.weight.double(), p.mean.double() @ basis.T, covariance)
            while len(self._priors) > PRIORS:
                self._priors.popitem(last=False)
        return self._priors[window]

    def __call__(self, operator: Operator, window: int, variance: float) -> WindowPosterior:
        """The closed form of windows under an operator at one noise variance."""
        key = json.dumps([operator.describe(), window, variance], sort_keys=True)
        if key not in self._posteriors:
            seen, outside = self._observed(operator, window)
            noise = outside + max(variance, FLOOR**2)
            self._posteriors[key] = WindowPosterior(seen, noise, self.top, self.device)
        self._posteriors.move_to_end(key)
        while len(self._posteriors) > CACHED:
            self._posteriors.popitem(last=False)
        return self._posteriors[key]

    def _observed(self, operator: Operator, window: int) -> tuple[Seen, Tensor]:
        """A window and its data before noise, and the variance (m,) that comes from outside the window.

        The covariance of the window itself, the largest matrix of all, is never formed.
        """
        key = json.dumps([operator.describe(), window], sort_keys=True)
        if key not in self._seen:
            matrix, lost = window_matrix(operator, window)
            p = self.parameters.to("cpu")
            basis = cosine_matrix(p.side)[:, inside(p.side, window)].T  # (window^2, d)
            remainder, mean = p.remainder.double(), p.mean.double() @ basis.T
            spread = basis @ p.directions.double()  # (k, window^2, r)
            marginal = spread.square().sum(2) + remainder @ basis.square().T
            cross = (matrix @ spread) @ spread.transpose(1, 2) + ((matrix @ basis) * remainder[:, None]) @ basis.T
            level = spread.mean(1).square().sum(1) + remainder @ basis.mean(0).square()  # variance of the window's mean
            seen = Seen(p.weight.double(), mean, mean @ matrix.T, marginal, cross, cross @ matrix.T)
            self._seen[key] = seen, lost.square() * (marginal.mean() - level.mean())
        self._seen.move_to_end(key)
        while len(self._seen) > MATRICES:
            self._seen.popitem(last=False)
        return self._seen[key]
