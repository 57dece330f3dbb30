"""Sentinel-2 SAFE folders and zips of the documented layout, made here: bands, resolutions, offsets of the baseline."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import gensr
from gensr.cli.main import main
from gensr.domains.satellite import Satellite
from gensr.errors import DomainError, FormatError, UsageError
from gensr.scenes.inputs import expand, guess
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Window

IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
SIDES = {10: 60, 20: 30, 60: 10}
EASTING, NORTHING = 600000, 5100000
L1C = {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09", "B10")}
L2A = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B02", "B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B02", "B09"),
}


def picture(path: Path, side: int, seed: int, dtype: str = "uint16", **more: Any) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    codes = np.random.default_rng(seed).integers(1001, 4000, (SIDES[side], SIDES[side])).astype(dtype)
    codes[:2, :3] = 0
    codes[-1, -1] = 65535 if dtype == "uint16" else 255
    how = {"driver": "JP2OpenJPEG", "width": codes.shape[1], "height": codes.shape[0], "count": 1, "dtype": dtype}
    how |= {"crs": "EPSG:32632", "transform": rasterio.Affine(side, 0, EASTING, 0, -side, NORTHING)}
    with rasterio.open(path, "w", QUALITY=100, REVERSIBLE="YES", **{**how, **more}) as target:
        target.write(codes, 1)
    return codes


def metadata(level: str, baseline: str, offset: int | None) -> str:
    key = "RADIO_ADD_OFFSET" if level == "1C" else "BOA_ADD_OFFSET"
    quantification = "QUANTIFICATION_VALUE" if level == "1C" else "BOA_QUANTIFICATION_VALUE"
    offsets = "" if offset is None else "".join(f'<{key} band_id="{i}">{offset - i}</{key}>' for i in range(13))
    waves = "".join(
        f'<Spectral_Information bandId="{i}"><Wavelength><CENTRAL unit="nm">{400 + i}.5</CENTRAL></Wavelength>'
        "</Spectral_Information>"
        for i in range(13)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><n1:Level-Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/x.xsd">'
        f"<n1:General_Info><Product_Info><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>"
        "<PRODUCT_START_TIME>2026-01-02T03:04:05.000Z</PRODUCT_START_TIME></Product_Info>"
        f"<Product_Image_Characteristics><{quantification} unit='none'>10000</{quantification}>{offsets}"
        "<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>"
        f"</Special_Values>{waves}</Product_Image_Characteristics></n1:General_Info></n1:Level-Product>"
    )


def product(folder: Path, level: str = "2A", baseline: str = "05.11", offset: int | None = -1000) -> dict[Any, Any]:
    root = folder / f"S2A_MSIL{level}_20260102T030405_N0511_R065_T32TQM_20260102T050607.SAFE"
    granule = root / "GRANULE" / f"L{level}_T32TQM_A012345_20260102T030405"
    codes: dict[Any, Any] = {"path": root}
    for side, bands in (L1C if level == "1C" else L2A).items():
        for band in bands:
            own = f"R{side}m/T32TQM_20260102T030405_{band}_{side}m.jp2"
            name = own if level == "2A" else f"T32TQM_20260102T030405_{band}.jp2"
            codes[side, band] = picture(granule / "IMG_DATA" / name, side, side + IDS.index(band))
    if level == "2A":
        picture(granule / "IMG_DATA" / "R20m" / "T32TQM_20260102T030405_SCL_20m.jp2", 20, 1, "uint8")
    else:
        picture(granule / "IMG_DATA" / "T32TQM_20260102T030405_TCI.jp2", 10, 1, "uint8")
    (root / f"MTD_MSIL{level}.xml").write_text(metadata(level, baseline, offset))
    return codes


@pytest.mark.parametrize("level", ["1C", "2A"])
@pytest.mark.parametrize(
    ("resolution", "bands"),
    [(None, L1C[10]), (10, L1C[10]), (20, L1C[20]), (60, ("B01", "B09"))],
)
def test_bands_of_a_resolution(level, resolution, bands, tmp_path):
    codes = product(tmp_path, level)
    side = resolution or 10
    bands = L1C[60] if (level, side) == ("1C", 60) else bands
    with gensr.open(codes["path"], options={"resolution": resolution}) as scene:
        assert scene.bands == bands
        assert scene.grid.shape == (SIDES[side], SIDES[side])
        assert tuple(scene.grid.transform) == (side, 0, EASTING, 0, -side, NORTHING)
        image = scene.read(0, Window(0, 0, *scene.grid.shape))
        for i, band in enumerate(bands):
            stored = codes[side, band]
            expected = (stored.astype(np.float64) - 1000 - IDS.index(band)) / 10000
            assert np.array_equal(image.valid[i], stored != 0)
            assert np.allclose(image.values[i][stored != 0], expected[stored != 0], rtol=1e-6, atol=1e-7)
            assert not image.usable[i][-1, -1]
        assert scene.quantum == pytest.approx(1e-4)
        assert "quality layers are left out" in scene.metadata()["notes"][-1]


def test_before_baseline_04_there_is_no_offset(tmp_path):
    codes = product(tmp_path, "1C", "03.01", None)
    with gensr.open(codes["path"]) as scene:
        values = scene.read(0, Window(5, 5, 1, 1)).values[:, 0, 0]
    assert values == pytest.approx([codes[10, b][5, 5] / 10000 for b in L1C[10]], abs=1e-7)


@pytest.mark.parametrize(
    ("words", "resolution", "expected"),
    [
        ("B08,B04", None, (10, ("B08", "B04"))),
        ("b8a", None, (20, ("B8A",))),
        ("B02", 20, (20, ("B02",))),
        ("1-2", None, (10, ("B02", "B03"))),
    ],
)
def test_choice_of_bands(words, resolution, expected, tmp_path):
    codes = product(tmp_path)
    side, bands = expected
    with gensr.open(codes["path"], options={"bands": words, "resolution": resolution}) as scene:
        assert scene.bands == bands
        found = scene.read(0, Window(4, 6, 1, 1)).values[0, 0, 0]
    stored = codes[side, bands[0]][4, 6]
    assert found == pytest.approx((float(stored) - 1000 - IDS.index(bands[0])) / 10000, abs=1e-7)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bands": "B02,B05"}, "measured at 10 and 20 m"),
        ({"bands": "B99"}, "there is no band 'B99'"),
        ({"bands": "SCL"}, "there is no band 'SCL'"),
        ({"bands": "B05", "resolution": 10}, "there is no band 'B05'"),
    ],
)
def test_bands_refused(options, said, tmp_path):
    codes = product(tmp_path)
    with pytest.raises(DomainError, match=said):
        gensr.open(codes["path"], options=options)


def test_resolution_of_anything_else_is_refused(tmp_path):
    picture(tmp_path / "a.jp2", 10, 3)
    with pytest.raises(DomainError, match="resolution=20 chooses bands of a Sentinel-2"):
        gensr.open(tmp_path / "a.jp2", options={"resolution": 20})
    with pytest.raises(UsageError, match="none of 10, 20 and 60"):
        gensr.open(tmp_path / "a.jp2", domain="satellite", options={"resolution": 15})


def test_zip_and_output(tmp_path):
    codes = product(tmp_path)
    root = codes["path"]
    packed = Path(shutil.make_archive(str(tmp_path / root.name), "zip", tmp_path, root.name))
    shutil.rmtree(root)
    assert guess(packed).name == "satellite"
    domain, out = Satellite(), tmp_path / "out"
    out.mkdir()
    with gensr.open(packed, srcwin="4,6,20,10") as scene:
        files = scene.write(NearestProduct(scene, 2, samples=0), out, Names(domain.stem(packed), 2))
    assert files[0].name == f"{root.stem}_x2_generated.tif"
    with rasterio.open(files[0]) as found:
        assert tuple(found.transform)[:6] == (5, 0, EASTING + 40, 0, -5, NORTHING - 60)
        assert found.crs.to_epsg() == 32632
        assert found.descriptions == L1C[10]
        assert found.nodata == 0
        assert found.scales == (1e-4,) * 4
        assert found.offsets == pytest.approx([(-1000 - IDS.index(b)) / 1e4 for b in L1C[10]])
        assert [c.name for c in found.colorinterp[:3]] == ["blue", "green", "red"]
        assert found.tags()["PROCESSING_BASELINE"] == "05.11"
        assert found.tags(4)["CENTRAL_WAVELENGTH_NM"] == "407.5"
        expected = codes[10, "B08"][6:16, 4:24].repeat(2, 0).repeat(2, 1)
        assert np.array_equal(found.read(4), expected)


def test_a_folder_of_products(tmp_path):
    one = product(tmp_path)["path"]
    two = product(tmp_path, "1C")["path"]
    assert sorted(i.path for i in expand([str(tmp_path)]).inputs) == sorted([one, two])
    assert [i.path for i in expand([str(one)]).inputs] == [one]


def damage(root: Path, how: str) -> None:
    text = (root / "MTD_MSIL2A.xml").read_text()
    file = next(root.glob("GRANULE/*/IMG_DATA/R10m/*B03*"))
    if how == "band":
        file.unlink()
    elif how == "grid":
        picture(file, 20, 1)
    elif how == "link":
        outside = root.parent / "outside.jp2"
        shutil.move(file, outside)
        file.symlink_to(outside)
    elif how == "granule":
        (root / "GRANULE" / "other" / "IMG_DATA").mkdir(parents=True)
        shutil.copy(file, root / "GRANULE" / "other" / "IMG_DATA" / file.name)
    else:
        old, new = {
            "quantification": ("BOA_QUANTIFICATION_VALUE", "OTHER"),
            "zero": (">10000<", ">0<"),
            "number": (">10000<", ">many<"),
            "id": ('band_id="3"', 'band_id="33"'),
            "entity": ("<n1:Level", "<!DOCTYPE a [<!ENTITY b 'c'>]><n1:Level"),
        }[how]
        (root / "MTD_MSIL2A.xml").write_text(text.replace(old, new, 1 if how == "entity" else -1))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("band", "lacks B03 of 10 m"),
        ("grid", "expected the same size"),
        ("link", "a link out of the folder"),
        ("granule", "holds 2 granules"),
        ("quantification", "lacks BOA_QUANTIFICATION_VALUE"),
        ("zero", "is not positive"),
        ("number", "is no number"),
        ("id", "is no band"),
        ("entity", "document type or entities"),
    ],
)
def test_damaged_products(how, said, tmp_path):
    root = product(tmp_path)["path"]
    damage(root, how)
    with pytest.raises(FormatError, match=said):
        gensr.open(root)


def test_zips_that_lead_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("a.SAFE/MTD_MSIL2A.xml", metadata("2A", "05.11", -1000))
        packed.writestr("a.SAFE/../../b.jp2", b"x")
    with pytest.raises(FormatError, match=r"(no place inside it|is a zip archive)"):
        gensr.open(tmp_path / "a.zip", domain="satellite")


def spoilt_entries(path: Path, name: str, how: str) -> None:
    """Entries of a zip whose name holds a word: of a method that nobody knows, encrypted, or damaged."""
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as packed:
        chosen = [i for i in packed.infolist() if name in i.filename]
    assert chosen
    for info in chosen:
        at = raw.index(info.filename.encode(), raw.index(b"PK\1\2")) - 46  # in the directory of the zip
        for method, flags in ((at + 10, at + 8), (info.header_offset + 8, info.header_offset + 6)):
            if how == "method":
                raw[method] = 97
            elif how == "encrypted":
                raw[flags] |= 1
        if how == "damaged":
            start = info.header_offset + 30 + len(info.filename)
            raw[start : start + info.compress_size] = b"\xff" * info.compress_size
    path.write_bytes(raw)


@pytest.mark.parametrize("how", ["method", "encrypted", "damaged"])
@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "B03_10m.jp2"])
def test_zips_that_cannot_be_unpacked(name, how, tmp_path):
    root = product(tmp_path)["path"]
    packed = Path(shutil.make_archive(str(tmp_path / root.name), "zip", tmp_path, root.name))
    spoilt_entries(packed, name, how)
    with pytest.raises(FormatError, match=r"cannot be unpacked \(.*\); fetch it again"):
        gensr.open(packed)


def test_command(tmp_path):
    root = product(tmp_path)["path"]
    out = tmp_path / "out"
    words = ["factor=2", "search=fast", "samples=0", "domain.resolution=60", f"output={out}"]
    assert main(["upsample", str(root), *words]) == 0
    with rasterio.open(out / f"{root.stem}_x2_generated.tif") as found:
        assert found.descriptions == ("B01", "B09")
        assert found.shape == (20, 20)
