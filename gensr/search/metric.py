"""How strongly data react to latents, on average over the prior: the metric in which a search goes straight.

The curvature of the misfit is ``J^T J / noise`` with the Jacobian ``J`` of the low-resolution picture. Over the prior
it varies, but its mean ``H = E[J^T J]`` already knows which directions of a latent space matter and which do not, over
five orders of magnitude. It is measured once per generator from products ``J^T w`` with random ``w`` (their covariance
is ``H``): steps along ``(H / noise + I)^-1 gradient`` need a fifth of the steps of Adam.

Vectors (styles) have a low-rank part and a diagonal remainder, which keeps the diagonal of ``H`` exact; spatial maps
(noise) one number each.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from weakref import finalize

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torch.utils.flop_counter import FlopCounterMode

from gensr.priors.generator import Generator, Stage
from gensr.priors.observation import Observation
from gensr.search.apart import apart
from gensr.values.latent import LatentSpec
from gensr.values.random import Stream

SIDE = 16
"""Side at which pictures are compared, pixels, or their own where it is less."""
BUDGET = 3e11
"""Operations that a measurement may take; what a generator costs decides how many products there are."""
FEWEST, MOST = 64, 2048
"""Products, whatever they cost."""
BATCH, REPEATS = 8, 4
"""Latents of one pass, and products of each of them."""
BANKED, PASS = 1024, 32
"""Most pictures of the bank, and those that are made together."""
RANK = 256
"""Most directions of the low-rank part; a quarter of the products where that is less."""
LARGEST = 1 << 17
"""Searched numbers above which nothing is measured: the map of such a generator is a network of its own."""
MAP = 3
"""Axes of a latent that is a spatial map."""
CHEAP = 2e10
"""Operations up to which a measurement is rather repeated than kept on disk."""
INVERSES = 8
"""Inverses that are remembered: pictures of one noise share theirs."""
MEASURED = ("audit", "conformal", "discrepancy", "metrics", "value_range")
"""What a calibration writes into a card: the map from latents to pictures is the same with another one."""
VERSION = 4
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Metric:
    """``H = diagonal + basis diag(energy) basis^T`` for pictures of ``count`` data.

    Attributes:
        diagonal: (d,).
        basis: (d, k), orthonormal columns.
        energy: (k,).
        count: numbers of a picture behind it; H grows with the number of data.
        pictures: (latents, band, rows, cols) small pictures, half precision, of a bank of starts; their latents are
            draws by number, see `starts`.
    """

    diagonal: Tensor
    basis: Tensor
    energy: Tensor
    count: int
    pictures: Tensor = field(default_factory=lambda: torch.zeros(0, 1, 1, 1))

    def to(self, like: Tensor) -> Metric:
        """Of the device and the precision of a tensor."""
        if (self.diagonal.dtype, self.diagonal.device) == (like.dtype, like.device):
            return self
        return replace(self, diagonal=self.diagonal.to(like), basis=self.basis.to(like), energy=self.energy.to(like))

    def extended(self, dimension: int) -> Metric:
        """With latents of an operator after those of the generator: nothing is known of them."""
        more = dimension - len(self.diagonal)
        if more <= 0:
            return self
        zeros = self.basis.new_zeros(more, self.basis.shape[1])
        mean = self.diagonal.mean().expand(more)
        return replace(self, diagonal=torch.cat([self.diagonal, mean]), basis=torch.cat([self.basis, zeros]))

    def nearest(self, data: Observation, count: int) -> Tensor:
        """Numbers (n, count) of the latents whose pictures are closest to each of the data, best first.

        Data and pictures are compared at the coarser of both samplings, where the data are usable.
        """
        pool, y = self.pictures.to(data.y), data.y
        size = (min(y.shape[-2], pool.shape[-2]), min(y.shape[-1], pool.shape[-1]))
        share = adaptive_avg_pool2d(data.usable.to(y), size)
        mean = adaptive_avg_pool2d(torch.where(data.usable, y, torch.zeros_like(y)), size) / share.clamp(min=1e-6)
        seen = adaptive_avg_pool2d(pool, size).flatten(1)
        weight = share.flatten(1)
        # sum of w (s - p)^2 over pixels, written out; the first term does not depend on p
        with apart(weight):
            distance = weight @ seen.square().T - 2 * (weight * mean.flatten(1)) @ seen.T
        order = distance.argsort(stable=True, dim=1)
        return order[:, torch.arange(count, device=order.device) % len(pool)]

    def inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What `solve` needs of ``weight H + I`` for every row: its inverse diagonal (n, d) and core (n, k, k).

        Args:
            weight: (n,) data over their noise variance, in units of `count`.
        """
        rows = [self._inverse(value) for value in weight.tolist()]
        if len({id(row) for row in rows}) == 1:
            return rows[0].thin.expand(len(rows), -1), rows[0].core.expand(len(rows), -1, -1)
        return torch.stack([row.thin for row in rows]), torch.stack([row.core for row in rows])

    def _inverse(self, weight: float) -> _Inverse:
        """`inverse` of one row."""
        key = (id(self.basis), id(self.diagonal), weight)
        if key not in _INVERSES:
            thin = 1 / (1 + weight * self.diagonal)
            inside = self.basis.T @ (thin[:, None] * self.basis)
            inside.diagonal().add_(1 / (weight * self.energy))
            if len(_INVERSES) >= INVERSES:
                _INVERSES.pop(next(iter(_INVERSES)))
            _INVERSES[key] = _Inverse(self, thin, torch.linalg.inv(inside).contiguous())
        return _INVERSES[key]

    def solve(self, thin: Tensor, core: Tensor, gradient: Tensor) -> Tensor:
        """``(weight H + I)^-1 gradient``, (n, d), by the formula of Woodbury."""
        scaled = thin * gradient
        part = self._reach
        with apart(scaled):
            found = torch.bmm(core, (scaled[:, part] @ self.basis[part])[..., None])[..., 0] @ self.basis[part].T
        scaled[:, part] -= thin[:, part] * found
        return scaled

    @cached_property
    def _reach(self) -> slice:
        """The latents that the low-rank part reaches: the vectors, which come first."""
        rows = self.basis.any(1).nonzero()
        return slice(0, int(rows[-1]) + 1 if len(rows) else 0)


@dataclass(frozen=True)
class _Inverse:
    """What `Metric.inverse` found, and its metric: while that is held, no other has the identity of its tensors."""

    owner: Metric
    thin: Tensor
    core: Tensor


_INVERSES: dict[tuple[int, int, float], _Inverse] = {}


def plain(dimension: int, like: Tensor) -> Metric:
    """All directions alike."""
    return Metric(like.new_ones(dimension), like.new_zeros(dimension, 0), like.new_zeros(0), 1)


def starts(generator: Generator, metric: Metric, data: Observation, count: int) -> dict[str, Tensor]:
    """Latents (n * count, ...) of a metric's bank that look most like the data, best first; see `_plain`."""
    return _plain(generator, generator.latents(data.shape), metric.nearest(data, count).flatten().tolist())


def _plain(generator: Generator, spec: LatentSpec, numbers: range | list[int]) -> dict[str, Tensor]:
    """Draws by number whose spatial maps are zero, and so is how layers deviate from a vector that they share."""
    shared = any(len(t.shape) == 1 for t in spec.searched)
    idle = {t.name for t in spec.tensors if len(t.shape) >= MAP or (shared and t.layered)}
    return {name: t * (name not in idle) for name, t in _drawn(generator, spec, numbers).items()}


@torch.no_grad()
def bank(generator: Generator, shape: tuple[int, int], stage: Stage | None, count: int) -> Tensor:
    """Small pictures (count, band, rows, cols) of `_plain` draws, half precision."""
    spec, found = generator.latents(shape), []
    for begin in range(0, count, PASS):
        latents = _plain(generator, spec, range(begin, min(begin + PASS, count)))
        picture = _pictures(generator, shape, stage, latents)
        side = (min(SIDE, picture.shape[-2]), min(SIDE, picture.shape[-1]))
        found.append(adaptive_avg_pool2d(picture, side).half().cpu())
    return torch.cat(found)


def metric_of(
    generator: Generator, shape: tuple[int, int], stage: Stage | None, progress: Progress | None = None
) -> Metric | None:
    """The metric of a generator, from memory, from the cache, or measured; None where it is too large to have one.

    Args:
        generator: of which.
        shape: (rows, cols) of its output.
        stage: the coarse output that a search begins on; None for the full one.
        progress: called with products done and wanted.
    """
    spec = generator.latents(shape)
    discrete = any(not t.searched and not t.shape for t in spec.tensors)  # what depends on a choice has no mean
    if discrete or spec.dimension > LARGEST or all(len(t.shape) >= MAP for t in spec.searched):
        return None
    key = _known(generator, shape, stage)
    if key not in _MEMORY:
        wanted, cost = products(generator, shape, stage)
        path = cache_folder() / f"{key}.safetensors" if wanted * cost > CHEAP else None
        found = None if path is None else _read(path)
        if found is None:
            found = measure(generator, shape, stage, wanted, progress)
            if path is not None:
                _write(path, found)
        _MEMORY[key] = found
    return _MEMORY[key]


def _known(generator: Generator, shape: tuple[int, int], stage: Stage | None) -> str:
    """`_fingerprint`, made once for each object."""
    if (mine := _KEYS.get(id(generator))) is None:  # by identity: what a plugin calls equal need not have a hash
        mine = _KEYS[id(generator)] = {}
        finalize(generator, _KEYS.pop, id(generator), None)
    asked = (tuple(shape), None if stage is None else stage.shape)
    if asked not in mine:
        mine[asked] = _fingerprint(generator, shape, stage)
    return mine[asked]


def _fingerprint(generator: Generator, shape: tuple[int, int], stage: Stage | None) -> str:
    """Of card, size and what one latent looks like: generators that agree in all of that are one."""
    spec = generator.latents(shape)
    card = {name: value for name, value in generator.card.to_dict().items() if name not in MEASURED}
    said = [VERSION, BUDGET, card, shape, None if stage is None else stage.shape]
    found = hashlib.sha256(json.dumps([*said, [[t.name, t.shape] for t in spec.searched]], sort_keys=True).encode())
    with torch.no_grad():
        picture = adaptive_avg_pool2d(_pictures(generator, shape, stage, _drawn(generator, spec, [0])), 4)
    found.update((picture.double().cpu() * 1000).round().to(torch.int64).numpy().tobytes())
    return found.hexdigest()


_MEMORY: dict[str, Metric] = {}
_KEYS: dict[int, dict[Any, str]] = {}


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Where metrics are kept: ``gensr/metrics`` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gensr" / "metrics"


def _read(path: Path) -> Metric | None:
    """A metric that was kept; None where there is none, or what is there is damaged."""
    try:
        found = load_file(path)
        count, pictures = int(found["count"]), found["pictures"]
        made = Metric(found["diagonal"], found["basis"], found["energy"], count, pictures)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    d, k = made.basis.shape if made.basis.ndim == 2 else (-1, -1)
    whole = made.diagonal.shape == (d,) and made.energy.shape == (k,) and made.count > 0 and pictures.ndim == 4
    finite = all(bool(torch.isfinite(t).all()) for t in (made.diagonal, made.basis, made.energy))
    return made if whole and finite and bool((made.diagonal >= 0).all()) and bool((made.energy > 0).all()) else None


def _write(path: Path, made: Metric) -> None:
    """Keep a metric; a folder that cannot be written to only costs the next process the measurement."""
    tensors = {"diagonal": made.diagonal, "basis": made.basis, "energy": made.energy, "pictures": made.pictures}
    tensors["count"] = torch.tensor(made.count)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: t.contiguous() for name, t in tensors.items()}, partial)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)


def products(generator: Generator, shape: tuple[int, int], stage: Stage | None) -> tuple[int, float]:
    """How many products ``J^T w`` the budget pays for, and the operations of one."""
    spec = generator.latents(shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        _pictures(generator, shape, stage, _drawn(generator, spec, [0]))
    one = counter.get_total_flops() * (1 / REPEATS + 1.5)
    return max(FEWEST, min(MOST, int(BUDGET / max(one, 1)))), one


def measure(
    generator: Generator, shape: tuple[int, int], stage: Stage | None, wanted: int, progress: Progress | None = None
) -> Metric:
    """Measure a metric from so many products; see the module text and `metric_of`."""
    spec = generator.latents(shape)
    rows: list[Tensor] = []
    count = 0
    for begin in range(0, -(-wanted // REPEATS), BATCH):
        latents = _drawn(generator, spec, range(begin, begin + BATCH))
        flat = spec.flatten(latents).requires_grad_()
        with torch.enable_grad():
            picture = _pictures(generator, shape, stage, spec.unflatten(flat, latents))
            side = (min(SIDE, picture.shape[-2]), min(SIDE, picture.shape[-1]))
            seen = adaptive_avg_pool2d(picture, side).flatten(1)
        count = seen.shape[1]
        for k in range(REPEATS):
            stream = Stream(0).child("metric", "weights", begin, k)
            weights = stream.normal((BATCH, count)).to(seen)
            rows.append(torch.autograd.grad(seen, flat, weights, retain_graph=k + 1 < REPEATS)[0].cpu())
        if progress is not None:
            progress(min(wanted, len(rows) * BATCH), wanted)
    _, cost = products(generator, shape, stage)
    starts = max(FEWEST, min(BANKED, int(BUDGET * (1 / REPEATS + 1.5) / max(cost, 1))))
    return replace(_fitted(torch.cat(rows), spec, count), pictures=bank(generator, shape, stage, starts))


def _fitted(products: Tensor, spec: LatentSpec, count: int) -> Metric:
    """Low rank where latents are vectors, one number for every spatial map."""
    total = products.square().mean(0)
    vector = torch.cat([torch.full((t.size,), len(t.shape) < MAP) for t in spec.searched])
    kept = products[:, vector].double()
    rank = min(RANK, len(kept) // 4, kept.shape[1])
    wide = len(kept) < kept.shape[1]  # the smaller of both products of the matrix with itself
    energy, vectors = torch.linalg.eigh((kept @ kept.T if wide else kept.T @ kept) / len(kept))
    energy, vectors = energy[-rank:], vectors[:, -rank:]
    good = energy > 1e-9 * energy[-1].clamp(min=torch.finfo(torch.float64).tiny)
    energy, vectors = energy[good], vectors[:, good]
    right = (kept.T @ vectors) / (len(kept) * energy).sqrt() if wide else vectors
    basis = torch.zeros(len(total), len(energy))
    basis[vector] = right.float()
    # Products of few probes show their leading directions too strong: half of them is left to the remainder.
    share = len(kept) / (len(kept) + float(kept.shape[1]))
    energy = share * energy
    diagonal = (total - (basis.square() @ energy.float())).clamp(min=0.01 * total)
    first = 0
    for t in spec.searched:
        part = slice(first, first + t.size)
        if len(t.shape) >= MAP:
            diagonal[part] = total[part].mean()
        first += t.size
    return Metric(diagonal.clamp(min=torch.finfo(torch.float32).tiny), basis, energy.float(), count)


def _drawn(generator: Generator, spec: LatentSpec, numbers: range | list[int]) -> dict[str, Tensor]:
    drawn = spec.sample([Stream(0).child("metric", number) for number in numbers])
    return {name: t.to(getattr(generator, "device", "cpu")) for name, t in drawn.items()}


def _pictures(generator: Generator, shape: tuple[int, int], stage: Stage | None, latents: dict[str, Tensor]) -> Tensor:
    return generator.synthesize(latents, shape) if stage is None else generator.synthesize(latents, shape, stage)
