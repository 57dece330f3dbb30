"""The files of an output set: what each holds, and where its pixels come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.provenance import mark_of, repeated, sentence, software
from gensr.values.grid import Window

from .opened import OpenedMicrograph

Codes = npt.NDArray[Any]
Fetch = Callable[[int, Window], Codes]
"""Plane and refined window to codes (y, x)."""


@dataclass(frozen=True)
class Layer:
    """One file of the output set.

    Attributes:
        path: where it goes.
        dtype: stored type, native byte order.
        fetch: reads the product.
        title: what it is, one line.
        note: provenance, one line.
        uncertainty: holds standard deviations, not intensities.
    """

    path: Path
    dtype: np.dtype[Any]
    fetch: Fetch
    title: str
    note: str
    uncertainty: bool = False


def output_kind(scene: OpenedMicrograph) -> str:
    """Kind of the output: that of the input unless the option ``container`` names one."""
    return scene.container.kind if scene.options["container"] == "same" else str(scene.options["container"])


def layers(scene: OpenedMicrograph, product: Product, folder: Path, names: Names, suffix: str) -> Iterator[Layer]:
    """Mean, standard deviation and samples.

    Args:
        scene: the opened input.
        product: results on the refined grid.
        folder: of the files.
        names: of the files.
        suffix: of the files.
    """
    note = sentence({"factor": list(product.factor), **product.report})

    def mean(plane: int, window: Window) -> Codes:
        return _only(product.mean(plane, window))

    def std(plane: int, window: Window) -> Codes:
        return _only(product.std(plane, window))

    if repeated(product.report):
        yield Layer(folder / names.mean(suffix), scene.dtype, mean, note, note)
        return
    yield Layer(folder / names.mean(suffix), scene.dtype, mean, f"posterior mean; {note}", note)
    title = f"posterior standard deviation in intensity units; {note}"
    yield Layer(folder / names.std(suffix), scene.precision, std, title, note, uncertainty=True)
    for k in range(product.samples):

        def sample(plane: int, window: Window, k: int = k) -> Codes:
            return _only(product.sample(k, plane, window))

        yield Layer(folder / names.sample(k, suffix), scene.dtype, sample, f"posterior sample {k + 1}; {note}", note)


def _only(codes: Codes) -> Codes:
    """The one band of a plane: (1, y, x) to (y, x)."""
    plane: Codes = codes[0]
    return plane


def notes(product: Product, note: str) -> dict[str, str]:
    """Provenance as key and value, for formats that have a place for it."""
    report = product.report
    generator = report.get("generator", {})
    return {
        "mark": mark_of(report),
        "software": str(report.get("gensr", software())),
        "generator": str(generator.get("name", "?")),
        "generator_sha256": str(generator.get("sha256", "?")),
        "operator": str(report.get("operator", {}).get("name", "?")),
        "factor": f"{product.factor[0]} x {product.factor[1]}",
        "seed": str(report.get("seed", "?")),
        "residual_rms": str(report.get("consistency", {}).get("rms", "?")),
        "sentence": note,
    }
