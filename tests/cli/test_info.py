from __future__ import annotations

import json

from gensr.scenes import installed


def test_text(run, micrograph, tmp_path):
    outcome = run("info", micrograph(tmp_path / "a.tif", (12, 20)))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{tmp_path}/a.tif\n")
    words = outcome.out.split()
    assert "microscopy" in words
    assert "12 x 20 pixels, 1 plane(s), 1 band(s)" in outcome.out
    assert "flow-microscopy" in words


def test_json_is_json_and_failures_go_elsewhere(run, micrograph, tmp_path):
    outcome = run("info", micrograph(tmp_path / "a.tif"), tmp_path / "none.tif", "format=json")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    page = json.loads(outcome.out)["inputs"][0]
    assert page["file"] == str(tmp_path / "a.tif")
    assert page["upsample"]["operator at x4"]["name"] == "area"


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

    monkeypatch.setattr(installed.domain("microscopy"), "operator", refuse)
    outcome = run("info", micrograph(tmp_path / "a.tif"))
    assert outcome.code == 0
    assert "too small; crop less" in outcome.out
