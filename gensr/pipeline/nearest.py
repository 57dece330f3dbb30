"""Labels on the refined grid: pixels are repeated, codes are copied, nothing is computed and nothing is generated."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import UsageError
from gensr.pipeline import output, preview, record
from gensr.pipeline.events import Event, Position, Settled, Warned, Written
from gensr.pipeline.origin import Origin
from gensr.pipeline.recipe import recipe
from gensr.pipeline.request import Request
from gensr.pipeline.result import BESIDE_FILES, IN_MEMORY, Result
from gensr.pipeline.store import MEAN
from gensr.runners.base import Runner
from gensr.scenes.area import area_words
from gensr.scenes.labels import Survey
from gensr.scenes.names import REPEATED_MARK, Names
from gensr.scenes.product import Codes, ThroughPlane
from gensr.scenes.provenance import REPEATED, software
from gensr.scenes.rehearsal import Blank
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, Window

NO_PRIOR = "none, pixels are repeated"
"""What stands in place of a generator."""


@dataclass(frozen=True)
class Repeated:
    """A `gensr.scenes.product.Product` whose codes are those of the scene, each repeated; it has no deviation.

    Attributes:
        scene: the opened input.
        factor: refinement of rows and columns.
        through: refinement through planes, 1 for none.
        report: what was done.
        samples: none.
    """

    scene: Scene
    factor: Factor
    through: ThroughPlane
    report: Mapping[str, Any] = field(repr=False)
    samples: int = 0

    @property
    def slices(self) -> int:
        """See `gensr.scenes.product.Product.slices`."""
        return self.through.factor

    def mean(self, plane: int, window: Window) -> Codes:
        """Stored codes, repeated."""
        return self._fine(plane, window)[0]

    def valid(self, plane: int, window: Window) -> npt.NDArray[np.bool_]:
        """Where the repeated codes are valid."""
        return self._fine(plane, window)[1]

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.sample`.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"sample {index} of none: labels are repeated")

    def std(self, plane: int, window: Window) -> npt.NDArray[np.float32]:
        """See `gensr.scenes.product.Product.std`: unknown everywhere."""
        return np.full((len(self.scene.bands), window.rows, window.cols), np.nan, np.float32)

    def _fine(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        (fy, fx), (row, col, rows, cols) = self.factor, window
        top, left = row // fy, col // fx
        coarse = Window(top, left, -(-(row + rows) // fy) - top, -(-(col + cols) // fx) - left)
        codes, mask = self.scene.stored(self.through.coarse(plane), coarse)
        cut = np.s_[:, row - top * fy :, col - left * fx :]
        whole = (np.repeat(np.repeat(a, fy, 1), fx, 2)[cut] for a in (codes, np.broadcast_to(mask, codes.shape)))
        fine, valid = (np.ascontiguousarray(a[:, :rows, :cols]) for a in whole)
        return fine, valid


@dataclass(frozen=True)
class NearestPlan:
    """What will be done with a scene of labels; the same surface as `gensr.pipeline.plan.Plan`.

    Attributes:
        request: what the user asked for, without the source.
        domain: name of the domain, or "array".
        scene: the opened input.
        names: of its outputs.
        found: what speaks for labels.
    """

    request: Request
    domain: str
    scene: Scene
    names: Names
    found: Survey

    @classmethod
    def of(cls, request: Request, domain: str, scene: Scene, stem: str, found: Survey) -> NearestPlan:
        """The plan of a scene, whose size the domain has looked at.

        Raises:
            UsageError: words about something that is not computed.
        """
        for name, default in (("generator", None), ("operator", None), ("noise", None), ("calibrate", "card")):
            if getattr(request, name) != default:
                raise UsageError(f"{name}={getattr(request, name)}: labels=nearest computes nothing; leave it out")
        scene.operator(request.factors)
        return cls(request, domain, scene, Names(stem, request.times, REPEATED_MARK), found)

    def close(self) -> None:
        """Release the input."""
        self.scene.close()

    def __enter__(self) -> NearestPlan:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def no_prior(self) -> str:
        """Why no prior answers all of it."""
        return f"labels={self.request.labels}: its pixels are repeated"

    @property
    def factor(self) -> Factor:
        """Refinement of rows and columns."""
        return self.request.factors

    @property
    def product(self) -> Repeated:
        """What is written."""
        through = self.scene.through_plane(self.factor) or ThroughPlane(self.scene.planes, 1)
        return Repeated(self.scene, self.factor, through, self._report(through))

    @property
    def warnings(self) -> list[str]:
        """What a user should know."""
        if not self.found.labels:
            return ["nothing in it looks like labels; its pixels are repeated because labels=nearest says so"]
        return ["labels: pixels are repeated, without deviation or samples"]

    def describe(self) -> dict[str, Any]:
        """What a run would do, for people: JSON-able."""
        product = self.product
        rows, cols = self.scene.grid.refine(self.factor).shape
        return {
            "output": f"{rows} x {cols} pixels, {self.scene.planes * product.slices} plane(s), "
            f"{len(self.scene.bands)} band(s)",
            "domain": self.domain,
            "labels": {part.name: reason for part, reason in self.found.labels},
            "pixels": "are repeated; no prior, no deviation, no samples",
            "through planes": f"x{product.slices}" if product.slices > 1 else None,
            "warnings": self.warnings,
        }

    def rehearse(self) -> None:
        """See that the output can be written; see `Scene.rehearse`."""
        import tempfile

        product, scene = self.product, self.scene
        planes = scene.planes * product.slices
        shape = (planes, len(scene.bands), *scene.grid.refine(self.factor).shape)
        codes = scene.stored(0, Window(0, 0, 1, 1))[0].dtype
        blank = Blank(shape, codes, self.factor, product.slices, 0, product.report)
        with tempfile.TemporaryDirectory(prefix="gensr-") as folder:
            scene.rehearse(blank, Path(folder), self.names)

    def run(self, where: Runner | None = None) -> Iterator[Event]:
        """Write and tell; see `gensr.pipeline.plan.Plan.run`. Nothing is computed, so nothing runs elsewhere.

        Args:
            where: not needed.
        """
        started, request = time.monotonic(), self.request
        content = "" if request.output is None else self.scene.content()
        known = record.finished(request, self.domain, self.names, content)
        product = self.product
        total = int(np.prod([n * f for n, f in zip(self.scene.grid.shape, self.factor, strict=True)]))
        total *= self.scene.planes * product.slices * len(self.scene.bands)
        if known is not None:
            yield Settled(self, Position(total, total))
            picture = (Path(str(request.output)) / record.preview_name(self.names)).read_bytes()
            result = self._result(known.report, list(known.files), picture, {})
            yield Written(result, known.files)
            return
        yield Settled(self, Position(0, total))
        for text in self.warnings:
            yield Warned(text)
        title = f"{self.scene.path.name}, {self.domain}, x{request.times}, labels repeated"
        picture = preview.plain(self.scene, title, self.factor)
        files: list[Path] = []
        if request.output is not None:
            target = Path(request.output)
            made = record.digests(request, self.domain, content)
            with contextlib.ExitStack() as stack:
                held = output.work_folder(target, self.names, request.replaces, request.goes_on)
                folder = stack.enter_context(held)
                report = product.report
                again = recipe(request, self.domain, self.names, report) if self.scene.path.exists() else None
                files = output.write(self.scene, product, picture, report, folder.path, target, self.names, made, again)
                folder.remove()
        report = {**product.report, "seconds": round(time.monotonic() - started, 3)}
        result = self._result(report, files, picture, self._arrays(product))
        yield Written(result, tuple(result.files))

    def _result(
        self, report: Mapping[str, Any], files: list[Path], picture: bytes, arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Result:
        scene, grid = self.scene, self.scene.grid.refine(self.factor)
        return Result(report, files, grid, scene.bands, scene.unit, picture, arrays, Origin.of(scene, self.domain))

    def _arrays(self, product: Repeated) -> dict[str, npt.NDArray[Any]]:
        """The repeated codes in memory, or nothing if they are too large."""
        scene = self.scene
        window = Window(0, 0, *scene.grid.refine(self.factor).shape)
        planes = range(scene.planes * product.slices)
        size = window.rows * window.cols * len(planes) * len(scene.bands) * 8
        if size > (IN_MEMORY if self.request.output is None else BESIDE_FILES):
            return {}
        codes = np.stack([product.mean(plane, window) for plane in planes])
        valid = np.stack([product.valid(plane, window) for plane in planes])
        return {MEAN: scene.hand(codes, valid)}

    def _report(self, through: ThroughPlane) -> dict[str, Any]:
        scene, slices = self.scene, through.factor
        rows, cols = scene.grid.refine(self.factor).shape
        return {
            "mark": REPEATED,
            "gensr": software(),
            "factor": self.request.times,
            "generator": {"name": NO_PRIOR, "sha256": ""},
            "operator": {"name": "repetition"},
            "through_plane": {"slices": through.slices, "factor": slices} if slices > 1 else None,
            "samples": 0,
            "labels": {part.name: reason for part, reason in self.found.labels},
            "input": {
                "name": scene.path.name,
                "domain": self.domain,
                **({"domain was guessed": scene.doubt} if scene.doubt else {}),
                **area_words(scene, self.request.area),
                **scene.metadata(),
            },
            "output": {
                "rows": rows,
                "cols": cols,
                "planes": scene.planes * slices,
                "bands": list(scene.bands),
                "unit": scene.unit,
                "dtype": str(scene.stored(0, Window(0, 0, 1, 1))[0].dtype),
            },
            "consistency": {"rms": 0.0, "largest": 0.0},
            "latent search": None,
            "warnings": self.warnings,
        }
