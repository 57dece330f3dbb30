"""``gensr calibrate``: tries a generator on held-out images and writes what it finds into its card."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from gensr.cli.arguments import parse
from gensr.cli.calibrate_keys import KEYS, CalibrateRequest, read, table
from gensr.cli.console import DONE, Console
from gensr.cli.progress import Progress
from gensr.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from gensr.making.calibration import Trial
    from gensr.making.heldout import UnitScaling
    from gensr.priors.card import GeneratorCard
    from gensr.priors.generator import Generator
    from gensr.priors.weights import Weights

HELP = """\
usage: gensr calibrate generator=NAME|FILE data=IMAGES [key=value...]

Degrades images that were held out from training, reconstructs them, and writes
into the card of the weights file: factors on the standard deviation for 90 %
coverage (fitted on every other image), coverage, PSNR beside cubic
interpolation (on the others), range and discrepancy; with train= also how near
samples come to training images. Of a generator that is searched, whole pictures
are inverted: what they leave is its discrepancy, and how well reduced ones are
explained is the edge of its range. A Markdown card is written beside the file.

keys [default]:
{keys}

examples:
  gensr calibrate generator=flow-cells-own data=validation/ train=crops/
  gensr calibrate generator=sky.safetensors data=val.npz photon=0.0005"""

SEARCHED = 12
"""Images unless told, where every answer is a search."""
MOST_IMAGES = 20_000
"""Images of a corpus that are looked at."""


def main(argv: Sequence[str]) -> int:
    """Run the command as a plug-in of the command line.

    Args:
        argv: arguments after ``calibrate``.

    Returns:
        The exit code.
    """
    return run(argv, Console())


def run(argv: Sequence[str], console: Console) -> int:
    """Run the command.

    Args:
        argv: arguments after ``calibrate``.
        console: where to speak.

    Returns:
        The exit code.

    Raises:
        UsageError: an impossible key, unsuitable images, or a file that cannot be written.
        WeightsError: no such generator.
        SearchError: the generator states no deviation.
    """
    arguments = parse(argv, keys=KEYS)
    if "--help" in arguments.switches:
        console.say(HELP.format(keys=table()))
        return DONE
    if arguments.inputs:
        raise UsageError(f"{arguments.inputs[0]!r} is no key=value; write for example data={arguments.inputs[0]}")
    asked = read(arguments.pairs)
    from gensr.making import cards
    from gensr.priors import weights
    from gensr.priors.device import choose_device

    generator, stored = weights.load(asked.generator)
    path = _target(asked, stored)
    device = choose_device(asked.device)
    card = _filled(asked, generator.to(device), stored, device, console)
    digest = weights.save(path, stored.tensors, stored.config, card)
    beside = cards.write(path, card, digest)
    for key, scale in card.conformal.items():
        covered = card.metrics[f"{key} coverage of 90 %"]
        console.say(f"{key}: std scale {scale:.3f}, then {100 * covered:.1f} % of truths in 90 % intervals")
    if asked.train:
        console.say(f"audit: {card.audit}")
    console.say(f"wrote {path} and {beside}")
    return DONE


def _target(asked: CalibrateRequest, stored: Weights) -> Path:
    """The file to write, checked before anything is computed."""
    from gensr.priors.weights import SUFFIX

    path = asked.output or stored.path
    if path.suffix != SUFFIX or not path.parent.is_dir():
        raise UsageError(f"output={path}: expected {KEYS['output'].expected}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path.parent}: this folder cannot be written to; give output=FILE{SUFFIX}")
    return path


def _filled(
    asked: CalibrateRequest, generator: Generator, stored: Weights, device: str, console: Console
) -> GeneratorCard:
    """The card with everything that was measured."""
    from gensr.making import audit, calibration, inversion
    from gensr.priors.families import family

    card = stored.card
    known, flux = _known(generator)
    scaling = _scaling(asked, known, card)
    trial = _trial(asked, asked.flux if asked.flux is not None else flux, scaling, device)
    searched = calibration.searched(generator, trial)
    held = _images("data", asked.data, card, scaling, asked.images or (SEARCHED if searched else 40), asked.seed)
    train = _images("train", asked.train, card, scaling, audit.COMPARED, asked.seed) if asked.train else []
    total = len(trial.cells) * len(held) + (inversion.total() if searched else 0)
    done = 0
    with Progress("calibrate", console.err, unit="steps") as progress:
        progress(0, total)

        def tick() -> None:
            nonlocal done
            done += 1
            progress(done, total)

        found = None
        if searched:
            found = inversion.inverted(generator, [x.to(device) for x in held], max(trial.factors), tick)
            generator = family(card.family).build(stored.tensors, stored.config, found.fill(card)).to(device)
        card = calibration.measure(generator, held, trial, tick, found).fill(card)
    if train:
        card = replace(card, audit=audit.audit_words(audit.audit(generator, train, held, asked.seed, device)))
    return card


def _known(generator: Generator) -> tuple[Mapping[str, float], bool]:
    """How the generator says that its values came about; nothing where it does not say."""
    from gensr.making.heldout import Scaled

    told: object = generator
    return (told.scaling, told.flux) if isinstance(told, Scaled) else ({}, False)


def _scaling(asked: CalibrateRequest, known: Mapping[str, float], card: GeneratorCard) -> UnitScaling:
    """From the keys if there are any, else as the generator was trained."""
    from gensr.making.heldout import UnitScaling

    given = {k: v for k, v in (("unit", asked.unit), ("low", asked.low), ("high", asked.high)) if v is not None}
    chosen = given or known
    if set(chosen) == {"unit"}:
        return UnitScaling(unit=chosen["unit"])
    if set(chosen) == {"low", "high"} and chosen["low"] < chosen["high"]:
        return UnitScaling(chosen["low"], chosen["high"])
    if given:
        raise UsageError(f"{', '.join(f'{k}={v:g}' for k, v in given.items())}: give unit=, or low= and a larger high=")
    raise UsageError(
        f"{card.name} does not say how values were scaled in training; give unit= (the value that is 1), or low= and "
        f"high= (the percentiles that are 0 and 1); its card says: {card.unit}"
    )


def _trial(asked: CalibrateRequest, flux: bool, scaling: UnitScaling, device: str) -> Trial:
    from gensr.making.calibration import CAMERA, Camera, Trial

    noises = asked.noises or ((0.0, CAMERA) if flux else (0.0, 0.01, 0.03))
    camera = None
    if flux and scaling.unit is None:
        raise UsageError("fluxes need one scale for all images; give unit= instead of low= and high=")
    if flux and scaling.unit is not None and CAMERA in noises:
        if asked.photon is None:
            raise UsageError(
                "photon= is missing: the value of one photo-electron in the images, for the noise of the camera; "
                "or give noise=0"
            )
        sky = scaling.unit / 16 if asked.sky is None else asked.sky
        camera = Camera(asked.photon / scaling.unit, sky / scaling.unit)
    if not flux and (asked.photon is not None or asked.sky is not None):
        raise UsageError("photon= and sky= are for fluxes; give flux=true, or leave them out")
    return Trial(asked.factors, noises, flux, camera, seed=asked.seed, device=device)


def _images(
    key: str, paths: tuple[Path, ...], card: GeneratorCard, scaling: UnitScaling, count: int, seed: int
) -> list[Tensor]:
    from gensr.making import corpus, heldout
    from gensr.making.calibration import FEWEST_IMAGES

    words = f"{key}={','.join(map(str, paths))}"
    for path in paths:
        if not path.exists():
            raise UsageError(f"{key}={path}: no such file or folder; give {KEYS['data'].expected}")
    pool = chain.from_iterable(corpus.read(path, card.domains[0]) for path in paths)
    try:
        found = heldout.prepare(islice(pool, MOST_IMAGES), card, scaling, count, seed)
    except UsageError as error:
        text = str(error)
        # The corpus speaks of data= whatever it was asked for.
        named = f"{key}={text.removeprefix('data=')}" if text.startswith("data=") else f"{words}: {text}"
        raise UsageError(named) from error
    if len(found) < FEWEST_IMAGES:
        raise UsageError(f"{words}: {len(found)} images show something; give {FEWEST_IMAGES} or more")
    return found
