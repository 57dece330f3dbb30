"""Before anything is computed: headers of the outputs are written and read back, pixels are holes that take no disk."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from gensr.errors import GensrError, OutputError
from gensr.scenes.names import Names
from gensr.scenes.product import Product

from .calibration import Calibration, read_calibration
from .container import Container, import_tifffile, open_container
from .layers import Layer, layers, output_kind
from .opened import OpenedMicrograph
from .writer import common_tags, write_layer

SIDE = 8
NEAR = 1e-6


def rehearse(scene: OpenedMicrograph, product: Product, folder: Path, names: Names, suffix: str) -> None:
    """Write the headers of every file of the output set and read them back; compress a few pixels.

    Raises:
        OutputError: a file cannot be written, or does not read back as meant.
    """
    for layer in layers(scene, product, folder, names, suffix):
        write_layer(scene, product, layer, empty=True)
        try:
            container = open_container(layer.path, None)
            try:
                wrong = _differences(scene, product, layer, container)
            finally:
                container.tif.close()
        except GensrError as error:
            raise OutputError(f"{scene.path}: the output would not be readable ({error})") from error
        if wrong:
            raise OutputError(f"{scene.path}: the output would read back with another {', '.join(wrong)}")
        layer.path.unlink()
        if output_kind(scene) != "imagej":
            _compress(scene, layer)


def _differences(scene: OpenedMicrograph, product: Product, layer: Layer, container: Container) -> list[str]:
    """Names of what a written header says otherwise than meant."""
    rows, cols = scene.grid.refine(product.factor).shape
    sizes = dict(zip(container.series.axes, container.series.shape, strict=True))
    planes = math.prod(int(n) for axis, n in sizes.items() if axis not in "YX")
    meant = {
        "kind": container.kind == output_kind(scene),
        "shape": (planes, sizes.get("Y", 1), sizes.get("X", 1)) == (scene.planes, rows, cols),
        "sample type": np.dtype(container.key.dtype).name == layer.dtype.name,
        "byte order": container.tif.byteorder == scene.container.tif.byteorder,
        "pixel size": _scaled(scene.calibration, read_calibration(container), product.factor),
    }
    return [name for name, good in meant.items() if not good]


def _scaled(old: Calibration, new: Calibration, factor: tuple[int, int]) -> bool:
    pairs = ((old.x, new.x, factor[1]), (old.y, new.y, factor[0]), (old.z, new.z, 1), (old.interval, new.interval, 1))
    return all(
        (a is None) == (b is None) and (a is None or math.isclose(a / f, b or 0, rel_tol=NEAR)) for a, b, f in pairs
    )


def _compress(scene: OpenedMicrograph, layer: Layer) -> None:
    """Write a few pixels in the compression of the output, whose codec may be missing.

    Raises:
        OutputError: it is.
    """
    shape: tuple[int, ...] = (SIDE, SIDE)
    if scene.reader.samples > 1:
        shape = (scene.reader.samples, *shape) if scene.reader.separate else (*shape, scene.reader.samples)
    common = common_tags(scene, layer, None)
    try:
        # ome=False: a UUID of the library asks the system for the address of its network card
        import_tifffile().imwrite(layer.path, np.zeros(shape, common.pop("dtype")), ome=False, **common)
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise OutputError(f"{scene.path}: its compression cannot be written ({error}); save it uncompressed") from error
