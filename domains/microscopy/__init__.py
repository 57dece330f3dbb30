"""Microscopy: OME-TIFF, ImageJ hyperstacks and plain TIFF, plane by plane; the kind that came in goes out."""

from .domain import Microscopy

__all__ = ["Microscopy"]
