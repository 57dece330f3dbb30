"""What a user waits for: ``python -m gensr.benchmarks.whole data=DIR output=DIR``.

The whole way, beside the network alone in the same run: from an array in a warm process, and as a command in a new
one, its start and its check of files in a child included; processor time of both. The network's time is that of its
own evaluations, on the data that the pipeline hands it. Noise is estimated unless it is given.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

import gensr
from gensr.priors.unet import UNet

from .protocol import block_mean
from .scores import Row
from .script import words, write
from .sets import SETS

CELLS = 512
"""Side of the micrograph whose answer by 2 has a megapixel."""
REPEATS, COMMANDS = 3, 2
DEVICE = "cpu"
COLUMNS = ("subject", "what", "seconds", "network", "ratio", "beyond", "evaluations")
PREFACE = (
    "One thread, processor time. array: from an array in a warm process, the least of three; command: in a new "
    "process, with its start and its children, the least of two. network: of the network's own evaluations in the "
    "warm process; ratio, beyond: of the two, and seconds more than it."
)


@dataclass(frozen=True)
class Subject:
    """One request.

    Attributes:
        name: for the table.
        image: (y, x) or (3, y, x).
        domain: that reads it.
        words: of the request.
    """

    name: str
    image: NDArray[np.uint8]
    domain: str
    words: dict[str, Any]


def subjects(root: Path) -> Iterator[Subject]:
    """Faces of 32 and 128 pixels, and a micrograph of 512."""
    sets = {item.name: item for item in SETS}
    (face,) = sets["faces"].cases(root, "test", 1)
    small = _bytes(block_mean(face.image, 4))
    large = _bytes(face.image)
    yield Subject("face of 32 px x4, one sample", small, "faces", {"factor": 4, "samples": 1})
    yield Subject("face of 32 px x4, one sample, noise=0", small, "faces", {"factor": 4, "samples": 1, "noise": 0})
    for factor in (4, 8):
        yield Subject(f"face of 128 px x{factor}", large, "faces", {"factor": factor, "samples": 0})
    cells = next(c for c in sets["microscopy"].cases(root, "test", None) if min(c.image.shape[1:]) >= CELLS).image[0]
    field = _bytes(cells[:CELLS, :CELLS])
    for samples in (0, 8):
        name = "micrograph to 1 megapixel" + (f", {samples} samples" if samples else "")
        yield Subject(name, field, "microscopy", {"factor": 2, "samples": samples})


def _bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(image.round().clip(0, 255), np.uint8)


@contextmanager
def counted() -> Iterator[list[float]]:
    """Processor seconds of every evaluation of a network."""
    spent: list[float] = []
    plain: Callable[..., Any] = UNet.__call__

    def timed(network: UNet, *arguments: Any) -> Any:  # noqa: ANN401
        started = time.process_time()
        found = plain(network, *arguments)
        spent.append(time.process_time() - started)
        return found

    with patch.object(UNet, "__call__", timed):
        yield spent


def warm(one: Subject) -> Row:
    """Least processor time of some runs from an array."""
    best: Row = {}
    for _ in range(REPEATS + 1):  # the first reads weights
        with counted() as spent:
            started = time.process_time()
            gensr.upsample(one.image, domain=one.domain, seed=0, device=DEVICE, labels="image", **one.words)
            seconds = time.process_time() - started
        if not best or seconds < float(best["seconds"]):
            network = sum(spent)
            best = {"seconds": seconds, "network": network, "evaluations": len(spent)}
    return {"subject": one.name, "what": "array", **best, **_beside(best)}


def cold(one: Subject, network: float) -> Row:
    """Least processor time of some commands."""
    from PIL import Image

    seconds = math.inf

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("in.png" if one.domain == "faces" else "in.tif")
        Image.fromarray(one.image if one.image.ndim == 2 else one.image.transpose(1, 2, 0)).save(path)
        asked = [f"{key}={value}" for key, value in one.words.items()]
        command = [sys.executable, "-m", "gensr", "upsample", str(path), f"domain={one.domain}", "labels=image", *asked]
        for again in range(COMMANDS):
            before = _spent_by_children()
            words = [f"output={Path(folder) / str(again)}", f"device={DEVICE}"]
            kept = {key: word for key, word in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
            environment = {**kept, "OMP_NUM_THREADS": "1"}  # compiled once, as where gensr is installed
            subprocess.run([*command, *words], check=True, capture_output=True, env=environment)
            seconds = min(seconds, _spent_by_children() - before)
    row: Row = {"seconds": seconds, "network": network}
    return {"subject": one.name, "what": "command", **row, **_beside(row)}


def _beside(row: Row) -> Row:
    seconds, network = float(row["seconds"]), float(row["network"])
    return {"ratio": seconds / network, "beyond": seconds - network}


def _spent_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``whole.csv`` and ``whole.md``.

    Raises:
        UsageError: an unknown argument.
    """
    given = words(argv, {"data": "../shared/data", "output": "benchmarks/results"})
    torch.set_num_threads(1)
    rows: list[Row] = []
    for one in subjects(Path(given["data"])):
        found = warm(one)
        rows += [found, cold(one, float(found["network"]))]
        print(rows[-2], rows[-1], sep="\n", flush=True)
        write(Path(given["output"]), "whole", ["# What a user waits for", "", PREFACE], COLUMNS, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
