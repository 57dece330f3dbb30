"""Reading DICOM headers from files that nobody vouches for, and refusing by name what is no plain intensity image."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from gensr.errors import FormatError, GensrError
from gensr.values.limits import expands, within

from .detect import bare_dataset, dicom_files, scrubbed, words
from .dicom_private import images_in_mosaic

_PATIENT = ("PatientName", "PatientID", "OtherPatientNames", "OtherPatientIDs", "PatientBirthName")
_KINDS = {  # SOP class suffix or prefix to what it is and what to do
    "1.2.840.10008.5.1.4.1.1.66.4": "a Segmentation (SEG): give the images it is of, or its labels as NIfTI",
    "1.2.840.10008.5.1.4.1.1.66.7": "a Label Map Segmentation (SEG): give the images it is of, or its labels as NIfTI",
    "1.2.840.10008.5.1.4.1.1.481.2": "an RT Dose (RTDOSE): dose is computed on its own grid, recompute it there",
    "1.2.840.10008.5.1.4.1.1.481.3": "an RT Structure Set (RTSTRUCT): it holds contours, no pixels",
    "1.2.840.10008.5.1.4.1.1.481.5": "an RT Plan (RTPLAN): it holds no pixels",
    "1.2.840.10008.5.1.4.1.1.30": "a Parametric Map: it holds derived quantities; give the source images",
    "1.2.840.10008.1.3.10": "a DICOMDIR index: give the folder of one series",
    "1.2.840.10008.5.1.4.1.1.6.2": "an Enhanced US Volume: its geometry is not patient based; export slices",
}
_FAMILIES = {
    "1.2.840.10008.5.1.4.1.1.11.": "a Presentation State (PR): it describes display; give the images it refers to",
    "1.2.840.10008.5.1.4.1.1.88.": "a Structured Report or Key Object (SR, KO): it holds no pixels",
    "1.2.840.10008.5.1.4.1.1.77.": "a Visible Light image: use the microscopy or faces domain on an export of it",
    "1.2.840.10008.5.1.4.1.1.9.": "a Waveform: it holds no pixels",
    "1.2.840.10008.5.1.4.1.1.66": "raw data, a registration or a fiducial set: it holds no image",
    "1.2.840.10008.5.1.4.1.1.104.": "an Encapsulated Document: it holds no image",
}
T = TypeVar("T")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom on value lapses of the source: its warnings and log lines quote values, so personal data."""
    log = logging.getLogger("pydicom")
    log.addFilter(_nothing := _Nothing())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\..*")
            yield
    finally:
        log.removeFilter(_nothing)


class _Nothing(logging.Filter):
    """Lets no record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        return False


def guarded(name: str, doing: str, action: Callable[[], T]) -> T:
    """Run a pydicom call on hostile input; every failure becomes one `FormatError` that quotes no value.

    pydicom raises almost any exception on damaged files, and its messages repeat element values.
    """
    try:
        with quiet():
            return action()
    except GensrError:
        raise
    except Exception as error:
        raise FormatError(
            f"{name}: {doing} failed ({type(error).__name__}); the file is damaged or truncated, export it again"
        ) from error


def read_header(path: Path, name: str) -> tuple[Dataset, int]:
    """Everything but the pixels, and the file position where the pixel data element begins.

    Raises:
        FormatError: unreadable, damaged or a bomb.
    """

    def action() -> tuple[Dataset, int]:
        with path.open("rb") as stream:
            head = stream.read(1024)
            stream.seek(0)
            force = head[128:132] != b"DICM"
            if force and not bare_dataset(head):
                raise FormatError(f"{name}: no DICOM preamble and no plausible first element; this is not DICOM")
            if not force:
                _check_deflated(path, name)
            header = pydicom.dcmread(stream, stop_before_pixels=True, force=force)
            return header, stream.tell()

    header, position = guarded(name, "reading the DICOM header", action)
    return header, position


def _check_deflated(path: Path, name: str) -> None:
    """Inflate a deflated data set block by block, so that a bomb is refused before pydicom inflates it whole."""
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    packed, inflater, size = path.stat().st_size, zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as stream:
        stream.seek(144 + int(meta.FileMetaInformationGroupLength))
        rest = stream.read(1 << 20)
        while rest and not inflater.eof:
            size += len(inflater.decompress(rest, 1 << 24))
            within("inflated", size, name)
            expands("its data set", packed, size, name)
            rest = inflater.unconsumed_tail or stream.read(1 << 20)


def transfer_syntax(header: Dataset) -> UID:
    """Transfer syntax of a header, from the file meta or, without it, from how it was read."""
    meta = getattr(header, "file_meta", None) or FileMetaDataset()
    found = meta.get("TransferSyntaxUID")
    if found:
        return UID(str(found))
    implicit, little = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def refuse_by_name(header: Dataset, name: str) -> None:
    """Refuse objects that are no intensity image.

    Raises:
        FormatError: names the kind of object.
    """
    meta = getattr(header, "file_meta", None) or FileMetaDataset()
    uid = str(header.get("SOPClassUID", "") or meta.get("MediaStorageSOPClassUID", "") or "")
    modality = str(header.get("Modality", "") or "")
    reason = _KINDS.get(uid) or next((text for start, text in _FAMILIES.items() if uid.startswith(start)), None)
    for code in ("SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "PR", "SR", "KO"):
        if reason is None and modality == code:
            reason = f"of modality {code}, which is no intensity image"
    if reason is None:
        reason = _refused_image_type(header)
    if reason:
        raise FormatError(f"{name}: is {reason}")
    if not uid or not header.get("SOPInstanceUID"):
        raise FormatError(f"{name}: no SOP Class or Instance UID; this is not a DICOM image, export it again")
    if "ConcatenationUID" in header:
        raise FormatError(f"{name}: is one part of a concatenation; join the parts into one object first")


def _refused_image_type(header: Dataset) -> str | None:
    kinds = {str(v).upper() for v in _texts(header.get("ImageType"))}
    tiled = images_in_mosaic(header)
    if kinds & {"MOSAIC", "VFRAME"} or tiled > 1:
        maker, count = (
            "UIH mosaic (VFRAME)" if "VFRAME" in kinds else "Siemens MOSAIC",
            f"{tiled}" if tiled > 1 else "many",
        )
        return f"a {maker}: {count} slices tiled in one picture; split it first, for example with dcm2niix"
    if "LOCALIZER" in kinds or "SCOUT" in kinds:
        return "a localiser: it only plans the scan; give the diagnostic series"
    return None


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    return [str(v) for v in value] if isinstance(value, MultiValue | list) else [str(value)]


def identifying_words(header: Dataset) -> frozenset[str]:
    """Words of the patient's names and numbers."""
    return words(*(header.get(key) for key in _PATIENT))


def safe_name(path: Path) -> str:
    """Name of a DICOM file or folder for messages and outputs, a hash when it holds the patient's name or number."""
    name = path.name or path.resolve().name
    try:
        first = dicom_files(path)[0] if path.is_dir() else path
        header, _ = read_header(first, name)
        return scrubbed(name, guarded(name, "reading the patient module", lambda: identifying_words(header)))
    except (FormatError, OSError, IndexError):
        return name
