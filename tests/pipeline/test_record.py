"""A finished input is known by digests of what it was and of what was asked, and outputs that exist follow one rule."""

import json
from pathlib import Path

import numpy as np
import pytest

from gensr.errors import OutputError, UsageError
from gensr.pipeline import output, record
from gensr.pipeline.events import Settled, TileDone, Written
from gensr.pipeline.request import Request
from gensr.scenes.names import Names
from gensr.scenes.provenance import content_digest

IMAGE = np.arange(64, dtype=np.float32).reshape(8, 8)
NAMES = Names("array", 2)


def events(plan, folder, image=IMAGE, **words):
    with plan(image, output=folder, tile=4, **words) as settled:
        return list(settled.run())


def tiles(found):
    return sum(isinstance(event, TileDone) for event in found)


def content(folder):
    """Everything that a run wrote, without what the clock said."""
    page = json.loads((folder / "array_x2_generated_report.json").read_bytes())
    arrays = dict(np.load(folder / "array_x2_generated.npz"))
    arrays.pop("report", None)
    return {name: a.tobytes() for name, a in arrays.items()}, page["digests"], page["consistency"]


def test_what_is_finished_is_left_alone(plan, tmp_path):
    first = events(plan, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = events(plan, tmp_path, resume=True)
    assert (tiles(first), tiles(again)) == (4, 0)
    settled, written = again
    assert isinstance(settled, Settled)
    assert settled.position.done == settled.position.total == 256
    assert isinstance(written, Written)
    assert set(written.files) == set(first[-1].files) == set(before)
    assert written.result.report["seed"] == 0
    assert written.result.preview == first[-1].result.preview
    with pytest.raises(UsageError, match="finished by an earlier run"):
        written.result.mean  # noqa: B018
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 1}, "with other settings"),
        ({"noise": 4.0}, "with other settings"),
        ({"samples": 1}, "with other settings"),
        ({"image": IMAGE + 1}, "from an input that has changed"),
    ],
)
def test_what_differs_is_refused_and_made_again_only_if_asked(plan, tmp_path, change, what):
    events(plan, tmp_path)
    with pytest.raises(OutputError, match=rf"array_x2_generated.npz: exists already, made {what}; give overwrite=true"):
        events(plan, tmp_path, existing="skip", **change)
    assert tiles(events(plan, tmp_path, resume=True, overwrite=True, **change)) == 4
    assert tiles(events(plan, tmp_path, resume=True, **change)) == 0


def test_words_that_do_not_change_the_result_do_not_count(plan, tmp_path):
    events(plan, tmp_path)
    assert tiles(events(plan, tmp_path, resume=True, batch=2, device="cpu")) == 0


@pytest.mark.parametrize("words", [{"overwrite": True}, {"existing": "overwrite"}])
def test_overwriting_makes_everything_again(plan, tmp_path, words):
    events(plan, tmp_path)
    assert tiles(events(plan, tmp_path, **words)) == 4


def test_by_default_what_exists_is_refused(plan, tmp_path):
    events(plan, tmp_path)
    with pytest.raises(OutputError, match=r"array_x2_generated.npz: exists already; give overwrite=true or another"):
        events(plan, tmp_path)


@pytest.mark.parametrize("how", ["gone", "short", "no digests", "no json", "elsewhere"])
def test_outputs_that_are_not_whole_are_not_finished(plan, tmp_path, how):
    events(plan, tmp_path)
    file, page = tmp_path / "array_x2_generated.npz", tmp_path / "array_x2_generated_report.json"
    said = json.loads(page.read_bytes())
    if how == "gone":
        file.unlink()
    elif how == "short":
        file.write_bytes(file.read_bytes()[:-1])
    elif how == "no json":
        page.write_text("[" * 100_000)
    else:
        more = {"digests": None} if how == "no digests" else {"files": {"../x": 1}}
        page.write_text(json.dumps({**said, **more}))
    assert record.read(tmp_path, NAMES) is None
    with pytest.raises(OutputError, match="exists already; give overwrite=true"):
        events(plan, tmp_path, resume=True)
    assert tiles(events(plan, tmp_path, resume=True, overwrite=True)) == 4


@pytest.mark.parametrize("stops", range(4))
def test_a_run_that_was_stopped_between_two_files_goes_on(plan, tmp_path, monkeypatch, stops):
    """Power lost after so many files came into place, or after all of them, before the store was gone."""
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    events(plan, whole)
    replace, left = Path.replace, iter(range(100))

    def stopping(self, place):
        if self.parent.name == "staging" and next(left) == stops:
            raise KeyboardInterrupt
        return replace(self, place)

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopping)
        if stops == 3:
            patch.setattr("gensr.pipeline.folder.WorkFolder.remove", killed)
        with pytest.raises(KeyboardInterrupt):
            events(plan, folder)
    assert len([p for p in folder.iterdir() if not p.name.startswith(".")]) == stops
    assert tiles(events(plan, folder, resume=True)) == 0
    assert content(folder) == content(whole)
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["array_x2_generated", "array_x2_generated.npz", "array_x2_generated_std.tif"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_folder_of_the_user_is_never_replaced(plan, tmp_path, name, empty):
    mine = tmp_path / name
    mine.mkdir()
    if not empty:
        (mine / "thesis.txt").write_text("years of work")
    what = "is a folder that" if empty else "holds thesis.txt, which"
    with pytest.raises(OutputError, match=f"{name}: {what} gensr did not write; move it away"):
        events(plan, tmp_path, overwrite=True)
    assert mine.is_dir()
    assert empty or (mine / "thesis.txt").read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [mine]


def test_a_folder_that_appears_while_a_run_goes_on_is_not_replaced_either(tmp_path):
    folder, target = tmp_path / "work", tmp_path / "out"
    staging = output.stage(folder)
    (staging / "array_x2_generated").mkdir()
    (staging / "array_x2_generated" / "slice").write_text("new")
    (target / "array_x2_generated").mkdir(parents=True)
    (target / "array_x2_generated" / "thesis.txt").touch()
    with pytest.raises(OutputError, match=r"holds thesis.txt, which gensr did not write"):
        output.into_place([staging / "array_x2_generated"], staging, target, NAMES)
    assert (staging / "array_x2_generated" / "slice").exists()


def test_a_damaged_list_of_what_was_to_come_says_nothing(tmp_path):
    for text in ("", "{", "7", '{"a": 1}', "é"):
        (tmp_path / output.PLACING).write_text(text)
        assert output._placing(tmp_path) == []


def test_digests_see_files_that_words_name_and_files_beside_the_input(tmp_path):
    source, kernel = tmp_path / "a.tif", tmp_path / "k.npy"
    source.write_bytes(b"image")
    np.save(kernel, np.ones((3, 3)) / 9)
    asked = Request(source=source, operator=f"psf:{kernel}")
    first = record.digests(asked, "microscopy", content_digest(source))
    np.save(kernel, np.eye(3) / 3)
    second = record.digests(asked, "microscopy", content_digest(source))
    assert first["input"] == second["input"]
    assert first["request"] != second["request"]
    (tmp_path / "a.tif.msk").write_bytes(b"mask")
    third = record.digests(asked, "microscopy", content_digest(source))
    assert third["input"] != second["input"]
    assert record.digests(asked, "satellite", "")["request"] != third["request"]
