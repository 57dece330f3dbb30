"""The microscopy domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError, FormatError, GensrError, PluginError, UsageError
from gensr.operators import Area, Operator
from gensr.scenes.domain import Codes, Domain, Names, Product, Scene
from gensr.scenes.statistics import percentile_normaliser
from gensr.values.grid import Factor
from gensr.values.noise import Noise
from gensr.values.normalise import Normaliser

from . import imagej, scores
from .container import GEO_TAGS, NODATA_TAG, import_tifffile, is_tiff, open_container
from .scene import MicroscopyScene
from .writer import output_kind, write_product

_CHOICES = {
    "labels": ("refuse", "nearest", "image"),
    "container": ("same", "ome"),
    "positions": ("pixel-centre", "keep"),
}


class Microscopy(Domain):
    """Fluorescence, bright-field and electron micrographs in TIFF.

    Options of `open`:
        series: number of the image in a file that holds several; None if it holds one.
        labels: "refuse" label images and masks, repeat them ("nearest"), or treat them as intensities ("image").
        container: "same" kind of file as the input, or "ome" for OME-TIFF.
        positions: OME stage positions belong to the "pixel-centre" of the first pixel and move, or "keep" them.
    """

    name: ClassVar[str] = "microscopy"
    description: ClassVar[str] = "OME-TIFF, ImageJ hyperstacks and TIFF, plane by plane"
    suffixes: ClassVar[tuple[str, ...]] = (
        ".ome.tiff",
        ".ome.tif",
        ".ome.btf",
        ".ome.tf8",
        ".tiff",
        ".tif",
        ".btf",
        ".tf8",
    )
    defaults: ClassVar[Mapping[str, Any]] = {
        "series": None,
        "labels": "refuse",
        "container": "same",
        "positions": "pixel-centre",
    }

    def sniff(self, path: Path) -> int:
        """See `Domain.sniff`: OME and ImageJ 3, other TIFF 2, georeferenced TIFF 0."""
        try:
            if not is_tiff(path):
                return 0
            with import_tifffile().TiffFile(path, _multifile=False) as tif:
                if any(code in tif.pages.first.tags for code in (*GEO_TAGS, NODATA_TAG)):
                    return 0
                return 3 if tif.is_ome or tif.is_imagej else 2
        except PluginError:
            return 1
        # A damaged header surfaces in the library as almost any exception; whoever opens the file will say more.
        except Exception:
            return 0

    def open(self, path: Path, options: Mapping[str, Any]) -> Scene:
        """See `Domain.open`."""
        chosen = self._checked(options)
        container = open_container(path, chosen["series"])
        try:
            return MicroscopyScene(container, chosen)
        except BaseException as error:
            container.tif.close()
            # Tags of an absurd type surface as almost any exception.
            if isinstance(error, Exception) and not isinstance(error, GensrError):
                raise FormatError(f"{path}: has a damaged header ({error}); get an intact copy") from error
            raise

    def stem(self, path: Path) -> str:
        """See `Domain.stem`."""
        suffix = self._suffix(path)
        return path.name[: -len(suffix)] if suffix else path.stem

    def operator(self, scene: Scene, factor: Factor) -> Operator:
        """See `Domain.operator`: pixel integration. A stack that will not fit an ImageJ file is refused here."""
        ours = _ours(scene)
        if output_kind(ours) == "imagej":
            imagej.check_size(ours, factor)
            imagej.output_shape(ours, factor, ours.dtype.name)
        return Area(factor)

    def noise(self, scene: Scene) -> Noise | None:
        """See `Domain.noise`: no file says it, so it is estimated."""
        return None

    def generator(self, scene: Scene) -> str:
        """See `Domain.generator`."""
        return "flow-microscopy"

    def normaliser(self, scene: Scene) -> Normaliser:
        """See `Domain.normaliser`: percentiles 1 and 99.9 of the whole scene."""
        return percentile_normaliser(scene, 1.0, 99.9)

    def write(self, scene: Scene, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Domain.write`; the standard deviation is a float32 file of the same kind."""
        ours = _ours(scene)
        suffix = self._suffix(ours.path) or ".tif"
        if output_kind(ours) == "ome" and not suffix.lower().startswith(".ome"):
            suffix = ".ome.tif" if ours.container.kind != "ome" else suffix
        return write_product(ours, product, folder, names, suffix)

    def render(self, scene: Scene, values: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Codes:
        """See `Domain.render`."""
        return scores.grey(values, reference)

    def metrics(self, truth: npt.NDArray[np.float32], estimate: npt.NDArray[np.float32]) -> dict[str, float]:
        """See `Domain.metrics` and `scores.scores`."""
        return scores.scores(truth, estimate)

    def _suffix(self, path: Path) -> str:
        name = path.name.lower()
        found = next((s for s in self.suffixes if name.endswith(s) and len(name) > len(s)), "")
        return path.name[len(path.name) - len(found) :] if found else ""

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(options) - set(self.defaults))
        if unknown:
            raise UsageError(f"microscopy has no option {', '.join(unknown)}; known: {', '.join(self.defaults)}")
        chosen = {**self.defaults, **options}
        for name, allowed in _CHOICES.items():
            if chosen[name] not in allowed:
                raise UsageError(f"{name}={chosen[name]!r} is not one of {', '.join(allowed)}")
        if chosen["series"] is not None:
            text = str(chosen["series"])
            if not text.isdigit():
                raise UsageError(f"series={chosen['series']!r} is not a number from 0")
            chosen["series"] = int(text)
        return chosen


def _ours(scene: Scene) -> MicroscopyScene:
    if not isinstance(scene, MicroscopyScene):
        raise DomainError(f"{type(scene).__name__} was not opened by the microscopy domain; open the file with it")
    return scene
