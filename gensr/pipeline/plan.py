"""A plan: what was settled, ready to be shown, pickled, refused or run."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gensr.pipeline import output, preview, through_plane
from gensr.pipeline.decisions import Decisions
from gensr.pipeline.events import Event, Position, Settled, Through, TileDone, Warned, Written
from gensr.pipeline.reconstruct import TileResult, TileWork
from gensr.pipeline.report import build, identity, timeless
from gensr.pipeline.result import Result, StoredProduct, load_arrays
from gensr.pipeline.store import MEAN, STD, TILE, Layout, Store, result_names, sample_name
from gensr.pipeline.tiles import Tile, batches, pixels
from gensr.runners.base import Runner
from gensr.runners.choose import runner
from gensr.scenes.area import area_words
from gensr.scenes.provenance import fingerprint
from gensr.values.bands import parse_bands


@dataclass(frozen=True)
class Plan(Decisions):
    """See `Decisions`. Another process that unpickles it opens the input again."""

    def close(self) -> None:
        """Release the input."""
        self.scene.close()

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, where: Runner | None = None) -> Iterator[Event]:
        """Compute, and tell what happens; the last event is `Written`.

        Closing the iterator between two events cancels the run: no output appears, and with an output folder what is
        finished is kept for ``resume=True``.

        Args:
            where: tiles run; made from the request if not given.

        Yields:
            `Settled`, then `TileDone` and `Through`, `Warned` for every warning of the report, `Written`.

        Raises:
            GensrError: with one line that names the input, what was wrong and what to do.
        """
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            folder = self._folder(stack)
            store = stack.enter_context(Store(folder, self._identity(), self._layout(), self.request.resume))
            chosen = where or stack.enter_context(self._runner())
            if chosen.remote:
                self.scene.spill(folder)
            yield from self._compute(store, chosen)
            report = build(self, store, time.monotonic() - started)
            for text in report["warnings"]:
                yield Warned(text)
            result = self._finish(store, report, folder)
        yield Written(result, tuple(result.files))

    def _folder(self, stack: contextlib.ExitStack) -> Path:
        if self.request.output is None:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gensr-")))
        target = Path(self.request.output)
        return output.work_folder(target, self.names, self.request.overwrite, self.request.resume)

    def _runner(self) -> Runner:
        runtime = self.request.runtime
        return runner(runtime.name, runtime.address, runtime.workers)

    def _identity(self) -> dict[str, Any]:
        bands = None if self.request.bands is None else parse_bands(self.request.bands)
        given = {"tile": self.request.tile, "bands": bands, "options": dict(self.request.options)}
        given |= area_words(self.scene, self.request.area)
        return {"input": fingerprint(self.scene.path), **given, **identity(self)}

    def _layout(self) -> Layout:
        scene, samples, through = self.scene, self.task.samples, self.through_plane
        full = (scene.planes, len(scene.bands), *scene.grid.refine(self.task.factor).shape)
        final = (full[0] * self.slices, *full[1:])
        single = np.dtype(np.float32)
        rasters = {name: (final, single if name == STD else scene.dtype) for name in result_names(samples)}
        more: Layout = {} if through is None else through_plane.layout(through, samples, full)
        return {**rasters, **more, **preview.layout(scene, self.task.factor, samples)}

    def _compute(self, store: Store, where: Runner) -> Iterator[Event]:
        """Both passes, as far as the store does not have them."""
        fine = self.task.factor[0] * self.task.factor[1] * len(self.scene.bands)
        groups = list(batches(list(self.tiles), self.batch))
        # Whole groups are done again, so that a run that goes on computes what the first one would have.
        open_groups = [group for group in groups if any(_part(tile) not in store.done for tile in group)]
        todo = [tile for group in open_groups for tile in group]
        first = pixels(list(self.tiles)) * fine
        again = 0 if self.through_plane is None else through_plane.passes(self.task.samples) * self.slices
        total, done = first * (1 + again), first - pixels(todo) * fine
        yield Settled(self, Position(done, total))
        work = TileWork(self.scene, self.task)
        with contextlib.closing(where.map(work, open_groups)) as found:
            for group, results in found:
                for tile, result in zip(group, results, strict=True):
                    store.finish(_part(tile), self._keep(store, tile, result))
                    done += tile.core.rows * tile.core.cols * fine
                    yield TileDone(tile.index, Position(done, total))
        if self.through_plane is not None:
            for count in through_plane.second_pass(self.scene, self.task, self.through_plane, store, where):
                done += count * len(self.scene.bands)
                yield Through(Position(done, total))

    def _keep(self, store: Store, tile: Tile, result: TileResult) -> dict[str, Any]:
        """Put a tile into the store; its statistics come back."""
        area = tile.core.refine(self.task.factor)
        clipped = 0
        if self.through_plane is not None:
            through_plane.keep_first(store, tile.plane, area, result)
        else:
            for name, values in ((MEAN, result.mean), *((sample_name(k), s) for k, s in enumerate(result.samples))):
                codes, moved = self.scene.encode(tile.plane, values, result.valid)
                store.rasters[name].write(tile.plane, area, codes)
                clipped += moved if name == MEAN else 0
            store.rasters[STD].write(tile.plane, area, result.std)
        preview.keep(store, self.scene, self.task.factor, self.task.operator.gain, tile, result)
        statistics = {"clipped": clipped, "valid": int(result.valid.sum()), **result.residual}
        return statistics if result.search is None else {**statistics, "search": result.search}

    def _finish(self, store: Store, report: dict[str, Any], folder: Path) -> Result:
        """Write what was computed and hand it back; the store's folder is not needed any more."""
        samples, request = self.task.samples, self.request
        product = StoredProduct(store, self.task.factor, samples, timeless(report), self.slices)
        title = f"{self.scene.path.name}, {self.domain}, x{request.factor} by {self.task.generator.card.name}"
        picture = preview.picture(store, self.scene, title, self.task.factor)
        held = load_arrays(store, samples, self.scene.kept_dims, request.output is not None)
        files: list[Path] = []
        if request.output is not None:
            target = Path(request.output)
            files = output.write(self.scene, product, picture, report, folder, target, self.names)
            store.close()
            shutil.rmtree(folder)
        grid = self.scene.grid.refine(self.task.factor)
        return Result(report, files, grid, self.scene.bands, self.scene.unit, picture, held)


def _part(tile: Tile) -> str:
    """Name of a tile in the journal."""
    return f"{TILE}{tile.index}"
