from __future__ import annotations

import csv
import json
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from gensr.errors import FormatError, UsageError
from gensr.pipeline.many import Outcome
from tests.cli.conftest import FakeUpsampler


def test_one_file(run, upsampler, micrograph, tmp_path):
    path = micrograph(tmp_path / "cells.tif")
    outcome = run("upsample", path)
    assert (outcome.code, outcome.err) == (0, "")
    first, last = outcome.out.splitlines()
    assert first.startswith(
        f"{path} -> {tmp_path}/cells_x4_generated.tif + std.tif, report.json (residual 1.00 sigma, "
    )
    assert last.startswith("1 done, 0 failed, ")
    call = upsampler.calls[0]
    assert call.search.name == "balanced"
    assert {k: getattr(call, k) for k in ("source", "factor", "domain", "samples", "seed", "device", "options")} == {
        "source": path,
        "factor": 4,
        "domain": "microscopy",
        "samples": 1,
        "seed": 0,
        "device": "auto",
        "options": {},
    }
    assert (call.generator, call.operator, call.noise, call.tile, call.batch) == (None,) * 5
    assert call.output == tmp_path


def test_every_key_arrives(run, upsampler, micrograph, tmp_path):
    path = micrograph(tmp_path / "cells.tif")
    keys = ["factor=3", "samples=5", "search=fast", "operator=gaussian:sigma=0.5", "noise=1e-2", "seed=9", "device=cpu"]
    more = [f"output={tmp_path}/o,u t", "overwrite=true", "resume=true", "tile=64", "batch=2", "domain.container=ome"]
    more.append("labels=image")
    assert run("upsample", path, *keys, *more).code == 0
    call = upsampler.calls[0]
    assert (call.factor, call.samples, call.search.name, call.operator) == (
        3,
        5,
        "fast",
        "gaussian:sigma=0.5",
    )
    assert (call.noise, call.seed, call.device, call.output) == ("1e-2", 9, "cpu", tmp_path / "o,u t")
    assert (call.overwrite, call.resume, call.tile, call.batch) == (True, True, 64, 2)
    assert call.options == {"container": "ome"}
    assert call.labels == "image"


def test_one_failure_does_not_stop_the_others(run, upsampler, micrograph, tmp_path):
    paths = [micrograph(tmp_path / f"{n}.tif") for n in "abcd"]
    upsampler.errors = {"b.tif": FormatError("b.tif: strange; convert it"), "c.tif": RuntimeError("oh")}
    outcome = run("upsample", *paths, tmp_path / "none.tif")
    assert outcome.code == 1
    assert [line.split(": ")[1] for line in outcome.lines[:3]] == [
        str(tmp_path / n) for n in ("none.tif", "b.tif", "c.tif")
    ]
    assert outcome.lines[3] == "gensr: 3 of 5 inputs failed:"
    assert outcome.lines[4:] == [line.replace("gensr: ", "gensr: - ", 1) for line in outcome.lines[:3]]
    assert outcome.lines[1] == f"gensr: {tmp_path}/b.tif: strange; convert it"
    assert "unexpected RuntimeError: oh; this is a bug in gensr" in outcome.lines[2]
    assert outcome.out.splitlines()[-1].startswith("2 done, 3 failed, ")
    assert [c.source for c in upsampler.calls] == paths


def test_usage_errors_alone_give_two(run, upsampler, micrograph, tmp_path):
    path, other = micrograph(tmp_path / "a.tif"), micrograph(tmp_path / "b.tif")
    upsampler.errors = {"a.tif": UsageError("no such thing")}
    assert run("upsample", path).code == 2
    assert run("upsample", path, other).code == 1


def test_interrupted_run_tells_how_to_go_on(run, upsampler, micrograph, tmp_path):
    path = micrograph(tmp_path / "a.tif")
    upsampler.errors = {"a.tif": KeyboardInterrupt()}
    outcome = run("upsample", path)
    assert outcome.code == 130
    assert outcome.lines == [
        "gensr: interrupted; nothing is kept of what was under way; run the same command with resume=true to go on"
    ]
    store = tmp_path / ".a_x4_generated.work"
    store.mkdir()
    (store / "journal.jsonl").touch()
    assert run("upsample", path).lines == [
        f"gensr: interrupted; what is finished of {path} is kept in {store}; run the same command with resume=true to "
        "go on"
    ]
    other = micrograph(tmp_path / "0.tif")
    upsampler.errors["z.tif"] = FormatError("z.tif: strange")
    outcome = run("upsample", other, path, micrograph(tmp_path / "b.tif"))
    assert "gensr: interrupted; 1 done, 0 failed, 2 open; what is finished of" in outcome.lines[-1]
    rows = json.loads((tmp_path / "summary.json").read_text())["inputs"]
    assert [row["status"] for row in rows] == ["done", "open", "open"]


def half_done(*_args, **_options):
    """What an interrupted library may leave: it cleans up badly, and its own error hides the interrupt."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    raise AttributeError("half done")


def test_an_interrupt_that_became_another_error_is_an_interrupt(
    run, upsampler, micrograph, tmp_path, monkeypatch, request
):
    paths = [micrograph(tmp_path / f"{n}.tif") for n in "abc"]

    def turned(self, asked, listener, where):
        if Path(asked.source) != paths[1]:
            return answered(self, asked, listener, where)
        try:
            half_done()
        except AttributeError as error:
            return Outcome((), {}, 0.0, error)

    # A shell leaves interrupts of what runs behind it ignored.
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, kept))
    answered = FakeUpsampler.__call__
    monkeypatch.setattr(FakeUpsampler, "__call__", turned)
    outcome = run("upsample", *paths)
    assert outcome.code == 130
    assert outcome.lines[-1].startswith("gensr: interrupted; 1 done, 0 failed, 2 open; nothing is kept")
    assert [Path(c.source) for c in upsampler.calls] == paths[:1]
    monkeypatch.setattr("gensr.cli.config.compose", half_done)
    outcome = run("upsample", paths[0])
    assert (outcome.code, outcome.lines) == (130, ["gensr: interrupted"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_warnings_of_the_report_are_lines(run, upsampler, micrograph, tmp_path):
    upsampler.report = {"consistency": {"rms in codes": 0.012, "chi2 per datum": None}, "warnings": ["all is dark"]}
    path = micrograph(tmp_path / "a.tif")
    outcome = run("upsample", path)
    assert outcome.code == 0
    assert "(residual 0.012 codes rms, " in outcome.out
    assert outcome.lines == [f"gensr: {path}: warning: all is dark"]


def test_two_inputs_never_share_outputs(run, upsampler, micrograph, tmp_path):
    first, second = micrograph(tmp_path / "a" / "x.tif"), micrograph(tmp_path / "b" / "x.tif")
    outcome = run("upsample", first, second, f"output={tmp_path}/out", "overwrite=true")
    assert outcome.code == 1
    assert outcome.lines[0] == (
        f"gensr: {second}: its outputs would have the names of those of {first}; give another output= for one of them"
    )
    assert run("upsample", first, second).code == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["serch=fast"], "unknown key 'serch'; did you mean 'search'?"),
        (["factor=0"], "factor=0: expected a whole number from 2 to 64"),
        (["operator=boxx"], "unknown operator 'boxx'"),
        (["generator=nobody"], "generator=nobody: no such generator or file"),
        (["domain.nodata=3"], "unknown key 'domain.nodata'"),
        (["domain=satellite", "domain.nodat=3"], "unknown key 'domain.nodat'; did you mean 'nodata'?"),
        (["--config-dir", "/no/such"], "--config-dir /no/such: no such folder"),
        (["--factor", "3"], "write factor=VALUE"),
    ],
)
def test_wrong_usage_is_found_before_any_work(run, upsampler, micrograph, tmp_path, argv, words):
    outcome = run("upsample", micrograph(tmp_path / "a.tif"), *argv)
    assert outcome.code == 2
    assert len(outcome.lines) == 1
    assert words in outcome.err
    assert upsampler.calls == []


def test_no_input(run):
    assert run("upsample", "factor=2").lines == ["gensr: no input given; write gensr upsample INPUT... [key=value...]"]


def test_a_folder_with_notes_on_what_is_left_out(run, upsampler, micrograph, tmp_path):
    micrograph(tmp_path / "a.tif")
    micrograph(tmp_path / "a_x4_generated.tif")
    outcome = run("upsample", tmp_path)
    assert [c.source for c in upsampler.calls] == [tmp_path / "a.tif"]
    assert outcome.lines == [f"gensr: {tmp_path}: left out 1 outputs of earlier runs (a_x4_generated.tif)"]


def test_i_understand_is_an_option_of_medicine_only(run, upsampler, micrograph, tmp_path):
    import nibabel
    import numpy as np

    nibabel.Nifti1Image(np.ones((4, 4, 1), np.int16), np.eye(4)).to_filename(tmp_path / "b.nii")
    assert run("upsample", "--i-understand", tmp_path / "b.nii", micrograph(tmp_path / "a.tif")).code == 0
    assert [c.options for c in upsampler.calls] == [{"understood": True}, {}]


def summary(folder):
    with (folder / "summary.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    rows = json.loads((folder / "summary.json").read_text())["inputs"]
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows] == table
    return rows


def test_a_summary_of_many_inputs_lies_beside_their_outputs(run, upsampler, micrograph, tmp_path):
    paths = [micrograph(tmp_path / f"{n}.tif") for n in "ab"]
    upsampler.report = {
        "input": {"domain": "microscopy"},
        "generator": {"name": "flow"},
        "consistency": {"chi2 per datum": 4.0},
    }
    upsampler.errors = {"b.tif": FormatError("b.tif: strange; convert it")}
    out = tmp_path / "out"
    run("upsample", *paths, tmp_path / "none.tif", f"output={out}", "factor=2")
    nobody, first, second = summary(out)
    assert first == {
        "input": str(paths[0]),
        "status": "done",
        "domain": "microscopy",
        "generator": "flow",
        "factor": "2",
        "output": "a_x4_generated.tif",
        "residual sigma": 2.0,
        "seconds": 0.1,
        "error": None,
    }
    assert (second["status"], second["domain"], second["error"]) == (
        "failed",
        "microscopy",
        f"{paths[1]}: strange; convert it",
    )
    assert (nobody["status"], nobody["factor"]) == ("failed", None)
    assert "no such file" in nobody["error"]


def test_one_input_has_no_summary(run, upsampler, micrograph, tmp_path):
    run("upsample", micrograph(tmp_path / "a.tif"))
    assert not list(tmp_path.glob("summary*"))


def test_a_summary_replaces_only_a_summary_and_is_no_input(run, upsampler, micrograph, tmp_path):
    for name in "ab":
        micrograph(tmp_path / f"{name}.tif")
    (tmp_path / "summary.csv").write_text("my,own\n1,2\n")
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / "summary.json").symlink_to(tmp_path / "elsewhere")
    outcome = run("upsample", tmp_path)
    assert [line.split(": ")[1:] for line in outcome.lines] == [
        [str(tmp_path), "left out 1 files that no domain recognises (elsewhere)"],
        [f"{tmp_path}/summary.csv", "not written (a file of that name stands there that gensr did not write)"],
        [f"{tmp_path}/summary.json", "not written (a file of that name stands there that gensr did not write)"],
    ]
    assert (tmp_path / "summary.csv").read_text() == "my,own\n1,2\n"
    assert (tmp_path / "elsewhere").read_text() == "{}"
    for name in ("summary.csv", "summary.json", "elsewhere"):
        (tmp_path / name).unlink()
    assert run("upsample", tmp_path).lines == []
    assert run("upsample", f"{tmp_path}/*").lines == []
    assert [row["status"] for row in summary(tmp_path)] == ["done", "done"]


def test_every_folder_of_outputs_has_its_own_summary(run, upsampler, micrograph, tmp_path):
    paths = [micrograph(tmp_path / folder / "x.tif") for folder in "ab"]
    run("upsample", *paths)
    assert [row["input"] for folder in "ab" for row in summary(tmp_path / folder)] == list(map(str, paths))


def test_two_batches_into_one_folder_fail_at_once(run, upsampler, micrograph, tmp_path):
    from gensr.pipeline.folder import WorkFolder

    paths = [micrograph(tmp_path / f"{n}.tif") for n in "ab"]
    with WorkFolder(tmp_path / ".gensr-batch.work"):
        outcome = run("upsample", *paths)
        assert outcome.code == 1
        assert len(outcome.lines) == 1
        assert "in use by another run (process " in outcome.lines[0]
        assert upsampler.calls == []
        assert run("upsample", paths[0]).code == 0  # one input among them is no batch
    assert run("upsample", *paths).code == 0
    assert not list(tmp_path.glob(".gensr*"))


def test_fifty_files_of_which_three_are_bad(run, micrograph, tmp_path):
    """Run, run again to go on, mend one, run again: nothing is computed twice."""
    paths = [micrograph(tmp_path / "in" / f"{k:02}.tif", (4, 4)) for k in range(50)]
    for k, data in ((7, paths[7].read_bytes()[:60]), (20, b""), (49, b"no image at all")):
        paths[k].write_bytes(data)
    out = tmp_path / "out"
    words = ("upsample", tmp_path / "in", f"output={out}", "factor=2", "samples=0", "search=fast", "noise=0")
    more = ("generator=gaussian-microscopy", "domain=microscopy")

    def counts(*extra):
        said = run(*words, *more, *extra)
        return said, said.out.splitlines()[-1].rpartition(",")[0]

    first, told = counts()
    assert told == "47 done, 3 failed"
    assert first.code == 1
    names = [str(paths[k]) for k in (7, 20, 49)]
    assert [line.split(": ")[1] for line in first.lines if ": - " in line] == [f"- {name}" for name in names]
    assert {row["input"]: row["status"] for row in summary(out)} == {
        str(path): "failed" if str(path) in names else "done" for path in paths
    }
    before = {path: path.stat().st_mtime_ns for path in out.iterdir() if "_generated" in path.name}
    again, told = counts("resume=true")
    assert told == "0 done, 47 finished before, 3 failed"
    assert again.code == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    micrograph(paths[20], (4, 4))
    _, told = counts("resume=true")
    assert told == "1 done, 47 finished before, 2 failed"
    assert sorted(row["status"] for row in summary(out)) == ["done"] + ["failed"] * 2 + ["skipped"] * 47
    _, told = counts("existing=skip")
    assert told == "0 done, 48 finished before, 2 failed"
    last, told = counts()
    assert told == "0 done, 50 failed"
    assert f"{out}/00_x2_generated.tif: exists already; give overwrite=true or another output=DIR" in last.err
