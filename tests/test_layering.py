"""Arrows point one way: plugins import the core, never the other way round and never each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = ("domains", "generators", "conf", "benchmarks")


def imported(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything that a file imports, also inside functions; ``package`` is its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            start = ".".join(filter(None, (base, node.module)))
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)


def forbidden(top: str) -> list[str]:
    """Imports of ``gensr/`` or of one folder of plugins that point the wrong way, as ``file:line name``."""
    found = []
    for path in sorted((ROOT / top).rglob("*.py")):
        inside = path.relative_to(ROOT / top).parts
        prefix = "gensr" if top == "gensr" else f"gensr.{top}"
        package = ".".join((prefix, *inside[:-1]))
        own = f"{prefix}.{inside[0]}" if len(inside) > 1 else prefix
        for line, name in imported(path, package):
            parts = name.split(".")
            plugin = parts[0] in PLUGINS or (parts[0] == "gensr" and len(parts) > 1 and parts[1] in PLUGINS)
            at_home = top != "gensr" and (name == own or name.startswith(f"{own}."))
            if plugin and not at_home:
                found.append(f"{path.relative_to(ROOT)}:{line} {name}")
    return found


@pytest.mark.parametrize("top", ["gensr", "domains", "generators"])
def test_nothing_points_the_wrong_way(top):
    assert forbidden(top) == []


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from gensr.domains.faces import Faces", ["gensr.domains.faces.Faces"]),
        ("def f():\n    from gensr import generators", ["gensr.generators"]),
        ("import gensr.benchmarks.protocol", ["gensr.benchmarks.protocol"]),
        ("from ..medical import domain", ["gensr.domains.medical.domain"]),
        ("from ...generators import gaussian", ["gensr.generators.gaussian"]),
        ("from domains.faces import Faces", ["domains.faces.Faces"]),
        ("from . import scene\nfrom .scene import S\nfrom gensr.values.grid import Window", []),
    ],
)
def test_the_check_sees_what_it_must(source, wrong, tmp_path, monkeypatch):
    """A domain called ``satellite`` with one file: what is reported of it."""
    folder = tmp_path / "domains" / "satellite"
    folder.mkdir(parents=True)
    (folder / "domain.py").write_text(source)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert [line.split()[1] for line in forbidden("domains")] == wrong


def test_plugins_are_loaded_by_name_only():
    """The core reaches plugins through entry points; their module names are not even written down in it."""
    hits = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "gensr").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and any(
            isinstance(a, ast.Constant)
            and isinstance(a.value, str)
            and a.value.startswith(("gensr.domains.", "gensr.generators.", "gensr.benchmarks."))
            for a in node.args
        )
    ]
    assert hits == []
