"""``array.gensr``: super-resolution of a DataArray where it stands. Importing this module registers the accessor.

>>> import numpy as np
>>> array = xr.DataArray(np.eye(3), coords={"y": [1.0, 3.0, 5.0], "x": [0.0, 2.0, 4.0]}, dims=("y", "x"))
>>> array.gensr.grid.pixel_size
(2.0, 2.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from gensr.pipeline.api import upsample
from gensr.pipeline.request import Runtime
from gensr.scenes.labelled import labelled
from gensr.values.area import Numbers
from gensr.values.grid import PixelGrid

if TYPE_CHECKING:
    from gensr.search.presets import Preset
    from gensr.values.bands import Words


@xr.register_dataset_accessor("gensr")  # type: ignore[no-untyped-call]
@xr.register_dataarray_accessor("gensr")  # type: ignore[no-untyped-call]
class GensrAccessor:
    """What gensr can do with a DataArray, or a Dataset whose variables are bands."""

    def __init__(self, array: xr.DataArray | xr.Dataset) -> None:
        self._array = array

    @property
    def grid(self) -> PixelGrid:
        """The pixel grid of the array, from its CRS and its even coordinates."""
        return labelled(self._array).grid

    def upsample(
        self,
        factor: int | str | tuple[int, int] = 4,
        domain: str | None = None,
        generator: str | None = None,
        operator: str | None = None,
        noise: str | float | None = None,
        search: str | Preset = "balanced",
        samples: int = 1,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        batch: int | None = None,
        bands: Words | None = None,
        remote: bool = False,
        labels: str = "refuse",
        calibrate: str = "card",
        check: str = "auto",
        options: Mapping[str, Any] | None = None,
        runtime: Runtime | str = "local",
        srcwin: Numbers | None = None,
        bounds: Numbers | None = None,
        dims: str | Sequence[str] | None = None,
    ) -> xr.Dataset:
        """Posterior mean, standard deviation and samples on the refined grid.

        Args:
            factor: see `gensr.upsample`, as all others.
            domain: whose default generator is used.
            generator: see there.
            operator: see there.
            noise: see there.
            search: see there.
            samples: see there.
            seed: see there.
            device: see there.
            precision: see there.
            tile: see there.
            batch: see there.
            bands: see there.
            remote: see there.
            labels: see there.
            calibrate: see there.
            check: see there.
            options: see there.
            runtime: see there.
            srcwin: see there.
            bounds: see there.
            dims: see there; only where the names of the dimensions do not tell.

        Returns:
            See `gensr.pipeline.result.Result.to_xarray`.
        """
        result = upsample(
            self._array,
            factor=factor,
            domain=domain,
            generator=generator,
            operator=operator,
            noise=noise,
            search=search,
            samples=samples,
            seed=seed,
            device=device,
            precision=precision,
            tile=tile,
            batch=batch,
            bands=bands,
            remote=remote,
            labels=labels,
            calibrate=calibrate,
            check=check,
            options=options,
            runtime=runtime,
            srcwin=srcwin,
            bounds=bounds,
            dims=dims,
        )
        return result.to_xarray()
