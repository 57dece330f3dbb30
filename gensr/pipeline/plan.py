"""A plan: what was settled, ready to be shown, pickled, refused or run."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import UnexplainedError
from gensr.pipeline import answers, output, preview, record, through_plane, trial
from gensr.pipeline.decisions import Decisions
from gensr.pipeline.events import Event, Noticed, Position, Settled, Through, TileDone, Warned, Written
from gensr.pipeline.folder import WorkFolder
from gensr.pipeline.origin import Origin
from gensr.pipeline.recipe import recipe
from gensr.pipeline.reconstruct import TileResult, TileWork
from gensr.pipeline.report import build, identity, planned, timeless, unexplained
from gensr.pipeline.result import Result, StoredProduct, load_arrays
from gensr.pipeline.room import check_memory, check_room
from gensr.pipeline.store import MEAN, STD, TILE, Layout, Store, result_names, sample_name
from gensr.pipeline.tiles import Tile, batches, values
from gensr.pipeline.verdict import Checked
from gensr.runners.base import Runner
from gensr.runners.choose import runner
from gensr.scenes.names import UNEXPLAINED, Names
from gensr.scenes.product import Codes
from gensr.scenes.rehearsal import Blank
from gensr.values.precision import Real


@dataclass(frozen=True)
class Plan(Decisions):
    """See `Decisions`. Another process that unpickles it opens the input again."""

    def close(self) -> None:
        """Release the input."""
        self.scene.close()

    def rehearse(self) -> None:
        """See that the outputs can be written, before anything is computed; see `Scene.rehearse`.

        Raises:
            GensrError: with one line that names the input, what was wrong and what to do.
        """
        shape, dtype = self._layout()[MEAN]
        report = timeless(planned(self))
        blank = Blank(
            shape, dtype, self.task.factor, self.slices, min(1, self.task.samples), report, self.scene.precision
        )
        with tempfile.TemporaryDirectory(prefix="gensr-") as folder:
            self.scene.rehearse(blank, Path(folder), self.names)

    def check(self) -> Checked:
        """What the input says of the generator: its data coarsened, answered and compared with themselves.

        Raises:
            SearchError: it is too small or too large to be tried.
            GensrError: the generator cannot answer.
        """
        return trial.judged(self)[0]

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
            GensrError: with one line that names the input, what was wrong and what to do. After `Written`, an
                `UnexplainedError` where the answer is far from its data.
        """
        content = "" if self.request.output is None else self.scene.content()
        known = record.finished(self.request, self.domain, self.names, content)
        if known is not None:
            yield from self._known(known)
            return
        try:
            yield from self._run(where, content)
        except OSError as error:
            kept = self.request.output is not None
            raise output.explained(error, Path(self.request.output or tempfile.gettempdir()), kept) from error

    def _run(self, where: Runner | None, content: str) -> Iterator[Event]:
        started = time.monotonic()
        check_memory(self)
        with contextlib.ExitStack() as stack:
            folder = self._folder(stack)
            layout = self._layout()
            check_room(self, layout, folder.path)
            store = stack.enter_context(Store(folder.path, self._identity(content), layout, self.request.goes_on))
            if folder.unlocked:
                yield Noticed(f"{folder.path.parent}: its disk has no locks; do not start a second run there")
            if store.damaged:
                yield Noticed(f"{store.damaged} part(s) that an earlier run finished are damaged and computed again")
            chosen = where or stack.enter_context(self._runner())
            if chosen.remote:
                self.scene.spill(folder.path)
            yield from self._compute(store, chosen)
            tried = trial.small(self)
            report = build(self, store, time.monotonic() - started, tried)
            for text in report["warnings"]:
                yield Warned(text)
            failure = unexplained(self, report)
            mark = self.names.mark + (UNEXPLAINED if failure else "")
            result = self._finish(store, report, folder, content, replace(self.names, mark=mark))
        yield Written(result, tuple(result.files))
        if failure:
            error = UnexplainedError(f"{self.scene.path.name}: {failure}")
            error.result = result
            raise error

    def _known(self, known: record.Record) -> Iterator[Event]:
        """What an earlier run finished, from its files."""
        output.tidy(Path(str(self.request.output)), self.names)
        total = self._total()
        yield Settled(self, Position(total, total))
        picture = (Path(str(self.request.output)) / record.preview_name(self.names)).read_bytes()
        grid = self.scene.grid.refine(self.task.factor)
        yield Written(
            Result(known.report, list(known.files), grid, self.scene.bands, self.scene.unit, picture, {}), known.files
        )

    def _folder(self, stack: contextlib.ExitStack) -> WorkFolder:
        if self.request.output is None:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gensr-")))
            return stack.enter_context(WorkFolder(path / "store"))
        target, request = Path(self.request.output), self.request
        return stack.enter_context(output.work_folder(target, self.names, request.replaces, request.goes_on))

    def _runner(self) -> Runner:
        runtime = self.request.runtime
        return runner(runtime.name, runtime.address, runtime.workers)

    def _identity(self, content: str) -> dict[str, Any]:
        asked = record.digests(self.request, self.domain, content)
        return {"input": [self.scene.path.name, asked[record.INPUT]], "asked": asked[record.REQUEST], **identity(self)}

    def _layout(self) -> Layout:
        scene, samples, through = self.scene, self.task.samples, self.through_plane
        full = (scene.planes, len(scene.bands), *scene.grid.refine(self.task.factor).shape)
        final = (full[0] * self.slices, *full[1:])
        held = scene.precision
        rasters = {name: (final, held if name == STD else scene.dtype) for name in result_names(samples)}
        more: Layout = {} if through is None else through_plane.layout(through, samples, full, held)
        return {**rasters, **more, **preview.layout(scene, self.task.factor, samples)}

    def _total(self) -> int:
        """Output pixels of all bands, through planes counted as often as they are computed."""
        first = values(list(self.tiles), len(self.scene.bands)) * self.task.factor[0] * self.task.factor[1]
        again = 0 if self.through_plane is None else through_plane.passes(self.task.samples) * self.slices
        return first * (1 + again)

    def _compute(self, store: Store, where: Runner) -> Iterator[Event]:
        """Both passes, as far as the store does not have them."""
        fine, bands = self.task.factor[0] * self.task.factor[1], len(self.scene.bands)
        groups = list(batches(list(self.tiles), self.batch))
        # Whole groups are done again, so that a run that goes on computes what the first one would have.
        open_groups = [group for group in groups if any(_part(tile) not in store.done for tile in group)]
        todo = [tile for group in open_groups for tile in group]
        total, done = self._total(), (values(list(self.tiles), bands) - values(todo, bands)) * fine
        yield Settled(self, Position(done, total))
        work = TileWork(self.scene, self.task)
        with contextlib.closing(where.map(work, open_groups)) as found:
            for group, results in found:
                for tile, result in zip(group, results, strict=True):
                    store.finish(_part(tile), self._keep(store, tile, result))
                    done += values([tile], bands) * fine
                    yield TileDone(tile.index, Position(done, total))
        if self.through_plane is not None:
            for count in through_plane.second_pass(self.scene, self.task, self.through_plane, store, where):
                done += count * len(self.scene.bands)
                yield Through(Position(done, total))

    def _keep(self, store: Store, tile: Tile, result: TileResult) -> dict[str, Any]:
        """Put a tile into the store; its statistics come back."""
        area, first = tile.core.refine(self.task.factor), tile.span(len(self.scene.bands))[0]
        clipped = 0
        if self.through_plane is not None:
            through_plane.keep_first(store, tile.plane, area, result)
        else:
            for name, found in ((MEAN, result.mean), *((sample_name(k), s) for k, s in enumerate(result.samples))):
                codes, moved = self._encode(tile, found, result.valid)
                store.rasters[name].write(tile.plane, area, codes, first)
                clipped += moved if name == MEAN else 0
            store.rasters[STD].write(tile.plane, area, result.std, first)
        preview.keep(store, self.scene, self.task.factor, self.task.operator.gain, tile, result)
        statistics = {"clipped": clipped, "valid": int(result.valid.sum()), **result.residual}
        return statistics if result.search is None else {**statistics, "search": result.search}

    def _encode(self, tile: Tile, found: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        if tile.bands is None:
            return self.scene.encode(tile.plane, found, valid)
        return self.scene.encode_bands(tile.plane, found, valid, *tile.bands)

    def _finish(self, store: Store, report: dict[str, Any], folder: WorkFolder, content: str, names: Names) -> Result:
        """Write what was computed and hand it back; the store's folder is not needed any more."""
        samples, request = self.task.samples, self.request
        product = StoredProduct(store, self.task.factor, samples, timeless(report), self.slices)
        done = "deblurred" if request.factors == (1, 1) else f"x{request.factor}"
        title = f"{self.scene.path.name}, {self.domain}, {done} by {self.task.generator.card.name}"
        picture = preview.picture(store, self.scene, title, self.task.factor)
        held = load_arrays(store, samples, self.scene.hand, request.output is not None)
        files: list[Path] = []
        if request.output is not None:
            target = Path(request.output)
            made = record.digests(request, self.domain, content)
            # An array in memory has a name, but no path that leads to it.
            again = recipe(request, self.domain, names, report) if self.scene.path.exists() else None
            shown = answers.of_scene(self.scene, self.task, product)
            sheet = answers.sheet(self.scene, title, product, shown) if shown else None
            files = output.write(self.scene, product, picture, report, folder.path, target, names, made, again, sheet)
            store.close()
            folder.remove()
        grid = self.scene.grid.refine(self.task.factor)
        origin = Origin.of(self.scene, self.domain)
        return Result(report, files, grid, self.scene.bands, self.scene.unit, picture, held, origin)


def _part(tile: Tile) -> str:
    """Name of a tile in the journal."""
    return f"{TILE}{tile.index}"
