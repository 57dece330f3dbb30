"""Every bad input gives one clear line that names the file, the right exit code, and no output."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from gensr.priors import weights
from gensr.priors.card import GeneratorCard

sys.path.insert(0, str(Path(__file__).parent))
import hostile

SPOILED = [
    *((hostile.truncated, name) for name in hostile.GOOD),
    *((hostile.empty, name) for name in hostile.GOOD),
    *((hostile.wrong_magic, name) for name in hostile.GOOD),
    *((hostile.text, name) for name in (*hostile.GOOD, "photo.jpg", "scene.jp2", "cells.ome.tif", "field.fits.gz")),
    *((hostile.zero_sized, name) for name in hostile.RESIZE),
    *((hostile.huge, name) for name in hostile.RESIZE),
]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def refused(run, tmp_path) -> Callable[..., str]:
    """Run a command that must fail: one line with the name, the code, and no file made or changed."""

    def check(*argv: str | Path, code: int = 1, names: str = "") -> str:
        before = tree(tmp_path)
        outcome = run(*argv)
        assert len(outcome.lines) == 1, outcome.err
        assert names in outcome.err
        assert "unexpected" not in outcome.err, outcome.err
        assert outcome.code == code, outcome.err
        assert tree(tmp_path) == before
        return outcome.err

    return check


@pytest.mark.parametrize("command", ["info", "upsample"])
@pytest.mark.parametrize(("spoil", "name"), SPOILED, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_spoiled_file(refused, tmp_path, command, spoil, name):
    path = spoil(tmp_path, name)
    out = [f"output={tmp_path}/out"] if command == "upsample" else []
    refused(command, path, *out, names=str(path))


@pytest.mark.parametrize("command", ["info", "upsample"])
def test_missing_file(refused, tmp_path, command):
    assert "no such file" in refused(command, tmp_path / "none.tif", names="none.tif")


@pytest.mark.parametrize("command", ["info", "upsample"])
def test_folder_without_files(refused, tmp_path, command):
    (tmp_path / "scans").mkdir()
    assert "holds no image file" in refused(command, tmp_path / "scans", names="scans")


SEG, DOSE = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.2"


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("seg.dcm", {"sop_class": SEG, "modality": "SEG"}),
        ("dose.dcm", {"sop_class": DOSE, "modality": "RTDOSE", "DoseUnits": "GY"}),
        (
            "mosaic.dcm",
            {
                "sop_class": "1.2.840.10008.5.1.4.1.1.4",
                "modality": "MR",
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
            },
        ),
    ],
)
@pytest.mark.parametrize("command", ["info", "upsample"])
def test_dicom_that_is_no_plain_image(refused, tmp_path, command, name, elements):
    path = hostile.dicom(tmp_path / name, hostile.ramp(), **elements)
    refused(command, path, names=name)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["factor=0"], "factor=0"),
        (["factor=-1"], "factor=-1"),
        (["factor=1"], "nothing to do"),
        (["factor=2.5"], "factor=2.5"),
        (["factor=1000"], "factor=1000"),
        (["serch=fast"], "did you mean 'search'?"),
        (["search=fst"], "did you mean 'fast'"),
        (["domain.nodata=3"], "unknown key 'domain.nodata'"),
        (["device=tpu"], "device=tpu"),
        (["operator=box"], "unknown operator 'box'"),
        (["operator=mtf:7"], "mtf:7"),
        (["generator=nobody"], "generator=nobody"),
    ],
)
def test_wrong_usage(refused, tmp_path, argv, words):
    path = hostile.good(tmp_path, "cells.tif")
    assert words in refused("upsample", path, f"output={tmp_path}/out", *argv, code=2)


@pytest.fixture
def prior(tmp_path) -> Path:
    card = GeneratorCard(
        *("toy", "gaussian", "microscopy"), 1, False, "1", (0.0, 1.0), *("1 um", "CC0", "-", "-", "-", "-", "-"), 0.1
    )
    weights.save(tmp_path / "toy.safetensors", {"mean": torch.zeros(64)}, {}, card)
    return tmp_path / "toy.safetensors"


def test_weights_with_a_flipped_bit(refused, tmp_path, prior):
    raw = bytearray(prior.read_bytes())
    raw[-2] ^= 4
    prior.write_bytes(raw)
    path = hostile.good(tmp_path, "cells.tif")
    assert "digest" in refused("upsample", path, f"output={tmp_path}/out", f"generator={prior}", names=str(prior))


def test_weights_cut_short(refused, tmp_path, prior):
    prior.write_bytes(prior.read_bytes()[:-8])
    path = hostile.good(tmp_path, "cells.tif")
    refused("upsample", path, f"output={tmp_path}/out", f"generator={prior}", names=str(prior))


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(self.target),))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.safetensors"])
def test_pickle_instead_of_weights_is_never_run(refused, tmp_path, name):
    bomb = Bomb()
    bomb.target = str(tmp_path / "executed")
    (tmp_path / name).write_bytes(pickle.dumps(bomb))
    path = hostile.good(tmp_path, "cells.tif")
    message = refused("upsample", path, f"output={tmp_path}/out", f"generator={tmp_path / name}", names=name)
    assert "never executed" in message


def test_output_below_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused("upsample", hostile.good(tmp_path, "cells.tif"), f"output={tmp_path}/file/out", names="cells.tif")


def test_output_is_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused("upsample", hostile.good(tmp_path, "cells.tif"), f"output={tmp_path}/file", names="cells.tif")


def test_output_exists(refused, run, tmp_path):
    path = hostile.good(tmp_path, "cells.tif")
    assert run("upsample", path, "factor=2", f"output={tmp_path}/out", "search=fast").code == 0
    message = refused("upsample", path, "factor=2", f"output={tmp_path}/out", "search=fast", names="cells.tif")
    assert "overwrite=true" in message
    assert run("upsample", path, "factor=2", f"output={tmp_path}/out", "search=fast", "overwrite=true").code == 0


ODD = {
    "constant": (hostile.micrograph, np.full((8, 8), 7, np.uint16)),
    "constant float": (hostile.geotiff, np.full((8, 8), 0.25, np.float32)),
    "one pixel": (hostile.micrograph, np.full((1, 1), 7, np.uint16)),
    "one row": (hostile.geotiff, hostile.ramp(shape=(1, 9))),
    "one column": (hostile.micrograph, hostile.ramp(shape=(9, 1))),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_but_honest_images_are_processed(run, tmp_path, case):
    write, values = ODD[case]
    path = write(tmp_path / "odd.tif", values)
    outcome = run("upsample", path, "factor=2", f"output={tmp_path}/out", "search=fast")
    assert outcome.code == 0, outcome.err
    made = tifffile.imread(tmp_path / "out" / "odd_x2_generated.tif")
    assert made.shape == (2 * values.shape[0], 2 * values.shape[1])
    if case.startswith("constant") or values.size == 1:
        # A network is not exact where nothing has contrast, and floats without a code step do not count as exact.
        np.testing.assert_allclose(made, values.flat[0], atol=0.02 if values.dtype.kind == "f" else 0)


@pytest.mark.parametrize("kind", ["all nan", "all nodata"])
def test_image_without_one_valid_pixel_is_refused_by_name(run, tmp_path, kind):
    if kind == "all nan":
        path = hostile.geotiff(tmp_path / "void.tif", np.full((8, 8), np.nan, np.float32), np.nan)
    else:
        path = hostile.geotiff(tmp_path / "void.tif", np.zeros((8, 8), np.uint16), 0)
    outcome = run("upsample", path, "factor=2", f"output={tmp_path}/out", "search=fast")
    assert outcome.code == 1
    assert any("no pixel has a value" in line and str(path) in line for line in outcome.lines)
    assert not list(tmp_path.glob("out/*generated*"))


def test_tiff_without_georeference(run, refused, tmp_path):
    """It may be a micrograph; as satellite it has no place on Earth, which is said."""
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, hostile.ramp())
    outcome = run("info", path)
    assert outcome.code == 0
    named = run("info", path, "domain=satellite")
    assert named.code in (0, 1)
    assert "georeference" in (named.out + named.err).lower()
