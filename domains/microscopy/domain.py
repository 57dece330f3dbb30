"""The microscopy domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from gensr.errors import FormatError, GensrError, PluginError, UsageError
from gensr.scenes import stores
from gensr.scenes.domain import Domain
from gensr.scenes.scene import Scene

from .container import GEO_TAGS, NODATA_TAG, SUFFIXES, import_tifffile, is_tiff, open_container, suffix_of
from .ngff import is_ome
from .scene import MicroscopyScene

ZARR = (".ome.zarr.zip", ".zarr.zip", ".ome.zarr", ".zarr", ".ozx")
_CHOICES = {
    "container": ("same", "ome", "zarr"),
    "positions": ("pixel-centre", "keep"),
}


class Microscopy(Domain):
    """Fluorescence, bright-field and electron micrographs in TIFF and OME-Zarr.

    Options of `open`:
        bands: which channels of a TIFF, see `gensr.values.bands`; None for all.
        series: number of the image in a file that holds several; None if it holds one.
        container: "same" kind of file as the input, "ome" for OME-TIFF, or "zarr" for OME-Zarr 0.5.
        psf: "own" undoes a Gaussian of the width that aperture and wavelength in OME imply; None only the pixels.
        psf_fwhm: the width as measured on beads, pixel included: source pixels (2.1) or a length (0.25um).
        positions: OME stage positions belong to the "pixel-centre" of the first pixel and move, or "keep" them.
    """

    name: ClassVar[str] = "microscopy"
    description: ClassVar[str] = "OME-TIFF, OME-Zarr, ImageJ hyperstacks and TIFF, plane by plane"
    suffixes: ClassVar[tuple[str, ...]] = (*ZARR, *SUFFIXES)
    prior: ClassVar[str] = "engression-field"
    stand_in: ClassVar[str] = "gaussian-microscopy"
    takes_arrays: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, Any]] = {
        "bands": None,
        "series": None,
        "container": "same",
        "positions": "pixel-centre",
        "psf": None,
        "psf_fwhm": None,
    }

    def sniff(self, path: Path) -> int:
        """See `Domain.sniff`: OME and ImageJ 3, other TIFF 2, georeferenced TIFF and other Zarr 0."""
        if stores.looks_like(path):
            return 3 if is_ome(path) else 0
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

    def expand(self, folder: Path) -> list[Path]:
        """An OME-Zarr folder is one input, and so is each that lies in a folder."""
        if stores.looks_like(folder):
            return [folder] if self.sniff(folder) else []
        return [p for p in sorted(folder.iterdir()) if (p.is_file() or p.is_dir()) and self.sniff(p) > 0]

    def open(self, path: Path, options: Mapping[str, Any]) -> Scene:
        """See `Domain.open`."""
        chosen = self._checked(options)
        if path.is_dir() or path.name.lower().endswith(ZARR):
            from .zarr_scene import open_zarr

            return open_zarr(path, chosen)
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
        zarr = next((e for e in ZARR if path.name.lower().endswith(e) and len(path.name) > len(e)), "")
        suffix = zarr or suffix_of(path)
        return path.name[: -len(suffix)] if suffix else path.stem

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
