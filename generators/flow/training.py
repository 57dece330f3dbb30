"""``gensr train generator=flow``: from images to a registered weights file with a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr import corpus, weights
from gensr.errors import UsageError, WeightsError
from gensr.generator import GeneratorCard
from gensr.plan import choose_device

from .degrade import Recipe
from .family import config_of
from .generator import Flow, Settings
from .loop import Budget, Corpus, Run, measure
from .model import Model
from .network import Network, Shape, count
from .options import FLUX_DOMAINS, PERCENTILES, Options, parse
from .pictures import Aligned, Fields, Scaling, Sized
from .sheet import write as write_sheet
from .stretch import Stretch

FloatArray = npt.NDArray[np.float32]
MOST_IMAGES = 60_000
FEWEST = 10
FIELD_FACTORS = ((2, 0.25), (3, 0.08), (4, 0.35), (6, 0.05), (8, 0.27))
MARGIN = 8
"""Pixels by which windows of fields are larger than what the network sees, so that data fall on every phase."""
SOFTENING, TOP = 0.3, 6500.0
"""Default stretch of fluxes, in units of 16 deviations of the sky."""
FLUX_JITTER, JITTER = 0.5, 0.1


def train(options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
    """Train, or go on training, and write the weights file; returns its path.

    Raises:
        UsageError: impossible options or an unsuitable corpus.
        FormatError: a damaged training file.
        WeightsError: ``init`` or the checkpoint is no flow of this shape.
    """
    chosen = parse(options)
    device = choose_device(chosen.device)
    torch.manual_seed(chosen.seed)
    first = _initial(chosen)
    images = [_read(chosen, i) for i in range(len(chosen.domains))]
    shape = first.model.network.shape if first else _shape(chosen, images[0])
    network = Network(shape)
    if first:
        network.load_state_dict(first.model.network.state_dict())
    corpora = list(chain.from_iterable(_corpora(chosen, i, images[i], shape, first) for i in range(len(images))))
    folder = chosen.output / f"{chosen.name}.training"
    folder.mkdir(parents=True, exist_ok=True)
    budget = Budget(chosen.steps, chosen.minutes, chosen.batch, chosen.rate, sheet=chosen.sheet)
    run = Run(network, corpora, budget, folder, chosen.seed, device)
    run.resume()
    settings = _settings(chosen, corpora[0], first)
    card = _card(chosen, shape, len(images[0]), settings)

    def sheet(average: dict[str, Tensor], step: int) -> None:
        flow = _flow(shape, average, corpora[0], settings, card)
        write_sheet(folder / f"sheet{step:07d}.png", flow, corpora[0], chosen.seed)

    try:
        run(progress, sheet if chosen.sheet else None)
    except KeyboardInterrupt:
        run.save()
        raise
    flow = _flow(shape, run.average, corpora[0], settings, card)
    recipe = (
        f"rectified flow, U-Net of {count(network)} parameters, {run.step} steps of {chosen.batch} images "
        f"({run.step * chosen.batch} in all), AdamW, cosine decay from {chosen.rate:g}, average of weights; "
        f"{run.seconds / 60:.0f} minutes on {_machine(device)}" + (f"; from {chosen.init}" if chosen.init else "")
    )
    path = chosen.output / f"{chosen.name}{weights.SUFFIX}"
    save(path, flow, replace(card, recipe=recipe))
    run.path.unlink()
    return path


def save(path: Path, flow: Flow, card: GeneratorCard) -> None:
    """Write a flow, half precision."""
    tensors = {k: v.half() for k, v in flow.model.network.state_dict().items()}
    weights.save(path, tensors, config_of(flow.model, flow.settings), card)


def _machine(device: str) -> str:
    return f"{torch.get_num_threads()} CPU thread(s)" if device == "cpu" else torch.cuda.get_device_name(0)


def _initial(chosen: Options) -> Flow | None:
    if not chosen.init:
        return None
    generator, _ = weights.load(chosen.init)
    if not isinstance(generator, Flow):
        raise UsageError(f"init={chosen.init}: a generator of the {generator.card.family} family; give a flow")
    return generator


def _read(chosen: Options, index: int) -> list[FloatArray]:
    read = (corpus.read(path, chosen.domains[index]) for path in chosen.data[index])
    images = list(islice(chain.from_iterable(read), MOST_IMAGES))
    if len(images) < FEWEST:
        raise UsageError(
            f"data={','.join(map(str, chosen.data[index]))}: {len(images)} images are too few; give {FEWEST} or more"
        )
    broken = [i for i, image in enumerate(images) if not np.isfinite(image).all()]
    if broken:
        raise UsageError(
            f"data={','.join(map(str, chosen.data[index]))}: image {broken[0] + 1} of {len(images)} holds NaN or "
            "infinity; fill or remove it"
        )
    return images


def _shape(chosen: Options, images: list[FloatArray]) -> Shape:
    if not chosen.aligned:
        return Shape(1, chosen.patch or 2, chosen.widths or (48, 72, 112))
    bands, side = images[0].shape[0], images[0].shape[-1]
    large = (chosen.side or side) > 64
    widths = chosen.widths or ((72, 104, 136) if large else (48, 72, 96))
    return Shape(chosen.bands or bands, chosen.patch or (4 if large else 2), widths, 2, 96 if large else 64, True)


def _corpora(chosen: Options, index: int, images: list[FloatArray], shape: Shape, first: Flow | None) -> list[Corpus]:
    where = ",".join(map(str, chosen.data[index]))
    draw = torch.Generator().manual_seed(chosen.seed + 1)
    if shape.aligned:
        return _aligned(chosen, images, shape, draw, where)
    domain = chosen.domains[index]
    flux = domain in FLUX_DOMAINS if chosen.flux is None else chosen.flux
    if flux and chosen.unit is None:
        raise UsageError(
            f"unit= is missing: {domain} values are fluxes; give 16 times the noise of an empty pixel of the images"
        )
    low, high = PERCENTILES.get(domain, (1.0, 99.9))
    jitter = chosen.jitter if chosen.jitter is not None else FLUX_JITTER if flux else JITTER
    scaling = Scaling(
        low if chosen.low is None else chosen.low, high if chosen.high is None else chosen.high, chosen.unit, jitter
    )
    stretch = first.stretch if first else Stretch()
    if flux and not first:
        stretch = Stretch(chosen.softening or SOFTENING, chosen.top or TOP)
    side = (chosen.side or 64) // shape.multiple * shape.multiple
    largest = max(min(image.shape[-2:]) for image in images)
    if largest < side:
        raise UsageError(f"data={where}: no image holds a window of {side} pixels; give side= of {largest} or less")
    factors = FIELD_FACTORS
    window = side + MARGIN
    if largest < window:
        window, factors = side, tuple((f, w) for f, w in FIELD_FACTORS if side % f == 0)
    source = Fields(images, scaling, window, chosen.seed)
    if not len(source):
        raise UsageError(f"data={where}: all images are nearly empty; give images that show something")
    recipe = Recipe(factors, flux=flux)
    return [Corpus(source, recipe, stretch, measure(source, recipe, stretch, draw), side)]


def _aligned(
    chosen: Options, images: list[FloatArray], shape: Shape, draw: torch.Generator, where: str
) -> list[Corpus]:
    extent = images[0].shape
    if any(image.shape != extent for image in images) or extent[1] != extent[2] or extent[0] != shape.bands:
        raise UsageError(
            f"data={where}: aligned training needs square pictures of one size and {shape.bands} band(s); crop them, or "
            "give aligned=false"
        )
    side = chosen.side or extent[1]
    if side % shape.multiple or side > extent[1]:
        raise UsageError(
            f"side={side}: expected a multiple of {shape.multiple} up to {extent[1]}, the side of the pictures"
        )
    largest = max(float(image.max()) for image in images)
    unit = chosen.unit or float(2 ** np.ceil(np.log2(largest + 1)) - 1)
    source = Aligned(images, unit, chosen.seed)
    found = []
    scales = None
    for part, weight in ((side, 4), (3 * side // 4, 1), (side // 2, 1)):
        factors = tuple((f, w) for f, w in ((2, 0.15), (4, 0.4), (8, 0.35), (16, 0.1)) if part // f >= 4)
        if part % shape.multiple or not factors or (part < side and side <= 64):
            continue
        recipe = Recipe(factors, free=0.25)
        sized = Sized(source, part)
        scales = scales or measure(sized, recipe, Stretch(), draw)
        found += [Corpus(sized, recipe, Stretch(), scales, part)] * weight
    return found


def _settings(chosen: Options, first: Corpus, initial: Flow | None) -> Settings:
    companion = chosen.companion or (initial.companion if initial else "")
    scaling = first.source.scaling
    return Settings(first.stretch, companion, first.side, scaling, first.recipe.flux)


def _flow(shape: Shape, average: dict[str, Tensor], first: Corpus, settings: Settings, card: GeneratorCard) -> Flow:
    network = Network(shape)
    network.load_state_dict({k: v.cpu() for k, v in average.items()})
    return Flow(Model(network, first.scales), card, settings)


def _card(chosen: Options, shape: Shape, images: int, settings: Settings) -> GeneratorCard:
    if chosen.companion and chosen.companion not in weights.available():
        raise WeightsError(
            f"companion={chosen.companion} is not installed; installed: {', '.join(sorted(weights.available()))}"
        )
    return GeneratorCard(
        name=chosen.name,
        family="flow",
        domain=chosen.domains[0],
        bands=shape.bands,
        aligned=shape.aligned,
        unit=_unit(chosen, shape, settings),
        value_range=(0.0, 1.0),
        pixel=chosen.pixel,
        licence=chosen.licence,
        data=chosen.source,
        split=f"{images} images of {', '.join(path.name for path in chosen.data[0])}",
        recipe="",
        bias=chosen.bias,
        audit="not made yet: gensr calibrate",
        discrepancy=0.0,
    )


def _unit(chosen: Options, shape: Shape, settings: Settings) -> str:
    if shape.aligned:
        return "share of full scale"
    if chosen.unit is not None:
        seen = "" if settings.stretch.linear else f", seen through asinh(x / {settings.stretch.softening:g})"
        return f"{chosen.unit:g} of the training values is 1{seen}"
    low, high = PERCENTILES.get(chosen.domains[0], (1.0, 99.9))
    low, high = chosen.low if chosen.low is not None else low, chosen.high if chosen.high is not None else high
    return f"percentile {low:g} of an image is 0, {high:g} is 1"
