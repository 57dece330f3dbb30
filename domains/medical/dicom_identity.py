"""Who an output is and what it must say: new UIDs, the labels of a generated image, nothing stale or private."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
)

from gensr.scenes.provenance import repeated, sentence, software

from .dicom_geometry import frame_groups, groups
from .dicom_private import diffusion, kept, restore, to_standard
from .options import NOTICE

# PS3.16, CID 7203, 7202 and 7005, as in pydicom's tables (pydicom.sr.codedict).
SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")

SERIES_OFFSET = {"mean": 1000, "std": 2000, "sample": 3000}
DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1."
"""Start of the SOP classes of digital X-ray, mammography and intra-oral images."""

PET, CT, XA = PositronEmissionTomographyImageStorage, CTImageStorage, XRayAngiographicImageStorage

LONGEST_LO, LONGEST_ST = 64, 1024
_STALE = (  # about codes, thumbnails or signatures of the source, wrong for new pixels
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "IconImageSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "EncryptedAttributesSequence",
    "DataSetTrailingPadding",
    "PixelDataProviderURL",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)


@dataclass(frozen=True)
class Identity:
    """Identity of one output series of one run.

    Attributes:
        kind: "mean", "std" or "sample1", "sample2", ...
        factor: the factor to print in the label.
        report: the report of the run.
        deterministic: UIDs from a hash of source, kind and report instead of fresh ones.
        series: the new SeriesInstanceUID.
        moment: creation time.
    """

    kind: str
    factor: int | str
    report: Mapping[str, Any]
    deterministic: bool
    series: UID
    moment: datetime

    @property
    def prefix(self) -> str:
        """Start of the series description."""
        shown = "" if self.kind == "mean" else f"{self.kind} "
        if repeated(self.report):
            return f"[labels repeated x{self.factor}] "
        return f"[AI-SR x{self.factor} - NOT FOR DIAGNOSIS] {shown}"

    def instance_uid(self, source: str, part: int) -> UID:
        """New SOPInstanceUID for part ``part`` (refined slice) of a source instance."""
        return _uid(self.deterministic, "instance", source, str(part), self.kind, sentence(self.report))


def new_identity(kind: str, factor: int | str, report: Mapping[str, Any], source_series: str, uids: str) -> Identity:
    """Identity of an output series; ``uids`` is the option of that name ("new" or "hash")."""
    deterministic = uids == "hash"
    series = _uid(deterministic, "series", source_series, kind, sentence(report))
    return Identity(kind, factor, report, deterministic, series, _now())


def _uid(deterministic: bool, *parts: str) -> UID:
    """A UUID-derived UID (PS3.5 B.2): random, or from the parts."""
    made = uuid.uuid5(uuid.NAMESPACE_OID, "\n".join(("gensr", *parts))) if deterministic else uuid.uuid4()
    return UID(f"2.25.{made.int}")


def _now() -> datetime:
    """Now, or the SOURCE_DATE_EPOCH of reproducible builds."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)


def label(header: Dataset, identity: Identity, part: int = 0) -> None:
    """Turn a copy of a source header into the header of a generated image, in place (geometry and pixels excepted)."""
    source_class, source_instance = str(header.SOPClassUID), str(header.SOPInstanceUID)
    private, weighting = kept(header), diffusion(header)
    forget(header)
    restore(header, private)
    to_standard(header, weighting)
    if frame_groups(header) is not None:
        _label_groups(header, identity, source_class, source_instance)
    if identity.kind == "std" and source_class.startswith(DIGITAL_XRAY):
        # These classes fix the rescale slope at 1, which a standard deviation cannot keep.
        header.SOPClassUID, header.ConversionType = SecondaryCaptureImageStorage, "WSD"
    header.SOPInstanceUID = identity.instance_uid(source_instance, part)
    header.SeriesInstanceUID = identity.series
    header.SeriesNumber = _series_number(header, identity.kind)
    old = str(header.get("SeriesDescription", "") or "")
    header.SeriesDescription = (identity.prefix + old)[:LONGEST_LO].strip()
    _image_type(header, source_class, identity.kind)
    if not repeated(identity.report):
        header.SyntheticData = "YES"
        header.ContentQualification = "RESEARCH"
    header.InstanceCreationDate = identity.moment.strftime("%Y%m%d")
    header.InstanceCreationTime = identity.moment.strftime("%H%M%S")
    header.DerivationDescription = derivation(identity)
    header.DerivationCodeSequence = Sequence([_coded(SPATIAL_RESAMPLING)])
    header.SourceImageSequence = Sequence([_source(source_class, source_instance)])
    contributions = list(header.get("ContributingEquipmentSequence") or [])
    header.ContributingEquipmentSequence = Sequence([*contributions, _equipment(identity)])
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # The preamble of the source may hold another file's header (dual-personality files) or text.
    header.preamble = b"\0" * 128


def forget(header: Dataset) -> None:
    """Remove private elements, overlays, curves and what describes the old pixels, in place."""
    header.remove_private_tags()
    for element in list(header.keys()):
        if 0x5000 <= element.group <= 0x501F or 0x6000 <= element.group <= 0x601F:
            del header[element]
    for keyword in _STALE:
        if keyword in header:
            del header[keyword]


def has_overlays(header: Dataset) -> bool:
    """Whether the header holds an overlay plane (group 60xx)."""
    return any(0x6000 <= tag.group <= 0x601F for tag in header.keys())  # noqa: SIM118 - a Dataset iterates elements


def derivation(identity: Identity) -> str:
    """Derivation Description: what was done, with what, and the warning."""
    what = "" if identity.kind == "mean" else f"posterior {identity.kind}; "
    notice = "" if repeated(identity.report) else f"; {NOTICE}"
    return f"{what}{sentence(identity.report)}{notice}"[:LONGEST_ST]


def _series_number(header: Dataset, kind: str) -> int:
    old = header.get("SeriesNumber")
    base = int(old) if old is not None and old != "" else 0
    if kind.startswith("sample"):
        return base + SERIES_OFFSET["sample"] + int(kind.removeprefix("sample"))
    return base + SERIES_OFFSET[kind]


def _image_type(header: Dataset, source_class: str, kind: str) -> None:
    """Image Type and Frame Type: derived, with values that the class of the object allows.

    Value 2 of enhanced objects and of PET is PRIMARY always (PS3.3 C.8.16.1.2, C.8.9.4.1.1); value 4 of enhanced
    ones is the derived pixel contrast (C.8.16.1.4). Value 3 is enumerated for CT (C.8.2.1.1.1) and XA
    (C.8.7.1.1.1), empty in digital X-ray (C.8.11.3.1.1), and must say something elsewhere.
    """
    old = header.get("ImageType")
    values = [str(v) for v in old] if isinstance(old, MultiValue) else []
    third = values[2] if len(values) > 2 else ""
    if frame_groups(header) is not None:
        contrast = "STD_DEVIATION" if kind == "std" else "RESAMPLED"
        header.ImageType = ["DERIVED", "PRIMARY", third or "VOLUME", contrast]
        for group in groups(header):
            for element in group:
                if element.VR == "SQ" and element.keyword.endswith("FrameTypeSequence"):
                    for item in element.value:
                        item.FrameType = ["DERIVED", "PRIMARY", _third(item) or third or "VOLUME", contrast]
        return
    if source_class == PET:
        header.ImageType = ["DERIVED", "PRIMARY"]
        return
    if not source_class.startswith(DIGITAL_XRAY):
        third = third or {str(CT): "AXIAL", str(XA): "SINGLE PLANE"}.get(source_class, "OTHER")
    header.ImageType = ["DERIVED", "SECONDARY", third, "AI_SR"]


def _third(item: Dataset) -> str:
    value = item.get("FrameType")
    return str(value[2]) if isinstance(value, MultiValue) and len(value) > 2 else ""


def _label_groups(header: Dataset, identity: Identity, source_class: str, source_instance: str) -> None:
    """Derivation Image macro of enhanced objects, where the source has it, else shared; and the evidence it needs."""
    holders = [g for g in groups(header) if "DerivationImageSequence" in g]
    holders = holders or list(header.get("SharedFunctionalGroupsSequence") or [])
    for group in holders:
        item = Dataset()
        item.DerivationDescription = derivation(identity)
        item.DerivationCodeSequence = Sequence([_coded(SPATIAL_RESAMPLING)])
        item.SourceImageSequence = Sequence([_source(source_class, source_instance)])
        group.DerivationImageSequence = Sequence([*(group.get("DerivationImageSequence") or []), item])
    image, series, study = _source(source_class, source_instance), Dataset(), Dataset()
    del image.PurposeOfReferenceCodeSequence
    series.SeriesInstanceUID, series.ReferencedSOPSequence = header.get("SeriesInstanceUID", ""), Sequence([image])
    study.StudyInstanceUID, study.ReferencedSeriesSequence = header.get("StudyInstanceUID", ""), Sequence([series])
    header.SourceImageEvidenceSequence = Sequence([*(header.get("SourceImageEvidenceSequence") or []), study])


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _source(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    item.PurposeOfReferenceCodeSequence = Sequence([_coded(SOURCE_IMAGE)])
    return item


def _equipment(identity: Identity) -> Dataset:
    generator = identity.report.get("generator", {})
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([_coded(PROCESSING_EQUIPMENT)])
    item.Manufacturer = "gensr"
    item.ManufacturerModelName = str(generator.get("name", "unknown"))[:LONGEST_LO]
    item.SoftwareVersions = str(identity.report.get("gensr", software()))[:LONGEST_LO]
    item.ContributionDateTime = identity.moment.strftime("%Y%m%d%H%M%S+0000")
    item.ContributionDescription = derivation(identity)
    return item
