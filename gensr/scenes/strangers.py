"""Files that no domain reads and that people give all the same: each by its name, with what to do."""

from __future__ import annotations

from pathlib import Path

HEAD = 4096
_PNG = "save it as PNG or TIFF first"
_OME = "convert it to OME-TIFF or OME-Zarr first (bioio, Bio-Formats)"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"8BPS", f"a Photoshop file; {_PNG}"),
    (b"%PDF", "a PDF; export the picture you mean as PNG or TIFF"),
    (b"\xff\x0a", f"JPEG XL; {_PNG}"),
    (b"\0\0\0\x0cJXL ", f"JPEG XL; {_PNG}"),
    (b"\x76\x2f\x31\x01", "OpenEXR; convert it to float32 TIFF first"),
    (b"#?RADIANCE", "Radiance HDR; convert it to float32 TIFF first"),
    (b"NRRD", "NRRD; convert it to NIfTI first (SimpleITK, 3D Slicer)"),
    (b"ObjectType", "a MetaImage header; convert it to NIfTI first (SimpleITK)"),
    (b"ZISRAWFILE", f"Zeiss CZI; {_OME}"),
    (b"\xda\xce\xbe\x0a", f"Nikon ND2; {_OME}"),
    (b"\x70\0\0\0", f"Leica LIF; {_OME}"),
    (b"\xd0\xcf\x11\xe0", f"a container of Microsoft's or of a microscope (OIB, OIF, ZVI, ipw); {_OME}"),
    (b"\x93NUMPY", "a NumPy array; give numpy.load() of it to gensr.upsample"),
    (b"MATLAB", "a MATLAB file; give the array from scipy.io.loadmat to gensr.upsample"),
    (b"CDF\x01", "NetCDF; convert the variable you mean to GeoTIFF (gdal_translate), or give its DataArray"),
    (b"CDF\x02", "NetCDF; convert the variable you mean to GeoTIFF (gdal_translate), or give its DataArray"),
    (b"CDF\x05", "NetCDF; convert the variable you mean to GeoTIFF (gdal_translate), or give its DataArray"),
    (b"\x89HDF", "HDF5 or NetCDF-4; convert the variable you mean to GeoTIFF (gdal_translate), or give its DataArray"),
    (b"\x0e\x03\x13\x01", "HDF4; convert the layer you mean to GeoTIFF (gdal_translate)"),
    (b"NITF", "NITF; convert it to GeoTIFF (gdal_translate)"),
    (b"EHFA_HEADER_TAG", "Erdas Imagine; convert it to GeoTIFF (gdal_translate)"),
    (b"PK\x03\x04", "a zip archive of something else than one image that is read from there; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"\x1f\x8b", "gzip of something that is not read from there; gunzip it"),
    (b"BZh", "bzip2 of something that is not read from there; bunzip2 it"),
    (b"\xfd7zXZ\0", "xz of something that is not read from there; unxz it"),
)
_HEIF = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"heim": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}
_HEIF |= {b"avif": "AVIF", b"avis": "AVIF"}
_VRT = "a VRT, which points to other files; make a GeoTIFF of it with gdal_translate and give that"


def stranger(path: Path) -> str:
    """What a file is that nobody reads, and what to do about it; "" if that is not known.

    Args:
        path: a regular file; damaged ones are no error.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        return ""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<VRTDataset") or (path.suffix.lower() == ".vrt" and b"<VRTDataset" in head):
        return _VRT
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in head:
        return "SVG, which holds no pixels; render it to PNG"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        kind = _HEIF[head[8:12]]
        return f"{kind}, which no library here decodes; export it as PNG or TIFF (heif-convert, sips -s format png)"
    return next((what for magic, what in _MAGIC if head.startswith(magic)), "")
