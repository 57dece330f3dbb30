from __future__ import annotations

import pytest

from gensr.errors import FormatError, UsageError


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
    more = [f"output={tmp_path}/o,u t", "overwrite=true", "resume=true", "tile=64", "batch=2", "domain.labels=image"]
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
    assert call.options == {"labels": "image"}


def test_one_failure_does_not_stop_the_others(run, upsampler, micrograph, tmp_path):
    paths = [micrograph(tmp_path / f"{n}.tif") for n in "abcd"]
    upsampler.errors = {"b.tif": FormatError("b.tif: strange; convert it"), "c.tif": RuntimeError("oh")}
    outcome = run("upsample", *paths, tmp_path / "none.tif")
    assert outcome.code == 1
    assert [line.split(": ")[1] for line in outcome.lines] == [
        str(tmp_path / n) for n in ("none.tif", "b.tif", "c.tif")
    ]
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
    assert outcome.lines == ["gensr: interrupted; run the same command with resume=true to go on"]


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
    assert outcome.lines == [
        f"gensr: {second}: its outputs would have the names of those of {first}; give another output= for one of them"
    ]
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
