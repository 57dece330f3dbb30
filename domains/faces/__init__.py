"""Faces: aligned portraits in PNG, JPEG, WebP and TIFF; the format that came in goes out."""

from .domain import Faces

__all__ = ["Faces"]
