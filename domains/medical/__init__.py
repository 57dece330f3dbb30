"""Medical images: NIfTI volumes, DICOM files, series folders and enhanced multi-frame objects."""

from .domain import Medical

__all__ = ["Medical"]
