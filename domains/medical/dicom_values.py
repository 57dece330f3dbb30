"""Value attributes of an output: codes of a standard deviation, rescale slopes, byte order of tables, lossy history."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian

from gensr.values.precision import Real

from .dicom_files import quiet, transfer_syntax
from .dicom_geometry import groups, number
from .dicom_pixels import is_lossy

STD_PADDING = 65535
STD_LARGEST = 65534
_STD_DROPPED = (
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenterWidthExplanation",
    "PixelPaddingRangeLimit",
    "RealWorldValueMappingSequence",
)
_WORDS = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_GROUP_DROPPED = ("PixelValueTransformationSequence", "FrameVOILUTSequence", "RealWorldValueMappingSequence")


def copied(header: Dataset) -> Dataset:
    """A deep copy, quietly."""
    with quiet():
        return deepcopy(header)


def std_top(std: Real) -> float:
    """Largest finite standard deviation of a plane, 0 where there is none."""
    finite = std[np.isfinite(std)]
    return float(finite.max()) if finite.size else 0.0


def _slope(top: float) -> float:
    """Rescale slope so that ``top`` fits code 65534, as the decimal string will say it; 1 for an empty plane."""
    # The string is rounded to 16 characters: a hair of headroom keeps the top inside.
    return float(number(top / STD_LARGEST * (1 + 1e-9))) if top > 0 else 1.0


def std_codes(std: Real, top: float) -> npt.NDArray[np.uint16]:
    """Standard deviation as 16-bit codes ``std / slope``; NaN becomes the padding value 65535."""
    scaled = np.rint(np.nan_to_num(std.astype(np.float64)) / _slope(top))
    return np.where(np.isfinite(std), np.clip(scaled, 0, STD_LARGEST), STD_PADDING).astype("<u2")


def std_header(header: Dataset, top: float, unit: str) -> None:
    """Pixel module, rescale and window of a standard deviation series, in place."""
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    header.PhotometricInterpretation = "MONOCHROME2"
    if "PresentationLUTShape" in header:
        header.PresentationLUTShape = "IDENTITY"
    for keyword in _STD_DROPPED:
        if keyword in header:
            del header[keyword]
    header["PixelPaddingValue"] = DataElement(0x00280120, "US", STD_PADDING)
    width = top if top > 0 else 1.0
    holder, window = header, header
    if any(True for _ in groups(header)):
        for group in groups(header):
            for keyword in _GROUP_DROPPED:
                if keyword in group:
                    del group[keyword]
        if not header.get("SharedFunctionalGroupsSequence"):
            header.SharedFunctionalGroupsSequence = Sequence([Dataset()])
        shared = header.SharedFunctionalGroupsSequence[0]
        holder, window = Dataset(), Dataset()
        shared.PixelValueTransformationSequence = Sequence([holder])
        shared.FrameVOILUTSequence = Sequence([window])
    holder.RescaleSlope, holder.RescaleIntercept = number(_slope(top)), number(0.0)
    holder.RescaleType = unit[:16] or "US"
    window.WindowCenter, window.WindowWidth = number(width / 2), number(width)


def scale_slopes(header: Dataset, ratio: float) -> None:
    """Multiply every rescale slope of a multi-frame header, in place."""
    items = [i for g in groups(header) for i in g.get("PixelValueTransformationSequence") or []]
    for item in items or [header]:
        item.RescaleSlope = number(float(item.get("RescaleSlope") or 1.0) * ratio)


def finish(header: Dataset, source: Dataset) -> None:
    """What depends on how the source was stored: lossy history, and tables in big-endian words."""
    syntax = transfer_syntax(source)
    if is_lossy(source):
        header.LossyImageCompression = "01"
    if syntax == ExplicitVRBigEndian:
        header.walk(_swap_words)


def _swap_words(_: Dataset, element: DataElement) -> None:
    """Words in opaque elements (lookup tables) are bytes to pydicom, which does not turn them over."""
    size = _WORDS.get(str(element.VR))
    if size and isinstance(element.value, bytes) and len(element.value) % size == 0:
        element.value = np.frombuffer(element.value, f">u{size}").astype(f"<u{size}").tobytes()
