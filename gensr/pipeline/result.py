"""Results: the stored product that domains write, and what the library hands back."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gensr.errors import UsageError
from gensr.pipeline.origin import Origin
from gensr.pipeline.request import parse_factor
from gensr.pipeline.store import MEAN, STD, Store, result_names, sample_name
from gensr.scenes.product import Codes
from gensr.scenes.provenance import repeated
from gensr.values.grid import Factor, PixelGrid, Window
from gensr.values.precision import Real

if TYPE_CHECKING:
    import xarray as xr

IN_MEMORY = 1 << 30
"""Results up to this many bytes are handed back as arrays; larger ones only as files."""
BESIDE_FILES = 1 << 28
"""The same where files were written anyway."""


@dataclass(frozen=True)
class StoredProduct:
    """A `gensr.scenes.product.Product` over a finished store."""

    store: Store
    factor: Factor
    samples: int
    report: Mapping[str, Any]
    slices: int = 1

    def mean(self, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.mean`."""
        return self.store.rasters[MEAN].read(plane, window)

    def sample(self, index: int, plane: int, window: Window) -> Codes:
        """See `gensr.scenes.product.Product.sample`."""
        if not 0 <= index < self.samples:
            raise UsageError(f"sample {index} of {self.samples}")
        return self.store.rasters[sample_name(index)].read(plane, window)

    def std(self, plane: int, window: Window) -> Real:
        """See `gensr.scenes.product.Product.std`."""
        return self.store.rasters[STD].read(plane, window)


@dataclass(frozen=True, eq=False)
class Result:
    """A posterior on the refined grid.

    Attributes:
        report: what was done and how well the data are explained.
        files: what was written, empty without ``output``.
        grid: the refined grid.
        bands: band names.
        unit: unit of the values.
        preview: PNG bytes of the panel input, Lanczos, mean, std, residual, sample.
        lazy: arrays with labels of an input of Dask; they, ``mean``, ``std`` and ``samples`` are computed when they are
            asked for, and the report knows no residual.
        origin: how to open the input again, which knows the format that `to_ccddata` and its relatives write.
    """

    report: Mapping[str, Any]
    files: list[Path]
    grid: PixelGrid
    bands: tuple[str, ...]
    unit: str
    preview: bytes
    arrays: Mapping[str, npt.NDArray[Any]] = field(repr=False)
    origin: Origin | None = field(default=None, repr=False)
    lazy: xr.Dataset | None = field(default=None, repr=False)

    def _array(self, name: str) -> npt.NDArray[Any]:
        if name not in self.arrays and name != MEAN and repeated(self.report):
            raise UsageError("labels are repeated: there is no deviation and no sample; .mean holds them")
        if name not in self.arrays:
            why = "finished by an earlier run, or too large to be handed back as an array"
            raise UsageError(f"the result was {why}; open the files in .files")
        return self.arrays[name]

    @property
    def mean(self) -> npt.NDArray[Any]:
        """Posterior mean (plane, band, y, x) as stored codes, squeezed to the dimensions of the input."""
        return self._array(MEAN)

    @property
    def std(self) -> Real:
        """Posterior standard deviation, physical units, NaN where invalid; shape of ``mean``."""
        return self._array(STD)

    @property
    def samples(self) -> list[npt.NDArray[Any]]:
        """Posterior samples, each like ``mean``."""
        return [self._array(sample_name(k)) for k in range(int(self.report["samples"]))]

    def to_xarray(self) -> xr.Dataset:
        """Results with coordinates of refined pixel centres and the CRS, as ``to_netcdf`` and ``to_zarr`` take them.

        Returns:
            ``mean``, ``std`` and ``sample1``..., with the dimensions, attributes and nodata of a DataArray that came
            in; a Dataset of bands keeps their names, beside ``NAME_std`` and so on. The attribute ``report`` is JSON.
        """
        from gensr.scenes.provenance import as_json
        from gensr.scenes.relabel import relabelled, unlabelled

        if self.lazy is not None:
            return self.lazy
        arrays = {MEAN: self._array(MEAN)} | ({} if repeated(self.report) else {STD: self._array(STD)})
        arrays |= {f"sample{k + 1}": array for k, array in enumerate(self.samples)}
        if self.origin is not None and self.origin.labels is not None:
            factor = parse_factor(self.report["factor"])
            made = relabelled(self.origin.labels, arrays, factor, self.origin.window)
        else:
            dims = None if self.origin is None else self.origin.dims
            made = unlabelled(arrays, self.grid, self.bands, self.unit, dims)
        return made.assign_attrs(gensr=self.report["mark"], report=as_json(self.report))

    def to_ccddata(self) -> Any:  # noqa: ANN401
        """The mean as an ``astropy.nddata.CCDData``: unit, refined WCS, mask, deviation as uncertainty, all cards.

        Raises:
            UsageError: the input was no FITS image, or the result is too large to be held.
        """
        return self._object("ccddata")

    def to_hdulist(self) -> Any:  # noqa: ANN401
        """The mean as an ``astropy.io.fits.HDUList``, as ``output=`` writes it.

        Raises:
            UsageError: see `to_ccddata`.
        """
        return self._object("hdulist")

    def to_nibabel(self) -> Any:  # noqa: ANN401
        """The mean as an image of nibabel, with the header and the refined affine that ``output=`` writes.

        Raises:
            UsageError: the input was no NIfTI, or the result is too large to be held.
        """
        return self._object("nibabel")

    def to_pydicom(self) -> Any:  # noqa: ANN401
        """The mean as a ``pydicom.Dataset``, or a list of them for a series, as ``output=`` writes it.

        Raises:
            UsageError: the input was no DICOM, or the result is too large to be held.
        """
        return self._object("pydicom")

    def _object(self, kind: str) -> object:
        if self.origin is None:
            raise UsageError(f"to_{kind}() needs the input, which this result does not know any more")
        arrays = {name: self._array(name) for name in ((MEAN,) if repeated(self.report) else (MEAN, STD))}
        return self.origin.made(kind, arrays, self.report)

    def save(self, path: str | Path) -> Path:
        """Write mean, std and samples with the report as one ``.npz``; files of a domain come from ``output=``.

        Raises:
            UsageError: if the name does not end with ``.npz``.
        """
        from gensr.scenes.provenance import as_json

        target = Path(path)
        if target.suffix != ".npz":
            raise UsageError(f"{target}: save() writes .npz; for the input's own format pass output= to upsample()")
        buffer = io.BytesIO()
        stored: dict[str, Any] = {"report": np.array(as_json(self.report)), **self.arrays}
        np.savez_compressed(buffer, **stored)
        partial = target.with_name(f".{target.name}.partial")
        partial.write_bytes(buffer.getvalue())
        partial.replace(target)
        return target

    def _repr_png_(self) -> bytes | None:
        return self.preview or None

    def __repr__(self) -> str:
        fit = "not computed" if self.lazy is not None else f"residual rms {self.report['consistency']['rms']:.3g}"
        rows, cols = self.grid.shape
        if repeated(self.report):
            return (
                f"<gensr.Result {cols} x {rows}, {len(self.bands)} band(s), x{self.report['factor']}, labels repeated>"
            )
        return (
            f"<gensr.Result {cols} x {rows}, {len(self.bands)} band(s), x{self.report['factor']} by "
            f"{self.report['generator']['name']}, {fit}, generated detail>"
        )


def load_arrays(
    store: Store, samples: int, hand: Callable[[Codes, npt.NDArray[np.bool_]], Codes], beside_files: bool
) -> dict[str, npt.NDArray[Any]]:
    """Read all results into memory, or nothing if they are too large.

    Args:
        store: a finished store.
        samples: posterior samples in it.
        hand: see `gensr.scenes.scene.Scene.hand`.
        beside_files: whether the result was asked for as files, and arrays are a convenience.
    """
    limit = BESIDE_FILES if beside_files else IN_MEMORY
    results = {name: store.rasters[name] for name in result_names(samples)}
    if sum(int(np.prod(r.shape)) * r.dtype.itemsize for r in results.values()) > limit:
        return {}
    whole = {}
    for name, raster in results.items():
        window = Window(0, 0, *raster.shape[2:])
        whole[name] = np.stack([raster.read(p, window) for p in range(raster.shape[0])])
    valid = np.isfinite(whole[STD])
    return {name: hand(array, valid) for name, array in whole.items()}
