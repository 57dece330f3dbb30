"""Posterior samples through a denoiser: from pure noise to an image, told the data at every step.

With the denoiser's posterior mean replaced by one that also knows the data, ``E[x0 | x, y]``, the probability flow
``dx/dsigma = (x - E[x0 | x, y]) / sigma`` carries noise to samples of ``p(x0 | y)`` (Song et al., arXiv:2011.13456). It
is integrated by the second-order multistep rule DPM-Solver++(2M), with re-noising as its stochastic variant (Lu et al.,
arXiv:2211.01095): one denoiser evaluation per step. How the data enter is `gensr.search.datastep`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.priors.diffusion import integrate, karras
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.search.datastep import DataStep, Measured, Told


@dataclass(frozen=True)
class Guided:
    """Settings of guided sampling.

    Attributes:
        steps: denoiser evaluations, after one more that finds where to start.
        data_step: "tweedie": covariance of the denoiser's own posterior (arXiv:2310.06721), exact for a Gaussian;
            "pigdm": the number ``sigma^2 / (1 + sigma^2)`` for the covariance inside the inverse, the denoiser's own in
            front (Pi-GDM, Song et al., ICLR 2023); "ddnm": that number for both and no derivative of the denoiser, the
            range-null-space step with smooth weights for noise (after DDNM+, arXiv:2212.00490).
        renoise: 0 follows the deterministic flow, 1 renews the noise fully; between and beyond also work.
        sigma_max: noise level to start from, well above the posterior's deviation, generator units.
        sigma_min: last noise level, well below the posterior's deviation, generator units.
        iterations: "tweedie" on more than 64 data per image: conjugate residual iterations per step, each a derivative;
            they go on from the step before. Up to 64 data the system is solved exactly.
    """

    steps: int = 16
    data_step: DataStep = "tweedie"
    renoise: float = 0.5
    sigma_max: float = 3.0
    sigma_min: float = 0.003
    iterations: int = 2

    def __post_init__(self) -> None:
        if self.data_step not in ("tweedie", "pigdm", "ddnm"):
            raise SearchError(f"data step {self.data_step!r} is unknown; use tweedie, pigdm or ddnm")
        if self.steps < 1 or self.iterations < 1:
            raise SearchError(f"{self}: steps and iterations start at 1")
        if not 0 < self.sigma_min < self.sigma_max or self.renoise < 0:
            raise SearchError(f"{self}: needs 0 < sigma_min < sigma_max and renoise >= 0")

    def sigmas(self) -> list[float]:
        """Noise level at every step, falling from ``sigma_max`` to ``sigma_min``."""
        return karras(self.sigma_max, self.sigma_min, self.steps)


def guided_samples(
    generator: Generator, data: Observation, noise: Callable[[int], Tensor], settings: Guided | None = None
) -> Tensor:
    """One posterior sample per row of the data.

    Args:
        generator: one with the capability "denoise".
        data: what was observed; rows are independent.
        noise: standard normal numbers (n, band, rows, cols) of the image, by number: 0 is the start, 1 to ``steps - 1``
            renew the noise and are asked for only if ``renoise`` is above 0.
        settings: see `Guided`; the defaults if not given.

    Returns:
        (n, band, rows, cols) in generator units, in the floating type of the data.

    Raises:
        SearchError: the generator cannot denoise, or values stopped being finite.
    """
    chosen = settings or Guided()
    if "denoise" not in generator.capabilities:
        raise SearchError(f"{generator.card.name} cannot denoise; guided samples need a generator that can")
    with torch.inference_mode(False), torch.no_grad():
        told = Told(generator, Measured.of(data), chosen.data_step, chosen.iterations)
        sigmas = chosen.sigmas()
        centre, u = told(_blurred(data), sigmas[0])
        start = centre + sigmas[0] * noise(0).to(data.y)
        x = integrate(_Told(told, u), start, sigmas, noise, chosen.renoise)
    if not bool(torch.isfinite(x).all()):
        raise SearchError(
            f"guided samples of {generator.card.name} are not finite with data step {chosen.data_step}; "
            "use more steps, or check that the noise level is right"
        )
    return x


class _Told:
    """A denoiser told the data, which keeps the solution of its system from one noise level to the next."""

    def __init__(self, told: Told, start: Tensor) -> None:
        self.told, self.solution = told, start

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        clean, self.solution = self.told(x, sigma, self.solution)
        return clean


def _blurred(data: Observation) -> Tensor:
    """The data spread over the image: where the first evaluation starts; what is not usable takes the mean."""
    fy, fx = data.operator.factor
    return data.filled().repeat_interleave(fy, -2).repeat_interleave(fx, -1)
