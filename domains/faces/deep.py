"""Colour of 16 bits, which Pillow reduces to 8: PNG through imagecodecs, TIFF through tifffile."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError, PluginError
from gensr.scenes.decoding import DecodingError, decoded

from . import unpack

Codes = npt.NDArray[Any]

INSTALL = "pip install 'gensr[codecs]'"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
OWN = (b"IHDR", b"IDAT", b"IEND")
"""Chunks of the pixels; all others dress them."""
TEXTS = (269, 271, 272, 285, 306, 315, 316, 33432)
"""TIFF tags of text that are kept."""
XMP, ORIENTATION, DESCRIPTION, SOFTWARE = 700, 274, 270, 305
X_RESOLUTION, Y_RESOLUTION = 282, 283
CLASSIC = (1 << 32) - (1 << 24)
"""Bytes of pixels that a TIFF with offsets of 32 bits holds."""


def is_deep(path: Path, image: Any) -> bool:  # noqa: ANN401
    """Whether a picture that Pillow opened has colour, or grey with alpha, of 16 bits.

    Raises:
        FormatError: of a kind that is refused.
    """
    if image.format == "PNG":
        with path.open("rb") as stream:
            depth, colour = struct.unpack("BB", stream.read(26)[24:26])
        if depth == 16 and "transparency" in image.info and colour != 0:
            raise FormatError(
                f"{path}: 16-bit colour PNG with one transparent colour is not supported; give it an alpha channel"
            )
        return bool(depth == 16 and colour != 0)
    if image.format != "TIFF":
        return False
    tags = image.tag_v2
    bits, samples = set(tags.get(258, (1,))), int(tags.get(277, 1))
    if max(bits) <= 8 or samples == 1:
        return False
    kinds = tags.get(339, (1,))
    extra = tags.get(338, ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    plain = bits == {16} and set(kinds if isinstance(kinds, tuple) else (kinds,)) == {1}
    if not plain or samples not in (3, 4) or tags.get(262) != 2 or 1 in extra:
        raise FormatError(
            f"{path}: a TIFF of {samples} samples of {max(bits)} bits is read only as RGB of 16 bits, with or without "
            "an alpha channel that is not multiplied in; convert it to that"
        )
    return True


def read_deep(path: Path, image: Any) -> Codes:  # noqa: ANN401
    """Pixels (y, x, sample) as uint16, decoded in the child process.

    Raises:
        DecodingError: damaged.
        PluginError: imagecodecs is not installed.
    """
    most = image.width * image.height * 8
    if image.format == "TIFF":
        found, _ = decoded(unpack.deep_tiff, [str(path.absolute())], most)
        return found
    _codecs(path)
    found, _ = decoded(unpack.deep_png, [str(path.absolute())], most)
    if found.shape[:2] != (image.height, image.width) or found.dtype != np.uint16:
        raise DecodingError("size", f"decodes to {found.shape} {found.dtype}, its header says otherwise")
    return found


def _codecs(path: Path) -> Any:  # noqa: ANN401
    try:
        import imagecodecs
    except ImportError as error:
        raise PluginError(f"{path.name}: 16-bit colour PNG needs imagecodecs; {INSTALL}") from error
    return imagecodecs


def upright(pixels: Codes, orientation: int) -> Codes:
    """Pixels (y, x, ...) with an EXIF orientation undone."""
    turns: dict[int, Callable[[Codes], Codes]] = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, 1),
    }
    return turns[orientation](pixels) if orientation in turns else pixels


def save_png(whole: Codes, path: Path, dressed: io.BytesIO) -> None:
    """Write a PNG of 16 bits a sample.

    Args:
        whole: (y, x, 2 to 4), uint16.
        path: of the file.
        dressed: a small PNG with everything that is saved beside the pixels.
    """
    pixels = chunks(bytes(_codecs(path).png_encode(np.ascontiguousarray(whole))))
    dress = [chunk for kind, chunk in chunks(dressed.getvalue()) if kind not in OWN]
    with path.open("wb") as stream:
        stream.write(SIGNATURE)
        for kind, chunk in pixels:
            stream.write(chunk)
            if kind == b"IHDR":
                stream.writelines(dress)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Chunks of a PNG that we wrote: kind, and all bytes of each."""
    found, place = [], len(SIGNATURE)
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        end = place + length + 12
        found.append((data[place + 4 : place + 8], data[place:end]))
        place = end
    return found


def save_tiff(whole: Codes, path: Path, packed: bool, icc: bytes | None, dpi: Any, exif: Any, packet: bytes) -> None:  # noqa: ANN401
    """Write a TIFF of 16 bits a sample.

    Args:
        whole: (y, x, 3 or 4), uint16.
        path: of the file.
        packed: whether pixels are compressed, as those of the input were.
        icc: colour profile.
        dpi: dots per inch (x, y); None takes the resolution of ``exif``, which is in no unit.
        exif: EXIF of the output, of which text is kept.
        packet: XMP.
    """
    import tifffile

    extra = [(ORIENTATION, "H", 1, 1, True), (XMP, "B", len(packet), packet, True)]
    for code in TEXTS:
        if code in exif:
            text = str(exif[code]).encode("ascii", "replace").rstrip(b"\0")
            extra.append((code, "s", 0, text, True))
    resolution: dict[str, Any] = {}
    if dpi is not None:
        resolution = {"resolution": dpi, "resolutionunit": "INCH"}
    elif X_RESOLUTION in exif and Y_RESOLUTION in exif:
        resolution = {"resolution": (float(exif[X_RESOLUTION]), float(exif[Y_RESOLUTION])), "resolutionunit": "NONE"}
    tifffile.imwrite(
        path,
        np.ascontiguousarray(whole),
        bigtiff=whole.nbytes > CLASSIC,
        photometric="rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if whole.shape[-1] == 4 else None,
        compression="adobe_deflate" if packed else None,
        iccprofile=icc,
        description=str(exif[DESCRIPTION]).encode("ascii", "replace"),
        software=str(exif[SOFTWARE]),
        metadata=None,
        extratags=extra,
        **resolution,
    )
