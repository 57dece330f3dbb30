"""A command line run in this process, and an upsampler that only remembers how it was called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile

from gensr.cli.main import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*argv: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(a) for a in argv])
        return Outcome(code, *capsys.readouterr())

    return call


@dataclass
class FakeResult:
    report: dict[str, Any]
    files: list[Path]


@dataclass
class FakeUpsampler:
    """Stands in for `gensr.pipeline.run.upsample`; ``errors`` maps a file name to what happens there."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, BaseException] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=lambda: {"consistency": {"chi2 per datum": 1.0}})

    def __call__(self, source: Path, **settings: Any) -> FakeResult:
        self.calls.append({"source": source, **settings})
        settings["progress"](0, 1000)
        if source.name in self.errors:
            raise self.errors[source.name]
        settings["progress"](1000, 1000)
        names = (".tif", "_std.tif", "_report.json")
        return FakeResult(self.report, [settings["output"] / f"{source.stem}_x4_generated{n}" for n in names])


@pytest.fixture
def upsampler(monkeypatch: pytest.MonkeyPatch) -> FakeUpsampler:
    fake, module = FakeUpsampler(), ModuleType("gensr.pipeline.run")
    module.upsample = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gensr.pipeline.run", module)
    return fake


@pytest.fixture
def micrograph() -> Callable[..., Path]:
    def make(path: Path, shape: tuple[int, int] = (16, 16)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(0).integers(100, 4000, shape).astype(np.uint16)
        tifffile.imwrite(path, values, imagej=True, resolution=(10, 10), metadata={"unit": "um"})
        return path

    return make
