"""The input of a result, opened once more: its scene writes the result, and its domain makes an object of that."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError, UsageError
from gensr.pipeline.report import timeless
from gensr.pipeline.request import parse_factor
from gensr.pipeline.store import MEAN, STD
from gensr.scenes import installed
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.forms import Form
from gensr.scenes.inputs import FileReference, open_scene
from gensr.scenes.labelled import Labelled
from gensr.scenes.names import Names
from gensr.scenes.objects import STEM
from gensr.scenes.product import Codes
from gensr.scenes.scene import Folder, Scene
from gensr.values.grid import Factor, Window
from gensr.values.precision import Real


@dataclass(frozen=True)
class Held:
    """A `gensr.scenes.product.Product` of arrays (plane, band, y, x) in memory; samples are not part of it."""

    arrays: Mapping[str, npt.NDArray[Any]]
    factor: Factor
    slices: int
    report: Mapping[str, Any]
    samples: int = 0

    def mean(self, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.mean`."""
        return self._part(MEAN, plane, window)

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.sample`.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"sample {index} of none")

    def std(self, plane: int, window: Window) -> Real:
        """See `gensr.scenes.product.Product.std`."""
        return self._part(STD, plane, window)

    def _part(self, name: str, plane: int, window: Window) -> npt.NDArray[Any]:
        row, col, rows, cols = window
        return self.arrays[name][plane, :, row : row + rows, col : col + cols]


def _dims(form: Form) -> tuple[str, ...]:
    """Names of the axes of an array without names; several planes are numbered."""
    count = form.roles.count("plane")
    numbered = iter(["plane"] if count == 1 else [f"plane{i + 1}" for i in range(count)])
    return tuple(next(numbered) if role == "plane" else role for role in form.roles)


@dataclass(frozen=True)
class Origin:
    """Where a result comes from.

    Attributes:
        domain: name of the domain.
        reference: of the scene; None for one that no file holds.
        changed: nanoseconds, when the file was changed last.
        kept: the temporary folder of an object that was laid down, so that it lives as long as the result.
        window: of the input that was refined.
        labels: of an array of xarray.
        dims: of an array without labels, None for a file.
    """

    domain: str
    reference: FileReference | None
    changed: int
    kept: Folder | None
    window: Window
    labels: Labelled | None
    dims: tuple[str, ...] | None

    @classmethod
    def of(cls, scene: Scene, domain: str) -> Origin:
        """The origin of an opened scene."""
        reference = scene.reference if isinstance(scene.reference, FileReference) else None
        window = Window(*scene.origin, *scene.grid.shape)
        dims = _dims(scene.form) if isinstance(scene, ArrayScene) else None
        more = (scene.kept, window, scene.labels, dims)
        if reference is None:
            return cls(domain, None, 0, *more)
        # For other processes the file of an object is copied into the folder of the run, which is gone now.
        here = replace(reference, path=str(scene.path.absolute()))
        return cls(domain, here, os.stat(here.path).st_mtime_ns, *more)

    def made(self, kind: str, arrays: Mapping[str, npt.NDArray[Any]], report: Mapping[str, Any]) -> object:
        """The mean as an object in memory.

        Args:
            kind: see `gensr.scenes.domain.Domain.objects`.
            arrays: ``mean`` and ``std`` of the result.
            report: of the run.

        Raises:
            UsageError: the input was of another kind.
            FormatError: the input is gone or has changed.
        """
        makers = [d.name for d in installed.domains() if kind in d.objects]
        if self.reference is None or self.domain not in makers:
            raise UsageError(
                f"to_{kind}() is for inputs of {' or '.join(makers) or 'no installed domain'}; this one was taken as "
                f"{self.domain}"
            )
        domain, path = installed.domain(self.domain), Path(self.reference.path)
        if not path.exists() or os.stat(path).st_mtime_ns != self.changed:
            raise FormatError(f"{path}: is gone or has changed since the result was made from it; compute it again")
        with (
            open_scene(domain, path, dict(self.reference.options), area=self.reference.area) as scene,
            tempfile.TemporaryDirectory(prefix="gensr-") as name,
        ):
            factor = parse_factor(report["factor"])
            slices = (report["through_plane"] or {}).get("factor", 1)
            shape = (scene.planes * slices, len(scene.bands), *scene.grid.refine(factor).shape)
            whole = {key: np.asarray(array).reshape(shape) for key, array in arrays.items()}
            product = Held(whole, factor, slices, timeless(report))
            return domain.take_up(kind, scene.write(product, Path(name), Names(STEM, report["factor"])))
