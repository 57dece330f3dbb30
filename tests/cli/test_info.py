from __future__ import annotations

import json

from gensr.cli.keys import KEYS


def test_text(run, micrograph, tmp_path):
    outcome = run("info", micrograph(tmp_path / "a.tif", (12, 20)))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{tmp_path}/a.tif\n")
    words = outcome.out.split()
    assert "microscopy" in words
    assert "12 x 20 pixels, 1 plane(s), 1 band(s)" in outcome.out
    assert "engression-field" in words


def test_json_is_json_and_failures_go_elsewhere(run, micrograph, tmp_path):
    outcome = run("info", micrograph(tmp_path / "a.tif"), tmp_path / "none.tif", "format=json")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    page = json.loads(outcome.out)["inputs"][0]
    assert page["file"] == str(tmp_path / "a.tif")
    assert page["upsample x4"]["operator"]["name"] == "area"


def test_options_of_the_domain_are_used(run, micrograph, tmp_path):
    path = micrograph(tmp_path / "a.tif")
    assert run("info", path, "domain.series=0").code == 0
    wrong = run("info", path, "domain.series=7")
    assert wrong.code != 0
    assert len(wrong.lines) == 1
    assert run("info", path, "domain.sries=0").code == 2
    assert run("info", path, "format=xml").lines == ["gensr: format=xml: expected text or json"]
    assert run("info").code == 2


def test_a_refusal_of_the_domain_is_a_fact(run, tmp_path, monkeypatch, micrograph):
    from gensr.errors import DomainError

    def refuse(scene, factor):
        raise DomainError("too small; crop less")

    monkeypatch.setattr("gensr.domains.microscopy.scene.MicroscopyScene.operator", refuse)
    outcome = run("info", micrograph(tmp_path / "a.tif"))
    assert outcome.code == 0
    assert "too small; crop less" in outcome.out


def test_it_shows_what_a_run_would_do(run, micrograph, tmp_path):
    path = micrograph(tmp_path / "a.tif", (12, 20))
    outcome = run("info", path, "factor=2", "noise=2.5", "samples=3", "generator=gaussian-microscopy", "format=json")
    said = json.loads(outcome.out)["inputs"][0]["upsample x2"]
    assert said["output"] == "24 x 40 pixels, 1 plane(s), 1 band(s)"
    assert said["generator"] == {
        "name": "gaussian-microscopy", "family": "gaussian", "made for": "microscopy", "chosen as": "named by the user",
    }  # fmt: skip
    assert (said["noise"]["sigma"], said["noise"]["from"]) == (2.5, "given")
    assert said["samples"] == "3, guided draws"
    assert said["tiles"].startswith("1 of 20 x 12 input pixels")
    assert run("info", path, "output=x").lines == [f"gensr: unknown key 'output'; keys: {', '.join(KEYS['info'])}"]
