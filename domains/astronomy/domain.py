"""The astronomy domain: FITS in, FITS in the CCDData layout out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError, FormatError, PluginError, UsageError
from gensr.operators import Area, Operator
from gensr.scenes.domain import Codes, Domain, Names, Product, Scene
from gensr.values.grid import Factor
from gensr.values.noise import Noise
from gensr.values.normalise import AffineNormaliser, Normaliser

from .looks import grey
from .photometry import flux_scores

if TYPE_CHECKING:
    from .scene import FitsScene

_SUFFIX = re.compile(r"(?i)\.(fits|fit|fts)(\.gz|\.fz)?$|\.(fz|gz)$")


class Astronomy(Domain):
    """Telescope images and cubes.

    Options of `open`: ``hdu`` (index, ``NAME`` or ``NAME,VERSION``); ``values`` (``auto``, ``flux`` or ``brightness``);
    ``dq_bits`` (flag bits that exclude a pixel; 0 none, -1 any, None the table of the mission); ``psf`` (FITS file)
    with ``psf_oversampling``; ``psf_fwhm`` (source pixels, or ``0.8arcsec``).
    """

    name: ClassVar[str] = "astronomy"
    description: ClassVar[str] = "FITS images and cubes of telescopes: WCS, flux, masks, errors, PSF"
    suffixes: ClassVar[tuple[str, ...]] = (
        ".fits.gz",
        ".fits.fz",
        ".fit.gz",
        ".fts.gz",
        ".fits",
        ".fit",
        ".fts",
        ".fz",
    )
    defaults: ClassVar[Mapping[str, Any]] = {
        "hdu": None,
        "values": "auto",
        "dq_bits": None,
        "psf": None,
        "psf_fwhm": None,
        "psf_oversampling": 1,
    }

    def sniff(self, path: Path) -> int:
        """See `Domain.sniff`: the mandatory first card decides, also inside gzip."""
        from .magic import is_fits, magic

        return 3 if path.is_file() and is_fits(magic(path)) else 0

    def open(self, path: Path, options: Mapping[str, Any]) -> Scene:
        """See `Domain.open`."""
        unknown = sorted(set(options) - set(self.defaults))
        if unknown:
            raise UsageError(f"unknown astronomy option {unknown[0]!r}; known are {', '.join(self.defaults)}")
        if not path.is_file():
            raise FormatError(f"{path.name}: no such file; give a FITS file")
        try:
            from .scene import FitsScene
        except ImportError as error:
            raise PluginError(f"the astronomy domain needs {error.name}; pip install astropy scipy") from None
        return FitsScene(path, {**self.defaults, **options})

    def stem(self, path: Path) -> str:
        """See `Domain.stem`."""
        return _SUFFIX.sub("", path.name) or path.name

    def operator(self, scene: Scene, factor: Factor) -> Operator:
        """Pixel integration: the sum over new pixels for amounts, the mean for brightness."""
        return Area(factor, total=_fits(scene).values.value == "flux")

    def noise(self, scene: Scene) -> Noise | None:
        """See `Domain.noise`: the file's error map, or gain and unit where they agree with the image."""
        from .levels import find_noise

        return find_noise(_fits(scene))[0]

    def generator(self, scene: Scene) -> str:
        """See `Domain.generator`."""
        from .facts import PRIOR

        return PRIOR

    def normaliser(self, scene: Scene) -> Normaliser:
        """Sky at 0 and one noise sigma at 1, both per source pixel."""
        from .levels import measure

        sky = measure(_fits(scene))
        return AffineNormaliser((sky.gain,), (sky.level,))

    def write(self, scene: Scene, product: Product, folder: Path, names: Names) -> list[Path]:
        """See `Domain.write`."""
        from .writer import write_product

        return write_product(_fits(scene), product, folder, names)

    def render(self, scene: Scene, values: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Codes:
        """See `Domain.render`: asinh stretch, rows in storage order."""
        return grey(values[0], reference[0])

    def metrics(self, truth: npt.NDArray[np.float32], estimate: npt.NDArray[np.float32]) -> dict[str, float]:
        """See `Domain.metrics`: total flux and aperture photometry of the brightest sources of the truth."""
        return flux_scores(truth[0], estimate[0])


def _fits(scene: Scene) -> FitsScene:
    from .scene import FitsScene

    if not isinstance(scene, FitsScene):
        raise DomainError(f"astronomy was given a scene of {type(scene).__name__}; open the file with this domain")
    return scene
