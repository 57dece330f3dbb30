"""A command line run in this process, and an upsampler that only remembers how it was called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile

from gensr.cli.main import main
from gensr.pipeline.many import Outcome
from gensr.pipeline.request import Request


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*argv: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(a) for a in argv])
        return Said(code, *capsys.readouterr())

    return call


@dataclass
class FakeUpsampler:
    """Stands in for `gensr.pipeline.many.outcome`; ``errors`` maps a file name to what happens there."""

    calls: list[Request] = field(default_factory=list)
    errors: dict[str, BaseException] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=lambda: {"consistency": {"chi2 per datum": 1.0}})

    def __call__(self, request: Request, listener: Callable[[int, int], None], where: object) -> Outcome:
        self.calls.append(request)
        listener(0, 1000)
        path = Path(request.source)
        error = self.errors.get(path.name)
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is not None:
            return Outcome((), {}, 0.0, error)
        listener(1000, 1000)
        names = (".tif", "_std.tif", "_report.json")
        files = tuple(Path(request.output) / f"{path.stem}_x4_generated{n}" for n in names)
        return Outcome(files, self.report, 0.1)


@pytest.fixture
def upsampler(monkeypatch: pytest.MonkeyPatch) -> FakeUpsampler:
    fake = FakeUpsampler()
    monkeypatch.setattr("gensr.pipeline.many.outcome", fake)
    return fake


@pytest.fixture
def micrograph() -> Callable[..., Path]:
    def make(path: Path, shape: tuple[int, int] = (16, 16)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(0).integers(100, 4000, shape).astype(np.uint16)
        tifffile.imwrite(path, values, imagej=True, resolution=(10, 10), metadata={"unit": "um"})
        return path

    return make
