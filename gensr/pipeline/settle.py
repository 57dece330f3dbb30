"""From a request to a plan: everything that can be decided without computing, in small steps with names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import SearchError, UsageError
from gensr.operators import Area as Means
from gensr.operators import Operator
from gensr.operators.scaled import unit_gain
from gensr.pipeline.background import Background
from gensr.pipeline.cost import band_group, choose_batch
from gensr.pipeline.inset_report import Part
from gensr.pipeline.insets import InsetPlan
from gensr.pipeline.instrument import settle_operator
from gensr.pipeline.labels import all_repeated, settle_labels
from gensr.pipeline.moving import Sought, settle_motion
from gensr.pipeline.nearest import NearestPlan
from gensr.pipeline.noise import Level, settle_level
from gensr.pipeline.plan import Plan
from gensr.pipeline.prior import Wanted, banded, check_options, choose_prior, suited
from gensr.pipeline.request import Request
from gensr.pipeline.task import Prior, Task
from gensr.pipeline.tiles import by_bands, scene_tiles
from gensr.pipeline.trial import SELF, calibrated
from gensr.priors import weights
from gensr.priors.card import conformal_factor
from gensr.priors.device import choose_device
from gensr.scenes import installed
from gensr.scenes.area import part_of
from gensr.scenes.arrays import ArrayScene, array_domain, numbers
from gensr.scenes.empty import refuse_empty, refuse_tiny
from gensr.scenes.forms import ask_for_dims
from gensr.scenes.inputs import Guessed, guess_told, open_scene
from gensr.scenes.insets import Aligned, Inlaid, Inset, Insets
from gensr.scenes.labelled import Labelled, labelled, unnamed
from gensr.scenes.names import Names
from gensr.scenes.objects import STEM, kind_of, knower, open_object
from gensr.scenes.product import ThroughPlane
from gensr.scenes.remote import address_of, fetched
from gensr.scenes.scene import Folder, Scene
from gensr.search.posterior import method_of
from gensr.search.presets import Preset, preset
from gensr.values.area import WHOLE, Area
from gensr.values.bands import Words
from gensr.values.words import AUTO

SIDE = 128
"""Pixels a side of aligned pictures where a card does not say it."""
DOUBLED = 2
"""Most refinement by which a prior that serves twice the side of its pictures is asked for them: faces of photographs,
256 pixels, gain 0.5 to 1.5 dB over an interpolation from 128. From 64 their mean gains, but samples become rough."""
ARRAY = "array"
"""What is said in place of a domain where the input is an array in memory."""


def open_source(
    source: object,
    domain: str | None,
    options: Mapping[str, Any],
    bands: Words | None = None,
    area: Area = WHOLE,
    dims: str | Sequence[str] | None = None,
    remote: bool = False,
) -> tuple[Scene, str, str]:
    """The scene of a file, folder, array or object in memory, the name of its domain and the stem of its outputs.

    Args:
        source: path, array or object in memory.
        domain: that reads it; None for a guess.
        options: of the domain.
        bands: which bands; None for all.
        area: the part of it that is asked for.
        dims: what each axis of an array is, see `gensr.scenes.forms.Form`.
        remote: fetch an address into a temporary folder, which lives as long as the scene.

    Raises:
        FormatError: unreadable, or no domain recognises it.
        UsageError: an array that is no image, or words that say nothing about this kind of input.
    """
    if remote and not isinstance(source, str | Path):
        raise UsageError("remote=true is for addresses; an object in memory is here already")
    if isinstance(source, str | Path):
        address, folder = address_of(source) if remote else "", None
        if address:
            folder = Folder()
        path = fetched(address, folder.path) if folder is not None else Path(source)
        if dims is not None:
            raise UsageError(f"dims={dims} is for arrays; {path.name} says itself what its axes are")
        told = domain.doubt if isinstance(domain, Guessed) else ""
        chosen, doubt = (installed.domain(domain), told) if domain else guess_told(path)
        scene = open_scene(chosen, path, options, bands, area)
        scene.doubt, scene.kept = doubt, folder
        return scene, chosen.name, chosen.stem(path)
    if kind_of(source) == "dask.Array":
        source = unnamed(source)
    if kind_of(source) in ("xarray.DataArray", "xarray.Dataset"):
        source, dims = labelled(source, dims), None
    lazy = isinstance(source, Labelled) and source.lazy  # nothing lays down what is not in memory
    known = None if lazy else knower(source, domain)
    if known is not None:
        if dims is not None:
            raise UsageError(f"dims={dims} is for arrays; a {kind_of(source)} says itself what its axes are")
        return open_object(known, source, options, bands, area), known.name, STEM
    lender = array_domain(domain, source)
    if options:
        raise UsageError(f"{', '.join(options)}: options are of files of {lender.name}; an array has none of them")
    array = numbers(source)
    if dims is None and isinstance(array, np.ndarray):
        ask_for_dims(array.shape)
    return part_of(lender.array(ArrayScene(array, lender, bands, dims)), area), ARRAY, STEM


def settle(request: Request) -> Plan | NearestPlan | InsetPlan:
    """Open the input and decide everything; close the plan when it is not needed any more.

    Raises:
        UsageError: an impossible word.
        FormatError: unreadable input.
        WeightsError: no such generator.
        SearchError: the generator cannot serve this image or operator.
        DomainError: the domain refuses.
        OutputError: the outputs cannot be written in the format of the input.
    """
    said = (request.options, request.bands, request.area, request.dims, request.remote)
    scene, domain, stem = open_source(request.source, request.domain, *said)
    try:
        return settle_scene(scene, domain, stem, replace(request, source=str(scene.path)))
    except BaseException:
        scene.close()
        raise


def settle_scene(scene: Scene, domain: str, stem: str, request: Request) -> Plan | NearestPlan | InsetPlan:
    """The plan of an opened scene.

    Args:
        scene: the input.
        domain: name of its domain.
        stem: of the outputs' names.
        request: what is asked; its source is not looked at.
    """
    survey = settle_labels(scene, request.labels)
    refuse_empty(scene)
    if all_repeated(scene):
        nearest = NearestPlan.of(request, domain, scene, stem, survey)
        if request.output is not None:
            nearest.rehearse()
        return nearest
    chosen = chosen_preset(request)
    found = settle_insets(scene, request)
    if found is not None:
        parts = tuple(settle_part(inset, request, chosen) for inset in found.parts)
        ground = settle_background(scene, request, chosen, found.background) if found.background else None
        laid = InsetPlan.of(request, domain, scene, stem, found, parts, ground)
        if request.output is not None:
            laid.rehearse()
        return laid
    sought = Sought.of(request.operator) if request.operator is not None and request.factors == (1, 1) else None
    moved = None if sought is None else settle_motion(scene, sought, request.noise)
    operator = settle_operator(scene, request, moved)
    refuse_tiny(scene, scene.normaliser(), operator.gain)
    # The word of the user is about the machine that computes tiles; it may have a device that this one lacks.
    device = choose_device(request.device if request.runtime.name == "local" else AUTO)
    where = device, request.device, request.precision
    prior, why = choose_prior(Wanted(scene, unit_gain(operator), request.generator, *where))
    check_options(chosen, prior.generator)
    chosen = suited(chosen, prior.generator)
    through = settle_through_plane(scene, operator, prior)
    known = None if moved is None else moved.noise
    level = settle_level(scene, prior, unit_gain(operator), operator.gain, request.noise, known)
    task = settle_task(scene, request, chosen, operator, prior, level)
    checked = None
    if request.calibrate == SELF:
        task, checked = calibrated(scene, task, through)
    whole, bands = scene_tiles(scene.planes, scene.grid.shape, task, request.tile), len(scene.bands)
    largest = max(whole, key=lambda t: t.read.rows * t.read.cols)
    group = bands if through is not None else band_group(task, largest, bands)
    tiles = tuple(by_bands(whole, bands, group))
    batch = choose_batch(task, largest, min(group, bands), request.batch)
    plan = Plan(
        request, domain, scene, Names(stem, request.times), task, why, level, through, tiles, batch, checked, moved
    )
    if request.output is not None:
        plan.rehearse()
    return plan


def settle_insets(scene: Scene, request: Request) -> Insets | None:
    """Parts of a scene that its prior knows, and no more; None where the prior answers all of it."""
    if not isinstance(scene, Inlaid) or request.factors == (1, 1):
        return None
    generator, _ = banded(weights.load(request.generator or scene.generator())[0], scene)
    card = generator.card
    if not card.aligned:
        return None
    side = card.side or SIDE
    double = DOUBLED if generator.serves(Means(DOUBLED), (2 * side, 2 * side)) else 0
    return scene.insets(request.factors, Aligned(card.name, card.bands, side, card.alignment, double))


def settle_part(inset: Inset, request: Request, chosen: Preset) -> Part:
    """Everything about one part, settled as if it were the input."""
    scene, device = inset.scene, choose_device(request.device)
    operator = scene.operator((inset.factor, inset.factor))
    where = device, request.device, request.precision
    prior, why = choose_prior(Wanted(scene, unit_gain(operator), request.generator, *where))
    check_options(chosen, prior.generator)
    level = settle_level(scene, prior, unit_gain(operator), operator.gain, request.noise)
    own = replace(request, factor=inset.factor)
    return Part(inset, settle_task(scene, own, chosen, operator, prior, level), why, level)


def settle_background(scene: Scene, request: Request, chosen: Preset, name: str) -> Background:
    """A prior of fields for all of a scene; it explains the data exactly, as the parts do that are laid over it.

    Args:
        scene: the input.
        request: what is asked.
        chosen: preset.
        name: of the generator.
    """
    operator = scene.operator(request.factors)
    where = choose_device(request.device), request.device, request.precision
    prior, _ = choose_prior(Wanted(scene, unit_gain(operator), name, *where))
    chosen = suited(chosen, prior.generator)
    level = settle_level(scene, prior, unit_gain(operator), operator.gain, 0)
    task = settle_task(scene, request, chosen, operator, prior, level)
    return Background(task, "for fields of any size", tuple(scene_tiles(1, scene.grid.shape, task, None)))


def chosen_preset(request: Request) -> Preset:
    """The preset of the request.

    Raises:
        UsageError: unknown name.
    """
    return request.search if isinstance(request.search, Preset) else preset(request.search)


def settle_through_plane(scene: Scene, operator: Operator, prior: Prior) -> ThroughPlane | None:
    """Refinement through planes, where the scene asks for it and pixels are refined as well.

    Raises:
        SearchError: values are sums, or the prior is for aligned pictures.
    """
    if operator.factor == (1, 1):
        return None
    through = scene.through_plane(operator.factor)
    if through is not None and (prior.generator.card.aligned or operator.gain != 1.0):
        raise SearchError(
            f"{scene.path.name}: refinement across slices needs values that are means and a prior for fields of any "
            "size; switch it off, or choose another generator (gensr models list)"
        )
    return through


def settle_task(scene: Scene, request: Request, chosen: Preset, operator: Operator, prior: Prior, level: Level) -> Task:
    """What decides the pixels, from everything that was settled before."""
    table = prior.generator.card.conformal
    scales = tuple(
        conformal_factor(table, math.sqrt(math.prod(request.factors)), level.share(band))
        for band in range(len(scene.bands))
    )
    return Task(
        operator=operator,
        prior=prior,
        normaliser=level.normaliser,
        noise_model=level.model,
        exact=level.exact,
        conformal=scales,
        preset=chosen,
        method=method_of(prior.generator, unit_gain(operator), chosen),
        samples=request.samples,
        seed=request.seed,
        quantum=scene.quantum,
        repeated=scene.repeated,
    )
