"""``gensr train generator=engression``: from images to a registered weights file with a card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from gensr.priors import weights
from gensr.priors.card import GeneratorCard
from gensr.priors.device import choose_device

from .generator import Engression, Settings, config_of
from .instruments import Recipe
from .loop import Budget, Log, Run
from .model import Model
from .network import Network, Shape, count
from .options import Options, lasting, parse
from .pictures import Fields, Variation
from .prior import fit
from .validation import COLUMNS, Case, cases, panel, table

FloatArray = npt.NDArray[np.float32]
MOST_IMAGES = 60_000
FEWEST = 10
FITTED = 512
"""Windows of each domain that the prior is fitted on."""
HELD = 16
"""Windows of each domain that are validated."""
LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue, ITU-R BT.601."""


def train(options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
    """Train, or go on training, and write the weights file; returns its path.

    Raises:
        UsageError: impossible options or an unsuitable corpus.
        FormatError: a damaged training file.
        WeightsError: the checkpoint is of another network or other options.
    """
    chosen = parse(options)
    device = choose_device(chosen.device)
    if chosen.fallback and chosen.fallback not in weights.available():
        installed = ", ".join(sorted(weights.available()))
        raise UsageError(f"companion={chosen.fallback} is not installed; installed: {installed}")
    torch.manual_seed(chosen.seed)
    first = _initial(chosen)
    shape = first.model.network.shape if first else Shape(1, chosen.patch, chosen.widths)
    if chosen.side % shape.multiple:
        raise UsageError(f"side={chosen.side}: expected a multiple of {shape.multiple}")
    seen, apart = Seen(), Seen()
    sources = [_fields(chosen, chosen.data, i, Variation(), seen) for i in range(len(chosen.domains))]
    draw = torch.Generator().manual_seed(chosen.seed)
    prior = first.model.prior if first else fit(torch.cat([source.batch(FITTED, draw) for source in sources]))
    network = Network(shape)
    if first:
        network.load_state_dict(first.model.network.state_dict())
    folder = chosen.output / f"{chosen.name}.training"
    folder.mkdir(parents=True, exist_ok=True)
    budget = Budget(chosen.steps, chosen.minutes, chosen.batch, chosen.rate, validate=chosen.validate)
    run = Run(network, prior, sources, Recipe(), budget, folder, chosen.seed, device, lasting(options), seen.identity)
    if run.resume():
        tell_changed(progress, run.before, seen)
        tell(progress, f"goes on from step {run.step}")
    settings = _settings(chosen)
    card = _card(chosen, f"{sum(len(s) for s in sources)} planes", settings)
    held = {name: _held(chosen, i, apart) for i, name in enumerate(chosen.domains)} if chosen.held else {}
    where = f"{apart.words} held out, panels in {folder}/panel-*.png" if held else "none held out (held=)"
    tell(progress, f"found {seen.words}; {where}")

    def validate(model: Model, step: int, minutes: float) -> None:
        if held:
            _validated(folder, Engression(model, card, settings), held, step, minutes)

    try:
        run(progress, validate)
    except KeyboardInterrupt:
        run.save()
        raise
    recipe = (
        f"energy score of two draws about a linear estimate, random instruments, U-Net of {count(run.network)} "
        f"parameters, {run.step} steps of {chosen.batch} data ({run.step * chosen.batch} in all), AdamW, cosine decay "
        f"from {chosen.rate:g}, average of weights; {run.seconds / 60:.0f} minutes on {_machine(device)}"
        + (f"; from {first.card.name}" if first else "")
    )
    path = chosen.output / f"{chosen.name}{weights.SUFFIX}"
    save(path, Engression(run.averaged(), card, settings), replace(card, recipe=recipe))
    return path


def _initial(chosen: Options) -> Engression | None:
    if not chosen.init:
        return None
    found, _ = weights.load(chosen.init)
    if not isinstance(found, Engression) or found.card.bands != 1:
        raise UsageError(
            f"init={chosen.init}: {found.card.family} of {found.card.bands} band(s), not engression of one"
        )
    return found


def save(path: Path, generator: Engression, card: GeneratorCard) -> None:
    """Write a generator, half precision."""
    tensors = {k: v.half() for k, v in generator.model.network.state_dict().items()}
    weights.save(path, tensors, config_of(generator.model, generator.settings), card)


def _validated(folder: Path, generator: Engression, held: dict[str, Tensor], step: int, minutes: float) -> None:
    """One row of ``validation.csv`` for every set and case, and panels."""
    path = folder / "validation.csv"
    log = Log(path, ("step", "minutes", "set", "case", "noise", *COLUMNS), fresh=not path.is_file())
    for name, case, noise, found in table(generator, held):
        log.write([step, minutes, name, case, noise, *(found[column] for column in COLUMNS)])
    shown: list[Case] = [case for case in cases() if case.name in ("x4", "x8", "psf x4")]
    for one in shown:
        label = f"{one.name.replace(' ', '')}-{one.noise:g}"
        panel(folder / f"panel-{label}.png", generator, list(held.values()), one)


def _read(chosen: Options, groups: tuple[tuple[Path, ...], ...], index: int) -> Iterator[FloatArray]:
    for image in chain.from_iterable(corpus.read(path, chosen.domains[index]) for path in groups[index]):
        if not np.isfinite(image).all():
            raise UsageError(f"an image of {_names(groups[index])} holds NaN or infinity; fill or remove it")
        grey = chosen.grey and image.shape[0] == len(LUMINANCE)
        yield np.tensordot(np.array(LUMINANCE, np.float32), image, 1)[None] if grey else image


def _names(paths: tuple[Path, ...]) -> str:
    return ", ".join(path.name for path in paths[:3]) + (" ..." if len(paths) > 3 else "")


def _fields(
    chosen: Options,
    groups: tuple[tuple[Path, ...], ...],
    index: int,
    variation: Variation,
    seen: Seen,
    fewest: int = FEWEST,
) -> Fields:
    low, high = chosen.percentiles(chosen.domains[index])
    images = seen.watch(islice(_read(chosen, groups, index), MOST_IMAGES))
    fields = Fields(images, low, high, chosen.side, variation)
    if len(fields) < fewest:
        raise UsageError(
            f"{_names(groups[index])}: {len(fields)} planes of {chosen.side} pixels or more that show something are "
            f"too few; give {fewest} or more"
        )
    return fields


def _held(chosen: Options, index: int, seen: Seen) -> Tensor:
    """The windows that all validations of a run show, as they are."""
    plain = Variation(0, 0, 0, 0, 0, 0)
    fields = _fields(chosen, chosen.held, index, plain, seen, 1)
    return fields.batch(HELD, torch.Generator().manual_seed(index))


def _settings(chosen: Options) -> Settings:
    found = {chosen.percentiles(domain) for domain in chosen.domains}
    low, high = next(iter(found))
    return Settings(chosen.fallback, chosen.side, {"low": low, "high": high} if len(found) == 1 else {})


def _machine(device: str) -> str:
    return f"{torch.get_num_threads()} CPU thread(s)" if device == "cpu" else torch.cuda.get_device_name(0)


def _card(chosen: Options, used: str, settings: Settings) -> GeneratorCard:
    others = f"; trained together with {', '.join(chosen.domains[1:])}" if chosen.domains[1:] else ""
    scaling = ", ".join(
        f"{name}: percentile {chosen.percentiles(name)[0]:g} of an image is 0, {chosen.percentiles(name)[1]:g} is 1"
        for name in chosen.domains
    )
    return GeneratorCard(
        name=chosen.name,
        family="engression",
        domain=" ".join(chosen.domains),
        bands=1,
        aligned=False,
        unit=scaling,
        value_range=(0.0, 1.0),
        pixel=chosen.pixel,
        licence=chosen.licence,
        data=chosen.source,
        split=f"{used} of {'; '.join(_names(group) for group in chosen.data)}{others}",
        recipe="",
        bias=chosen.bias,
        audit="not made yet: gensr calibrate",
        discrepancy=0.0,
    )
