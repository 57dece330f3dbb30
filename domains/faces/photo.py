"""Open a photograph without trusting it: format, size and depth are settled before a pixel is decoded."""

from __future__ import annotations

import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError, PluginError
from gensr.scenes.decoding import DecodingError, decoded
from gensr.scenes.directories import check_directories

from . import unpack
from .deep import is_deep, read_deep, upright

INKS = "CMYK"
"""Mode of pictures in the colours of print, which become sRGB."""
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
MAGIC = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WEBP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
MAGIC |= {b"BM": "BMP", b"GIF87a": "GIF", b"GIF89a": "GIF"}
PIXEL_LIMIT = 89_478_485
"""Pillow's own limit for a picture that is no decompression bomb; a quarter of a gigabyte in RGB."""
ORIENTATION = 274
CAMERA, POSITION, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
DIRECTORIES = (CAMERA, POSITION, INTEROPERABILITY)
_GEO_TAGS = (33550, 33922, 34264, 34735)
_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "RGBX": "RGB", "I;16": "I;16", "I;16B": "I;16"}
_TRANSPOSED = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}

Codes = npt.NDArray[Any]


@dataclass(frozen=True)
class Photo:
    """A decoded photograph, turned upright.

    Attributes:
        path: the file.
        format: "PNG", "JPEG", "WEBP" or "TIFF".
        codes: (band, y, x), uint8 or uint16, without alpha.
        alpha: (y, x) of the depth of the codes, None if the picture is opaque.
        orientation: EXIF orientation that was undone, 1 if upright.
        mode: colour mode of the file.
        info: Pillow's ``info``: ICC profile, resolution, XMP, text.
        exif: EXIF tags of the picture.
        directories: nested EXIF directories (camera, position, interoperability) by their pointer tag.
        text: text chunks of a PNG.
        frames: number of pictures in the file.
        indices: (y, x) of a picture with a palette, None for others.
        palette: red, green, blue of every index.
    """

    path: Path
    format: str
    codes: Codes
    alpha: Codes | None
    orientation: int
    mode: str
    info: dict[str, Any]
    exif: dict[int, Any]
    directories: dict[int, dict[int, Any]]
    text: dict[str, str]
    frames: int
    indices: Codes | None = None
    palette: bytes = b""


_QUIET = logging.NullHandler()


def import_pillow() -> Any:  # noqa: ANN401
    """The format library.

    Raises:
        PluginError: if it is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise PluginError("faces need the package Pillow; pip install Pillow") from error
    # Of a file that it does not know Pillow says so on the terminal too, unless somebody listens.
    logging.getLogger("PIL").addHandler(_QUIET)
    return Image


def format_of(path: Path) -> str:
    """Format by the first bytes, "" if it is none of ours."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        head = stream.read(12)
    found = next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")
    return "" if found == "WEBP" and head[8:] != b"WEBP" else found


def size_of(path: Path) -> tuple[int, int] | None:
    """(rows, columns) before the orientation is undone, from the header alone; None if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with import_pillow().open(path, formats=FORMATS) as image:
                return int(image.height), int(image.width)
    # Whoever opens the file will say what is wrong with it.
    except Exception:
        return None


def is_plain_colour(path: Path) -> bool:
    """Whether a TIFF is one picture in colour of which nothing says that it is a micrograph or a map."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with import_pillow().open(path, formats=FORMATS) as image:
                tags, text = image.tag_v2, str(image.tag_v2.get(270, ""))
                special = "<OME" in text or text.startswith("ImageJ=") or any(code in tags for code in _GEO_TAGS)
                return image.mode in ("RGB", "RGBA") and int(image.n_frames) == 1 and not special
    # Whoever opens the file will say what is wrong with it.
    except Exception:
        return False


def read_photo(path: Path) -> Photo:
    """Decode a photograph.

    Raises:
        FormatError: not a photograph, damaged, unsafe, or a kind that is refused by name.
    """
    if not path.is_file():
        raise FormatError(f"{path}: no such file; give a PNG, JPEG, WebP or TIFF picture")
    if not format_of(path):
        raise FormatError(f"{path}: is not a PNG, JPEG, WebP, TIFF, BMP or GIF picture; convert it to PNG")
    check_directories(path)
    pillow = import_pillow()
    try:
        with warnings.catch_warnings():
            # Pillow warns about bombs and truncated headers: both are refused here.
            warnings.simplefilter("error")
            with pillow.open(path, formats=FORMATS) as image:
                _check(path, image)
                if is_deep(path, image):
                    return _deep(path, image)
                decoded(unpack.look, [str(path.absolute()), list(FORMATS)], 0)
                return _decode(path, image, pillow)
    except (FormatError, PluginError):
        raise
    except DecodingError as error:
        raise FormatError(f"{path}: damaged picture ({error}); get an intact copy") from error
    # A damaged picture surfaces in the library as almost any exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise FormatError(f"{path}: damaged picture ({type(error).__name__}: {reason}); get an intact copy") from error


def _check(path: Path, image: Any) -> None:  # noqa: ANN401
    if image.width * image.height > PIXEL_LIMIT:
        raise FormatError(
            f"{path}: has {image.width} x {image.height} pixels, limit {PIXEL_LIMIT}; crop the face first"
        )
    if image.width < 1 or image.height < 1:
        raise FormatError(f"{path}: is empty ({image.width} x {image.height}); get an intact copy")
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1 and image.format != "MPO":
        raise FormatError(f"{path}: holds {frames} pictures (animation or pages); save the one you want as PNG")
    if image.mode in ("YCCK", "LAB", "HSV"):
        raise FormatError(f"{path}: colour model {image.mode} is not supported; convert it to RGB (sRGB)")
    if image.mode == "1":
        raise FormatError(f"{path}: is black and white (1 bit); convert it to 8-bit grey")
    if image.format == "TIFF" and any(code in image.tag_v2 for code in _GEO_TAGS):
        raise FormatError(f"{path}: is georeferenced; use domain=satellite")
    if image.mode not in (*_MODES, "P", "PA", INKS):
        raise FormatError(
            f"{path}: samples of mode {image.mode} are not supported; convert to 8-bit RGB or 16-bit grey"
        )


def _directories(tags: Any) -> dict[int, dict[int, Any]]:  # noqa: ANN401
    """Directories of EXIF; that of interoperability hangs on the camera's, where cameras wrote one."""
    found = {code: dict(tags.get_ifd(code)) for code in (CAMERA, POSITION) if code in tags}
    if INTEROPERABILITY in found.get(CAMERA, {}):
        found[INTEROPERABILITY] = dict(tags.get_ifd(INTEROPERABILITY))
    return found


def _decode(path: Path, image: Any, pillow: Any) -> Photo:  # noqa: ANN401
    tags, info, mode = image.getexif(), dict(image.info), str(image.mode)
    exif = dict(tags.items())
    directories = _directories(tags)
    image.load()
    text = dict(getattr(image, "text", {})) if image.format == "PNG" else {}
    indexed = image.mode == "P" and not image.has_transparency_data
    indices = np.asarray(image).copy() if indexed else None
    palette = bytes(image.getpalette("RGB")) if indexed else b""
    plain = _screened(image, info) if mode == INKS else _plain(image)
    orientation = int(exif.get(ORIENTATION, 1) or 1)
    # Pillow turns TIFF upright while it loads and drops the tag; other formats are left to us.
    if orientation in _TRANSPOSED and image.getexif().get(ORIENTATION) == orientation:
        plain = plain.transpose(getattr(pillow.Transpose, _TRANSPOSED[orientation]))
    pixels = np.asarray(plain)
    alpha = None
    if plain.mode in ("LA", "RGBA"):
        pixels, alpha = pixels[..., :-1], np.ascontiguousarray(pixels[..., -1])
    codes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    codes = np.ascontiguousarray(codes, codes.dtype.newbyteorder("="))
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    frames = int(getattr(image, "n_frames", 1))
    orientation = orientation if orientation in _TRANSPOSED else 1
    indices = indices if orientation == 1 else None
    return Photo(path, kind, codes, alpha, orientation, mode, info, exif, directories, text, frames, indices, palette)


def _deep(path: Path, image: Any) -> Photo:  # noqa: ANN401
    """A photograph of 16 bits in colour: pixels by another library, what is beside them by Pillow."""
    tags, info, mode = image.getexif(), dict(image.info), f"{image.mode}, 16 bits"
    exif, directories = dict(tags.items()), _directories(tags)
    orientation = int(exif.get(ORIENTATION, 1) or 1)
    orientation = orientation if orientation in _TRANSPOSED else 1
    pixels = upright(read_deep(path, image), orientation)
    text = {}
    if image.format == "PNG":
        image.load()  # text may stand behind the pixels
        text = dict(getattr(image, "text", {}))
    opaque = pixels.shape[-1] in (1, 3)
    alpha = None if opaque else np.ascontiguousarray(pixels[..., -1])
    codes = np.ascontiguousarray(np.moveaxis(pixels if opaque else pixels[..., :-1], -1, 0))
    return Photo(path, str(image.format), codes, alpha, orientation, mode, info, exif, directories, text, 1)


def _screened(image: Any, info: dict[str, Any]) -> Any:  # noqa: ANN401
    """A picture in the colours of print as sRGB, by its own profile where that can be used; the profile goes."""
    from PIL import ImageCms

    profile = info.pop("icc_profile", None)
    try:
        if profile:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            done = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if done is not None:
                return done
    except (ImageCms.PyCMSError, OSError):
        info["icc_damaged"] = True  # said among what is not carried
    return image.convert("RGB")


def _plain(image: Any) -> Any:  # noqa: ANN401
    """Palette and colour-key pictures become true colour; the palette of a refined picture would need new colours."""
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("L", "RGB") and image.has_transparency_data:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    return image.convert("RGB") if image.mode == "RGBX" else image
