"""Which generator answers a scene: a short table of rules, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.pipeline.task import Prior
from gensr.priors import weights
from gensr.priors.device import placed
from gensr.priors.generator import Generator
from gensr.priors.grey import LUMA, Grey
from gensr.priors.mapped import Mapped
from gensr.scenes.scene import Scene
from gensr.search.presets import Preset
from gensr.search.solvers import solver_class, solver_options
from gensr.values.words import AUTO

GRADIENT_FREE = "evolution"
"""Solver of generators without derivatives."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of a prior.

    Attributes:
        scene: the opened input.
        operator: of unit gain.
        named: generator that the user named, None for the scene's own.
        device: where it computes here: "auto", or the user's word.
        elsewhere: what other processes are told of the device; "" is the same as here.
        precision: see `Request`.
    """

    scene: Scene
    operator: Operator
    named: str | None
    device: str
    elsewhere: str = ""
    precision: str = AUTO

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the refined grid."""
        return self.scene.grid.refine(self.operator.factor).shape


def _on_the_grid(wanted: Wanted) -> str:
    name = wanted.scene.deblurs() if wanted.operator.factor == (1, 1) else ""
    return name if name in weights.available() else ""


RULES: tuple[tuple[str, Callable[[Wanted], str], Callable[[Wanted], bool]], ...] = (
    ("named by the user", lambda w: w.named or "", lambda w: True),
    ("undoes blurs on the grid of the input", lambda w: _on_the_grid(w), lambda w: w.named is None),
    ("usual for the scene", lambda w: w.scene.generator(), lambda w: w.named is None),
    ("stands in where that one cannot serve", lambda w: _fallback(w), lambda w: w.named is None),
)
"""In order: why, the name of the candidate ("" for none), and whether the rule applies. The first that serves is it."""


def _fallback(wanted: Wanted) -> str:
    return weights.load(wanted.scene.generator())[0].fallback or wanted.scene.stand_in()


def choose_prior(wanted: Wanted) -> tuple[Prior, str]:
    """The prior on its device, and why it is this one.

    Raises:
        WeightsError: no such generator.
        SearchError: none that applies can serve the operator, the size or the bands; the message names another.
    """
    first: Generator | None = None
    for why, candidate, applies in RULES:
        name = candidate(wanted) if applies(wanted) else ""
        if not name:
            continue
        generator, stored = weights.load(name)
        first = first or generator
        if generator.serves(wanted.operator, wanted.shape):
            generator, grey = banded(generator, wanted.scene)
            _check(generator, wanted.scene)
            ready = placed(generator, wanted.device, wanted.precision)
            where = weights.reference(name, stored), wanted.device, wanted.elsewhere
            return Prior(ready, *where, grey, wanted.precision), why
    rows, cols = wanted.shape
    assert first is not None
    named = first.fallback or wanted.scene.stand_in()
    other = f"generator={named}" if named else "another generator (gensr models list)"
    raise SearchError(
        f"{wanted.scene.path.name}: {first.card.name} cannot serve {wanted.operator.describe()} and an output of "
        f"{cols} x {rows} pixels; use {other}"
    )


def banded(generator: Generator, scene: Scene) -> tuple[Generator, bool]:
    """The generator, or for a grey scene the luminance of one that is searched and knows colour; and which it is."""
    if len(scene.bands) == 1 and isinstance(generator, Mapped) and generator.card.bands == len(LUMA):
        return Grey(generator), True
    return generator, False


def _check(generator: Generator, scene: Scene) -> None:
    """Refuse bands and shapes that the generator does not model."""
    bands = generator.card.bands
    if bands not in (1, len(scene.bands)):
        raise SearchError(
            f"{scene.path.name}: {len(scene.bands)} bands, but {generator.card.name} models {bands} jointly; "
            "choose a generator of one band (gensr models list)"
        )
    if generator.card.aligned and scene.grid.shape[0] != scene.grid.shape[1]:
        raise SearchError(
            f"{scene.path.name}: {scene.grid.shape[1]} x {scene.grid.shape[0]} pixels; {generator.card.name} is for "
            "aligned square pictures; crop it, or choose another generator (gensr models list)"
        )


def check_options(preset: Preset, generator: Generator) -> None:
    """Refuse numbers that the user gave and that this generator does not have.

    Raises:
        SearchError: with what it has.
    """
    for name in preset.said:
        if name in preset.generator_options and name not in generator.options:
            has = ", ".join(f"search.{own}" for own in generator.options) or "none"
            raise SearchError(f"search.{name}: {generator.card.name} has no such number; of its own it has {has}")


def suited(preset: Preset, generator: Generator) -> Preset:
    """The preset, with a solver that needs no derivatives where the generator has none.

    Raises:
        SearchError: the user named a solver that needs them, or numbers that only such a one has.
    """
    if generator.differentiable or solver_class(preset.solver).gradient_free:
        return preset
    name = generator.card.name
    if "solver" in preset.said or preset.moments == "search":
        raise SearchError(
            f"{name} has no derivatives, which the solver {preset.solver} needs; use search.solver={GRADIENT_FREE}"
        )
    known = solver_options(GRADIENT_FREE)
    for key in preset.said:
        if key in preset.solver_options and key not in known:
            has = ", ".join(f"search.{own}" for own in known)
            raise SearchError(f"search.{key}: {name} has no derivatives, and a search without them has only {has}")
    kept = {key: value for key, value in preset.solver_options.items() if key in known}
    return replace(preset, solver=GRADIENT_FREE, solver_options=kept)


def closed_prior(prior: Prior, operator: Operator) -> Prior:
    """The prior where it has a posterior of its own for the operator, its fallback otherwise, if that has."""
    generator = prior.generator
    if generator.closed(operator) or generator.fallback not in weights.available():
        return prior
    other, stored = weights.load(generator.fallback)
    fits = other.card.bands in (1, generator.card.bands) and not other.card.aligned
    if not (fits and other.closed(operator)):
        return prior
    ready, where = placed(other, prior.device, prior.precision), weights.reference(generator.fallback, stored)
    return Prior(ready, where, prior.device, prior.elsewhere, precision=prior.precision)
