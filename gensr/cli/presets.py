"""From the configuration node ``search`` to a preset: its own fields, numbers of the solver, numbers of generators.

All are written flat, ``search.KEY=``. A key is a field of the preset, else a number of the chosen solver, else one that
an installed generator family declares; anything else is refused with what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from gensr import registry
from gensr.cli.structure import build, changes
from gensr.errors import PluginError, SearchError, UsageError, nearest
from gensr.priors.families import family
from gensr.search.presets import PRESETS, Preset
from gensr.search.solvers import solver, solver_options

OWN = tuple(f.name for f in fields(Preset) if f.name not in ("solver_options", "generator_options", "said"))


def chosen_preset(node: Mapping[str, Any], said: Iterable[str] = ()) -> Preset:
    """The preset of the configuration node ``search``; one that the user changed says so in its name.

    Args:
        node: flat keys.
        said: keys that the user gave on the command line.

    Raises:
        UsageError: unknown key, or a value of the wrong type or out of range.
    """
    try:
        preset = build(Preset, {key: value for key, value in node.items() if key in OWN}, "search")
        for_solver, for_generators = _numbers(node, preset.solver, tuple(said))
        preset = replace(
            preset,
            solver_options=for_solver,
            generator_options=for_generators,
            said=tuple(key for key in said if key not in OWN or key == "solver"),
        )
        solver(preset.solver, for_solver)
    except SearchError as error:
        raise UsageError(f"search: {error}") from error
    known = PRESETS.get(preset.name, preset)
    changed = _changed(known, preset)
    if not changed:
        return replace(known, said=preset.said) if preset.said else known
    return replace(preset, name=f"{preset.name} with {', '.join(changed)}")


def _changed(known: Preset, preset: Preset) -> list[str]:
    """Flat keys whose values differ, as ``name=new value``."""
    own = changes(
        replace(known, said=(), solver_options={}, generator_options={}),
        replace(preset, said=(), solver_options={}, generator_options={}),
    )
    before, after = flat(known), flat(preset)
    numbers = {**preset.solver_options, **preset.generator_options}
    return own + [f"{key}={after[key]}" for key in numbers if before.get(key) != after[key]]


def _numbers(node: Mapping[str, Any], name: str, said: tuple[str, ...]) -> tuple[dict[str, float], dict[str, float]]:
    """Numbers of the solver and of generators among the keys that are no fields of a preset.

    Where the user chose another solver, numbers of the preset's own that nobody said are left behind.
    """
    own, usual = solver_options(name), PRESETS.get(str(node.get("name", "")))
    declared: Mapping[str, float] = {} if usual is None else usual.generator_options
    if not {*OWN, *own, *declared} >= set(node):  # to ask every family is to import it
        declared = generator_options()
    left = set() if usual is None else set(solver_options(usual.solver)) - set(said)
    for_solver: dict[str, float] = {}
    for_generators: dict[str, float] = {}
    for key, value in node.items():
        if key in OWN or (key in left and key not in own):
            continue
        if key not in own and key not in declared:
            every = [*OWN, *own, *declared]
            advice = nearest(key, every) or ";"
            keys = ", ".join(f"search.{k}" for k in every)
            raise UsageError(f"unknown key 'search.{key}'{advice} keys: {keys}")
        whole = own.get(key, int if isinstance(declared.get(key), int) else float) is int
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise UsageError(f"search.{key}={value}: expected {'a whole number' if whole else 'a number'}")
        (for_solver if key in own else for_generators)[key] = value
    return for_solver, for_generators


def generator_options() -> dict[str, float]:
    """Numbers that installed families of generators declare, with a default each."""
    found: dict[str, float] = {}
    for name in registry.names("generators"):
        try:
            found |= dict(family(name).options)
        except (PluginError, AttributeError):
            continue  # a broken family is named where one of its generators is asked for
    return found


def flat(preset: Preset) -> dict[str, Any]:
    """A preset as flat keys and values, what a file of the group ``search`` holds."""
    own = {name: getattr(preset, name) for name in OWN}
    return {**own, **preset.solver_options, **preset.generator_options}
