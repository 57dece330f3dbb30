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

from gensr.errors import UsageError
from gensr.making import corpus
from gensr.making.telling import Seen, tell, tell_changed
from gensr.making.training import Budget
from gensr.making.units import check_unit
from gensr.priors import weights
from gensr.priors.card import GeneratorCard
from gensr.priors.device import choose_device
from gensr.priors.stretch import SOFTENING, TOP, Stretch
from gensr.priors.unet import count

from . import sheet
from .degrade import Recipe
from .generator import Flow, Settings, config_of
from .loop import Corpus, Run, measure
from .model import Model
from .network import Network, Shape
from .options import FLUX_DOMAINS, PERCENTILES, Options, lasting, parse
from .pictures import Aligned, Contrast, Fields, Sized

FloatArray = npt.NDArray[np.float32]
DECAY, WARM_UP, LOG_EVERY = 0.9993, 300, 100
"""Of a run: average of weights, steps in which the rate grows, steps between rows of the log."""
MOST_IMAGES = 60_000
FEWEST = 10
SMALLEST = 16
"""Side of windows and pictures, pixels."""
FIELD_FACTORS: tuple[tuple[int, float], ...] = ((2, 0.25), (3, 0.08), (4, 0.35), (6, 0.05), (8, 0.27))
MARGIN = 8
"""Pixels by which windows of fields are larger than what the network sees, so that data fall on every phase."""
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
    if first:
        chosen = _following(chosen, first)
    _check_fallback(chosen.fallback)
    seen = Seen()
    images = [_read(chosen, i, seen) for i in range(len(chosen.domains))]
    tell(progress, f"found {seen.words}; none is held out, gensr calibrate wants others")
    shape = first.model.network.shape if first else _shape(chosen, images[0])
    network = Network(shape)
    if first:
        network.load_state_dict(first.model.network.state_dict())
    corpora = list(chain.from_iterable(_corpora(chosen, i, images[i], shape, first) for i in range(len(images))))
    folder = chosen.output / f"{chosen.name}.training"
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(
        network=network,
        corpora=corpora,
        budget=_budget(chosen),
        folder=folder,
        seed=chosen.seed,
        device=device,
        settings=lasting(options),
        data=seen.identity,
    )
    shown = sheet.pictures(corpora[0])
    if run.resume():
        tell_changed(progress, run.before, seen)
        tell(progress, f"goes on from step {run.step}")
        for each in corpora:
            each.source.restart(run.step)
    if chosen.sheet:
        tell(progress, f"a sheet of samples every {chosen.sheet:g} minutes: {folder}/sheet*.png")
    settings = Settings(
        corpora[0].stretch, chosen.fallback, corpora[0].side, corpora[0].source.scaling, corpora[0].recipe.flux
    )
    card = _card(chosen, shape, f"{len(images[0])} images, {len(corpora[0].source)} planes used,", settings)

    def show() -> None:
        flow = _flow(shape, run.average, corpora[0], settings, card)
        sheet.write(folder / f"sheet{run.step:07d}.png", flow, shown, chosen.seed)

    try:
        run(progress, show)
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


def _budget(chosen: Options) -> Budget:
    usual = Budget(chosen.steps, chosen.minutes, chosen.batch, chosen.rate, show=chosen.sheet)
    return replace(usual, decay=DECAY, warm_up=WARM_UP, log=LOG_EVERY)


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


def _following(chosen: Options, first: Flow) -> Options:
    """Options with what the generator to start from settles: its fallback, and the scaling if domains are one."""
    chosen = replace(chosen, fallback=chosen.fallback or first.fallback)
    if len(chosen.domains) > 1:
        return chosen
    scaling = first.scaling
    percentiles = chosen.low is not None or chosen.high is not None
    return replace(
        chosen,
        flux=first.flux if chosen.flux is None else chosen.flux,
        unit=scaling.get("unit") if chosen.unit is None and not percentiles else chosen.unit,
        low=scaling.get("low") if chosen.low is None else chosen.low,
        high=scaling.get("high") if chosen.high is None else chosen.high,
    )


def _check_fallback(name: str) -> None:
    if name and name not in weights.available():
        raise UsageError(f"companion={name} is not installed; installed: {', '.join(sorted(weights.available()))}")


def _read(chosen: Options, index: int, seen: Seen) -> list[FloatArray]:
    read = (corpus.read(path, chosen.domains[index]) for path in chosen.data[index])
    images = list(seen.watch(islice(chain.from_iterable(read), MOST_IMAGES)))
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
    low, high = _percentiles(chosen, domain)
    if low >= high:
        raise UsageError(f"percentiles {low:g} and {high:g}: give low= below high=")
    jitter = chosen.jitter if chosen.jitter is not None else FLUX_JITTER if flux else JITTER
    unit = chosen.unit if flux or len(chosen.domains) == 1 else None
    if unit is not None:
        check_unit(unit, max(float(np.abs(image).max()) for image in images), where)
    scaling = Contrast(low, high, unit, jitter)
    stretch = _stretch(chosen, first) if flux else Stretch()
    side = (chosen.side or 64) // shape.multiple * shape.multiple
    if side < SMALLEST:
        raise UsageError(f"side={chosen.side or 64}: expected a multiple of {shape.multiple}, {SMALLEST} or more")
    held = np.array([min(image.shape[-2:]) for image in images])
    if held.max() < side:
        raise UsageError(f"data={where}: no image holds a window of {side} pixels; give side= of {held.max()} or less")
    window, factors = side + MARGIN, FIELD_FACTORS
    if np.mean(held >= window) < 0.5:
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
            f"data={where}: aligned training needs square pictures of one size and {shape.bands} band(s); crop them, "
            "or give aligned=false"
        )
    side = chosen.side or extent[1]
    if side % shape.multiple or not SMALLEST <= side <= extent[1]:
        raise UsageError(
            f"side={side}: expected a multiple of {shape.multiple} from {SMALLEST} to {extent[1]}, the side of the "
            "pictures"
        )
    largest = max(float(image.max()) for image in images)
    if largest <= 0:
        raise UsageError(f"data={where}: no picture has a value above 0; give pictures that show something")
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


def _stretch(chosen: Options, first: Flow | None) -> Stretch:
    """Of fluxes."""
    if first and not first.stretch.linear:
        return first.stretch
    softening, top = chosen.softening or SOFTENING, chosen.top or TOP
    try:
        return Stretch(softening, top)
    except ValueError as error:
        raise UsageError(f"softening={softening:g} top={top:g}: too far apart, or top too small ({error})") from error


def _percentiles(chosen: Options, domain: str) -> tuple[float, float]:
    low, high = PERCENTILES.get(domain, (1.0, 99.9))
    return low if chosen.low is None else chosen.low, high if chosen.high is None else chosen.high


def _flow(shape: Shape, average: dict[str, Tensor], first: Corpus, settings: Settings, card: GeneratorCard) -> Flow:
    network = Network(shape)
    network.load_state_dict({k: v.cpu() for k, v in average.items()})
    return Flow(Model(network, first.scales), card, settings)


def _card(chosen: Options, shape: Shape, used: str, settings: Settings) -> GeneratorCard:
    others = f"; trained together with {', '.join(chosen.domains[1:])}" if chosen.domains[1:] else ""
    return GeneratorCard(
        name=chosen.name,
        family="flow",
        domain=chosen.domains[0],
        bands=shape.bands,
        aligned=shape.aligned,
        side=settings.side if shape.aligned else 0,
        unit=_unit(shape, settings),
        value_range=(0.0, 1.0),
        pixel=chosen.pixel,
        licence=chosen.licence,
        data=chosen.source,
        split=f"{used} of {', '.join(path.name for path in chosen.data[0])}{others}",
        recipe="",
        bias=chosen.bias,
        audit="not made yet: gensr calibrate",
        discrepancy=0.0,
    )


def _unit(shape: Shape, settings: Settings) -> str:
    if shape.aligned:
        return "share of full scale"
    if "unit" in settings.scaling:
        seen = "" if settings.stretch.linear else f", seen through asinh(x / {settings.stretch.softening:g})"
        return f"{settings.scaling['unit']:g} of the training values is 1{seen}"
    low, high = settings.scaling["low"], settings.scaling["high"]
    return f"percentile {low:g} of an image is 0, {high:g} is 1"
