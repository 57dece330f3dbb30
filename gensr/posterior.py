"""From samples to what is reported: mean, standard deviation, quantiles, coverage, conformal scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.metrics.calibration import LEVELS, conformal_scale, coverage_gaussian, coverage_samples


@dataclass(frozen=True)
class Posterior:
    """Posterior samples of one or more images.

    Attributes:
        samples: (k, ...), k at least 2, equally likely.
        scale: factor on the deviation that held-out data asked for (`calibrated`), 1 before that.

    >>> p = Posterior(torch.tensor([[0.0], [2.0]])); float(p.mean), round(float(p.std), 3)
    (1.0, 1.414)
    """

    samples: Tensor
    scale: float = 1.0

    def __post_init__(self) -> None:
        if len(self.samples) < 2:
            raise SearchError(f"{len(self.samples)} sample says nothing about uncertainty; draw at least 2")

    @property
    def mean(self) -> Tensor:
        """Mean over samples."""
        return self.samples.mean(0)

    @property
    def std(self) -> Tensor:
        """Scaled standard deviation over samples (divisor k - 1)."""
        return self.scale * self.samples.std(0, unbiased=True)

    def quantiles(self, levels: Sequence[float]) -> Tensor:
        """Quantiles (len(levels), ...) of the samples, spread about their mean by the scale."""
        asked = torch.tensor(list(levels), dtype=self.samples.dtype, device=self.samples.device)
        return self.mean + self.scale * (self.samples.quantile(asked, dim=0) - self.mean)

    def coverage(self, truth: Tensor, levels: Sequence[float] = LEVELS) -> Mapping[float, float]:
        """How often the truth lies in central intervals, see `gensr.metrics.calibration`.

        Unscaled samples are judged by their order statistics, scaled ones by mean and deviation.
        """
        if self.scale == 1.0:
            return coverage_samples(truth.cpu().numpy(), self.samples.cpu().numpy(), levels)
        return coverage_gaussian(truth.cpu().numpy(), self.mean.cpu().numpy(), self.std.cpu().numpy(), levels)

    def calibrated(self, truth: Tensor, level: float = 0.9) -> Posterior:
        """The same samples with the scale under which intervals of held-out truths have their coverage."""
        errors = (truth - self.mean).cpu().numpy()
        spread = self.samples.std(0, unbiased=True).cpu().numpy()
        return Posterior(self.samples, conformal_scale(errors, spread, level))
