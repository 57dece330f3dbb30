"""Labels in files and arrays are refused before anything is computed, with every way on; add a row for a new format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import gensr
from gensr.errors import DomainError, UsageError
from tests.kinds import IMAGES, LABELS, levels, nuclei, smooth

CELLS = nuclei(64, 36, 2).astype(np.uint16)
COVER = LABELS["land cover"]().astype(np.uint8)
DARK = levels(smooth(64, 4, 2), 6).astype(np.uint8)
PHOTO = levels(smooth(64, 3, 3), 256).astype(np.uint8)
Made = Callable[[Path], object]


def geotiff(*bands, name="scene.tif", names=(), **more) -> Made:
    def make(folder):
        rasterio = pytest.importorskip("rasterio")
        colours = more.get("colours")
        with rasterio.open(
            folder / name, "w", driver="GTiff", width=bands[0].shape[1], height=bands[0].shape[0], count=len(bands),
            dtype=bands[0].dtype, crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 46e5),
            **more.get("profile", {}),
        ) as target:  # fmt: skip
            target.write(np.stack(bands))
            for i, text in enumerate(names, 1):
                target.set_band_description(i, text)
            if colours:
                target.write_colormap(1, colours)
            target.update_tags(1, **more.get("tags", {}))
        return folder / name

    return make


def tiff(data, name="cells.tif", **how) -> Made:
    def make(folder):
        pytest.importorskip("tifffile").imwrite(folder / name, data, photometric="minisblack", **how)
        return folder / name

    return make


def fits(data, name="image.fits", extname="SCI") -> Made:
    def make(folder):
        module = pytest.importorskip("astropy.io.fits")
        module.HDUList([module.PrimaryHDU(), module.ImageHDU(data, name=extname)]).writeto(folder / name)
        return folder / name

    return make


def nifti(data, name="volume.nii.gz", intent=None) -> Made:
    def make(folder):
        nib = pytest.importorskip("nibabel")
        image = nib.Nifti1Image(data, np.diag([1.0, 1.0, 3.0, 1.0]))
        if intent:
            image.header.set_intent(intent)
        nib.save(image, folder / name)
        return folder / name

    return make


def png(data, name="face.png") -> Made:
    def make(folder):
        pytest.importorskip("PIL.Image").fromarray(data).save(folder / name)
        return folder / name

    return make


def array(data, **attrs) -> Made:
    return lambda folder: data if not attrs else xr.DataArray(data, dims=("y", "x"), attrs=attrs)


def volume(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane[..., None], 4, 2)


REFUSED: dict[str, tuple[Made, str]] = {
    "GeoTIFF, classes": (geotiff(COVER), r"scene\.tif: is a label image or mask \(8 values in connected areas without"),
    "GeoTIFF, 18 bands and quality bits": (
        geotiff(*[PHOTO] * 18, DARK, names=[*(f"B{i}" for i in range(18)), "QA_PIXEL"]),
        r"QA_PIXEL of 19 is labels or a mask \(QA_PIXEL holds classes or bits\).*bands=1-18 leaves it out"),
    "GeoTIFF, by its file's name": (geotiff(DARK, name="T32_LandCover_2020.tif"), "its name says 'land_cover'"),
    "GeoTIFF, by the name of a product": (geotiff(PHOTO, name="T32TQM_SCL_20m.tif"), "SCL holds classes or bits"),
    "GeoTIFF, thematic": (geotiff(PHOTO, tags={"LAYER_TYPE": "thematic"}), "LAYER_TYPE is thematic"),
    "GeoTIFF, one bit": (geotiff((PHOTO > 99).astype(np.uint8), profile={"nbits": 1}), "one bit per pixel"),
    "GeoTIFF, palette": (geotiff(COVER, colours={10: (0, 99, 0), 20: (200, 0, 0)}), "a colour table of classes"),
    "TIFF, instances": (tiff(CELLS, "Nuclei.tiff"), r"Nuclei\.tiff: is a label image or mask \(35 values"),
    "OME-TIFF, one of two channels": (
        tiff(np.stack([PHOTO, (CELLS > 0).astype(np.uint8)]), "a.ome.tif", ome=True,
             metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "found"]}}),
        r"channel found of 2 is labels or a mask \(2 values in connected areas\)"),
    "OME-TIFF, by the channel's name": (
        tiff(np.stack([PHOTO, DARK]), "a.ome.tif", ome=True,
             metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "nuclei mask"]}}),
        "channel nuclei mask of 2 .*its name says 'mask'"),
    "FITS, segments": (fits(CELLS.astype(np.int32), extname="SEGMAP"), "its name says 'segmap'"),
    "FITS, segments without a name": (fits(CELLS.astype(np.int32)), "35 values in connected areas"),
    "NIfTI, by name": (nifti(volume(DARK), "sub-01_aseg_dseg.nii.gz"), "its name says 'aseg'"),
    "NIfTI, floats": (nifti(volume(CELLS).astype(np.float32)), "35 values in connected areas"),
    "NIfTI, by intent": (nifti(volume(PHOTO), intent="label"), "intent code 1002"),
    "PNG, mask": (png(np.repeat((CELLS > 0).astype(np.uint8)[..., None] * 255, 3, -1)), "2 values in connected areas"),
    "array, instances": (array(CELLS), "array: is a label image or mask"),
    "array, truth values": (array(CELLS > 0), "truth values"),
    "array with flags": (array(PHOTO, flag_meanings="land sea ice"), "its attribute flag_meanings"),
}  # fmt: skip
ACCEPTED: dict[str, Made] = {
    **{f"array, {kind}": array(IMAGES[kind]()) for kind in
       ("dark, 6 levels, no noise", "32 bits of counts", "photon counts, mean 0.05", "heights in plateaus")},
    "GeoTIFF, dark": geotiff(DARK),
    "TIFF, dark": tiff(DARK),
    "FITS, counts": fits(IMAGES["stars, faint"]().astype(np.int16)),
    "NIfTI, named for probabilities": nifti(volume(PHOTO / np.float32(255)), "sub-01_label-GM_probseg.nii.gz"),
}  # fmt: skip


def settled(source: object, **more) -> gensr.Plan:
    return gensr.settle(gensr.Request(source, factor=2, search="fast", samples=0, **more))


@pytest.mark.parametrize("row", REFUSED)
def test_labels_are_refused(tmp_path, row):
    make, words = REFUSED[row]
    with pytest.raises(DomainError, match=words) as caught:
        settled(make(tmp_path))
    assert "\n" not in str(caught.value)
    assert ("labels=image" in str(caught.value)) is ("palette" not in row)


@pytest.mark.parametrize("row", [row for row in REFUSED if "palette" not in row])
def test_the_user_may_take_them_for_an_image(tmp_path, row):
    with settled(REFUSED[row][0](tmp_path), labels="image") as plan:
        assert plan.describe()["data are"]


def test_a_palette_is_never_an_image(tmp_path):
    with pytest.raises(DomainError, match=r"labels=image.*colour table.*expand"):
        settled(REFUSED["GeoTIFF, palette"][0](tmp_path), labels="image")


def test_a_band_of_bits_can_be_left_out(tmp_path):
    with settled(REFUSED["GeoTIFF, 18 bands and quality bits"][0](tmp_path), bands="1-18") as plan:
        assert len(plan.scene.bands) == 18


@pytest.mark.parametrize("row", ACCEPTED)
def test_images_are_taken(tmp_path, row):
    values = {"options": {"values": "flux"}} if row.startswith("FITS") else {}
    settled(ACCEPTED[row](tmp_path), **values).close()


def test_the_word_is_checked():
    with pytest.raises(UsageError, match="labels=perhaps: expected refuse or nearest or image"):
        gensr.Request(CELLS, labels="perhaps")


def test_the_plan_says_what_was_found(tmp_path):
    with settled(PHOTO) as plan:
        assert plan.describe()["labels"] == "none found"
    with settled(PHOTO, labels="image") as plan:
        assert plan.describe()["labels"] == "not looked for: labels=image"
    with settled(geotiff(PHOTO, name="cells_mask.tif")(tmp_path)) as plan:
        said = "none found; band 1: its name says 'mask', but its values are those of an image"
        assert plan.describe()["labels"] == said
    path = geotiff(PHOTO, DARK, names=["B02", "QA_PIXEL"])(tmp_path)
    with settled(path, labels="nearest") as plan:
        assert plan.describe()["labels"] == "QA_PIXEL, repeated"
    with settled(CELLS, labels="nearest") as nearest:
        assert nearest.describe()["labels"] == {"band 1": "35 values in connected areas without values between them"}
