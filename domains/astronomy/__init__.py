"""Astronomy: FITS images and cubes with their world coordinates, masks, errors and point-spread functions."""

from __future__ import annotations

from .domain import Astronomy

__all__ = ["Astronomy"]
