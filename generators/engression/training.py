"""``gensr train generator=engression``: from images to a registered weights file with a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.making.telling import Seen, tell, tell_changed
from gensr.making.training import Budget, Table
from gensr.priors import weights
from gensr.priors.card import GeneratorCard
from gensr.priors.device import choose_device
from gensr.priors.stretch import NOISE_UNIT, SOFTENING, TOP, Stretch
from gensr.priors.unet import count

from .generator import Engression, Settings, config_of
from .instruments import Recipe
from .loop import Run
from .model import IDENTITY
from .network import Network
from .options import Options, lasting, parse
from .prior import fit
from .sources import Corpora, corpora, held, names, shape_for
from .validation import COLUMNS, Case, cases, panel, table

OF_FLUXES = Recipe(quiet=0.003, loud=0.12, flux=True)
FITTED = 512
"""Windows of each domain that the prior is fitted on."""


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
    if first:
        chosen = replace(chosen, aligned=first.card.aligned)
    chosen.refuse_mixture()
    seen, apart = Seen(), Seen()
    found = corpora(chosen, seen)
    shape = first.model.network.shape if first else shape_for(chosen, found)
    if found.side % shape.multiple or found.bands != shape.bands:
        expected = f"a multiple of {shape.multiple} and {shape.bands} band(s)"
        raise UsageError(f"side {found.side} and {found.bands} band(s): expected {expected}")
    draw = torch.Generator().manual_seed(chosen.seed)
    stretch = first.model.stretch if first else Stretch(SOFTENING, TOP) if chosen.unit else IDENTITY
    if stretch.linear == (chosen.unit is not None):
        raise UsageError(f"init={chosen.init}: fluxes (unit=) and other values share no network; give another one")
    shown_to = (stretch.forward(source.batch(FITTED, draw)) for source in found.sources)
    prior = first.model.prior if first else fit(torch.cat([*shown_to]))
    network = Network(shape)
    if first:
        network.load_state_dict(first.model.network.state_dict())
    folder = chosen.output / f"{chosen.name}.training"
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(
        network=network,
        prior=prior,
        sources=found.sources,
        recipe=Recipe() if stretch.linear else OF_FLUXES,
        stretch=stretch,
        budget=Budget(chosen.steps, chosen.minutes, chosen.batch, chosen.rate, checkpoint=3.0, show=chosen.validate),
        folder=folder,
        seed=chosen.seed,
        device=device,
        settings=lasting(options),
        data=seen.identity,
    )
    if run.resume():
        tell_changed(progress, run.before, seen)
        tell(progress, f"goes on from step {run.step}")
    settings = Settings(chosen.fallback, found.side, found.scaling)
    kind = "pictures" if chosen.aligned else "planes"
    card = _card(chosen, f"{sum(len(s) for s in found.sources)} {kind}", found)
    shown = held(chosen, found, apart)
    where = f"{apart.words} held out, panels in {folder}/panel-*.png" if shown else "none held out (held=)"
    tell(progress, f"found {seen.words}; {where}")

    def validate() -> None:
        if shown:
            generator = Engression(run.averaged(), card, settings)
            _validated(folder, generator, shown, run.step, run.seconds / 60)

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
    if not isinstance(found, Engression):
        raise UsageError(f"init={chosen.init}: of the {found.card.family} family; give an engression")
    return found


def save(path: Path, generator: Engression, card: GeneratorCard) -> None:
    """Write a generator, half precision."""
    tensors = {k: v.half() for k, v in generator.model.network.state_dict().items()}
    weights.save(path, tensors, config_of(generator.model, generator.settings), card)


def _validated(folder: Path, generator: Engression, held: dict[str, Tensor], step: int, minutes: float) -> None:
    """One row of ``validation.csv`` for every set and case, and panels."""
    path = folder / "validation.csv"
    log = Table(path, ("step", "minutes", "set", "case", "noise", *COLUMNS), fresh=False)
    for name, case, noise, found in table(generator, held):
        log.write([step, minutes, name, case, noise, *(found[column] for column in COLUMNS)])
    shown: list[Case] = [case for case in cases(generator.flux) if case.name in ("x4", "x8", "psf x4")]
    for one in shown:
        label = f"{one.name.replace(' ', '')}-{one.noise:g}"
        panel(folder / f"panel-{label}.png", generator, list(held.values()), one)


def _machine(device: str) -> str:
    return f"{torch.get_num_threads()} CPU thread(s)" if device == "cpu" else torch.cuda.get_device_name(0)


def _card(chosen: Options, used: str, found: Corpora) -> GeneratorCard:
    others = f"; trained together with {', '.join(chosen.domains[1:])}" if chosen.domains[1:] else ""
    scaling = (
        f"{NOISE_UNIT:g} noise deviations of a datum are 1, seen through asinh(x / {SOFTENING:g})"
        if chosen.unit is not None
        else f"{found.unit:g} is 1"
        if chosen.aligned
        else ", ".join(
            f"{name}: percentile {chosen.percentiles(name)[0]:g} of an image is 0, {chosen.percentiles(name)[1]:g} is 1"
            for name in chosen.domains
        )
    )
    return GeneratorCard(
        name=chosen.name,
        family="engression",
        domain=" ".join(chosen.domains),
        bands=found.bands,
        aligned=chosen.aligned,
        side=found.side if chosen.aligned else 0,
        unit=scaling,
        value_range=(0.0, 1.0),
        pixel=chosen.pixel,
        licence=chosen.licence,
        data=chosen.source,
        split=f"{used} of {'; '.join(names(group) for group in chosen.data)}{others}",
        recipe="",
        bias=chosen.bias,
        audit="not made yet: gensr calibrate",
        discrepancy=0.0,
    )
