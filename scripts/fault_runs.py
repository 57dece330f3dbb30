"""Small runs in forks, to which `faults.py` does what machines do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import rasterio
import tifffile
import torch
from rasterio.transform import from_origin

from gensr.cli.main import main as gensr
from gensr.pipeline import settle
from gensr.priors import families

WARM = (torch, settle, families.family("gaussian"))
"""Imported before the fork, so that a run need not."""
LIMIT = 120.0
"""Seconds after which a run hangs."""
CASES = ("tiles", "raster", "volume", "batch")
FEW = ("search=fast", "noise=20", "factor=2")
PIPE = 1 << 20
"""Bytes that a run may say."""
BAD = ("Traceback", "this is a bug", "Segmentation fault", "Aborted")
Words = tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A small run.

    Attributes:
        name: of the case.
        source: file or folder.
        words: of the command, without input and output.
    """

    name: str
    source: Path
    words: Words

    def command(self, out: Path, *more: str) -> list[str]:
        """The words of ``gensr``."""
        return ["upsample", str(self.source), f"output={out}", *self.words, *more]


def cases(folder: Path) -> list[Case]:
    """Runs through four writers of files: one of tiles, one of GDAL, one of slices and slabs, one of many inputs."""
    draw = np.random.default_rng(0)
    image = draw.integers(100, 4000, (24, 20)).astype(np.uint16)
    tifffile.imwrite(folder / "cells.tif", image[:20, :12], imagej=True, resolution=(10, 10), metadata={"unit": "um"})
    profile = {"driver": "GTiff", "width": 14, "height": 16, "count": 2, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(folder / "scene.tif", "w", transform=from_origin(5e5, 5e6, 10, 10), **profile) as raster:
        raster.write(np.stack([image[:16, :14], image[8:, 6:]]))
    slices = draw.integers(100, 900, (10, 8, 3)).astype(np.int16)
    volume = nibabel.Nifti1Image(slices, np.diag([1.0, 1.0, 4.0, 1.0]))  # type: ignore[no-untyped-call]  # has no types
    volume.to_filename(folder / "brain.nii")
    many = folder / "many"
    many.mkdir()
    for name in "abc":
        tifffile.imwrite(many / f"{name}.tif", draw.integers(100, 4000, (8, 8)).astype(np.uint16))
    micro = (*FEW, "domain=microscopy", "generator=gaussian-microscopy", "tile=10")
    raster_words = (*FEW, "domain=satellite", "generator=gaussian-satellite", "tile=8", "samples=0")
    medical = ("domain=medical", "generator=gaussian-brain-mr", "domain.modality=MR", "domain.through_plane=2")
    return [
        Case("tiles", folder / "cells.tif", (*micro, "samples=1")),
        Case("raster", folder / "scene.tif", raster_words),
        Case("volume", folder / "brain.nii", (*FEW, *medical, "tile=8", "samples=0")),
        Case("batch", many, (*micro, "samples=0")),
    ]


class Run:
    """A run of the command in a fork.

    Args:
        words: of the command.
        before: done in the fork before the command begins.
    """

    def __init__(self, words: list[str], before: Callable[[], None] | None = None) -> None:
        self.started = time.monotonic()
        self.code: int | None = None
        self._said = b""
        # A pipe, because limits on files would fall on a file of what is said as well.
        self._pipe, mouth = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.fcntl(mouth, fcntl.F_SETPIPE_SZ, PIPE)
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            code = 70
            try:
                code = self._child(words, mouth, before)
            finally:
                os._exit(code)
        os.close(mouth)

    def _child(self, words: list[str], mouth: int, before: Callable[[], None] | None) -> int:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(mouth, 1)
        os.dup2(mouth, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        try:
            if before is not None:
                before()
            return gensr(words)
        except BaseException as error:  # what the command does not turn into a line is what is looked for
            sys.stderr.write(f"Traceback: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
            return 70

    def alive(self) -> bool:
        """Whether it goes on."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code is None

    def wait(self) -> int | None:
        """Its exit code; None if it hangs."""
        while self.alive() and time.monotonic() - self.started < LIMIT:
            time.sleep(0.005)
        if self.alive():
            self.stop(signal.SIGKILL)
            return None
        return self.code

    def stop(self, number: signal.Signals) -> None:
        """Send a signal, if it is still there."""
        if self.alive():
            os.kill(self.pid, number)
            if number == signal.SIGKILL:
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    @property
    def said(self) -> str:
        """What it wrote."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._pipe, PIPE):
                self._said += part
        return self._said.decode(errors="replace")

    def close(self) -> None:
        """Forget it."""
        os.close(self._pipe)


@dataclass
class Trial:
    """One fault on its way: where it happens, with what numbers, and what is wrong with how it ended.

    Attributes:
        case: what is run.
        out: folder of the outputs.
        draw: numbers of this fault.
        seconds: that the undisturbed run took.
        wrong: what must not be.
        ended: how the disturbed run ended, in a word.
    """

    case: Case
    out: Path
    draw: random.Random
    seconds: float
    wrong: list[str] = field(default_factory=list)
    ended: str = ""

    def start(self, *more: str, before: Callable[[], None] | None = None) -> Run:
        """Start the run."""
        return Run(self.case.command(self.out, *more), before)

    def moment(self) -> None:
        """Wait for a moment of the run that is as likely as any other."""
        time.sleep(self.draw.random() * self.seconds)

    def judge(self, run: Run, killed: bool = False) -> int | None:
        """A run that ended by itself ended well or said clearly why not."""
        code, said = run.wait(), run.said
        if code is None:
            self.wrong.append("hangs")
        elif any(word in said for word in BAD):
            self.wrong.append(f"no clear line: {said[-400:]}")
        elif code not in (0, 1, 2, 130) and not killed:
            self.wrong.append(f"exit code {code}: {said[-400:]}")
        elif code in (1, 2) and "gensr: " not in said:
            self.wrong.append(f"says nothing: {said[-400:]}")
        self.ended = self.ended or {0: "right", None: "hung"}.get(code, "killed" if killed and code == -9 else "said")
        return code

    def store(self) -> Path | None:
        """A folder with finished tiles."""
        found = sorted(self.out.glob(".*generated.work"))
        return found[0] if found else None
