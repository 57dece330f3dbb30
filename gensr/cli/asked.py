"""From a configuration to the request of one input: what ``upsample`` runs and ``info`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.cli.config import CheckConfig
from gensr.cli.domains import given_options
from gensr.cli.keys import WRITING
from gensr.cli.structure import build
from gensr.errors import UsageError, nearest

if TYPE_CHECKING:
    from gensr.cli.config import AnyConfig
    from gensr.cli.console import Console
    from gensr.pipeline.request import Request, Runtime
    from gensr.scenes.inputs import Input
    from gensr.search.presets import Preset


def check_once(config: AnyConfig, console: Console) -> None:
    """Find what is wrong for every input before the first is opened; a weights file gets its full path.

    Args:
        config: of the command.
        console: where the licence of a generator is shown that is used for the first time.

    Raises:
        UsageError: an operator or generator that there is not.
        WeightsError: a damaged or unsafe weights file.
    """
    from gensr.cli.domains import options_given
    from gensr.pipeline.instrument import check_operator
    from gensr.pipeline.request import check_task, parse_factor
    from gensr.priors import store, weights
    from gensr.values.area import Area

    Area(config.srcwin, config.bounds)
    check_task(config.factor, config.operator, options_given(config.domain))
    if config.operator is not None:
        check_operator(config.operator, parse_factor(config.factor))
    if config.generator is None:
        return
    known = weights.available()
    if config.generator not in known and not Path(config.generator).exists():
        advice = nearest(config.generator, known) or ";"
        raise UsageError(
            f"generator={config.generator}: no such generator or file{advice} installed: {', '.join(known)}"
        )
    path = known.get(config.generator, Path(config.generator).absolute())
    licence = store.first_use(weights.read(path))
    if licence:
        console.note(licence)
    config.generator = config.generator if config.generator in known else str(path)


def runtime_of(node: Mapping[str, Any]) -> Runtime:
    """The runtime of the configuration node ``runtime``; a file that sets other keys only leaves the local one.

    Raises:
        UsageError: unknown key or impossible value.
    """
    from gensr.pipeline.request import Runtime

    return build(Runtime, node, "runtime")


def request_of(item: Input, config: AnyConfig, search: Preset, **more: Any) -> Request:  # noqa: ANN401
    """The request of one input.

    Args:
        item: path and domain.
        config: of the command.
        search: the preset, already checked.
        more: fields of the request that only this command has.
    """
    from gensr.pipeline.request import Request
    from gensr.scenes.inputs import Guessed

    apart = {"domain", "search", "runtime", *WRITING}
    known = {f.name for f in fields(Request)} - apart
    said: dict[str, Any] = {f.name: getattr(config, f.name) for f in fields(config) if f.name in known}
    if not isinstance(config, CheckConfig):
        said["runtime"] = runtime_of(config.runtime)
    said |= {"source": item.path, "domain": Guessed(item.domain.name, item.doubt), "search": search}
    return Request(**{**said, "options": given_options(config.domain, item.domain), **more})
