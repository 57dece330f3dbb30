"""The training loop: flow matching with a learned variance, from batches of clean images to averaged weights."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gensr.errors import UsageError, WeightsError
from gensr.making import checkpoint
from gensr.making.telling import status
from gensr.priors.unet import fast_half, place

from .degrade import Recipe, observe
from .hint import CENTRE, Hint
from .model import BLIND, Model, Scales
from .network import Network
from .stretch import Stretch

VARIANCE_WEIGHT = 0.05
"""Weight of the likelihood of the variance; it must not take capacity from the mean."""
FACTORS = (2, 4, 8, 16)
WARM_UP = 300
LOG_EVERY = 100
"""Steps."""


class Source(Protocol):
    """Where batches come from."""

    @property
    def scaling(self) -> dict[str, float]:
        """How values became generator units: "unit", or the percentiles "low" and "high"."""

    def __len__(self) -> int: ...

    def restart(self, step: int) -> None:
        """Draw other images than at the beginning: where a training run goes on."""

    def batch(self, count: int) -> Tensor:
        """Clean images (count, band, side, side), generator units."""


@dataclass(frozen=True)
class Corpus:
    """One domain's training images with how they are degraded and seen.

    Attributes:
        source: batches of clean images, a little larger than what the network sees.
        recipe: how data are made.
        stretch: of fluxes.
        scales: deviation of image from interpolation, see `measure`.
        side: what the network sees.
    """

    source: Source
    recipe: Recipe
    stretch: Stretch
    scales: Scales
    side: int


@dataclass(frozen=True)
class Budget:
    """How long to train: at most ``steps``, and at most ``minutes``."""

    steps: int
    minutes: float
    batch: int = 32
    rate: float = 1e-3
    checkpoint: float = 2.0
    sheet: float = 10.0
    decay: float = 0.9993


def measure(source: Source, recipe: Recipe, stretch: Stretch, draw: torch.Generator, count: int = 384) -> Scales:
    """Deviation of images from the interpolation of their noise-free data, network units, by factor."""
    clean = replace(recipe, noisy=0.0, gaps=0.0, smooth=0.0)
    x = source.batch(count)
    found = {1: float((stretch.forward(x) - CENTRE).square().mean().sqrt())}
    for factor in FACTORS:
        side = x.shape[-1] // factor * factor
        if side // factor < 3:
            continue
        cut = x[..., :side, :side] * (factor if recipe.flux else 1)
        base = observe(cut, factor, clean, stretch, draw).base
        found[factor] = max(1e-4, float((stretch.forward(cut) - base).square().mean().sqrt()))
    return Scales(found)


@dataclass
class Run:
    """A training run.

    Attributes:
        network: trained in place.
        corpora: one or more domains; every batch comes from one.
        budget: when to stop.
        folder: for checkpoint, log and sheets.
        seed: of all choices.
        device: where to train.
        settings: what may not change when a run goes on, by the name of its option; JSON-able.
        data: what the corpora hold, see `gensr.making.telling.Seen`; JSON-able.
        before: the ``data`` of the run that goes on, as its checkpoint has them.
        average: moving average of the network's tensors.
    """

    network: Network
    corpora: list[Corpus]
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
        self, progress: Callable[[int, int], None] | None, sheet: Callable[[dict[str, Tensor], int], None] | None
    ) -> None:
        """Train until the budget is used.

        Args:
            progress: called with what is done and what there is, in thousandths of the budget.
            sheet: called with averaged tensors and step, every `Budget.sheet` minutes.

        Raises:
            UsageError: training diverged.
        """
        budget, log = self.budget, _Log(self.folder, fresh=self.step == 0)
        last = saved = shown = time.monotonic()
        losses: dict[str, list[float]] = {"loss": [], "blind": [], "variance": []}
        while self.share < 1:
            draw = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
            warm = min(1.0, (self.step + 1) / WARM_UP)
            rate = budget.rate * warm * max(0.01, 0.5 * (1 + math.cos(math.pi * self.share)))
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            corpus = self.corpora[int(torch.randint(len(self.corpora), (), generator=draw))]
            parts = self._loss(corpus, draw)
            self.optimiser.zero_grad()
            parts["total"].backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            self.step += 1
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
                means = {k: sum(v) / max(1, len(v)) for k, v in losses.items()}
                speed = self.step * budget.batch / self.seconds
                log.write(self.step, self.seconds / 60, rate, speed, means)
                status(progress, self.step, means["loss"], speed)
                losses = {k: [] for k in losses}
            if now - saved > 60 * budget.checkpoint:
                self.save()
                saved = now
            if sheet is not None and now - shown > 60 * budget.sheet:
                sheet(self.average, self.step)
                shown = now
                last = time.monotonic()
        self.save()

    def _follow(self) -> None:
        decay = min(self.budget.decay, (1 + self.step) / (10 + self.step))
        own = self.network.state_dict()
        torch._foreach_lerp_([self.average[k] for k in own], list(own.values()), 1 - decay)

    def _loss(self, corpus: Corpus, draw: torch.Generator) -> dict[str, Tensor]:
        count, recipe = self.budget.batch, corpus.recipe
        x, hint = pairs(corpus, count, draw)
        u = corpus.stretch.forward(x).to(self.device)
        hint = hint.to(self.device)
        model = Model(self.network, corpus.scales, half=fast_half(self.device))
        scale = model.base_scale(hint).amax((1, 2, 3))
        spread = torch.where(hint.given > 0, 1.2, 1.5)
        level = (torch.randn(count, generator=draw).to(self.device) * spread - 0.6).clamp(-4, math.log(BLIND))
        blind = (torch.rand(count, generator=draw) < recipe.blind).to(self.device)
        sigma = scale * torch.where(blind, math.log(BLIND), level).exp()
        noise = torch.randn(u.shape, generator=draw).to(self.device)
        found = model(u + sigma.view(-1, 1, 1, 1) * noise, sigma, hint)
        _, out, _ = model.coefficients(hint, sigma)
        # The error in units of the network's output, which has unit variance at every noise level.
        error = ((found.mean - u) / out).square()
        each = error.mean((1, 2, 3))
        variance = 0.5 * (found.spread + error.detach() * (-found.spread).exp()).mean()
        loss = each.clamp(max=50).mean()
        seen = blind & (hint.given > 0)
        return {
            "total": loss + VARIANCE_WEIGHT * variance,
            "loss": loss,
            "blind": each[seen].mean() if bool(seen.any()) else loss,
            "variance": variance,
        }


def pairs(corpus: Corpus, count: int, draw: torch.Generator) -> tuple[Tensor, Hint]:
    """Clean images (count, band, side, side) and hints of data of them, some without."""
    recipe, side = corpus.recipe, corpus.side
    x = corpus.source.batch(count)
    weights = torch.tensor([w for _, w in recipe.factors])
    factor = recipe.factors[int(torch.multinomial(weights, 1, generator=draw))][0]
    whole = x.shape[-1] // factor * factor
    x = x[..., :whole, :whole] * (factor if recipe.flux else 1)
    hint = observe(x, factor, recipe, corpus.stretch, draw)
    row, col = (
        (int(torch.randint(0, whole - side + 1, (), generator=draw)) for _ in range(2)) if whole > side else (0, 0)
    )
    x, hint = x[..., row : row + side, col : col + side], hint.crop(row, col, side, side)
    return x, hint.keep(torch.rand(count, generator=draw) >= recipe.free)


class _Log:
    """``log.csv`` in the folder, and TensorBoard where it is installed."""

    COLUMNS = ("step", "minutes", "rate", "images_per_second", "loss", "blind", "variance")

    def __init__(self, folder: Path, fresh: bool) -> None:
        self.path = folder / "log.csv"
        if fresh or not self.path.is_file():
            with self.path.open("w", newline="", encoding="utf-8") as handle:
                csv.writer(handle).writerow(self.COLUMNS)
        self.board = _board(folder)

    def write(self, step: int, minutes: float, rate: float, speed: float, means: dict[str, float]) -> None:
        """One row."""
        row = [step, f"{minutes:.2f}", f"{rate:.3g}", f"{speed:.1f}", *(f"{means[k]:.5f}" for k in self.COLUMNS[4:])]
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerow(row)
        if self.board is not None:
            for key, value in means.items():
                self.board.add_scalar(key, value, step)


def _board(folder: Path) -> Any:  # noqa: ANN401
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
