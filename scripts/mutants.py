"""Do the tests of the glue notice when the glue is wrong?

    python scripts/mutants.py --count 120 --seed 0

draws small mistakes with a fixed seed, runs the fast tests on each and says which of them nobody noticed. A mutant that
cannot matter is listed with its reason in ``tests/mutants.toml``; it counts as explained, never as killed.

It is a script because mutmut draws no bounded sample, knows no numerical mistakes (a dropped term, a shifted slice) and
copies the tree, and cosmic-ray starts a process for every mutant, which takes longer to import than the tests to run.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.machinery
import os
import random
import signal
import sys
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

import hypothesis
import PIL.Image
import pytest
import scipy.ndimage
import tifffile
import torch
import xarray

WARM = (hypothesis, PIL.Image, scipy.ndimage, tifffile, torch, xarray)
"""Imported before the fork, so that a mutant need not."""
ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8"))
GLUE, TESTS, EXPLAINED = SETTINGS["files"], SETTINGS["tests"], SETTINGS["equivalent"]
PASS = 0.85
"""Share of mutants that must be killed."""
OWN = 1
"""Test files that are run alone at first."""
QUIETLY = ("-xq", "-pno:cacheprovider", "-pno:xdist", "-Wignore::pytest.PytestAssertRewriteWarning")
LIMIT = 120
"""Seconds after which a mutant counts as killed: it does not end."""
SWAPS: dict[type, type] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "mean": "sum", "floor": "ceil"}
LIKE = "abs astype clamp copy double exp expand flatten log lower nan_to_num refine reshape sqrt square to view"
DROPPED = frozenset(LIKE.split(" "))
"""Methods that give back something like what they are called on."""
ORDERLESS = frozenset({"min", "max", "zip", "hypot"})
UNTOUCHED = frozenset({"TypeVar", "isinstance", "cast", "field", "dataclass", "lru_cache"})


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        path: of the file, from the root.
        place: name of the function or class.
        line: where it is.
        before: the expression.
        after: what it became.
        number: 1 for the first such expression of the place, then 2, ...
        span: first and last offset in the bytes of the file.
    """

    path: str
    place: str
    line: int
    before: str
    after: str
    number: int
    span: tuple[int, int]

    @property
    def key(self) -> str:
        """Stable description: it outlives moved lines."""
        nth = f" #{self.number}" if self.number > 1 else ""
        return f"{self.path} {self.place}: {self.before} -> {self.after}{nth}"

    def code(self) -> CodeType:
        """The compiled file with the mistake in it."""
        text = (ROOT / self.path).read_bytes()
        start, end = self.span
        safe, bare = (text[:start] + after.encode() + text[end:] for after in (f"({self.after})", self.after))
        try:
            return compile(safe, ROOT / self.path, "exec", dont_inherit=True)
        except SyntaxError:  # slices and pieces of expressions bear no brackets
            return compile(bare, ROOT / self.path, "exec", dont_inherit=True)


def changes(node: ast.expr) -> Iterator[ast.expr]:
    """Every wrong version of one expression."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if not isinstance(left, ast.JoinedStr) and type(op) in SWAPS:
            yield ast.BinOp(left, SWAPS[type(op)](), right)
            yield left
            if isinstance(op, ast.Add | ast.Mult):
                yield right
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(SWAPS[type(op)](), values)
        case ast.Compare(left=left, ops=[op, *others], comparators=right) if type(op) in SWAPS:
            yield ast.Compare(left, [SWAPS[type(op)](), *others], right)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float() as value):
            yield ast.Constant(value / 2 if value else 1.0)
        case ast.IfExp(body=body, orelse=other):
            yield body
            yield other
        case ast.Tuple(elts=[first, second, *rest]) if not _slices(node) and ast.dump(first) != ast.dump(second):
            yield ast.Tuple([second, first, *rest], ast.Load())
        case ast.Slice(lower=lower, upper=upper, step=None) if lower is not None or upper is not None:
            moved = [None if end is None else ast.BinOp(end, ast.Add(), ast.Constant(1)) for end in (lower, upper)]
            yield ast.Slice(moved[0] or ast.Constant(1), moved[1])
        case ast.Call():
            yield from _changed_calls(node)


def _slices(node: ast.Tuple) -> bool:
    return any(isinstance(part, ast.Slice) for part in node.elts)


def _changed_calls(node: ast.Call) -> Iterator[ast.expr]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in NAMES:
        other = copy.deepcopy(node.func)
        setattr(other, "attr" if isinstance(other, ast.Attribute) else "id", NAMES[name])
        yield ast.Call(other, node.args, node.keywords)
    if isinstance(node.func, ast.Attribute) and name in DROPPED:
        yield node.func.value
    if len(node.args) > 1 and name not in ORDERLESS and ast.dump(node.args[0]) != ast.dump(node.args[1]):
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    for i in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])


class Finder(ast.NodeVisitor):
    """Collects the mutants of one file; leaves texts, types, imports and messages alone."""

    def __init__(self, path: str) -> None:
        self.path, self.found, self.place = path, list[Mutant](), ["module"]
        text = (ROOT / path).read_bytes()
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.first: list[tuple[str, str]] = []
        self.seen: Counter[tuple[str, str, str]] = Counter()
        self.visit(ast.parse(text))

    def visit(self, node: ast.AST) -> None:
        """See `ast.NodeVisitor.visit`."""
        match node:
            case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Raise() | ast.Assert():
                return
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                return
            case ast.FunctionDef(args=arguments, returns=returns, body=body):
                named = [a for a in arguments.args if a.arg != "self"]
                same = named and returns and ast.dump(named[0].annotation or returns) == ast.dump(returns)
                self.place.append(node.name)
                self.first.append((named[0].arg, node.name) if same else ("", ""))
                for part in [*arguments.defaults, *filter(None, arguments.kw_defaults), *body]:
                    self.visit(part)
                self.place.pop()
                self.first.pop()
                return
            case ast.ClassDef(body=body):
                self.place.append(node.name)
                for part in body:
                    self.visit(part)
                self.place.pop()
                return
            case ast.AnnAssign(value=value):
                if value is not None and not isinstance(node.target, ast.Tuple):
                    self.visit(value)
                return
            case ast.Assign(value=ast.Subscript(value=ast.Name(id="Literal" | "Callable" | "tuple" | "Mapping"))):
                return
            case ast.Call(func=ast.Name(id=name)) if name in UNTOUCHED:
                return
            case ast.Return(value=ast.expr() as value) if self.first and self.first[-1][0]:
                self.add(value, self.first[-1][0])
        if isinstance(node, ast.expr) and not isinstance(getattr(node, "ctx", None), ast.Store):
            self.add(node, None)
        self.generic_visit(node)

    def add(self, node: ast.expr, returned: str | None) -> None:
        """Note the wrong versions of an expression."""
        start, end = (
            self.starts[line - 1] + column
            for line, column in ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        )
        place, before = ".".join(self.place[1:]) or self.place[0], ast.unparse(node)
        for changed in changes(node) if returned is None else [ast.Name(returned)]:
            after = ast.unparse(changed)
            if after == before:
                continue
            self.seen[place, before, after] += 1
            number = self.seen[place, before, after]
            self.found.append(Mutant(self.path, place, node.lineno, before, after, number, (start, end)))


def outlook(mutant: Mutant | None, tests: Sequence[str]) -> int | None:
    """Exit code of the tests in a fork where the mistake is in place; None if it did not end."""
    child = os.fork()
    if child == 0:
        _become(mutant, tests)
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become(mutant: Mutant | None, tests: Sequence[str]) -> None:
    """Run the tests in this process and leave it."""
    if mutant is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        genuine, target, code = importlib.machinery.SourceFileLoader.get_code, str(ROOT / mutant.path), mutant.code()

        def get_code(self: importlib.machinery.SourceFileLoader, name: str) -> CodeType | None:
            return code if os.path.realpath(self.path) == target else genuine(self, name)

        importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    outcome = 99
    try:
        for group in filter(None, (tests[:OWN], tests[OWN:])):
            outcome = int(pytest.main([*QUIETLY, *group]))
            if outcome:
                break
    except BaseException:  # this process has nobody above it to say so
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(outcome)


def ordered(path: str) -> list[str]:
    """The test file of the same name, quick or not, and then the quick ones."""
    file = Path(path)
    own = f"tests/{file.parent.name}/test_{file.stem}.py"
    return [*([own] if (ROOT / own).is_file() else []), *(test for test in TESTS if test != own)]


def draw(count: int, seed: int, only: str) -> list[Mutant]:
    """Mutants by chance, in the order of the files."""
    every = [mutant for path in GLUE for mutant in Finder(path).found]
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    return [m for m in sorted(chosen, key=lambda m: (m.path, m.line)) if only in m.key]


def named() -> Iterator[Mutant]:
    """Mistakes that went unnoticed once: they are planted in every run, and each must be killed."""
    for entry in SETTINGS["named"]:
        text, before = (ROOT / entry["file"]).read_bytes(), entry["before"].encode()
        if text.count(before) != 1:
            raise SystemExit(
                f"mutants: {entry['before']!r} stands {text.count(before)} times in {entry['file']}, not once"
            )
        start = text.index(before)
        line = text[:start].count(b"\n") + 1
        yield Mutant(
            entry["file"], entry["name"], line, entry["before"], entry["after"], 1, (start, start + len(before))
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, run, and say what survived."""
    parser = argparse.ArgumentParser(description="Mutations of the glue and the tests that kill them.")
    parser.add_argument("--count", type=int, default=120, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--only", default="", help="run those whose description contains this")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    torch.set_num_threads(1)
    started = time.monotonic()
    if outlook(None, TESTS) != 0:
        print("mutants: the tests fail without a mutant; mend that first")
        return 2
    always = [mutant for mutant in named() if options.only in mutant.key]
    mutants = draw(options.count, options.seed, options.only)
    lost: list[Mutant] = []
    for done, mutant in enumerate([*always, *mutants], 1):
        survived = outlook(mutant, ordered(mutant.path)) == 0
        lost += [mutant] if survived else []
        word = "SURVIVED" if survived else "killed  "
        print(f"{done:4d}/{len(always) + len(mutants)} {word} {mutant.key}", flush=True)
    missed = [mutant for mutant in always if mutant in lost]
    failed = summary(mutants, [mutant for mutant in lost if mutant not in missed], time.monotonic() - started)
    print(f"{len(always) - len(missed)} of {len(always)} named mistakes killed")
    return failed or int(bool(missed))


def summary(mutants: Sequence[Mutant], lost: Sequence[Mutant], seconds: float) -> int:
    """Print the table and the survivors; 0 if enough were killed."""
    total, alive = Counter(m.path for m in mutants), Counter(m.path for m in lost)
    print("\nfile                                  killed")
    for path in sorted(total):
        print(f"{path:36} {total[path] - alive[path]:4d}/{total[path]}")
    for mutant in lost:
        print(f"\n{mutant.path}:{mutant.line} in {mutant.place}\n  - {mutant.before}\n  + {mutant.after}")
        print(f"  {EXPLAINED.get(mutant.key, 'not explained')}")
    killed = len(mutants) - len(lost)
    open_ones = sum(m.key not in EXPLAINED for m in lost)
    share = killed / max(1, len(mutants))
    print(f"\n{killed} of {len(mutants)} killed ({share:.1%}) in {seconds:.0f} s; of the others ", end="")
    print(f"{len(lost) - open_ones} explained, {open_ones} open")
    return int(share < PASS)


if __name__ == "__main__":
    sys.exit(main())
