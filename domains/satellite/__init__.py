"""Satellite and aerial imagery: GeoTIFF, COG and JPEG 2000 in, Cloud Optimized GeoTIFF out.

rasterio is imported when the first file is opened, so that listing domains costs nothing.
"""

from .domain import Satellite

__all__ = ["Satellite"]
