"""Stored codes of rasters, see `gensr.values.coding`; arrays in memory have them too."""

from __future__ import annotations

from gensr.values.coding import EXACT, Coding, holds

__all__ = ["EXACT", "Coding", "holds"]
