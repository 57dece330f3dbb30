from __future__ import annotations

import io
import logging
import warnings

import pytest

from gensr.cli.console import Console, explain, located
from gensr.errors import FormatError, UsageError


@pytest.fixture
def console():
    return Console(out=io.StringIO(), err=io.StringIO())


def test_one_line_whatever_the_error(console):
    assert console.fail(FormatError("a.tif: bad\n  header\x1b[31m; fix it"), "in/a.tif") == 1
    assert console.err.getvalue() == "gensr: in/a.tif: bad header\\x1b[31m; fix it\n"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("x"), 2, "x"),
        (MemoryError(), 1, "out of memory; use a smaller tile= or batch="),
        (OSError(28, "No space left on device", "/out/b.tif"), 1, "No space left on device (/out/b.tif)"),
        (ZeroDivisionError("oh"), 1, "unexpected ZeroDivisionError: oh; this is a bug in gensr: report it"),
    ],
)
def test_errors_say_what_to_do(console, error, code, words):
    assert console.fail(error, "a.tif") == code
    assert console.err.getvalue().startswith(f"gensr: a.tif: {words}")
    assert explain(error) in console.err.getvalue()


def test_place_stands_once():
    assert located("in/a.tif", "in/a.tif: empty") == "in/a.tif: empty"
    assert located("in/a.tif", "b.npy: empty") == "in/a.tif: b.npy: empty"


def test_warnings_become_lines_and_come_once(console, capsys):
    with console.warnings("a.tif"):
        for _ in range(3):
            warnings.warn("odd header", stacklevel=1)
        logging.getLogger("tifffile").error("noise of a library")
    assert console.err.getvalue() == "gensr: a.tif: warning: odd header\n"
    assert capsys.readouterr() == ("", "")


def test_names_that_no_encoding_holds(console):
    console.say("caf\udce9.tif")
    assert console.out.getvalue() == "caf\\udce9.tif\n"


def test_what_a_file_puts_into_an_error_stays_in_its_line():
    error = FormatError("a.fits: claims BITPIX = 8\x1c\x85\n\x1b[31mred; repair it")
    assert str(error) == "a.fits: claims BITPIX = 8 \\x1b[31mred; repair it"
    assert str(FormatError("été  a.tif: two  spaces")) == "été  a.tif: two  spaces"
