"""Writing NIfTI outputs: the header of the input on the refined grid, voxels streamed, a JSON sidecar beside each."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gensr.errors import OutputError
from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.provenance import repeated, sentence, software

from .nifti_header import RawHeader, comment_extension, parse, refined_header
from .options import NOTICE, check_factor
from .scene import Source, outputs, row_blocks

if TYPE_CHECKING:
    from .nifti_opened import OpenedNifti

_MEANING = {"mean": "posterior mean", "std": "posterior standard deviation (same unit as the image)"}


def rehearse(scene: OpenedNifti, product: Product, folder: Path, names: Names) -> None:
    """Write every output without its voxels, and read the header back.

    Raises:
        OutputError: it reads back otherwise than meant.
    """
    scale = scene.layout.scale(product.factor, product.slices)
    shape = tuple(n * s for n, s in zip(scene.layout.shape, scale, strict=True))
    meant = refined_header(scene.header, scale)
    for path in write(scene, product, folder, names, empty=True):
        if path.suffix == ".json":
            json.loads(path.read_text("ascii"))
            continue
        found = parse(path, compressed=False)
        if (*found.shape, 1)[:3] != shape or not np.array_equal(found.affine, meant.get_best_affine()):
            raise OutputError(f"{scene.label}: the output would read back as {found.shape}, or with another affine")


def write(scene: OpenedNifti, product: Product, folder: Path, names: Names, empty: bool = False) -> list[Path]:
    """Write every output of a NIfTI scene into ``folder``; see `gensr.scenes.domain.Domain.write`.

    Args:
        scene: the opened input.
        product: results on the refined grid.
        folder: of the files.
        names: of the files.
        empty: leave the voxels out: a hole that takes no disk.
    """
    slices = product.slices
    check_factor(product.factor, scene.options, slices)
    scale = scene.layout.scale(product.factor, slices)
    suffix = ".nii.gz" if scene.compressed and not empty else ".nii"
    written: list[Path] = []
    for kind, name, source in outputs(product, names, suffix):
        header = refined_header(scene.header, scale)
        if kind == "std":
            _make_std(header, scene.precision)
        old = bytes(header["descrip"].item())
        own = repeated(product.report)
        header["descrip"] = _cut(old, f"labels repeated x{names.factor}") if own else _descrip(old, names.factor, kind)
        target = folder / name
        _write_voxels(scene, header, product, None if empty else source, target, scale)
        sidecar = folder / (name[: -len(suffix)] + ".json")
        sidecar.write_text(_sidecar(scene, product, kind, header), "ascii")
        written += [target, sidecar]
    return written


def _make_std(header: RawHeader, precision: np.dtype[Any]) -> None:
    header.set_data_dtype(precision)
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["cal_min"] = header["cal_max"] = 0.0
    header["intent_code"] = 0
    header["intent_name"] = b"std"


def _descrip(old: bytes, factor: int | str, kind: str) -> bytes:
    """The old description, cut so that the label fits the 80-byte field with its final zero."""
    return _cut(old, f"[AI-SR x{factor} - NOT FOR DIAGNOSIS] gensr {kind}")


def _cut(old: bytes, text: str) -> bytes:
    label = text.encode("ascii")
    kept = old.rstrip(b"\0 ")[: 79 - len(label) - 2]
    return kept + b"; " + label if kept else label


def _write_voxels(
    scene: OpenedNifti,
    header: RawHeader,
    product: Product,
    source: Source | None,
    target: Path,
    scale: tuple[int, int, int],
) -> None:
    """Header, extensions and voxels; through an uncompressed file, so that memory stays that of a block."""
    order = header.endianness
    extensions = scene.header.extensions + comment_extension(_said(product), order)
    offset = int(header["sizeof_hdr"]) + 4 + len(extensions)
    header["vox_offset"] = offset
    plain = target.with_name(target.name.removesuffix(".gz"))
    dtype = header.get_data_dtype()
    shape = (*(n * s for n, s in zip(scene.layout.shape, scale, strict=True)), scene.layout.volumes)
    with plain.open("wb") as stream:
        stream.write(header.binaryblock + b"\1\0\0\0" + extensions)
        stream.truncate(offset + math.prod(shape) * dtype.itemsize)
    if source is None:
        return
    voxels = np.memmap(plain, dtype, "r+", offset, shape, "F")
    slices = scale[scene.layout.axis]
    for plane in range(scene.planes * slices):
        for window in row_blocks(scene.layout.plane_shape, product.factor):
            where = scene.layout.index(plane, window, scene.layout.slices * slices)
            voxels[where] = source(plane, window)[0].T
    voxels.flush()
    del voxels
    if plain != target:
        _compress(plain, target)


def _compress(plain: Path, target: Path) -> None:
    # No file name and no time in the gzip header: equal voxels give equal files.
    with plain.open("rb") as stream, target.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        shutil.copyfileobj(stream, packed, 1 << 20)
    os.remove(plain)


def _said(product: Product) -> str:
    words = sentence(product.report)
    return words if repeated(product.report) else f"{words}; {NOTICE}"


def _sidecar(scene: OpenedNifti, product: Product, kind: str, header: RawHeader) -> str:
    unit = scene.header.unit or "unit unknown"
    zooms = " x ".join(f"{float(z):.6g}" for z in header["pixdim"][1:4])
    own = repeated(product.report)
    done = "deblurred" if product.factor == (1, 1) else "super-resolved"
    meaning = f"{_MEANING.get(kind, f'posterior {kind}')} of a {done} image"
    made = "repeated" if own else "generated"
    content: dict[str, Any] = {
        "Description": "labels, each voxel repeated" if own else meaning,
        "Sources": [scene.label],
        "SpatialReference": "orig",
        "Resolution": f"voxels of {zooms} {unit}, {made} from {' x '.join(f'{z:.6g}' for z in scene.zooms)}",
        "GeneratedBy": [
            {"Name": "gensr", "Version": software().split()[-1], "Description": sentence(product.report)},
        ],
    }
    if not own:
        content |= {"SyntheticData": True, "Notice": NOTICE}
    return json.dumps(content, indent=2, ensure_ascii=True) + "\n"
