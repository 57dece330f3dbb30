"""The plan of a scene of which a prior knows parts only, such as the faces of a photo: the rest is interpolated.

The same steps and events as of any other plan. Every part is a scene of its own, settled and reconstructed like any
other; its answer is laid over the interpolation (`gensr.pipeline.canvas`), and the whole explains the data.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gensr.errors import UsageError
from gensr.operators import Area
from gensr.pipeline import answers, output, preview, record
from gensr.pipeline.background import Background, Ground
from gensr.pipeline.canvas import Canvas, coded, left_of
from gensr.pipeline.events import Event, Position, Settled, TileDone, Warned, Written
from gensr.pipeline.inset_report import Part, background_of, fact_of, generator_of, report_of
from gensr.pipeline.origin import Origin
from gensr.pipeline.recipe import recipe
from gensr.pipeline.reconstruct import TileWork
from gensr.pipeline.report import timeless
from gensr.pipeline.request import Request
from gensr.pipeline.result import BESIDE_FILES, IN_MEMORY, Result
from gensr.pipeline.store import MEAN, STD, TILE, Layout, Store, raster_bytes, result_names, sample_name
from gensr.pipeline.tiles import Tile
from gensr.runners.base import Runner
from gensr.scenes.insets import Insets
from gensr.scenes.names import INTERPOLATED_MARK, MARKED, Names
from gensr.scenes.product import Codes
from gensr.scenes.provenance import software
from gensr.scenes.rehearsal import Blank
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, Window
from gensr.values.precision import SINGLE, Real

STRIP = 1 << 22
"""Refined values of a strip of lines that is interpolated at once."""
NOT_HERE = (("operator", None), ("tile", None), ("batch", None), ("calibrate", "card"))
"""Words that would not act, with their defaults."""


@dataclass(frozen=True)
class InsetProduct:
    """A `gensr.scenes.product.Product` over a finished store; deviations only where a prior answered."""

    store: Store
    factor: Factor
    samples: int
    report: Mapping[str, Any] = field(repr=False)
    slices: int = 1

    def mean(self, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.mean`."""
        return self.store.rasters[MEAN].read(plane, window)

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.sample`."""
        return self.store.rasters[sample_name(index)].read(plane, window)

    def std(self, plane: int, window: Window) -> Real:
        """See `gensr.scenes.product.Product.std`."""
        return self.store.rasters[STD].read(plane, window)


@dataclass(frozen=True)
class InsetPlan:
    """What will be done; the same surface as `gensr.pipeline.plan.Plan`.

    Attributes:
        request: what the user asked for, without the source.
        domain: name of the domain.
        scene: the opened input.
        names: of its outputs.
        found: parts, and what the scene says of them.
        parts: those that a prior answers.
        background: the prior of everything else; None where that is interpolated.
    """

    request: Request
    domain: str
    scene: Scene
    names: Names
    found: Insets
    parts: tuple[Part, ...]
    background: Background | None = None

    @classmethod
    def of(
        cls,
        request: Request,
        domain: str,
        scene: Scene,
        stem: str,
        found: Insets,
        parts: tuple[Part, ...],
        background: Background | None = None,
    ) -> InsetPlan:
        """The plan of a scene.

        Raises:
            UsageError: words about something that is not done here.
        """
        for name, default in NOT_HERE:
            if getattr(request, name) != default:
                raise UsageError(
                    f"{name}={getattr(request, name)}: {scene.path.name} is interpolated where no prior knows it, in "
                    "strips, as means over pixels; leave it out, or name a generator of fields (gensr models list)"
                )
        if request.check == "on":
            raise UsageError(f"check=on: {scene.path.name} is interpolated where no prior knows it; leave the word out")
        if request.runtime.name != "local":
            raise UsageError(f"runtime={request.runtime.name}: a photo is computed in one process; leave the word out")
        scene.operator(request.factors)
        names = Names(stem, request.times, MARKED if parts or background else INTERPOLATED_MARK)
        return cls(request, domain, scene, names, found, parts, background)

    def close(self) -> None:
        """Release the input."""
        self.scene.close()

    def __enter__(self) -> InsetPlan:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def no_prior(self) -> str:
        """Why no prior answers all of it."""
        return "is interpolated, but for parts that are aligned"

    @property
    def factor(self) -> Factor:
        """Refinement of rows and columns."""
        return self.request.factors

    @property
    def samples(self) -> int:
        """Posterior samples; an interpolation has none."""
        return self.request.samples if self.generates else 0

    @property
    def generates(self) -> bool:
        """Whether a prior answers anything."""
        return bool(self.parts) or self.background is not None

    @property
    def warnings(self) -> list[str]:
        """What a user should know."""
        made = [] if self.background is None else self.background.cautions(self.domain)
        return [*self.found.notes, *made, *self.scene.cautions()]

    def describe(self) -> dict[str, Any]:
        """What a run would do, for people: JSON-able."""
        rows, cols = self.scene.grid.refine(self.factor).shape
        return {
            "output": f"{rows} x {cols} pixels, {len(self.scene.bands)} band(s)",
            "domain": self.domain,
            "generator": generator_of(self),
            "background": background_of(self),
            "parts": [fact_of(part) for part in self.parts],
            "left": [dict(fact) for fact in self.found.facts if not fact.get("restored")],
            "samples": self.samples,
            "warnings": self.warnings,
        }

    def rehearse(self) -> None:
        """See that the outputs can be written; see `Scene.rehearse`."""
        shape, dtype = self._layout()[MEAN]
        blank = Blank(shape, dtype, self.factor, 1, min(1, self.samples), report_of(self, [], 0.0))
        with tempfile.TemporaryDirectory(prefix="gensr-") as folder:
            self.scene.rehearse(blank, Path(folder), self.names)

    def run(self, where: Runner | None = None) -> Iterator[Event]:
        """Compute and tell; see `gensr.pipeline.plan.Plan.run`.

        Args:
            where: not needed: parts are few, and the rest takes no longer than writing it.
        """
        content = "" if self.request.output is None else self.scene.content()
        known = record.finished(self.request, self.domain, self.names, content)
        if known is not None:
            yield Settled(self, Position(self._total(), self._total()))
            picture = (Path(str(self.request.output)) / record.preview_name(self.names)).read_bytes()
            yield Written(self._result(known.report, list(known.files), picture, {}), known.files)
            return
        try:
            yield from self._run(content)
        except OSError as error:
            kept = self.request.output is not None
            raise output.explained(error, Path(self.request.output or tempfile.gettempdir()), kept) from error

    def _run(self, content: str) -> Iterator[Event]:
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            target = None if self.request.output is None else Path(self.request.output)
            if target is None:
                folder = None
                place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gensr-"))) / "store"
            else:
                held = output.work_folder(target, self.names, self.request.replaces, self.request.goes_on)
                folder = stack.enter_context(held)
                place = folder.path
            asked = record.digests(self.request, self.domain, content)
            identity = {"asked": asked, "gensr": software()}
            store = stack.enter_context(Store(place, identity, self._rasters(), self.request.goes_on))
            yield Settled(self, Position(0, self._total()))
            searches: list[dict[str, Any]] = []
            canvas = Canvas(self.scene, self.factor, Ground(store, self.background) if self.background else None)
            for done in self.background.compute(self.scene, store) if self.background else ():
                yield TileDone(0, Position(done, self._total()))
            for index, part in enumerate(self.parts):
                searches.append(self._answer(canvas, part, index))
            yield from self._strips(store, canvas)
            report = report_of(self, [e for e in store.statistics(TILE)], time.monotonic() - started, searches)
            for text in report["warnings"]:
                yield Warned(text)
            picture = self._picture(canvas)
            product = InsetProduct(store, self.factor, self.samples, timeless(report))
            arrays = self._arrays(store)
            files: list[Path] = []
            if target is not None and folder is not None:
                again = recipe(self.request, self.domain, self.names, report)
                sheet = self._sheet(product, searches) if self.samples > 1 and self.parts else None
                files = output.write(
                    self.scene, product, picture, report, folder.path, target, self.names, asked, again, sheet
                )
                store.close()
                folder.remove()
            result = self._result(report, files, picture, arrays)
        yield Written(result, tuple(result.files))

    def _answer(self, canvas: Canvas, part: Part, index: int) -> dict[str, Any]:
        """Answer a part and lay it over the canvas; how well it explains its own data comes back."""
        shape = part.inset.scene.grid.shape
        whole = Window(0, 0, *shape)
        tile = Tile(index, index, whole, whole, (True, True))  # its number makes the noise of every part its own
        (found,) = TileWork(part.inset.scene, part.task)((tile,))
        canvas.lay(part.inset, found.mean, found.std, found.samples)
        count = found.residual["count"] or 1.0
        return {
            "residual rms in codes": round(math.sqrt(found.residual["square"] / count), 4),
            "chi2 per datum": None if part.task.exact else round(found.residual["chi2"] / count, 4),
            "samples": [self._verdict(part, one) for one in found.samples],
        }

    def _verdict(self, part: Part, sample: Real) -> dict[str, Any]:
        """How well a sample of a part explains its data."""
        scene = part.inset.scene
        data = scene.read(0, Window(0, 0, *scene.grid.shape)).values
        return answers.verdict(part.task, torch.from_numpy(data.astype(np.float64)), sample)

    def _strips(self, store: Store, canvas: Canvas) -> Iterator[Event]:
        rows, cols = self.scene.grid.shape
        per_line = cols * self.factor[0] * self.factor[1] * len(self.scene.bands)
        lines = max(1, STRIP // per_line)
        for index, row in enumerate(range(0, rows, lines)):
            window = Window(row, 0, min(lines, rows - row), cols)
            if f"{TILE}{index}" not in store.done:
                store.finish(f"{TILE}{index}", self._strip(store, canvas, window))
            done = (row + window.rows) * per_line + (self._values if self.background else 0)
            yield TileDone(index, Position(done, self._total()))

    def _strip(self, store: Store, canvas: Canvas, window: Window) -> dict[str, Any]:
        """Compute lines and put them into the store; what is left of their data comes back."""
        fine, moved = window.refine(self.factor), 0
        data = self.scene.read(0, window).values.astype(np.float64)
        for index in range(1 + self.samples):
            values = canvas.values(window, index)
            codes, clipped = coded(self.scene, values, data, self.factor)
            store.rasters[sample_name(index - 1) if index else MEAN].write(0, fine, codes)
            if not index:
                mean, moved = codes, clipped
        if STD in store.rasters:
            store.rasters[STD].write(0, fine, canvas.std(window))
        residual = left_of(mean, data, self.factor)
        return {
            "count": residual.size,
            "square": float(np.square(residual).sum()),
            "largest": float(np.abs(residual).max()),
            "clipped": moved,
        }

    def _layout(self) -> Layout:
        shape = (1, len(self.scene.bands), *self.scene.grid.refine(self.factor).shape)
        names = [name for name in result_names(self.samples) if name != STD]
        deviation: Layout = {STD: (shape, SINGLE)} if self.generates else {}
        return {**{name: (shape, self.scene.dtype) for name in names}, **deviation}

    def _rasters(self) -> Layout:
        """Of the store: results, and what they are laid over."""
        results = self._layout()
        return {**results, **(self.background.layout(results[MEAN][0]) if self.background else {})}

    @property
    def _values(self) -> int:
        return int(np.prod(self.scene.grid.refine(self.factor).shape)) * len(self.scene.bands)

    def _total(self) -> int:
        return self._values * (2 if self.background else 1)

    def _picture(self, canvas: Canvas) -> bytes:
        """The preview: around the first part, or the middle."""
        _, window = preview.window_of(self.scene, self.factor)
        if self.parts:
            area, (rows, cols) = self.parts[0].inset.area, self.scene.grid.shape
            row = min(max(0, area.row + area.rows // 2 - window.rows // 2), rows - window.rows)
            col = min(max(0, area.col + area.cols // 2 - window.cols // 2), cols - window.cols)
            window = Window(row, col, window.rows, window.cols)
        image, mean = self.scene.read(0, window), canvas.values(window)
        left = image.values - Area(self.factor).forward(torch.from_numpy(mean)).numpy()
        fine = {MEAN: mean, STD: canvas.std(window), preview.RESIDUAL: left}
        if self.samples:
            fine[preview.SAMPLE] = canvas.values(window, 1)
        return preview.panel(self.scene, self._title(), self.factor, image, fine)

    def _title(self) -> str:
        return f"{self.scene.path.name}, {self.domain}, x{self.request.times} by {generator_of(self)['name']}"

    def _sheet(self, product: InsetProduct, told: list[dict[str, Any]]) -> bytes:
        """Every part with all its answers; see `gensr.pipeline.answers`."""
        insets = [part.inset for part in self.parts]
        shown = [answers.Shown(one.name, 0, one.area, t["samples"]) for one, t in zip(insets, told, strict=True)]
        return answers.sheet(self.scene, self._title(), product, shown)

    def _arrays(self, store: Store) -> dict[str, Any]:
        layout = self._layout()
        limit = IN_MEMORY if self.request.output is None else BESIDE_FILES
        if sum(raster_bytes(*spec) for spec in layout.values()) > limit:
            return {}
        whole = {name: store.rasters[name].read(0, Window(0, 0, *spec[0][2:]))[None] for name, spec in layout.items()}
        valid = np.ones(layout[MEAN][0], np.bool_)
        return {name: self.scene.hand(array, valid) for name, array in whole.items()}

    def _result(self, report: Mapping[str, Any], files: list[Path], picture: bytes, arrays: dict[str, Any]) -> Result:
        scene = self.scene
        grid = scene.grid.refine(self.factor)
        return Result(report, files, grid, scene.bands, scene.unit, picture, arrays, Origin.of(scene, self.domain))
