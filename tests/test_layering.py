"""Arrows point one way: no circles, plugins import the core, the library never its command line, few floors."""

import ast
import statistics
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = ("domains", "generators", "conf", "benchmarks")
Arrows = Mapping[str, Set[str]]


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


def files(root: Path) -> dict[str, Path]:
    """Every module of the package, by its name once installed."""
    found = {}
    for top in ("gensr", *PLUGINS):
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root / top).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join(("gensr", *(() if top == "gensr" else (top,)), *parts))] = path
    return found


@cache
def arrows(root: Path) -> dict[str, set[str]]:
    """What each module imports of the others, in functions and for type checkers too."""
    known = files(root)
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        named = {found for _, found in imported(path, package)}
        graph[name] = {n if n in known else n.rpartition(".")[0] for n in named} & known.keys() - {name}
    return graph


def room(module: str) -> str:
    """A folder of the core, one plug-in, or a file directly in ``gensr/``."""
    parts = module.split(".")
    return ".".join(parts[: 3 if parts[1:2] in (["domains"], ["generators"]) else 2])


def rooms(graph: Arrows) -> dict[str, set[str]]:
    """Arrows between rooms."""
    found: dict[str, set[str]] = {room(name): set() for name in graph}
    for name, others in graph.items():
        found[room(name)] |= {room(other) for other in others} - {room(name)}
    return found


def circles(graph: Arrows) -> list[str]:
    """What reaches itself along the arrows."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += graph[name]
        return seen

    return sorted(name for name in graph if name in reached(name))


def test_nothing_imports_itself_in_a_circle():
    graph = arrows(ROOT)
    assert len(graph) > 150
    assert circles(graph) == []
    assert circles(rooms(graph)) == []


def test_only_the_program_itself_needs_the_command_line():
    above = {"gensr.__main__", "gensr.app", "gensr.benchmarks"}
    assert {name for name, others in rooms(arrows(ROOT)).items() if "gensr.cli" in others} <= above


def test_the_core_has_few_floors_and_few_entries():
    graph = rooms(arrows(ROOT))
    core = {name: others & graph.keys() for name, others in graph.items() if name.split(".")[1:2] != ["benchmarks"]}

    @cache
    def floor(name: str) -> int:
        return 1 + max((floor(other) for other in core[name]), default=0)

    assert max(map(floor, core)) <= 8
    entries = [path.name for path in (ROOT / "gensr").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 17


def test_files_can_be_read_in_one_sitting():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files(ROOT).values()}
    assert {path.name: n for path, n in lines.items() if n > 350} == {}
    assert 80 <= statistics.median(n for path, n in lines.items() if path.name != "__init__.py") <= 250


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({"a/x": "from gensr.b import y", "b/y": "def f():\n    from gensr.a import x"}, {"gensr.a.x", "gensr.b.y"}),
        (
            {"a/x": "from .y import Y", "a/y": "if TYPE_CHECKING:\n    from gensr.a.x import X"},
            {"gensr.a.x", "gensr.a.y"},
        ),
        ({"a/x": "from gensr.b import y", "b/y": "", "b/z": "from gensr.a.x import X"}, set()),
    ],
)
def test_circles_are_seen(sources, found, tmp_path):
    for name, text in sources.items():
        path = tmp_path / "gensr" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert set(circles(arrows(tmp_path))) == found


def test_circles_of_rooms_are_seen():
    assert circles(
        rooms({"gensr.a.x": {"gensr.b.y"}, "gensr.b.y": set(), "gensr.b.z": {"gensr.a.w"}, "gensr.a.w": set()})
    )
