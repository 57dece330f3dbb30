"""The astronomy domain: FITS in, FITS in the CCDData layout out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from gensr.errors import FormatError, PluginError, UsageError
from gensr.scenes.domain import Domain
from gensr.scenes.scene import Scene

from . import objects

_SUFFIX = re.compile(r"(?i)\.(fits|fit|fts)(\.gz|\.fz|\.bz2|\.xz|\.zip)?$|\.(fz|gz|bz2|xz|zip)$")


class Astronomy(Domain):
    """Telescope images and cubes.

    Options of `open`: ``hdu`` (index, ``NAME``, ``NAME,VERSION``, or ``all`` for every science image); ``values``
    (``auto``, ``flux`` or ``brightness``);
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
        ".fits.bz2",
        ".fits.xz",
        ".fits.zip",
        ".fits",
        ".fit",
        ".fts",
        ".fz",
    )
    prior: ClassVar[str] = "engression-astronomy"
    objects: ClassVar[tuple[str, ...]] = objects.KINDS
    defaults: ClassVar[Mapping[str, Any]] = {
        "hdu": None,
        "values": "auto",
        "dq_bits": None,
        "psf": None,
        "psf_fwhm": None,
        "psf_oversampling": 1,
    }

    def sniff(self, path: Path) -> int:
        """See `Domain.sniff`: the mandatory first card decides, also inside gzip, bzip2, xz and zip."""
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
            from .chips import open_all
            from .scene import FitsScene
        except ImportError as error:
            raise PluginError(f"the astronomy domain needs {error.name}; pip install astropy scipy") from None
        chosen = {**self.defaults, **options}
        if str(chosen["hdu"]).strip().lower() == "all":
            return open_all(path, chosen)
        return FitsScene(path, chosen)

    def stem(self, path: Path) -> str:
        """See `Domain.stem`."""
        return _SUFFIX.sub("", path.name) or path.name

    def knows(self, source: object) -> int:
        """See `Domain.knows`: everything of astropy."""
        return objects.knows(source)

    def lay_down(self, source: object, folder: Path) -> list[Path]:
        """See `Domain.lay_down`: CCDData, NDData, HDU, HDUList, Quantity."""
        return [objects.lay_down(source, folder)]

    def take_up(self, kind: str, paths: Sequence[Path]) -> object:
        """See `Domain.take_up`."""
        return objects.take_up(kind, paths)
