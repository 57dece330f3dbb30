"""Write portraits in the format that came in, with profile, resolution, alpha and marks."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gensr.errors import OutputError, UsageError
from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.provenance import interpolated, repeated, software
from gensr.values.grid import Window
from gensr.values.precision import SINGLE

from . import deep, marks
from .looks import strip
from .opened import OpenedPhoto
from .photo import Codes, import_pillow

if TYPE_CHECKING:
    from PIL.Image import Exif
    from PIL.Image import Image as Picture

ROWS = 512
CLASSIC = (1 << 32) - (1 << 24)
"""Bytes of pixels that a TIFF with offsets of 32 bits holds."""
SIDE = 8
"""Pixels a side that a rehearsal writes."""
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif"}
SIDE_LIMITS = {"JPEG": 65500, "WEBP": 16383}
_LOSSLESS_TIFF = {"tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"}


@dataclass(frozen=True)
class Dress:
    """What is saved with the pixels.

    Attributes:
        icc: ICC profile, None if the input has none.
        dpi: dots per inch (x, y), None if the input states none.
        exif: EXIF of the output.
        packet: XMP of the output.
        text: the mark, one ASCII line.
    """

    icc: bytes | None
    dpi: tuple[float, float] | None
    exif: Exif
    packet: bytes
    text: str

    @property
    def options(self) -> dict[str, Any]:
        """Profile and resolution as Pillow's ``save`` takes them."""
        dpi: dict[str, Any] = {} if self.dpi is None else {"dpi": self.dpi}
        return {"icc_profile": self.icc, **dpi}


def write_product(scene: OpenedPhoto, product: Product, folder: Path, names: Names, suffix: str) -> list[Path]:
    """Write mean, samples and the standard deviation (float32 TIFF, one page per band).

    Raises:
        OutputError: if the format library cannot write a file.
    """
    rows, cols = scene.grid.shape[0] * product.factor[0], scene.grid.shape[1] * product.factor[1]
    windows = [Window(r, 0, min(ROWS, rows - r), cols) for r in range(0, rows, ROWS)]
    written = []
    try:
        means = (product.mean(0, w) for w in windows)
        written.append(_write(scene, product, means, folder / names.mean(suffix), _title(product)))
        if repeated(product.report) or interpolated(product.report):
            return written
        written.append(_write_std(scene, product, windows, folder / names.std(".tif")))
        for k in range(product.samples):
            sample = (product.sample(k, 0, w) for w in windows)
            path = folder / names.sample(k, suffix)
            written.append(_write(scene, product, sample, path, f"posterior sample {k + 1}"))
    except (ValueError, TypeError, OSError, struct.error) as error:
        raise OutputError(f"{scene.path.name}: the {scene.output_format} cannot be written ({error})") from error
    return written


def _title(product: Product) -> str:
    """What the first picture is."""
    if repeated(product.report):
        return "labels"
    return "interpolation" if interpolated(product.report) else "posterior mean"


def rehearse(scene: OpenedPhoto, product: Product, folder: Path, names: Names, suffix: str) -> None:
    """Write a few pixels with everything that is saved beside them, and read them back.

    Raises:
        OutputError: if the format library cannot write the file.
        UsageError: a caption below labels.
    """
    if repeated(product.report) and (words := scene.options["caption"]):
        raise UsageError(f"{scene.path.name}: caption={words}: labels are repeated and nothing is written into them")
    path = folder / names.mean(suffix)
    bands = len(scene.bands) + (scene.photo.alpha is not None)
    codes = np.zeros((SIDE, SIDE, bands), scene.dtype)
    try:
        codes = codes if bands > 1 else codes[..., 0]
        blank = codes if _is_deep(codes) else import_pillow().fromarray(np.ascontiguousarray(codes))
        _save(scene, product, blank, path, "posterior mean")
        with import_pillow().open(path) as image:
            image.load()
            if image.size != (SIDE, SIDE):
                raise OutputError(f"{scene.path}: the output would read back with {image.size} pixels")
    except (ValueError, TypeError, OSError, struct.error) as error:
        raise OutputError(f"{scene.path.name}: the {scene.output_format} cannot be written ({error})") from error


def _write(scene: OpenedPhoto, product: Product, parts: Iterable[Codes], path: Path, title: str) -> Path:
    if scene.photo.indices is None or not repeated(product.report) or scene.output_format not in ("PNG", "TIFF"):
        whole = _interleaved(scene, product, parts)
        image = whole if _is_deep(whole) else import_pillow().fromarray(whole)
        return _save(scene, product, image, path, title)
    fy, fx = product.factor
    picture = import_pillow().fromarray(scene.photo.indices.repeat(fy, 0).repeat(fx, 1))
    picture.putpalette(scene.photo.palette)  # the colours of classes stay what they are
    return _save(scene, product, picture, path, title)


def _is_deep(whole: Codes) -> bool:
    """Whether pixels are of a kind that Pillow cannot hold: more than one sample of 16 bits."""
    return whole.dtype == np.uint16 and whole.ndim == 3


def _save(scene: OpenedPhoto, product: Product, image: Picture | Codes, path: Path, title: str) -> Path:
    photo, text = scene.photo, marks.note(product, title)
    source = marks.source_type(product.report)
    size = (image.shape[0], image.shape[1]) if isinstance(image, np.ndarray) else (image.height, image.width)
    dress = Dress(
        photo.info.get("icc_profile"),
        marks.resolution(photo, product.factor),
        marks.exif_block(photo, product.factor, size, text),
        marks.xmp_packet(photo, text, source),
        text,
    )
    if isinstance(image, np.ndarray):
        if scene.output_format == "TIFF":
            old = photo.info.get("compression")
            deep.save_tiff(image, path, old in _LOSSLESS_TIFF, dress.icc, dress.dpi, dress.exif, dress.packet)
        else:
            beside = io.BytesIO()
            _save_png(scene, import_pillow().new("RGB", (1, 1)), beside, dress)
            deep.save_png(image, path, beside)
        return path
    save = {"PNG": _save_png, "JPEG": _save_jpeg, "WEBP": _save_webp, "TIFF": _save_tiff}[scene.output_format]
    save(scene, image, path, dress)
    return path


def _interleaved(scene: OpenedPhoto, product: Product, parts: Iterable[Codes]) -> Codes:
    """Lines (band, y, x) as what Pillow takes, alpha repeated onto the refined grid, the caption below; held once."""
    alpha, (fy, fx), bands = scene.photo.alpha, product.factor, len(scene.bands)
    (rows, cols), words = scene.grid.refine(product.factor).shape, scene.caption(interpolated(product.report))
    below = strip(words, cols)[..., None] if words else np.zeros((0, cols, 1), np.uint8)
    whole = np.empty((rows + len(below), cols, bands + (alpha is not None)), scene.dtype)
    whole[rows:] = below.astype(scene.dtype) * (scene.peak // 255)
    row = 0
    for part in parts:
        whole[row : row + part.shape[1], :, :bands] = np.moveaxis(part, 0, -1)
        row += part.shape[1]
    if alpha is not None:
        whole[:rows, :, bands] = alpha.repeat(fy, 0).repeat(fx, 1)
        whole[rows:, :, bands] = scene.peak
    return whole if whole.shape[-1] > 1 else whole[..., 0]


def _save_png(scene: OpenedPhoto, image: Picture, path: Path | io.BytesIO, dress: Dress) -> None:
    from PIL.PngImagePlugin import PngInfo

    info, photo = PngInfo(), scene.photo
    for chunk, data in _colour_chunks(photo.info):
        info.add(chunk, data)
    for key, value in photo.text.items():
        if key != "XML:com.adobe.xmp":
            name = {"Software": "Original Software", "Comment": "Original Comment"}.get(key, key)
            info.add_itxt(name, str(value))
    info.add_text("Software", software())
    info.add_text("Comment", dress.text)
    info.add_itxt("XML:com.adobe.xmp", dress.packet.decode("utf-8"))
    image.save(path, "PNG", pnginfo=info, exif=dress.exif, **dress.options)


def _colour_chunks(info: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Colour space chunks of a PNG without an ICC profile."""
    chunks = []
    if isinstance(info.get("srgb"), int):
        chunks.append((b"sRGB", bytes([info["srgb"]])))
    if isinstance(info.get("gamma"), float):
        chunks.append((b"gAMA", struct.pack(">I", round(info["gamma"] * 100000))))
    if isinstance(info.get("chromaticity"), tuple) and len(info["chromaticity"]) == 8:
        chunks.append((b"cHRM", struct.pack(">8I", *(round(c * 100000) for c in info["chromaticity"]))))
    return chunks


def _save_jpeg(scene: OpenedPhoto, image: Picture, path: Path, dress: Dress) -> None:
    old = scene.photo.info.get("comment", b"")
    old = old.encode("utf-8") if isinstance(old, str) else old
    comment = (old.rstrip(b"\0") + b"\n" if old else b"") + dress.text.encode("ascii")
    image.save(
        path,
        "JPEG",
        quality=100,
        subsampling="4:4:4",
        exif=dress.exif,
        xmp=dress.packet,
        comment=comment[-65000:],
        **dress.options,
    )


def _save_webp(scene: OpenedPhoto, image: Picture, path: Path, dress: Dress) -> None:
    image.save(path, "WEBP", lossless=True, exact=True, exif=dress.exif, xmp=dress.packet, icc_profile=dress.icc)


def _save_tiff(scene: OpenedPhoto, image: Picture, path: Path, dress: Dress) -> None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    for code in (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432):
        if code in dress.exif:
            tags[code] = str(dress.exif[code])
    tags[274] = 1
    if dress.dpi is None and 282 in dress.exif and 283 in dress.exif:
        tags[282], tags[283], tags[296] = float(dress.exif[282]), float(dress.exif[283]), 1
    tags[700] = dress.packet
    old = scene.photo.info.get("compression")
    compression = old if old in _LOSSLESS_TIFF else "tiff_adobe_deflate" if old == "jpeg" else None
    image.save(path, "TIFF", tiffinfo=tags, compression=compression, **dress.options)


def _write_std(scene: OpenedPhoto, product: Product, windows: Sequence[Window], path: Path) -> Path:
    """One page per band, line by line: the deviation of a large photo takes four times the memory of the photo."""
    import tifffile

    shape = scene.grid.refine(product.factor).shape
    text = f"pages: {', '.join(scene.bands)}; {marks.note(product, 'posterior standard deviation in codes')}"
    size = len(scene.bands) * shape[0] * shape[1] * SINGLE.itemsize
    with tifffile.TiffWriter(path, bigtiff=size > CLASSIC) as file:
        for band in range(len(scene.bands)):
            lines = (np.ascontiguousarray(product.std(0, window)[band], SINGLE) for window in windows)
            file.write(
                lines,
                shape=shape,
                dtype=SINGLE,
                rowsperstrip=ROWS,
                photometric="minisblack",
                description=text,
                software=software(),
                metadata=None,
            )
    return path
