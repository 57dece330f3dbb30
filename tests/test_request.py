"""A request is defined once: every way in has its fields, with its defaults, and says the same of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

import gensr
from gensr.accessor import GensrAccessor
from gensr.cli.config import InfoConfig, UpsampleConfig, compose
from gensr.cli.keys import KEYS, WRITING
from gensr.pipeline.request import Request, Runtime

ROOT = Path(__file__).parents[1]
FIELDS = {f.name: f for f in fields(Request)}
DEFAULTS = {name: f.default for name, f in FIELDS.items() if f.default is not MISSING}
NOT_KEYS = {"source", "options", "dims"}
"""Inputs are words of their own on the command line; options are written ``domain.KEY=``; files know their dims."""


def parameters(function: object) -> dict[str, Any]:
    """Names of the parameters of a function, with their defaults."""
    found = inspect.signature(function).parameters  # type: ignore[arg-type]
    return {name: p.default for name, p in found.items() if name != "self"}


def described(doc: str | None) -> dict[str, str]:
    """What a docstring says of each argument or attribute, spaces made one."""
    section = re.split(r"\n\s*(?:Args|Attributes):\n", doc or "")[1].split("\n\n")[0]
    entries = re.split(r"\n(?=\s{4,8}\w+: )", "\n" + inspect.cleandoc("\n" + section).replace("\n", "\n    "))
    pairs = (entry.strip().partition(": ") for entry in entries if entry.strip())
    return {name: " ".join(text.split()) for name, _, text in pairs}


def plain(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults without those that are written in another way."""
    return {name: value for name, value in defaults.items() if name not in ("options", "runtime", "source", "dims")}


@pytest.mark.parametrize(
    ("function", "without", "more"),
    [(gensr.upsample, set(), {"progress"}), (GensrAccessor.upsample, {"source", *WRITING}, set())],
)
def test_python_signatures(function: object, without: set[str], more: set[str]) -> None:
    has = parameters(function)
    assert has.keys() == (FIELDS.keys() - without) | more
    expected = plain(DEFAULTS)
    assert {k: v for k, v in has.items() if k in expected} == {k: v for k, v in expected.items() if k not in without}
    assert (has["options"], has["runtime"], has["dims"]) == (None, Runtime().name, None)
    assert FIELDS["runtime"].default_factory is Runtime


@pytest.mark.parametrize(("command", "schema"), [("upsample", UpsampleConfig), ("info", InfoConfig)])
def test_keys_and_schema_of_the_commands(command: str, schema: type) -> None:
    without = set() if command == "upsample" else set(WRITING)
    more = set() if command == "upsample" else {"format"}
    assert set(KEYS[command]) == (FIELDS.keys() - NOT_KEYS - without) | more
    assert {f.name for f in fields(schema)} == set(KEYS[command])
    groups = {"domain", "search", "runtime"}
    defaults = {f.name: f.default for f in fields(schema) if f.name not in groups | more}
    assert defaults == {k: v for k, v in plain(DEFAULTS).items() if k not in groups | without}


@pytest.mark.parametrize(("command", "schema"), [("upsample", UpsampleConfig), ("info", InfoConfig)])
def test_the_configuration_says_nothing_else(command: str, schema: Any) -> None:
    written = yaml.safe_load((ROOT / "conf" / f"{command}.yaml").read_text())
    written.pop("defaults")
    assert written.items() <= {**DEFAULTS, "format": "text"}.items()
    composed = compose(command, schema, {})
    assert composed.search["name"] == DEFAULTS["search"]
    assert composed.runtime["name"] == Runtime().name
    assert composed.domain["name"] == "auto"


@pytest.mark.parametrize("name", sorted(plain(DEFAULTS)))
def test_help_shows_the_default(name: str) -> None:
    key, value = KEYS["upsample"][name], DEFAULTS[name]
    if value is None:
        assert key.optional or name == "domain"
    else:
        assert key.default == str(value).lower()


def test_python_documents_the_same() -> None:
    request, function = described(Request.__doc__), described(gensr.upsample.__doc__)
    assert request.keys() == FIELDS.keys()
    assert function.keys() - {"progress"} == FIELDS.keys()
    for name in ("factor", "noise", "search", "samples", "seed", "device", "overwrite", "resume", "tile"):
        assert function[name] == request[name], name


def test_the_tutorial_names_no_key_that_does_not_exist() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    known = set(KEYS["upsample"]) | set(KEYS["info"]) | {"search", "domain", "runtime"}
    for page in pages:
        for line in re.findall(r"^\s+gensr (?:upsample|info) (.*)$", page.read_text(), re.MULTILINE):
            words = line.partition("#")[0].split()
            keys = {w.partition("=")[0].partition(".")[0] for w in words if "=" in w and not w.startswith("-")}
            assert keys <= known, (page.name, line)
