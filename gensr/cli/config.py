"""The configuration of a run: Hydra groups in, one checked dataclass out.

Only the command line comes here; the library never needs Hydra, which is imported inside the functions. Third-party
groups join through entry points ``gensr.conf``, a user's own through ``--config-dir``. Nothing of Hydra's run machinery
is used: no run folder, no change of directory, no logging set-up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from gensr import registry
from gensr.cli.domains import option_names
from gensr.cli.keys import KEYS, Key
from gensr.errors import UsageError, nearest
from gensr.scenes.door import at_home

if TYPE_CHECKING:
    from omegaconf import DictConfig

_MEANS, _MISSING = "${", "???"
"""What OmegaConf would resolve, and what it takes for a value that is missing."""
NULLS = ("", "null", "none", "None", "~")
"""Ways to write "not given"."""


@dataclass
class UpsampleConfig:
    """What ``gensr upsample`` does; `gensr.pipeline.request.Request` explains the fields."""

    domain: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    factor: Any = 4
    samples: int = 1
    generator: str | None = None
    operator: str | None = None
    noise: str | None = None
    srcwin: str | None = None
    bounds: str | None = None
    seed: int = 0
    output: str | None = None
    existing: str = "error"
    overwrite: bool = False
    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    tile: int | None = None
    batch: int | None = None
    bands: str | None = None
    remote: bool = False
    labels: str = "refuse"
    calibrate: str = "card"
    check: str = "auto"


@dataclass
class InfoConfig:
    """What ``gensr info`` does: it settles what ``gensr upsample`` would do with the same keys."""

    domain: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    factor: Any = 4
    samples: int = 1
    generator: str | None = None
    operator: str | None = None
    noise: str | None = None
    srcwin: str | None = None
    bounds: str | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    tile: int | None = None
    batch: int | None = None
    bands: str | None = None
    remote: bool = False
    labels: str = "refuse"
    calibrate: str = "card"
    check: str = "auto"
    format: str = "text"


@dataclass
class CheckConfig:
    """What ``gensr check`` does: it tries on an input what ``gensr upsample`` would do with the same keys."""

    domain: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    factor: Any = 4
    generator: str | None = None
    operator: str | None = None
    noise: str | None = None
    srcwin: str | None = None
    bounds: str | None = None
    seed: int = 0
    output: str | None = None
    overwrite: bool = False
    device: str = "auto"
    precision: str = "auto"
    bands: str | None = None
    remote: bool = False
    labels: str = "refuse"
    format: str = "text"


Config = TypeVar("Config", UpsampleConfig, InfoConfig, CheckConfig)
AnyConfig = UpsampleConfig | InfoConfig | CheckConfig
GROUPS = ("domain", "search", "runtime")
"""Keys that choose a file of a group and hold its content; the choice is kept as ``name``."""


def compose(command: str, kind: type[Config], pairs: Mapping[str, str], folder: str | None = None) -> Config:
    """Compose the configuration of a command.

    Args:
        command: ``upsample``, ``info`` or ``check``.
        kind: the command's dataclass.
        pairs: ``key=value`` pairs of the command line.
        folder: a folder with the user's own groups.

    Raises:
        UsageError: unknown key, value of the wrong type or out of range, unknown choice; the message names what is
            accepted.
    """
    keys = KEYS[command]
    for name, text in pairs.items():
        _check_key(name, keys)
        if name in GROUPS and (_MEANS in text or text == _MISSING):
            raise UsageError(keys[name].refusal(text))
    texts = _Texts()
    overrides: list[str] = [texts.hidden(_override(name, text, keys, folder), text) for name, text in pairs.items()]
    composed = _hydra(command, kind, [*_search_path(folder), *overrides], keys, texts)
    config = kind(**composed)
    for name, key in keys.items():
        if name not in GROUPS:
            key.check(getattr(config, name))
    return config


class _Texts:
    """Texts that mean something to OmegaConf, and the words that stand for them while it composes.

    What stands on a command line is a text, whoever wrote it: ``${oc.env:HOME}`` is a strange name and nothing else.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def hidden(self, override: str, text: str) -> str:
        """An override whose value is a word that stands for a text, if the text needs one."""
        if _MEANS not in text and text != _MISSING:
            return override
        word = f"gensr-text-{len(self._known)}"
        self._known[word] = text
        return f"{override.partition('=')[0]}='{word}'"

    def shown(self, value: Any) -> Any:  # noqa: ANN401
        """A composed value with the texts in place again."""
        if isinstance(value, dict):
            return {key: self.shown(inner) for key, inner in value.items()}
        return self._known.get(value, value) if isinstance(value, str) else value


def scalar(text: str) -> Any:  # noqa: ANN401
    """The value that a text stands for: nothing, a truth value, a number, a list in brackets, else the text.

    >>> scalar("true"), scalar("-3"), scalar("0.5"), scalar("null"), scalar("[a, 1]"), scalar("red,green")
    (True, -3, 0.5, None, ['a', 1], 'red,green')
    """
    if text in NULLS:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.startswith("[") and text.endswith("]"):
        return [scalar(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def as_yaml(config: UpsampleConfig) -> str:
    """A configuration as YAML, keys in the order of the help."""
    import yaml  # type: ignore[import-untyped]  # comes with omegaconf, without types

    return str(yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True))


def _check_key(name: str, keys: Mapping[str, Key]) -> None:
    head, dot, _ = name.partition(".")
    if head in keys and (not dot or head in GROUPS):
        return
    owners = [domain for domain, known in option_names().items() if name in known]
    if owners and "domain" in keys:
        raise UsageError(f"unknown key {name!r}; it is an option of {' and '.join(owners)}: write domain.{name}=")
    raise UsageError(f"unknown key {name!r}{nearest(head, keys) or ';'} keys: {', '.join(keys)}")


def _override(name: str, text: str, keys: Mapping[str, Key], folder: str | None) -> str:
    head, dot, _ = name.partition(".")
    if dot:
        return f"++{name}={_literal(scalar(text))}"
    if head == "domain" and not _has_file(head, text, folder):
        # A third-party domain need not bring a configuration file.
        keys["domain"].check(text)
        return f"++domain.name={_literal(text)}"
    if keys[head].optional and text in NULLS:
        return f"{name}=null"
    return f"{name}={_literal(text)}"


def _literal(value: Any) -> str:  # noqa: ANN401
    """A value in the grammar of Hydra; texts are quoted, so that commas and brackets mean themselves."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(_literal(v) for v in value)}]"
    if isinstance(value, str):
        return str(QuotedString(value, Quote.single).with_quotes())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _has_file(group: str, name: str, folder: str | None) -> bool:
    from importlib.resources import files

    places = [files(registry.load("conf", n)) for n in registry.names("conf")]
    shipped = any(place.joinpath(group, f"{name}.yaml").is_file() for place in places)
    return shipped or (folder is not None and at_home(folder).joinpath(group, f"{name}.yaml").is_file())


def _search_path(folder: str | None) -> list[str]:
    places = [f"pkg://{registry.load('conf', n).__name__}" for n in registry.names("conf") if n != "gensr"]
    if folder is not None:
        path = at_home(folder).absolute()
        if not path.is_dir():
            raise UsageError(f"--config-dir {folder}: no such folder; give one that holds search/, domain/ or runtime/")
        places.append(f"file://{path}")
    return [f"hydra.searchpath={_literal(places)}"] if places else []


def _hydra(
    command: str, kind: type[Any], overrides: list[str], keys: Mapping[str, Key], texts: _Texts
) -> dict[str, Any]:
    from hydra import compose as compose_config
    from hydra import initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    ConfigStore.instance().store(f"{command}_schema", kind)
    try:
        with initialize_config_module("gensr.conf", version_base="1.3", job_name="gensr"):
            node: DictConfig = compose_config(command, overrides=overrides)
        plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except MissingConfigException as error:
        raise UsageError(_unknown_choice(str(error))) from error
    except YAMLError as error:
        raise UsageError(f"{' '.join(str(error).split())}; repair the file of --config-dir") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(_wrong_value(error, overrides, keys, texts)) from error
    if not isinstance(plain, dict):
        raise UsageError(f"the configuration of {command} is not a mapping; check the files of --config-dir")
    return {f.name: texts.shown(plain[f.name]) for f in fields(kind)}


def _unknown_choice(text: str) -> str:
    found = re.search(r"Could not (?:find|load) '(?:(.*?)/)?([^'/]*)'", text)
    group, name = found.groups() if found else ("", "")
    listed = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)+)", text)
    choices = [line.strip() for line in listed.group(1).splitlines()] if listed else []
    if not group or not choices:
        return text.splitlines()[0]
    return f"{group}={name}: expected {', '.join(choices)}{nearest(name, choices).rstrip('?')}"


def _wrong_value(error: Exception, overrides: list[str], keys: Mapping[str, Key], texts: _Texts) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    text = str(cause).splitlines()[0]
    found = re.search(r"full_key: (\S+)", str(cause))
    name = found.group(1) if found else ""
    given = next((o.partition("=")[2].strip("'") for o in overrides if o.lstrip("+").startswith(f"{name}=")), None)
    if name in keys and given is not None:
        return keys[name].refusal(texts.shown(given))
    return f"{name}: {text}; check the files of --config-dir" if name else text
