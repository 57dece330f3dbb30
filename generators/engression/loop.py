"""The training loop: energy score of two draws, mean and variance, from random instruments to averaged weights."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gensr.errors import UsageError, WeightsError
from gensr.making import checkpoint
from gensr.making.telling import status
from gensr.priors.observation import Observation
from gensr.priors.unet import fast_half, place
from gensr.values.grid import Factor

from .imagined import Noise, freely, of_data, twice
from .instruments import Recipe, instrument, observe
from .linear import QUIET, Estimate, estimate
from .model import Model, gaussian_loss
from .network import Network
from .prior import Prior
from .score import energy, energy_of_sums, error_of_sums

SUMS, MEAN, MEAN_SUMS, VARIANCE = 0.03, 0.3, 0.005, 0.05
"""Weights of the score of sums, of the mean's error and of that of its sums, and of the likelihood of the variance: the
score leads, because squares of rare large errors would drown it."""
STEEPEST = 30.0
"""Largest squared error of an image's mean that counts, units of the linear variance."""
FAINTEST, SMOOTHEST = 16.0, 2.5
"""Most that faint places count more than others in the mean's error, and smooth images in the score."""
CORNERS = 8
"""Pixels that the pyramid's corner moves by."""
WARM_UP = 200
LOG_EVERY = 50
"""Steps."""
PARTS = ("loss", "score", "sums", "mean", "variance")


class Source(Protocol):
    """Where batches come from."""

    def __len__(self) -> int: ...

    def batch(self, count: int, draw: torch.Generator) -> Tensor:
        """Clean images (count, band, side, side), generator units."""

    def cut(self, x: Tensor, factor: Factor) -> Tensor:
        """Images with sides that are multiples of ``factor``."""


@dataclass(frozen=True)
class Budget:
    """How long to train: at most ``steps``, and at most ``minutes``.

    Attributes:
        steps: most steps.
        minutes: most minutes; the rate anneals with whichever of the two is nearer its end.
        batch: data a step, with two draws each.
        rate: learning rate at the start.
        mean: share of the data for which mean and variance are evaluated too.
        checkpoint: minutes between checkpoints.
        validate: minutes between validations.
        decay: of the average of weights.
    """

    steps: int
    minutes: float
    batch: int = 24
    rate: float = 6e-4
    mean: float = 0.5
    checkpoint: float = 3.0
    validate: float = 10.0
    decay: float = 0.999


@dataclass
class Run:
    """A training run.

    Attributes:
        network: trained in place.
        prior: of the linear estimates.
        sources: one or more; every batch takes a share of each.
        recipe: how data are made.
        budget: when to stop.
        folder: for checkpoint and log.
        seed: of all choices.
        device: where to train.
        settings: what may not change when a run goes on, by the name of its option; JSON-able.
        data: what the sources hold, see `gensr.making.telling.Seen`; JSON-able.
        before: the ``data`` of the run that goes on, as its checkpoint has them.
        average: moving average of the network's tensors.
    """

    network: Network
    prior: Prior
    sources: Sequence[Source]
    recipe: Recipe
    budget: Budget
    folder: Path
    seed: int = 0
    device: str = "cpu"
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    before: object = None
    average: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place(self.network, self.device)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), self.budget.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
        )
        self.step, self.seconds = 0, 0.0
        self.path = self.folder / "checkpoint.safetensors"
        self._learners = {"network": (self.network, self.optimiser)}

    @property
    def model(self) -> Model:
        """The network as it is trained."""
        return Model(self.network, self.prior, half=fast_half(self.device))

    def averaged(self) -> Model:
        """A network of averaged weights, on the CPU."""
        network = Network(self.network.shape)
        network.load_state_dict({k: v.cpu() for k, v in self.average.items()})
        return Model(place(network, "cpu").eval().requires_grad_(False), self.prior, half=fast_half("cpu"))

    def resume(self) -> bool:
        """Go on from the last checkpoint, if there is one.

        Raises:
            WeightsError: a damaged checkpoint, or one of other settings.
        """
        if not self.path.is_file():
            return False
        facts = checkpoint.load(self.path, self._learners, self.average)
        before = facts.get("settings") or self.settings
        changed = sorted(k for k in {**before, **self.settings} if before.get(k) != self.settings.get(k))
        if changed:
            raise WeightsError(
                f"{self.path}: a run with another {'=, '.join(changed)}= stopped here; give what it had, another "
                "name=, or remove the file"
            )
        self.step, self.seconds, self.before = int(facts["step"]), float(facts["seconds"]), facts.get("data")
        return True

    def save(self) -> None:
        """Write the checkpoint."""
        facts = {"step": self.step, "seconds": self.seconds, "settings": self.settings, "data": self.data}
        checkpoint.save(self.path, self._learners, self.average, facts)

    @property
    def share(self) -> float:
        """Share of the budget that is used."""
        return min(1.0, max(self.step / self.budget.steps, self.seconds / (60 * self.budget.minutes)))

    def __call__(
        self,
        progress: Callable[[int, int], None] | None = None,
        validate: Callable[[Model, int, float], None] | None = None,
    ) -> None:
        """Train until the budget is used; validations do not count as time.

        Args:
            progress: called with what is done and what there is, in thousandths of the budget.
            validate: called with the averaged model, step and minutes, every `Budget.validate` minutes and at the end.

        Raises:
            UsageError: training diverged.
        """
        budget, log = self.budget, Log(self.folder / "log.csv", COLUMNS, fresh=self.step == 0)
        last = saved = shown = time.monotonic()
        losses: dict[str, list[float]] = {name: [] for name in PARTS}
        while self.share < 1:
            draw = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
            rate = self._rate()
            parts = self._step(draw)
            self._follow()
            for key, values in losses.items():
                values.append(float(parts[key].detach()))
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if not math.isfinite(losses["loss"][-1]):
                raise UsageError("training diverged: the loss is not finite; give a smaller rate=")
            if progress is not None:
                progress(round(1000 * self.share), 1000)
            if self.step % LOG_EVERY == 0 or self.share >= 1:
                means = [sum(v) / max(1, len(v)) for v in losses.values()]
                speed = self.step * budget.batch / self.seconds
                status(progress, self.step, means[0], speed)
                log.write([self.step, f"{self.seconds / 60:.2f}", f"{rate:.3g}", f"{speed:.1f}", *means])
                losses = {name: [] for name in PARTS}
            if now - saved > 60 * budget.checkpoint:
                self.save()
                saved = now
            if validate is not None and (now - shown > 60 * budget.validate or self.share >= 1):
                self.save()
                validate(self.averaged(), self.step, self.seconds / 60)
                shown = saved = last = time.monotonic()
        self.save()

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / WARM_UP)
        rate = self.budget.rate * warm * max(0.01, 0.5 * (1 + math.cos(math.pi * self.share)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _step(self, draw: torch.Generator) -> dict[str, Tensor]:
        batch = pairs(self.sources, self.prior, self.recipe, self.budget.batch, draw).to(self.device)
        row, col = torch.randint(0, CORNERS, (2,), generator=draw).tolist()
        count = max(1, round(self.budget.mean * self.budget.batch))
        parts = losses_of(self.model, batch, count, (row, col))
        self.optimiser.zero_grad()
        parts["loss"].backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return parts

    def _follow(self) -> None:
        decay = min(self.budget.decay, (1 + self.step) / (10 + self.step))
        own = self.network.state_dict()
        torch._foreach_lerp_([self.average[k] for k in own], list(own.values()), 1 - decay)


@dataclass(frozen=True)
class Batch:
    """What a step sees.

    Attributes:
        x: (n, band, rows, cols) truths.
        data: of the truths; without any usable where the network is told nothing.
        told: linear estimate of the data.
        noise: of two draws for every truth, (2 n, ...): first draws of all, then second ones.
    """

    x: Tensor
    data: Observation
    told: Estimate
    noise: Noise

    def to(self, device: str) -> Batch:
        """On another device."""
        data = replace(self.data, **{k: getattr(self.data, k).to(device) for k in ("y", "variance", "usable")})
        noise = Noise(self.noise.white.to(device), self.noise.imagined.to(device))
        return Batch(self.x.to(device), data, self.told.each(lambda t: t.to(device)), noise)


def pairs(sources: Sequence[Source], prior: Prior, recipe: Recipe, count: int, draw: torch.Generator) -> Batch:
    """Clean images and data of them by one random instrument, with linear estimate and noise; any source anywhere."""
    shares = [count // len(sources) + (i < count % len(sources)) for i in range(len(sources))]
    order = torch.randperm(len(sources), generator=draw).tolist()
    x = torch.cat([sources[j].batch(shares[i], draw) for i, j in enumerate(order) if shares[i]])
    operator = instrument(recipe, draw)
    x = sources[0].cut(x[torch.randperm(len(x), generator=draw)], operator.factor)
    data = observe(x, operator, recipe, draw)
    kept = torch.rand(count, generator=draw) >= recipe.free
    white = torch.randn(2 * count, *x.shape[1:], generator=draw)
    coarse = torch.randn(2 * count, *data.y.shape[1:], generator=draw)
    with torch.no_grad():
        told = estimate(data, prior)
        off = of_data(white, coarse, twice(data), prior) / told.deviation.repeat(2, 1, 1, 1)
        imagined = torch.where(kept.repeat(2).view(-1, 1, 1, 1), off, freely(white, prior).imagined)
    seen = replace(data, usable=data.usable & kept.view(-1, 1, 1, 1), variance=data.variance.clamp(min=QUIET**2))
    return Batch(x, seen, told.keep(kept, prior), Noise(white, imagined))


def losses_of(model: Model, batch: Batch, count: int, corner: tuple[int, int] = (0, 0)) -> dict[str, Tensor]:
    """All parts of the loss.

    Args:
        model: what is trained.
        batch: images, data and noise.
        count: of images for which mean and variance are evaluated.
        corner: where the pyramid starts, so that its blocks leave no grid.
    """
    told, data = batch.told, batch.data
    truth = (batch.x - told.mean) / told.deviation
    both = told.each(lambda t: torch.cat([t, t]))
    drawn = model.draw(both, batch.noise).reshape(2, *truth.shape) - truth
    part, rest = told.each(lambda t: t[:count]), told.each(lambda t: t[count:])
    mean, spread = model.moments(part)
    with torch.no_grad():
        others = model.moments(rest)[1] if count < len(truth) else spread[:0]
        # What the data alone say of an image's doubt: a weight that leaves the score proper.
        doubt = torch.cat([spread, others]).exp().mean((1, 2, 3)).sqrt()
        share = doubt.rsqrt().clamp(max=SMOOTHEST)
    first, second = drawn[..., corner[0] :, corner[1] :]
    score = (share * energy(first, second)).mean()
    physical = drawn * told.deviation
    seen = data.usable.any(-1).any(-1).any(-1).to(score)
    of_sums = (energy_of_sums(physical[0], physical[1], data, told.deviation) * seen).sum() / seen.sum().clamp(min=1)
    error = mean - truth[:count]
    few = replace(data, **{k: getattr(data, k)[:count] for k in ("y", "variance", "usable")})
    mean_sums = error_of_sums(error * part.deviation, few, part.deviation).clamp(max=STEEPEST).mean()
    # Half way to a likelihood, after Seitzer et al. (arXiv:2203.09168): faint places count, bright ones do not rule.
    weight = (-0.5 * spread.detach()).exp().clamp(max=FAINTEST)
    each = (weight * error.square()).mean((1, 2, 3)).clamp(max=STEEPEST).mean()
    variance = gaussian_loss(error.detach(), spread).mean()
    loss = score + SUMS * of_sums + MEAN * each + MEAN_SUMS * mean_sums + VARIANCE * variance
    return {"loss": loss, "score": score, "sums": of_sums, "mean": each, "variance": variance}


COLUMNS = ("step", "minutes", "rate", "images_per_second", *PARTS)


class Log:
    """A CSV file that a run appends to; numbers with five decimals."""

    def __init__(self, path: Path, columns: Sequence[str], fresh: bool) -> None:
        self.path = path
        if fresh or not self.path.is_file():
            with self.path.open("w", newline="", encoding="utf-8") as handle:
                csv.writer(handle).writerow(columns)

    def write(self, row: Sequence[object]) -> None:
        """One row."""
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerow([f"{v:.5f}" if isinstance(v, float) else v for v in row])
