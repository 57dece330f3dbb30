from __future__ import annotations

import pytest

from gensr.cli.arguments import is_pair, parse
from gensr.errors import UsageError


def test_inputs_pairs_and_switches():
    found = parse(["a.tif", "factor=4", "--x", "--dir", "d", "b", "factor=2", "--dir=e=f"], ["--x"], ["--dir"])
    assert found.inputs == ["a.tif", "b"]
    assert found.pairs == {"factor": "2"}
    assert found.switches == {"--x"}
    assert found.valued == {"--dir": "e=f"}


@pytest.mark.parametrize("text", ["sub/a=b.tif", "/x=1", "./k=v.tif", "*=1.tif", "1=2", "=3", "scan.tif"])
def test_what_is_an_input(text):
    assert not is_pair(text)


@pytest.mark.parametrize("text", ["k=", "domain.nodata=a/b", "output=/tmp/a=b"])
def test_what_is_a_pair(text):
    assert is_pair(text)


def test_an_existing_file_is_an_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "factor=4").touch()
    (tmp_path / "-x").touch()
    assert parse(["factor=4", "-x"]).inputs == ["factor=4", "-x"]


def test_after_two_dashes_everything_is_an_input():
    assert parse(["a=1", "--", "b=2", "--c"]).inputs == ["b=2", "--c"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--factor=3"], "write factor=3"),
        (["--factor"], "write factor=VALUE"),
        (["--tracebak"], "did you mean '--traceback'?"),
        (["-q"], "a file of that name goes after --"),
        (["--dir"], "--dir lacks its value"),
    ],
)
def test_unknown_switches(argv, words):
    with pytest.raises(UsageError, match=words.replace("?", r"\?")):
        parse(argv, valued=["--dir"], keys=["factor"])
