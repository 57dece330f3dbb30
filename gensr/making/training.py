"""The training loop of a network with an average of its weights: once, for every family that learns by a loss.

A run is repeated from its seed and step alone, stops at any time, and goes on from its checkpoint with the same
settings. What a family brings is a loss of a batch that it draws.
"""

from __future__ import annotations

import csv
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gensr.errors import UsageError, WeightsError
from gensr.making import checkpoint
from gensr.making.telling import Progress, status
from gensr.priors.unet import place

SLOWEST = 0.01
"""Of the rate, at the end."""


@dataclass(frozen=True)
class Budget:
    """How long to train: at most ``steps``, and at most ``minutes``.

    Attributes:
        steps: most steps.
        minutes: most minutes; the rate anneals with whichever of the two is nearer its end.
        batch: images a step.
        rate: learning rate at the start.
        checkpoint: minutes between checkpoints.
        show: minutes between looks at the averaged network; 0 for none.
        decay: of the average of weights.
        warm_up: steps in which the rate grows.
        log: steps between rows of the log.
    """

    steps: int
    minutes: float
    batch: int
    rate: float
    checkpoint: float = 2.0
    show: float = 10.0
    decay: float = 0.999
    warm_up: int = 200
    log: int = 50


@dataclass(kw_only=True)
class Training(ABC):
    """A training run; see the module text.

    Attributes:
        network: trained in place.
        budget: when to stop.
        folder: for checkpoint and log.
        seed: of all choices.
        device: where to train.
        settings: what may not change when a run goes on, by the name of its option; JSON-able.
        data: what is trained on, see `gensr.making.telling.Seen`; JSON-able.
        before: the ``data`` of the run that goes on, as its checkpoint has them.
        average: moving average of the network's tensors.
    """

    PARTS: ClassVar[tuple[str, ...]]
    """Names of what `losses` gives that is logged, the loss first."""

    network: nn.Module
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

    @abstractmethod
    def losses(self, draw: torch.Generator) -> dict[str, Tensor]:
        """Parts of the loss of a batch.

        Args:
            draw: all choices.

        Returns:
            ``PARTS``, and what is descended on under "total" where that is not the first of them.
        """

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

    def __call__(self, progress: Progress = None, show: Callable[[], None] | None = None) -> None:
        """Train until the budget is used; looks do not count as time.

        Args:
            progress: called with what is done and what there is, in thousandths of the budget.
            show: called every `Budget.show` minutes and at the end, after a checkpoint.

        Raises:
            UsageError: training diverged.
        """
        budget, log = self.budget, Log(self.folder, self.PARTS, fresh=self.step == 0)
        last = saved = shown = time.monotonic()
        losses: dict[str, list[float]] = {name: [] for name in self.PARTS}
        while self.share < 1:
            rate = self._rate()
            parts = self._descend()
            for key, values in losses.items():
                values.append(float(parts[key].detach()))
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if not math.isfinite(losses[self.PARTS[0]][-1]):
                raise UsageError("training diverged: the loss is not finite; give a smaller rate=")
            if progress is not None:
                progress(round(1000 * self.share), 1000)
            if self.step % budget.log == 0 or self.share >= 1:
                means = {name: sum(v) / max(1, len(v)) for name, v in losses.items()}
                speed = self.step * budget.batch / self.seconds
                status(progress, self.step, means[self.PARTS[0]], speed)
                log.write(self.step, self.seconds / 60, rate, speed, means)
                losses = {name: [] for name in self.PARTS}
            if now - saved > 60 * budget.checkpoint:
                self.save()
                saved = now
            if show is not None and budget.show and (now - shown > 60 * budget.show or self.share >= 1):
                self.save()
                show()
                shown = saved = last = time.monotonic()
        self.save()

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self.budget.warm_up)
        rate = self.budget.rate * warm * max(SLOWEST, 0.5 * (1 + math.cos(math.pi * self.share)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _descend(self) -> dict[str, Tensor]:
        parts = self.losses(torch.Generator().manual_seed(self.seed * 1_000_003 + self.step))
        self.optimiser.zero_grad()
        parts.get("total", parts[self.PARTS[0]]).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        decay = min(self.budget.decay, (1 + self.step) / (10 + self.step))
        own = self.network.state_dict()
        torch._foreach_lerp_([self.average[k] for k in own], list(own.values()), 1 - decay)
        return parts


class Table:
    """A CSV file that a run appends to; numbers with five decimals."""

    def __init__(self, path: Path, columns: Sequence[str], fresh: bool) -> None:
        self.path = path
        if fresh or not path.is_file():
            with path.open("w", newline="", encoding="utf-8") as handle:
                csv.writer(handle).writerow(columns)

    def write(self, row: Sequence[object]) -> None:
        """One row."""
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerow([f"{v:.5f}" if isinstance(v, float) else v for v in row])


class Log:
    """``log.csv`` in the folder, and TensorBoard where it is installed.

    Args:
        folder: of the run.
        parts: names of the losses.
        fresh: begin a new file.
    """

    def __init__(self, folder: Path, parts: Sequence[str], fresh: bool) -> None:
        columns = ("step", "minutes", "rate", "images_per_second", *parts)
        self.table, self.board = Table(folder / "log.csv", columns, fresh), _board(folder)

    def write(self, step: int, minutes: float, rate: float, speed: float, means: dict[str, float]) -> None:
        """One row."""
        self.table.write([step, f"{minutes:.2f}", f"{rate:.3g}", f"{speed:.1f}", *means.values()])
        if self.board is not None:
            for key, value in means.items():
                self.board.add_scalar(key, value, step)


def _board(folder: Path) -> Any:  # noqa: ANN401
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
