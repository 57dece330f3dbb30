"""Outputs come into place only when they are whole, and never over others unasked."""

import json

import pytest

from gensr.errors import OutputError
from gensr.pipeline import output
from gensr.scenes.names import Names

NAMES = Names("a[1]", 4)


def test_the_folder_of_the_store_lies_hidden_beside_the_outputs(tmp_path):
    target = tmp_path / "new" / "folder"
    with output.work_folder(target, NAMES, False, False) as folder:
        assert folder.path == target / ".a[1]_x4_generated.work"
        assert list(target.iterdir()) == [folder.path]  # nothing is left of the attempt to write
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(("resume", "stays"), [(False, False), (True, True)])
def test_a_stale_store_goes_unless_it_is_to_go_on(tmp_path, resume, stays):
    stale = tmp_path / ".a[1]_x4_generated.work"
    (stale / "below").mkdir(parents=True)
    with output.work_folder(tmp_path, NAMES, False, resume):
        assert (stale / "below").exists() == stays
    assert stale.exists() == stays


def test_an_earlier_output_is_refused_by_the_name_of_the_first(tmp_path):
    for name in ("a[1]_x4_generated_std.tif", "a[1]_x4_generated.tif", "a1_x4_generated.tif", "a[1]_x2_generated.tif"):
        (tmp_path / name).touch()
    with pytest.raises(OutputError, match=r"a\[1\]_x4_generated.tif: exists already; give overwrite=true"):
        output.work_folder(tmp_path, NAMES, False, False)
    output.work_folder(tmp_path, NAMES, True, False).close()
    output.work_folder(tmp_path, Names("a[1]", 3), False, False).close()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file: cannot write there \(File exists\); choose another output=DIR"):
        output.work_folder(tmp_path / "file", NAMES, False, False)


class Scene:
    def write(self, product, folder, names):
        assert product == "product"
        assert list(folder.iterdir()) == []
        mean, series = folder / names.mean(".tif"), folder / names.mean("")
        mean.write_text("mean")
        series.mkdir()
        (series / "slice").write_text("new")
        return [mean, series]


def test_everything_is_staged_and_then_renamed_over_what_was_there(tmp_path):
    work, target = tmp_path / "work", tmp_path / "out"
    (work / "staging" / "left").mkdir(parents=True)
    (target / "a[1]_x4_generated").mkdir(parents=True)
    (target / "a[1]_x4_generated" / "old").touch()
    old = {"files": {"a[1]_x4_generated/old": 0}}
    (target / "a[1]_x4_generated.tif").write_text("old")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "report").write_text(json.dumps(old))
    (target / "a[1]_x4_generated_report.json").symlink_to(elsewhere / "report")
    made = {"input": "i", "request": "r"}
    files = output.write(Scene(), "product", b"png", {"x": float("nan"), "é": 1}, work, target, NAMES, made)
    names = [
        "a[1]_x4_generated.tif",
        "a[1]_x4_generated",
        "a[1]_x4_generated_report.json",
        "a[1]_x4_generated_preview.png",
    ]
    assert files == [target / name for name in names]
    assert files[0].read_text() == "mean"
    assert [p.name for p in files[1].iterdir()] == ["slice"]
    page = files[2].read_bytes()
    sizes = {"a[1]_x4_generated.tif": 4, "a[1]_x4_generated/slice": 3, "a[1]_x4_generated_preview.png": 3}
    assert json.loads(page) == {"x": None, "é": 1, "digests": made, "files": sizes}
    assert page.isascii()
    assert page.startswith(b'{\n  "x"')
    assert page.endswith(b"}\n")
    assert files[3].read_bytes() == b"png"
    assert list((work / "staging").iterdir()) == []
    assert json.loads((elsewhere / "report").read_text()) == old  # the link was replaced, not followed
