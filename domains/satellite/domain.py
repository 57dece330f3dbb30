"""The satellite domain: how gensr reads, models and writes georeferenced rasters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError
from gensr.operators import Area, Operator
from gensr.scenes.domain import Codes, Domain, Names, Product, Scene
from gensr.scenes.statistics import percentile_normaliser
from gensr.values.grid import Factor
from gensr.values.noise import GaussianNoise, Noise
from gensr.values.normalise import Normaliser

from . import metrics as scores
from . import options as settings
from . import preview, signature
from .scene import SatelliteScene


class Satellite(Domain):
    """GeoTIFF, COG and JPEG 2000 of any band count; plain TIFF, JPEG and PNG when asked for by name."""

    name: ClassVar[str] = "satellite"
    description: ClassVar[str] = "satellite and aerial imagery: GeoTIFF, COG, JPEG 2000"
    suffixes: ClassVar[tuple[str, ...]] = (".tiff", ".tif", ".jp2", ".j2k", ".jpeg", ".jpg", ".png")
    defaults: ClassVar[Mapping[str, Any]] = settings.DEFAULTS

    def sniff(self, path: Path) -> int:
        """See `gensr.scenes.domain.Domain.sniff`; 1 for a TIFF without georeference, which may be microscopy."""
        return signature.confidence(path)

    def open(self, path: Path, options: Mapping[str, Any]) -> SatelliteScene:
        """See `gensr.scenes.domain.Domain.open`; options: `gensr.domains.satellite.options.DEFAULTS`."""
        from .reader import open_scene

        return open_scene(Path(path), settings.parse(options))

    def stem(self, path: Path) -> str:
        """See `gensr.scenes.domain.Domain.stem`."""
        for suffix in self.suffixes:
            if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
                return path.name[: -len(suffix)]
        return path.name

    def operator(self, scene: Scene, factor: Factor) -> Operator:
        """Pixel integration; the optics of the sensor are unknown to the file."""
        return Area(factor)

    def noise(self, scene: Scene) -> Noise | None:
        """White noise of ``noise_floor`` where given; files carry none, so the core estimates it otherwise."""
        floor = _mine(scene).noise_floor
        return None if floor is None else GaussianNoise(floor)

    def generator(self, scene: Scene) -> str:
        """See `gensr.scenes.domain.Domain.generator`."""
        return "flow-satellite"

    def normaliser(self, scene: Scene) -> Normaliser:
        """The 2nd percentile becomes 0 and the 98th 1, per band."""
        return percentile_normaliser(scene, preview.LOW, preview.HIGH)

    def write(self, scene: Scene, product: Product, folder: Path, names: Names) -> list[Path]:
        """Cloud Optimized GeoTIFFs of mean, standard deviation (float32, physical units, NaN nodata) and samples."""
        from .writer import write_product

        return write_product(_mine(scene), product, folder, names)

    def render(self, scene: Scene, values: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Codes:
        """See `gensr.scenes.domain.Domain.render`."""
        return preview.render(scene.bands, values, reference)

    def metrics(self, truth: npt.NDArray[np.float32], estimate: npt.NDArray[np.float32]) -> dict[str, float]:
        """SAM in degrees, ERGAS times the factor, PSNR per band with the truth's range as peak.

        The factor is not known here: divide ``ergas_times_factor`` by it, or use `metrics.ergas`.
        """
        psnr = scores.peak_signal_to_noise(truth, estimate)
        return {
            "sam_degrees": scores.spectral_angle(truth, estimate),
            "ergas_times_factor": scores.ergas(truth, estimate),
            **{f"psnr_band_{i + 1}": value for i, value in enumerate(psnr)},
        }


def _mine(scene: Scene) -> SatelliteScene:
    if not isinstance(scene, SatelliteScene):
        raise DomainError(f"{scene.path}: was opened by another domain; open it with domain=satellite")
    return scene
