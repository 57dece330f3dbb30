"""The training loop: non-saturating logistic loss, lazy R1, averaged weights, adaptive augmentation.

(Goodfellow et al., arXiv:1406.2661; Mescheder et al., arXiv:1801.04406; Karras et al., arXiv:1912.04958.)
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gensr.errors import UsageError
from gensr.making import checkpoint
from gensr.making.telling import status

from .augment import augment, probability
from .discriminator import Discriminator
from .network import Network
from .pictures import Pictures

LAZY = 16
"""Steps between two penalties R1."""
AVERAGED = 10_000
"""Pictures over which the average forgets half."""
TAIL = 0.4
"""Share of the budget over which the rate falls, at its end."""
PAUSE = 30.0
"""Most seconds that a step counts for: beyond them the machine slept."""
SHOWN = 64
SHOWN_SEED = 977
"""Like all seeds here not the one that weights begin from: latents equal to weights would be far from typical."""


@dataclass(frozen=True)
class Budget:
    """How long and how to train: at most ``steps``, and at most ``minutes``.

    Attributes:
        steps: most steps.
        minutes: most minutes of wall time.
        batch: pictures per step.
        rate: Adam's rate for both networks.
        penalty: weight of R1 at 64 px; it grows with the number of pixels.
        checkpoint: minutes between two checkpoints.
        sheet: minutes between two sheets of samples.
    """

    steps: int
    minutes: float
    batch: int = 16
    rate: float = 2.5e-3
    penalty: float = 0.4
    checkpoint: float = 2.0
    sheet: float = 10.0


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the parameters inside the block."""
    for p in network.parameters():
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in network.parameters():
            p.requires_grad_(True)


def penalty(discriminator: Discriminator, image: Tensor) -> Tensor:
    """R1: mean squared length of the gradient of the logits with respect to real pictures."""
    x = image.detach().requires_grad_()
    (grad,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return grad.square().flatten(1).sum(1).mean()


class Run:
    """A training run.

    Args:
        network: the generator, trained in place.
        discriminator: its opponent.
        pictures: of the generator's side and bands.
        budget: when to stop.
        folder: for checkpoint, log and sheets.
        seed: of all choices; those of a step do not depend on the steps before it.
        device: where to train.
        data: what the pictures are, see `gensr.making.telling.Seen`; JSON-able.
    """

    def __init__(
        self,
        network: Network,
        discriminator: Discriminator,
        pictures: Pictures,
        budget: Budget,
        folder: Path,
        seed: int = 0,
        device: str = "cpu",
        data: Mapping[str, str] | None = None,
    ) -> None:
        self.data, self.before = dict(data or {}), None
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = discriminator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.pictures, self.budget, self.folder, self.seed, self.device = pictures, budget, folder, seed, device
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        slow = [p for name, p in network.named_parameters() if name.startswith("mapping.")]
        rest = [p for name, p in network.named_parameters() if not name.startswith("mapping.")]
        betas = (0.0, 0.99)
        self.maker = torch.optim.Adam([{"params": rest, "share": 1.0}, {"params": slow, "share": 0.1}], betas=betas)
        self.judge = torch.optim.Adam([{"params": list(discriminator.parameters()), "share": 1.0}], betas=betas)
        self.step, self.seconds, self.probability = 0, 0.0, 0.0
        self.path = folder / "checkpoint.safetensors"
        self.learners = {"network": (network, self.maker), "discriminator": (discriminator, self.judge)}

    def resume(self) -> bool:
        """Go on from the last checkpoint, if there is one.

        Raises:
            WeightsError: it is damaged, or of other networks.
        """
        if not self.path.is_file():
            return False
        facts = checkpoint.load(self.path, self.learners, self.average)
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        self.probability, self.before = float(facts["probability"]), facts.get("data")
        return True

    def save(self) -> None:
        """Write the checkpoint."""
        facts = {"step": self.step, "seconds": self.seconds, "probability": self.probability, "data": self.data}
        checkpoint.save(self.path, self.learners, self.average, facts)

    @property
    def share(self) -> float:
        """Share of the budget that is used."""
        return min(1.0, max(self.step / self.budget.steps, self.seconds / (60 * self.budget.minutes)))

    def averaged(self) -> Network:
        """The generator with averaged weights, on the CPU."""
        network = Network(self.network.shape)
        network.load_state_dict({k: v.cpu() for k, v in self.average.items()})
        return network.eval().requires_grad_(False)

    def __call__(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Train until the budget is used.

        Raises:
            UsageError: training diverged.
        """
        log, budget = _Log(self.folder), self.budget
        last = saved = shown = time.monotonic()
        sums: dict[str, list[float]] = {}
        while self.share < 1:
            for key, value in self._once(self._numbers()).items():
                sums.setdefault(key, []).append(value)
            self.step += 1
            now = time.monotonic()
            self.seconds, last = self.seconds + min(now - last, PAUSE), now
            if self.step % 100 == 0:
                means = {k: sum(v) / len(v) for k, v in sums.items()}
                sums = {}
                speed = self.step * budget.batch / self.seconds
                log.write(self.step, self.seconds / 60, speed, self.probability, means)
                status(progress, self.step, means["maker"], speed)
                if progress is not None:
                    progress(round(1000 * self.share), 1000)
            if now - saved > 60 * budget.checkpoint:
                self.save()
                saved = now
            if now - shown > 60 * budget.sheet:
                sheet(self.averaged(), self.folder / f"sheet-{self.step:07d}.png")
                shown = now
        self.save()
        sheet(self.averaged(), self.folder / "sheet.png")

    def _numbers(self) -> torch.Generator:
        """All random numbers of a step."""
        return torch.Generator().manual_seed((self.seed + 1) * 1_000_003 + self.step)

    def _once(self, draw: torch.Generator) -> dict[str, float]:
        """One step of both networks; returns losses."""
        budget = self.budget
        rate = budget.rate * min(1.0, (1 - self.share) / TAIL + 0.02)
        for optimiser in (self.maker, self.judge):
            for group in optimiser.param_groups:
                group["lr"] = rate * group["share"]
        found = self._judge_step(draw) | self._maker_step(draw)
        if not all(math.isfinite(v) for v in found.values()):
            raise UsageError("training diverged: a loss is not finite; give a smaller rate=")
        keep = 0.5 ** (budget.batch / min(AVERAGED, 0.05 * (self.step + 1) * budget.batch))
        own = self.network.state_dict()
        torch._foreach_lerp_([self.average[k] for k in own], list(own.values()), 1 - keep)
        return found

    def _made(self, draw: torch.Generator) -> Tensor:
        z = torch.randn(self.budget.batch, self.network.shape.latent, generator=draw).to(self.device)
        noise = self.network.noise(self.budget.batch, draw, self.device)
        with self._half():
            image: Tensor = self.network(z, noise)
        return image.float()

    def _logits(self, image: Tensor) -> Tensor:
        with self._half():
            logits: Tensor = self.discriminator(image)
        return logits.float()

    def _half(self) -> torch.autocast:
        return torch.autocast(self.device.split(":")[0], torch.bfloat16)

    def _judge_step(self, draw: torch.Generator) -> dict[str, float]:
        budget, p = self.budget, self.probability
        with torch.no_grad():
            made = augment(self._made(draw), p, draw)
        real = augment(self.pictures.batch(budget.batch, draw).to(self.device), p, draw)
        logits = self._logits(real)
        loss = softplus(-logits).mean() + softplus(self._logits(made)).mean()
        found = {"judge": float(loss.detach()), "sign": float(logits.detach().sign().mean())}
        if self.step % LAZY == 0:
            weight = budget.penalty / 2 * (self.pictures.side / 64) ** 2
            r1 = penalty(self.discriminator, real)
            found["penalty"] = float(r1.detach())
            loss = loss + LAZY * weight * r1
        self.judge.zero_grad()
        loss.backward()
        self.judge.step()
        self.probability = probability(p, found["sign"], budget.batch)
        return found

    def _maker_step(self, draw: torch.Generator) -> dict[str, float]:
        with frozen(self.discriminator):
            loss = softplus(-self._logits(augment(self._made(draw), self.probability, draw))).mean()
            self.maker.zero_grad()
            loss.backward()
        self.maker.step()
        return {"maker": float(loss.detach())}


@torch.no_grad()
def sheet(network: Network, path: Path) -> None:
    """A picture of ``SHOWN`` samples, always of the same latents."""
    from PIL import Image

    draw = torch.Generator().manual_seed(SHOWN_SEED)
    image = network(torch.randn(SHOWN, network.shape.latent, generator=draw), network.noise(SHOWN, draw, "cpu"))
    rows = int(SHOWN**0.5)
    n, bands, side, _ = image.shape
    tiled = image.view(rows, n // rows, bands, side, side).permute(2, 0, 3, 1, 4).reshape(bands, rows * side, -1)
    values = (127.5 * (tiled + 1)).clamp(0, 255).round().to(torch.uint8)
    plain = values[0] if bands not in (3, 4) else values.permute(1, 2, 0)
    Image.fromarray(plain.contiguous().numpy()).save(path)


class _Log:
    """``log.csv`` in the folder."""

    COLUMNS = ("step", "minutes", "images_per_second", "probability", "judge", "maker", "sign", "penalty")

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.csv"
        if not self.path.is_file():
            with self.path.open("w", newline="", encoding="utf-8") as handle:
                csv.writer(handle).writerow(self.COLUMNS)

    def write(self, step: int, minutes: float, speed: float, p: float, means: dict[str, float]) -> None:
        """One row."""
        row = [step, f"{minutes:.2f}", f"{speed:.1f}", f"{p:.3f}", *(f"{means[k]:.5f}" for k in self.COLUMNS[4:])]
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerow(row)
