"""OME-Zarr 0.4 and 0.5, in folders and zips: what zarr itself reads of the outputs, and what is refused.

Centres of pixels: index ``i`` of an axis lies at ``scale i + translation``; corners of the field of view, half a pixel
further out, must not move, at any level.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import gensr
from gensr.cli.main import main
from gensr.domains.microscopy import Microscopy
from gensr.errors import DomainError, FormatError
from gensr.scenes.inputs import expand, guess
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Window

zarr = pytest.importorskip("zarr", reason="the extra zarr is not installed")

AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]
SCALE, PLACE = [2.0, 1.0, 0.5, 0.25, 0.125], [0.0, 0.0, 3.0, 10.0, -20.0]
OMERO = {
    "channels": [
        {
            "label": "DAPI",
            "color": "0000FF",
            "window": {"min": 0, "max": 4095, "start": 10, "end": 900},
            "active": True,
        },
        {"label": "GFP", "color": "00FF00", "window": {"min": 0, "max": 4095, "start": 5, "end": 800}, "active": True},
    ],
    "rdefs": {"defaultZ": 1},
}


def store(
    path: Path, version: str = "0.4", edit: Any = None, codes: np.ndarray | None = None, **array: Any
) -> np.ndarray:
    codes = np.random.default_rng(3).integers(1, 60000, (2, 2, 3, 20, 26)).astype(np.uint16) if codes is None else codes
    axes, rank = AXES[-codes.ndim :], codes.ndim
    steps = [{"type": "scale", "scale": SCALE[-rank:]}, {"type": "translation", "translation": PLACE[-rank:]}]
    entry: dict[str, Any] = {
        "name": "cells",
        "axes": axes,
        "datasets": [{"path": "s0", "coordinateTransformations": steps}],
    }
    if version == "0.4":
        entry["version"] = version
        attributes: dict[str, Any] = {"multiscales": [entry], "omero": OMERO, "mine": {"kept": 1}}
    else:
        attributes = {"ome": {"version": version, "multiscales": [entry], "omero": OMERO}, "mine": {"kept": 1}}
    if edit:
        edit(attributes)
    group = zarr.create_group(str(path), zarr_format=2 if version == "0.4" else 3, attributes=attributes)
    group.create_array("s0", data=codes, chunks=(1,) * (rank - 2) + (16, 16), **array)
    return codes


def written(path: Path, folder: Path, factor: int = 2, area: str | None = None, **options: Any) -> list[Path]:
    folder.mkdir()
    domain = Microscopy()
    with gensr.open(path, options=options, srcwin=area) as scene:
        return scene.write(NearestProduct(scene, factor, std=3.5), folder, Names(domain.stem(path), factor))


def entry_of(group: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    attributes = dict(group.attrs)
    found = attributes.get("ome", attributes)
    return found, found["multiscales"][0]


def steps_of(dataset: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    scale, translation = dataset["coordinateTransformations"]
    return np.array(scale["scale"]), np.array(translation["translation"])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("zipped", [False, True])
def test_round_trip(version, zipped, tmp_path):
    codes = store(tmp_path / "a.ome.zarr", version)
    path = tmp_path / "a.ome.zarr"
    if zipped:
        path = Path(shutil.make_archive(str(tmp_path / "b.ome.zarr"), "zip", tmp_path / "a.ome.zarr"))
    assert guess(path).name == "microscopy"
    mean, std, sample = written(path, tmp_path / "out")
    assert mean.name == ("b_x2_generated.ome.zarr.zip" if zipped else "a_x2_generated.ome.zarr")
    assert mean.is_file() == zipped
    opened = zarr.storage.ZipStore(mean) if zipped else str(mean)
    group = zarr.open_group(opened, mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    found, entry = entry_of(group)
    assert (entry["version"] if version == "0.4" else found["version"]) == version
    assert entry["axes"] == AXES
    assert found["omero"] == OMERO
    assert group.attrs["mine"] == {"kept": 1}
    assert "generated detail" in group.attrs["gensr"]["mark"]
    level = group[entry["datasets"][0]["path"]]
    assert level.dtype == np.uint16
    assert np.array_equal(level[:], codes.repeat(2, -2).repeat(2, -1))
    if version == "0.5":
        assert level.metadata.dimension_names == ("t", "c", "z", "y", "x")
    scale, translation = steps_of(entry["datasets"][0])
    assert scale.tolist() == [2.0, 1.0, 0.5, 0.125, 0.0625]
    assert translation.tolist() == [0.0, 0.0, 3.0, 10.0 - 0.0625, -20.0 - 0.03125]
    deviation = zarr.open_group(zarr.storage.ZipStore(std) if zipped else str(std), mode="r")
    assert deviation["0"].dtype == np.float32
    assert (deviation["0"][:] == 3.5).all()
    assert "omero" not in entry_of(deviation)[0]  # ranges of intensities
    assert sample.exists()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_corners_stand_still_at_every_level(version, tmp_path):
    values = np.random.default_rng(1).normal(100, 9, (2, 301, 522)).astype(np.float32)
    store(tmp_path / "a.zarr", version, codes=values)
    window = (7, 11, 401, 290)  # x, y, width, height
    mean, std, _ = written(tmp_path / "a.zarr", tmp_path / "out", 3, ",".join(map(str, window)))
    group = zarr.open_group(str(mean), mode="r")
    _, entry = entry_of(group)
    assert len(entry["datasets"]) == 4  # 1203 pixels, 602, 301, 151
    first = np.array([10.0, -20.0]) + np.array([window[1] - 0.5, window[0] - 0.5]) * SCALE[-2:]
    shape = np.array([870.0, 1203.0])
    for number, dataset in enumerate(entry["datasets"]):
        scale, translation = (a[-2:] for a in steps_of(dataset))
        assert translation - scale / 2 == pytest.approx(first, abs=1e-12)
        assert scale == pytest.approx(np.array(SCALE[-2:]) / 3 * 2**number)
        assert group[dataset["path"]].shape[-2:] == tuple(shape.astype(int))
        shape = np.ceil(shape / 2)
    fine, coarse = group["0"][:], group["1"][:]
    assert coarse[:, :100, :100] == pytest.approx(fine[:, :200, :200].reshape(2, 100, 2, 100, 2).mean((2, 4)), rel=1e-6)
    assert (zarr.open_group(str(std), mode="r")["2"][:] == 3.5).all()


def test_transformations_of_the_whole_stay_and_count(tmp_path):
    outer = [{"type": "scale", "scale": [1.0, 1.0, 1.0, 4.0, 4.0]}]
    store(tmp_path / "a.zarr", edit=lambda a: a["multiscales"][0].update(coordinateTransformations=outer))
    with gensr.open(tmp_path / "a.zarr") as scene:
        assert scene.grid.pixel_size == pytest.approx((1.0, 0.5))
        assert scene.metadata()["frame_interval_s"] == 2.0
        assert scene.metadata()["z_step_um"] == 0.5
    mean, *_ = written(tmp_path / "a.zarr", tmp_path / "out")
    _, entry = entry_of(zarr.open_group(str(mean), mode="r"))
    assert entry["coordinateTransformations"] == outer
    assert steps_of(entry["datasets"][0])[0][-1] == 0.0625


def test_windows_meet_chunks(tmp_path):
    codes = store(tmp_path / "a.zarr", "0.5", shards=(1, 1, 1, 32, 32))
    with gensr.open(tmp_path / "a.zarr") as scene:
        assert scene.planes == 12
        assert scene.names == ["DAPI", "GFP"]
        for plane, place in ((0, (0, 0, 0)), (7, (1, 0, 1)), (11, (1, 1, 2))):
            found = scene.read(plane, Window(13, 15, 6, 9))
            assert np.array_equal(found.values[0], codes[place][13:19, 15:24])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda a: a["multiscales"][0]["datasets"][0].update(path="../../b"), "no place inside it"),
        (lambda a: a["multiscales"][0]["datasets"][0].update(path="/etc"), "no place inside it"),
        (lambda a: a["multiscales"][0]["datasets"][0].update(path="s1"), "no array 's1'"),
        (lambda a: a["multiscales"][0].update(version="0.2"), "is OME-Zarr 0.2"),
        (lambda a: a["multiscales"][0].update(axes=["t", "c", "z", "y", "x"]), "multiscales are damaged"),
        (lambda a: a["multiscales"][0]["axes"].reverse(), "expected y and x at the end"),
        (lambda a: a["multiscales"][0].update(datasets=[]), "multiscales are damaged"),
        (lambda a: a.update(multiscales=7), "multiscales are damaged"),
        (lambda a: a.update(plate={"wells": []}), "is a plate"),
        (lambda a: a.update(well={"images": []}), "is a well"),
    ],
)
def test_refused(edit, said, tmp_path):
    store(tmp_path / "a.zarr", edit=edit)
    with pytest.raises((FormatError, DomainError), match=said):
        gensr.open(tmp_path / "a.zarr", domain="microscopy")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"type": "scale", "path": "numbers"}], "not in the metadata"),
        ([{"type": "affine", "affine": []}], r"transformations \['affine'\] are not read"),
        ([{"type": "scale", "scale": [1, 1]}], "damaged"),
        ([{"type": "scale", "scale": [1, 1, 1, 0, 1]}], "not positive"),
        ([{"type": "scale", "scale": [1, 1, 1, "x", 1]}], "damaged"),
        ([], r"transformations \[\] are not read"),
    ],
)
def test_transformations_refused(steps, said, tmp_path):
    store(
        tmp_path / "a.zarr", edit=lambda a: a["multiscales"][0]["datasets"][0].update(coordinateTransformations=steps)
    )
    with pytest.raises(FormatError, match=said):
        gensr.open(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": [2, 2, 3, 2**31, 2**31], "chunks": [1, 1, 1, 512, 512]}, "bytes of all pixels"),
        ({"shape": [2, 2, 3, 20000, 20000], "chunks": [1, 1, 1, 512, 512]}, "decompression bomb"),
        ({"chunks": [1, 1, 1, 60000, 60000]}, "bytes of one strip"),
        ({"compressor": {"id": "pickle"}}, "packed with 'pickle'"),
        ({"filters": [{"id": "json2"}]}, "packed with 'json2'"),
        ({"dtype": "|O"}, "holds no rows and columns"),
        ({"dtype": [["a", "<u2"]]}, "not numbers"),
        ({"shape": [2, 2, 3, 0, 26]}, "empty or damaged"),
        ({"shape": "many"}, "metadata of array"),
        ({"chunks": [1, 1]}, "empty or damaged"),
        ({"zarr_format": 3}, "metadata of array"),
    ],
)
def test_hostile_arrays(change, said, tmp_path):
    store(tmp_path / "a.zarr")
    place = tmp_path / "a.zarr" / "s0" / ".zarray"
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    with pytest.raises(FormatError, match=said):
        gensr.open(tmp_path / "a.zarr")


def test_hostile_codec_of_version_3(tmp_path):
    store(tmp_path / "a.zarr", "0.5")
    place = tmp_path / "a.zarr" / "s0" / "zarr.json"
    raw = json.loads(place.read_text())
    raw["codecs"].append({"name": "numcodecs.pickle", "configuration": {}})
    place.write_text(json.dumps(raw))
    with pytest.raises(FormatError, match=r"packed with 'numcodecs\.pickle'"):
        gensr.open(tmp_path / "a.zarr")


@pytest.mark.parametrize("method", [97, 8])
def test_zips_with_entries_that_cannot_be_unpacked(method, tmp_path):
    """Of a method that nobody knows, or no stream of the method that they name."""
    store(tmp_path / "a.zarr")
    path = tmp_path / "b.zarr.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(p for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()):
            packed.write(file, file.relative_to(tmp_path / "a.zarr"))
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as packed:
        (info,) = (i for i in packed.infolist() if i.filename == ".zattrs")
    raw[raw.index(b".zattrs", raw.index(b"PK\1\2")) - 46 + 10] = raw[info.header_offset + 8] = method
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"\.zattrs cannot be read"):
        gensr.open(path, domain="microscopy")
    assert main(["info", str(path)]) == 1


def test_links_and_zips_that_lead_out(tmp_path):
    store(tmp_path / "a.zarr")
    (tmp_path / "b").mkdir()
    shutil.move(tmp_path / "a.zarr" / "s0", tmp_path / "b" / "s0")
    (tmp_path / "a.zarr" / "s0").symlink_to(tmp_path / "b" / "s0")
    with pytest.raises(FormatError, match="a link out of the store"):
        gensr.open(tmp_path / "a.zarr")
    with zipfile.ZipFile(tmp_path / "c.zarr.zip", "w") as packed:
        packed.write(tmp_path / "a.zarr" / ".zgroup", ".zgroup")
        packed.write(tmp_path / "a.zarr" / ".zattrs", "../.zattrs")
    with pytest.raises(FormatError, match="no place inside it"):
        gensr.open(tmp_path / "c.zarr.zip", domain="microscopy")


def test_a_damaged_chunk_is_named(tmp_path):
    store(tmp_path / "a.zarr")
    chunk = next(p for p in sorted((tmp_path / "a.zarr" / "s0").rglob("*")) if p.is_file() and p.name[0] != ".")
    chunk.write_bytes(b"not blosc")
    with pytest.raises(FormatError, match="cannot be unpacked"):
        gensr.open(tmp_path / "a.zarr")


def test_several_images(tmp_path):
    group = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=2, attributes={"bioformats2raw.layout": 3})
    del group
    one, two = store(tmp_path / "a.zarr" / "0"), store(tmp_path / "a.zarr" / "1", codes=np.ones((9, 12), np.uint16))
    with pytest.raises(FormatError, match="holds images 0, 1; choose one with series="):
        gensr.open(tmp_path / "a.zarr")
    with gensr.open(tmp_path / "a.zarr", options={"series": 1}) as scene:
        assert scene.grid.shape == two.shape
    mean, *_ = written(tmp_path / "a.zarr", tmp_path / "out", series=0)
    assert zarr.open_group(str(mean), mode="r")["0"].shape[:3] == one.shape[:3]
    assert [i.path for i in expand([str(tmp_path)]).inputs if i.path.suffix == ".zarr"] == [tmp_path / "a.zarr"]


def test_a_tiff_becomes_ome_zarr(tmp_path):
    codes = np.random.default_rng(3).integers(1, 60000, (3, 2, 20, 26)).astype(np.uint16)
    meta: dict[str, Any] = {"axes": "ZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    meta |= {"Channel": {"Name": ["DAPI", "GFP"], "Color": [-16776961, 16711935]}}
    meta["Plane"] = {"PositionX": [1.0] * 6, "PositionXUnit": ["mm"] * 6, "PositionY": [7.0] * 6}
    meta["Plane"]["PositionYUnit"] = ["µm"] * 6
    tifffile.imwrite(tmp_path / "a.ome.tif", codes, ome=True, photometric="minisblack", metadata=meta)
    mean, *_ = written(tmp_path / "a.ome.tif", tmp_path / "out", area="4,2,10,8", container="zarr")
    assert mean.name == "a_x2_generated.ome.zarr"
    group = zarr.open_group(str(mean), mode="r")
    found, entry = entry_of(group)
    assert found["version"] == "0.5"
    assert [a["name"] for a in entry["axes"]] == ["c", "z", "y", "x"]
    expected = codes[:, :, 2:10, 4:14].transpose(1, 0, 2, 3).repeat(2, -2).repeat(2, -1)
    assert np.array_equal(group["0"][:], expected)
    scale, translation = steps_of(entry["datasets"][0])
    assert scale.tolist() == [1.0, 2.0, 0.25, 0.125]
    assert translation[-2:] == pytest.approx([7.0 + (2 - 0.25) * 0.5, 1000.0 + (4 - 0.25) * 0.25])
    assert [c["label"] for c in found["omero"]["channels"]] == ["DAPI", "GFP"]
    assert [c["color"] for c in found["omero"]["channels"]] == ["FF0000", "00FF00"]


def test_command(tmp_path, capsys):
    store(tmp_path / "a.ome.zarr", "0.5", codes=np.random.default_rng(3).integers(1, 4000, (24, 24)).astype(np.uint16))
    out = tmp_path / "out"
    assert (
        main(["upsample", str(tmp_path / "a.ome.zarr"), "factor=2", "search=fast", "samples=0", f"output={out}"]) == 0
    )
    assert zarr.open_group(str(out / "a_x2_generated.ome.zarr"), mode="r")["0"].shape == (48, 48)
    assert main(["info", str(tmp_path / "a.ome.zarr")]) == 0
    assert "OME-Zarr 0.5" in capsys.readouterr().out


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_reads_the_output(version, tmp_path):
    reader = pytest.importorskip("ome_zarr.reader", reason="ome-zarr is not installed")
    from ome_zarr.io import parse_url

    codes = store(tmp_path / "a.zarr", version)
    mean, *_ = written(tmp_path / "a.zarr", tmp_path / "out")
    (node, *_) = reader.Reader(parse_url(str(mean), mode="r"))()
    assert np.array_equal(np.asarray(node.data[0]), codes.repeat(2, -2).repeat(2, -1))
    assert [a["name"] for a in node.metadata["axes"]] == ["t", "c", "z", "y", "x"]
    assert node.metadata["coordinateTransformations"][0][0]["scale"] == [2.0, 1.0, 0.5, 0.125, 0.0625]


def test_an_image_label_is_refused_as_labels(tmp_path):
    store(tmp_path / "a.zarr", edit=lambda a: a.update({"image-label": {}}))
    request = gensr.Request(tmp_path / "a.zarr", domain="microscopy", search="fast", samples=0)
    with pytest.raises(DomainError, match="its metadata call it an image-label"):
        gensr.settle(request)
