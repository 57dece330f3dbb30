"""The faces domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError, UsageError
from gensr.operators import Area, Operator
from gensr.scenes.domain import Codes, Domain, Names, Product, Scene
from gensr.values.grid import Factor
from gensr.values.noise import Noise
from gensr.values.normalise import AffineNormaliser, Normaliser

from . import looks
from .photo import format_of, read_photo, size_of
from .scene import FaceScene
from .writer import SIDE_LIMITS, SUFFIXES, write_product

TYPICAL_SIDE = 1024
_FLAGS = {"true": True, "false": False, "auto": "auto"}
_ENDINGS = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "WEBP": (".webp",), "TIFF": (".tif", ".tiff")}


class Faces(Domain):
    """Aligned portraits.

    Options of `open`:
        aligned: "auto" takes a square picture for an aligned face and refuses others; True takes any picture as one;
            False is refused (there is no detection).
        lossless: a JPEG goes out as PNG, so that the output is exactly consistent.
    """

    name: ClassVar[str] = "faces"
    description: ClassVar[str] = "aligned portraits in PNG, JPEG, WebP and TIFF"
    suffixes: ClassVar[tuple[str, ...]] = (".jpeg", ".jpg", ".png", ".webp", ".tiff", ".tif")
    defaults: ClassVar[Mapping[str, Any]] = {"aligned": "auto", "lossless": False}

    def sniff(self, path: Path) -> int:
        """See `Domain.sniff`: square pictures up to 1024 pixels 3, others 2; TIFF 0, it must be asked for."""
        if format_of(path) in ("", "TIFF"):
            return 0
        size = size_of(path)
        if size is None:
            return 0
        return 3 if size[0] == size[1] <= TYPICAL_SIDE else 2

    def open(self, path: Path, options: Mapping[str, Any]) -> Scene:
        """See `Domain.open`."""
        return FaceScene(read_photo(path), self._checked(options))

    def stem(self, path: Path) -> str:
        """See `Domain.stem`."""
        return path.stem if path.suffix.lower() in self.suffixes else path.name

    def operator(self, scene: Scene, factor: Factor) -> Operator:
        """See `Domain.operator`: pixel integration. A size that the output format cannot hold is refused here."""
        ours = _ours(scene)
        side = max(n * f for n, f in zip(ours.grid.shape, factor, strict=True))
        limit = SIDE_LIMITS.get(ours.output_format)
        if limit is not None and side > limit:
            raise DomainError(
                f"{ours.path}: {side} pixels a side exceed the {limit} of a {ours.output_format}; convert it to PNG"
            )
        return Area(factor)

    def noise(self, scene: Scene) -> Noise | None:
        """See `Domain.noise`: unknown, so it is estimated."""
        return None

    def generator(self, scene: Scene) -> str:
        """See `Domain.generator`."""
        return "flow-faces"

    def normaliser(self, scene: Scene) -> Normaliser:
        """See `Domain.normaliser`: fixed, because codes are display-referred."""
        count = len(scene.bands)
        return AffineNormaliser((float(_ours(scene).peak),) * count, (0.0,) * count)

    def write(self, scene: Scene, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Domain.write`; the standard deviation is a float32 TIFF with one page per band."""
        ours = _ours(scene)
        own = ours.path.suffix
        kind = ours.output_format
        suffix = own if own.lower() in _ENDINGS[kind] else SUFFIXES[kind]
        return write_product(ours, product, folder, names, suffix)

    def render(self, scene: Scene, values: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Codes:
        """See `Domain.render`; the stretch is fixed, so ``reference`` has no say."""
        return looks.preview(values, _ours(scene).peak)

    def metrics(self, truth: npt.NDArray[np.float32], estimate: npt.NDArray[np.float32]) -> dict[str, float]:
        """See `Domain.metrics` and `looks.scores`."""
        return looks.scores(truth, estimate)

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(options) - set(self.defaults))
        if unknown:
            raise UsageError(f"faces has no option {', '.join(unknown)}; known: {', '.join(self.defaults)}")
        chosen = {**self.defaults, **options}
        for name, allowed in (("aligned", ("auto", "true", "false")), ("lossless", ("true", "false"))):
            text = str(chosen[name]).lower()
            if text not in allowed:
                raise UsageError(f"{name}={chosen[name]!r} is not one of {', '.join(allowed)}")
            chosen[name] = _FLAGS[text]
        return chosen


def _ours(scene: Scene) -> FaceScene:
    if not isinstance(scene, FaceScene):
        raise DomainError(f"{type(scene).__name__} was not opened by the faces domain; open the file with it")
    return scene
