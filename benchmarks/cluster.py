"""What does a cluster cost, and what does it gain? ``python -m gensr.benchmarks.cluster output=DIR large=2048``.

Made scenes are refined as whole commands, each in a process of its own: with ``runtime=local``, and on a Dask cluster
of one and of two workers. All rasters must have the same bytes. Then tiles are timed one by one: the work inside a
worker against what a tile costs beside it, which is the time of a task that does nothing and returns as much.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.transform import Affine

from gensr.errors import UsageError
from gensr.pipeline.plan import Plan
from gensr.pipeline.reconstruct import TileResult, TileWork
from gensr.pipeline.request import Request, Runtime
from gensr.pipeline.settle import settle
from gensr.pipeline.tiles import Tile, batches
from gensr.runners.base import Runner
from gensr.runners.cluster import ClusterRunner

from .scores import Row

RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "local": ("runtime=local",),
    "dask, 2 workers": ("runtime=dask", "runtime.workers=2"),
    "dask, 1 worker": ("runtime=dask", "runtime.workers=1"),
}
BANDS = 4
SMALL_SIDE = 64
KEYS = ("factor=2", "search=fast")
COLUMNS = ("work", "runtime", "seconds", "CPU seconds", "per second", "against local", "same bytes")
TILE_COLUMNS = ("scene", "work, s", "overhead, ms", "share, %")
TIMED = 3
"""Tiles of which the work is timed."""
EMPTY = 10
"""Tasks that do nothing, for the overhead."""


@dataclass(frozen=True)
class Setup:
    """What is measured: sides of the two scenes in pixels, and how many small files."""

    large: int = 2048
    sampled: int = 512
    files: int = 200


def scene(path: Path, side: int, bands: int, seed: int) -> Path:
    """A GeoTIFF of fields, roads and noise, uint16."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    planes = []
    for band in range(bands):
        fields = 2000 + 800 * np.sin(x / 17 + band) * np.cos(y / 23) + 400 * np.sign(np.sin((x + 2 * y) / 41))
        planes.append((fields + 30 * random.standard_normal((side, side))).clip(1, 60000).astype(np.uint16))
    profile = {"driver": "GTiff", "width": side, "height": side, "count": bands, "dtype": "uint16", "tiled": side > 256}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6), **profile) as target:
        target.write(np.stack(planes))
    return path


def command(inputs: Sequence[Path], output: Path, keys: Iterable[str]) -> tuple[float, float]:
    """Seconds, and seconds of processors, of a command in a process of its own, with one thread a process.

    Raises:
        RuntimeError: it failed.
    """
    words = [sys.executable, "-m", "gensr", "upsample", *map(str, inputs), *KEYS, *keys, f"output={output}"]
    started, before = time.perf_counter(), _children()
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
    return time.perf_counter() - started, _children() - before


def _children() -> float:
    """Seconds of processors that finished processes below this one have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pixels(folder: Path) -> dict[str, bytes]:
    """Bytes of all rasters of a folder; headers hold the time of the run, so files as a whole differ."""
    found = {}
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as source:
            found[path.name] = source.read().tobytes()
    return found


def compared(name: str, inputs: Sequence[Path], amount: float, keys: Sequence[str], folder: Path) -> list[Row]:
    """One row per runtime.

    Args:
        name: of the work.
        inputs: of the command.
        amount: what is counted per second.
        keys: of the command.
        folder: for outputs.
    """
    rows: list[Row] = []
    first: dict[str, bytes] = {}
    for runtime, words in RUNTIMES.items():
        output = folder / f"{name} {runtime}"
        seconds, processor = command(inputs, output, [*keys, *words])
        found = pixels(output)
        first = first or found
        rows.append(
            {
                "work": name,
                "runtime": runtime,
                "seconds": seconds,
                "CPU seconds": processor,
                "per second": amount / seconds,
                "against local": float(rows[0]["seconds"]) / seconds if rows else 1.0,
                "same bytes": "yes" if found == first else "NO",
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


@dataclass(frozen=True)
class Timed:
    """Work that comes back with the seconds it took where it ran."""

    work: TileWork

    def __call__(self, tiles: tuple[Tile, ...]) -> tuple[float, list[TileResult]]:
        """Seconds and results."""
        started = time.perf_counter()
        results = self.work(tiles)
        return time.perf_counter() - started, results


@dataclass(frozen=True)
class Nothing:
    """A task that does nothing and returns results of a shape, with the work to carry."""

    work: TileWork
    shape: tuple[int, ...]
    samples: int

    def __call__(self, number: int) -> list[TileResult]:
        """Zeros."""
        zeros = np.zeros(self.shape, np.float32)
        coarse = np.zeros((self.shape[0], self.shape[1] // 2, self.shape[2] // 2), np.float32)
        samples = [zeros.copy() for _ in range(self.samples)]
        return [TileResult(zeros, zeros.copy(), samples, zeros.astype(bool), coarse, {"count": 0.0})]


def overhead(name: str, path: Path, samples: int, where: Runner) -> Row:
    """What a tile costs beside its work, on a cluster of one worker."""
    asked = Request(path, factor=2, search="fast", samples=samples, runtime=Runtime("dask", workers=1))
    with settle(asked) as plan:
        assert isinstance(plan, Plan)
        work = TileWork(plan.scene, plan.task)
        groups = list(batches(list(plan.tiles), plan.batch))
        seconds = [found[0] for _, found in where.map(Timed(work), groups[:TIMED])]
        core = plan.tiles[0].core
        nothing = Nothing(work, (len(plan.scene.bands), 2 * core.rows, 2 * core.cols), samples)
        list(where.map(nothing, range(2)))  # the worker has opened the scene
        started = time.perf_counter()
        list(where.map(nothing, range(EMPTY)))
        beside = (time.perf_counter() - started) / EMPTY
    work_seconds = float(np.mean(seconds))
    values = (name, work_seconds, 1e3 * beside, 100 * beside / (beside + work_seconds))
    return dict(zip(TILE_COLUMNS, values, strict=True))


def document(rows: Sequence[Row], tiles: Sequence[Row], setup: Setup) -> str:
    """The page."""
    lines = [
        "# Cluster",
        "",
        f"Made by `python -m gensr.benchmarks.cluster` on {os.cpu_count()} cores, torch {torch.__version__}, one",
        "thread a process. Whole commands, with start and opening; a cluster takes some seconds to start. Ratios and",
        "CPU seconds count: seconds depend on what else the machine does.",
        "",
        f"* `large`: {setup.large} x {setup.large} x {BANDS} uint16 GeoTIFF, x2, `search=fast`, no samples",
        f"* `sampled`: {setup.sampled} x {setup.sampled} x {BANDS}, the same with one sample",
        f"* `files`: {setup.files} files of {SMALL_SIDE} x {SMALL_SIDE} pixels in one call, no samples",
        "",
        "Per second: output megapixels of all bands, or files. `same bytes`: every raster equals that of",
        "`runtime=local`.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
        *("| " + " | ".join(_cell(row[c]) for c in COLUMNS) + " |" for row in rows),
        "",
        "A tile on one worker: its work there, and what it costs beside, which is the time of each of many tasks that",
        "do nothing and return as much.",
        "",
        "| " + " | ".join(TILE_COLUMNS) + " |",
        "|---" * len(TILE_COLUMNS) + "|",
        *("| " + " | ".join(_cell(row[c]) for c in TILE_COLUMNS) + " |" for row in tiles),
    ]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:  # noqa: ANN401
    return f"{value:.3g}" if isinstance(value, float) and value < 1000 else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``cluster.md`` and ``cluster.csv``.

    Args:
        argv: ``output=``, and ``large=``, ``sampled=``, ``files=`` of `Setup`; that of the process if None.

    Raises:
        UsageError: an unknown argument.
    """
    given = {"output": "benchmarks/results", **{name: str(number) for name, number in asdict(Setup()).items()}}
    for word in argv if argv is not None else sys.argv[1:]:
        key, _, value = word.partition("=")
        if key not in given:
            raise UsageError(f"unknown argument {word!r}; keys: {', '.join(given)}")
        given[key] = value
    output = Path(given["output"])
    output.mkdir(parents=True, exist_ok=True)
    chosen = Setup(**{name: int(given[name]) for name in asdict(Setup())})
    with tempfile.TemporaryDirectory(prefix="gensr-") as name:
        folder = Path(name)
        large = scene(folder / "large.tif", chosen.large, BANDS, 0)
        sampled = scene(folder / "sampled.tif", chosen.sampled, BANDS, 1)
        (folder / "files").mkdir()
        files = [scene(folder / "files" / f"{k:03d}.tif", SMALL_SIDE, 1, k) for k in range(chosen.files)]
        with ClusterRunner(workers=1) as where:
            tiles = [overhead("large", large, 0, where), overhead("sampled", sampled, 1, where)]
        print(tiles, file=sys.stderr, flush=True)
        work: tuple[tuple[str, Sequence[Path], float, str], ...] = (
            ("files", files, float(len(files)), "samples=0"),
            ("sampled", [sampled], 4e-6 * BANDS * chosen.sampled**2, "samples=1"),
            ("large", [large], 4e-6 * BANDS * chosen.large**2, "samples=0"),
        )
        rows: list[Row] = []
        for title, inputs, amount, key in work:
            rows += compared(title, inputs, amount, [key], folder)
            _write(output, rows, document(rows, tiles, chosen))
    return 0


def _write(output: Path, rows: Sequence[Row], page: str) -> None:
    """Table and page, as far as they go."""
    with (output / "cluster.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    (output / "cluster.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
