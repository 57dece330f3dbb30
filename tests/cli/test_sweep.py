"""Sweeps, files of keys, and values that are nothing but text."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import yaml

from gensr.cli.config import UpsampleConfig, compose
from gensr.cli.sweep import jobs, split
from gensr.errors import UsageError

QUICK = ("samples=0", "search=fast", "noise=0", "generator=gaussian-microscopy", "domain=microscopy")


def test_every_combination_is_a_run_and_values_of_other_keys_get_a_folder(run, upsampler, micrograph, tmp_path):
    path = micrograph(tmp_path / "a.tif")
    said = run("upsample", "-m", path, "factor=2,2x4", "seed=3,5", f"output={tmp_path}/out")
    assert (said.code, said.out.splitlines()[-1].split(",")[0]) == (0, "4 done")
    assert [(c.factor, c.seed, str(c.output.relative_to(tmp_path))) for c in upsampler.calls] == [
        (2, 3, "out/seed=3"),
        (2, 5, "out/seed=5"),
        ("2x4", 3, "out/seed=3"),
        ("2x4", 5, "out/seed=5"),
    ]
    upsampler.calls.clear()
    assert run("upsample", "--multirun", path, "factor=2,4").code == 0
    assert [(c.factor, c.output) for c in upsampler.calls] == [(2, tmp_path), (4, tmp_path)]


def test_commas_in_quotes_and_brackets_separate_nothing():
    assert split("a,'b,c',\"d\", [1,2] ,(3,4)") == ["a", "b,c", "d", "[1,2]", "(3,4)"]
    assert [job.pairs["noise"] for job in jobs({"noise": "'2,200',1"})] == ["2,200", "1"]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"factor": "2"}, "-m needs a key with several values, such as factor=2,4"),
        ({"output": "a,b"}, "output=a,b: one for the whole sweep"),
        ({"domain": "faces,satellite"}, "domain=faces,satellite: one for the whole sweep"),
        ({"seed": ",".join(map(str, range(40))), "samples": ",".join(map(str, range(40)))}, "1600 runs; at most 1000"),
        ({"generator": "a/b,a:b"}, "differ only in signs"),
    ],
)
def test_sweeps_that_make_no_sense(pairs, words):
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        jobs(pairs)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        (
            "factor=2,4",
            "expected a whole number from 2 to 64, or rows x columns such as 2x4; several values are a sweep",
        ),
        ("seed=1,2", "seed=1,2: expected a whole number from 0; several values are a sweep: add -m"),
        ("search=fast,best", "search=fast,best: expected "),
        ("factor=2;4", "factor=2;4: expected a whole number from 2 to 64, or rows x columns such as 2x4"),
        ("factor=1", "factor=1: nothing to do"),
        ("factor=1x1", "factor=1x1: nothing to do"),
        ("factor=2x65", "factor=2x65: expected"),
    ],
)
def test_several_values_without_a_sweep_are_refused_with_the_way(run, upsampler, micrograph, tmp_path, word, advice):
    said = run("upsample", micrograph(tmp_path / "a.tif"), word)
    assert (said.code, len(said.lines)) == (2, 1)
    assert advice in said.err
    assert ("add -m" in said.err) == ("," in word and not word.startswith("search"))
    assert upsampler.calls == []


def test_rows_and_columns_may_be_refined_apart(run, micrograph, tmp_path):
    path = micrograph(tmp_path / "a.tif", (8, 6))
    for word, times, shape in (("2x4", "2x4", (16, 24)), ("1x3", "1x3", (8, 18)), ("3x3", "3", (24, 18))):
        assert run("upsample", path, f"factor={word}", *QUICK).code == 0
        with tifffile.TiffFile(tmp_path / f"a_x{times}_generated.tif") as file:
            assert file.asarray().shape == shape
            x, y = (file.pages[0].tags[name].value for name in ("XResolution", "YResolution"))
        assert (x[0] / x[1], y[0] / y[1]) == (10 * shape[1] / 6, 10 * shape[0] / 8)
        report = json.loads((tmp_path / f"a_x{times}_generated_report.json").read_text())
        assert str(report["factor"]) == times
        assert report["operator"]["factor"] == [shape[0] // 8, shape[1] // 6]


TRICKS = [
    "${oc.env:HOME}",
    "${now:%Y}",
    "${seed}",
    "a${oc.env:HOME}b",
    "???",
    "\\${seed}",
    "$HOME",
    "${",
    "${oc.env:X",
    "'${seed}'",
]


@pytest.mark.parametrize("text", TRICKS)
def test_values_are_text(run, upsampler, micrograph, tmp_path, text, monkeypatch):
    monkeypatch.setenv("HOME", "/secret")
    config = compose("upsample", UpsampleConfig, {"output": text, "domain.container": text})
    assert (config.output, config.domain["container"]) == (text, text)
    said = run("upsample", micrograph(tmp_path / "a.tif"), f"output={tmp_path}/{text}")
    assert said.code == 0
    assert upsampler.calls[0].output == tmp_path / text
    for key in ("factor", "seed", "generator", "search", "domain", "runtime", "noise", "tile", "runtime.address"):
        said = run("upsample", tmp_path / "a.tif", f"{key}={text}")
        assert said.code == 2, key
        assert len(said.lines) == 1
        assert "secret" not in said.err
        assert "bug" not in said.err
        assert "gensr-text" not in said.err


def test_a_file_beside_the_output_asks_for_the_same_again(run, micrograph, tmp_path, monkeypatch):
    path = micrograph(tmp_path / "in put" / "a.tif", (6, 6))
    np.save(tmp_path / "k.npy", np.ones((3, 3), np.float32) / 9)
    monkeypatch.chdir(tmp_path)
    words = ("factor=2x3", "seed=4", "samples=1", "search=fast", "search.spacing=3", "noise=3.5", "tile=4")
    operator = "operator=psf:k.npy"
    first = run(
        "upsample", path, *words, operator, "generator=gaussian-microscopy", "output=out", "domain.container=ome"
    )
    assert first.code == 0
    recipe = tmp_path / "out" / "a_x2x3_generated_run.yaml"
    assert first.out.splitlines()[0].partition(" (")[0].endswith("run.yaml")
    said = yaml.safe_load(recipe.read_text())
    assert said["inputs"] == ["../in put/a.tif"]
    assert (said["operator"], said["domain.container"], said["seed"]) == ("psf:file=../k.npy", "ome", 4)
    assert str(tmp_path) not in recipe.read_text()
    monkeypatch.chdir("/")
    again = run("upsample", "--config", recipe, f"output={tmp_path}/again")
    assert again.code == 0
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "again").iterdir())
    for name in names:
        if not name.endswith((".json", ".yaml")):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    pages = [json.loads((tmp_path / f / "a_x2x3_generated_report.json").read_text()) for f in ("out", "again")]
    assert pages[0]["digests"] == pages[1]["digests"]
    # And beside the output it finds that nothing is left to do, or what is to be made again.
    assert "finished before" in run("upsample", "--config", recipe, f"output={tmp_path}/out", "resume=true").out


def test_the_command_line_goes_before_the_file(run, upsampler, micrograph, tmp_path, monkeypatch):
    path, other = micrograph(tmp_path / "a.tif"), micrograph(tmp_path / "b.tif")
    file = tmp_path / "my.yaml"
    file.write_text("inputs: ./a.tif\nfactor: 3\nseed: 1\ndomain: {name: microscopy, container: ome}\nsamples: 2\n")
    assert run("upsample", "--config", file, "seed=7").code == 0
    assert run("upsample", f"--config={file}", other).code == 0
    first, second = upsampler.calls
    assert (first.source, first.factor, first.seed, first.samples, first.options) == (
        path,
        3,
        7,
        2,
        {"container": "ome"},
    )
    assert (second.source, second.seed) == (other, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", "expected lines 'key: value'"),
        ("a: [", "cannot be read as YAML"),
        ("inputs: {a: 1}\n", "inputs is no list of paths"),
        ("seed: 2020-01-01\n", "seed is neither text nor number; put it in quotes"),
        ("sede: 1\n", "unknown key 'sede'; did you mean 'seed'?"),
        ("a: !!python/object/apply:os.system ['true']\n", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("seed: ${oc.env:HOME}\n", "seed=${oc.env:HOME}: expected a whole number from 0"),
    ],
)
def test_files_that_ask_for_nothing(run, upsampler, micrograph, tmp_path, text, words):
    micrograph(tmp_path / "a.tif")
    (tmp_path / "my.yaml").write_text(text)
    said = run("upsample", "--config", tmp_path / "my.yaml", tmp_path / "a.tif")
    assert (said.code, len(said.lines)) == (2, 1)
    assert words in said.err
    assert upsampler.calls == []


def test_a_batch_leaves_a_file_that_asks_for_it_again(run, upsampler, micrograph, tmp_path, monkeypatch):
    for name in "ab":
        micrograph(tmp_path / "in" / f"{name}.tif")
    monkeypatch.chdir(tmp_path)
    assert run("upsample", "-m", "in", "factor=2,4", "output=out", "seed=2").code == 0
    first = [(c.source.name, c.factor, c.seed) for c in upsampler.calls]
    upsampler.calls.clear()
    monkeypatch.chdir("/")
    assert run("upsample", "--config", tmp_path / "out" / "run.yaml").code == 0
    assert [(c.source.name, c.factor, c.seed) for c in upsampler.calls] == first
    assert {c.output for c in upsampler.calls} == {tmp_path / "out"}
    (tmp_path / "out" / "run.yaml").write_text("mine: 1\n")
    said = run("upsample", tmp_path / "in", f"output={tmp_path}/out")
    assert "run.yaml: not written (a file of that name stands there that gensr did not write)" in said.err
    assert (tmp_path / "out" / "run.yaml").read_text() == "mine: 1\n"


def test_the_keys_of_a_run_are_shown_and_nothing_is_done(run, upsampler, tmp_path):
    said = run("upsample", "--cfg", "job", "factor=2x4", "search=fast", "output=${x}")
    assert said.code == 0
    shown = yaml.safe_load(said.out)
    assert (shown["factor"], shown["search"]["name"], shown["output"], shown["existing"]) == (
        "2x4",
        "fast",
        "${x}",
        "error",
    )
    assert len(list(yaml.safe_load_all(run("upsample", "--cfg", "job", "-m", "seed=1,2").out))) == 2
    assert run("upsample", "--cfg", "hydra").lines == ["gensr: --cfg hydra: expected job, the keys of this run"]
    assert upsampler.calls == []
