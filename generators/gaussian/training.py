"""``gensr train generator=gaussian``: from a corpus to a registered weights file with a card."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.making import corpus
from gensr.making.options import Reader
from gensr.making.telling import Seen, tell
from gensr.priors import weights
from gensr.priors.card import GeneratorCard

from . import em, pca_fit
from .basis import cosine_matrix
from .parameters import LEVEL_DEVIATION
from .pca import PcaParameters

FloatArray = npt.NDArray[np.float32]
DEPTH = 0.52
"""Share of the cosine coefficients, in order of frequency, that directions of a mixture reach."""
MOST_IMAGES = 20000
Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Settings:
    """Parsed options of a training run; see `Gaussian.train_options`."""

    domain: str
    data: tuple[Path, ...]
    validation: Path | None
    name: str
    form: str
    output: Path
    components: int
    rank: int
    windows: int
    passes: int
    side: int
    low: float
    high: float
    unit: float | None
    jitter: float
    level: float
    licence: str
    source: str
    pixel: str
    seed: int


def parse(options: Mapping[str, str]) -> Settings:
    """Check and convert options.

    Raises:
        UsageError: one is missing, or not a number in range.
    """
    for key in ("domain", "data"):
        if not options.get(key):
            raise UsageError(f"{key}= is missing; try gensr train generator=gaussian domain=microscopy data=DIR")
    form = options.get("form", "mixture")
    if form not in ("mixture", "pca"):
        raise UsageError(f"form={form}: expected mixture or pca")

    number = Reader(options).value
    mixture = form == "mixture"
    domain = options["domain"]
    return Settings(
        domain=domain,
        data=tuple(Path(part) for part in options["data"].split(",") if part),
        validation=Path(options["validation"]) if options.get("validation") else None,
        name=options.get("name") or f"gaussian-{domain}-own",
        form=form,
        output=Path(options["output"]) if options.get("output") else weights.user_folder(),
        components=int(number("components", 64 if mixture else 200, 1, 4096)),
        rank=int(number("rank", 40, 1, 256)),
        windows=int(number("windows", 150_000, 500, 5_000_000)),
        passes=int(number("passes", 8, 1, 200)),
        side=int(number("side", 24 if mixture else 48, 4, 64)),
        low=number("low", 1, 0, 100),
        high=number("high", 99.9, 0, 100),
        unit=number("unit", 1, 1e-30, 1e30) if options.get("unit") else None,
        jitter=number("jitter", 0.1, 0, 3),
        level=number("level", LEVEL_DEVIATION, 0.1, 1e6),
        licence=options.get("licence") or "not stated",
        source=options.get("source") or "images of the user",
        pixel=options.get("pixel") or "not stated",
        seed=int(number("seed", 0, 0, 2**31)),
    )


def train(options: Mapping[str, str], progress: Progress) -> Path:
    """Train and write the weights file; returns its path.

    Raises:
        UsageError: impossible options or an unsuitable corpus.
        FormatError: a damaged training file.
    """
    settings = parse(options)
    started = time.monotonic()
    read = (corpus.read(path, settings.domain) for path in settings.data)
    seen = Seen()
    images = list(seen.watch(islice(chain.from_iterable(read), MOST_IMAGES)))
    tell(progress, f"found {seen.words}")
    if settings.form == "pca":
        tensors, config, bands, recipe = _train_pca(settings, images, progress)
    else:
        tensors, config, bands, recipe = _train_mixture(settings, images, progress)
    card = GeneratorCard(
        name=settings.name,
        family="gaussian",
        domain=settings.domain,
        bands=bands,
        aligned=settings.form == "pca",
        side=int(images[0].shape[-1]) if settings.form == "pca" else 0,
        unit=_unit(settings),
        value_range=(0.0, 1.0),
        pixel=settings.pixel,
        licence=settings.licence,
        data=settings.source,
        split=f"{len(images)} images of {', '.join(path.name for path in settings.data)}",
        recipe=f"{recipe}; {time.monotonic() - started:.0f} s on {torch.get_num_threads()} CPU thread(s)",
        bias="knows second-order statistics of its training images only; see the data they came from",
        audit="windows and components are averages over thousands of windows; no training image is stored",
        discrepancy=0.0,
    )
    settings.output.mkdir(parents=True, exist_ok=True)
    path = settings.output / f"{settings.name}{weights.SUFFIX}"
    weights.save(path, tensors, config, card)
    return path


def _unit(settings: Settings) -> str:
    if settings.form == "pca":
        return "share of full scale"
    if settings.unit is not None:
        return f"{settings.unit:g} of the training values is 1"
    return f"percentile {settings.low:g} of an image is 0, {settings.high:g} is 1"


def _words(settings: Settings) -> str:
    return ",".join(str(path) for path in settings.data)


def _scaled(plane: FloatArray, settings: Settings) -> FloatArray:
    if settings.unit is not None:
        return plane / np.float32(settings.unit)
    low, high = np.percentile(plane, [settings.low, settings.high])
    return np.asarray((plane - low) / (high - low if high > low else 1.0), np.float32)


def _train_mixture(
    settings: Settings, images: list[FloatArray], progress: Progress
) -> tuple[dict[str, Tensor], dict[str, object], int, str]:
    planes = [band for image in images for band in image if min(band.shape) >= settings.side]
    if not planes:
        raise UsageError(
            f"data={_words(settings)}: no image holds a window of {settings.side} pixels; give side= smaller"
        )
    windows = draw_windows([_scaled(p, settings) for p in planes], settings)

    def report(step: int, score: float) -> None:
        if progress is not None:
            progress(step, settings.passes)

    depth = max(1, int(settings.side**2 * DEPTH))
    floor = 1e-6
    components = min(settings.components, max(1, len(windows) // 200))
    rank = min(settings.rank, depth - 1)
    fitted = em.fit(windows, components, rank, settings.passes, floor, depth, settings.seed, report)
    tensors = mixture_tensors(fitted.weight, fitted.mean, fitted.directions, fitted.remainder, depth)
    recipe = (
        f"{components} Gaussians of rank {rank} on {settings.side} px windows, {settings.passes} passes of EM over "
        f"{len(windows)} windows in random orientation, contrast jitter {settings.jitter:g}"
    )
    return tensors, {"form": "mixture", "side": settings.side, "level": settings.level}, 1, recipe


def draw_windows(planes: list[FloatArray], settings: Settings) -> Tensor:
    """Cosine coefficients without the level, (windows, side^2 - 1), of random windows in random orientation.

    Large images give more windows, by the square root of their area.
    """
    rng = np.random.default_rng(settings.seed)
    side = settings.side
    share = np.array([p.size for p in planes], float) ** 0.5
    counts = rng.multinomial(settings.windows, share / share.sum())
    out = np.empty((settings.windows, side * side), np.float32)
    row = 0
    for plane, count in zip(planes, counts, strict=True):
        tops = rng.integers(0, plane.shape[0] - side + 1, count)
        lefts = rng.integers(0, plane.shape[1] - side + 1, count)
        turns = rng.integers(0, 8, count)
        contrast = np.exp(rng.normal(0, settings.jitter, count))
        for top, left, turn, gain in zip(tops, lefts, turns, contrast, strict=True):
            window = np.rot90(plane[top : top + side, left : left + side], turn % 4)
            out[row] = (window[::-1] if turn > 3 else window).ravel() * gain
            row += 1
    return (torch.from_numpy(out) @ cosine_matrix(side).float().T)[:, 1:].contiguous()


def _train_pca(
    settings: Settings, images: list[FloatArray], progress: Progress
) -> tuple[dict[str, Tensor], dict[str, object], int, str]:
    shape = images[0].shape
    if any(i.shape != shape for i in images) or shape[1] != shape[2]:
        raise UsageError(f"data={_words(settings)}: aligned training needs square pictures of one size and band count")
    scale = settings.unit or float(2 ** np.ceil(np.log2(max(float(i.max()) for i in images) + 1)) - 1)
    stack = torch.from_numpy(np.stack(images)) / scale
    if settings.validation is None:
        held = stack[9::10]
        stack = stack[torch.arange(len(stack)) % 10 != 9]
    else:
        held = torch.from_numpy(np.stack(list(corpus.read(settings.validation, settings.domain)))) / scale
    if len(stack) < 20 or len(held) < 5:
        raise UsageError(f"data={_words(settings)}: {len(images)} pictures are too few; give 50 or more")
    tell(progress, f"{len(stack)} to train on, {len(held)} held out")
    if progress is not None:
        progress(0, 1)
    side, count = min(settings.side, shape[1]), min(settings.components, len(stack) - 1)
    parameters = pca_fit.fit(stack, held, side, count)
    if progress is not None:
        progress(1, 1)
    recipe = (
        f"{count} principal components at {side} px of {len(stack)} pictures and their mirror images, variances and "
        f"damping from {len(held)} held-out pictures, remainder stationary in the cosine basis"
    )
    return pca_tensors(parameters), {"form": "pca"}, shape[0], recipe


def mixture_tensors(
    weight: Tensor, mean: Tensor, directions: Tensor, remainder: Tensor, depth: int
) -> dict[str, Tensor]:
    """What is stored of a mixture, half precision; ``depth`` coefficients of the directions."""
    half = torch.float16
    return {
        "weight": weight.float(),
        "mean": mean.to(half),
        "directions": directions[:, :depth].to(half),
        "remainder": remainder.log().to(half),
    }


def pca_tensors(parameters: PcaParameters) -> dict[str, Tensor]:
    """What is stored of principal components, half precision."""
    half = torch.float16
    return {
        "mean": parameters.mean.to(half),
        "components": parameters.components.to(half),
        "power": parameters.power.log().to(half),
    }
