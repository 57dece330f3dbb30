from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from gensr import registry
from gensr.cli.main import COMMANDS, main

QUICK = """
import sys
from gensr.cli.main import main
main({argv})
print(sorted({{"torch", "hydra", "numpy"}} & set(sys.modules)))
"""


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["upsample", "--help"], ["__complete", "upsample", "fac"]])
def test_help_and_completion_import_nothing_heavy(argv):
    assert python(QUICK.format(argv=argv)).splitlines()[-1] == "[]"


def test_help_comes_at_once():
    def seconds(code):
        started = time.perf_counter()
        python(code)
        return time.perf_counter() - started

    bare = min(seconds("") for _ in range(3))
    assert min(seconds("from gensr.cli.main import main; main(['--help'])") for _ in range(3)) - bare < 0.3


def test_help_names_every_command_and_shows_examples(run):
    out = run("--help").out
    assert all(re.search(rf"(?m)^  {name} ", out) for name in [*COMMANDS, "benchmark"])
    assert out.count("\n  gensr ") >= 6
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", [n for n in COMMANDS])
def test_every_command_has_help(run, name):
    outcome = run(name, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"gensr {name}" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert run("help", name).out == outcome.out


def test_help_says_what_faces_are_not_for(run):
    told = run("upsample", "--help").out
    assert "not for identification" in told
    assert "invention" in told


def test_nothing_is_wrong_usage(run):
    assert run().code == 2


def test_version(run):
    assert re.fullmatch(r"gensr \d+\.\d+\.\d+\S*\n", run("--version").out)


def test_unknown_command(run):
    outcome = run("upsmaple", "a.tif")
    assert outcome.code == 2
    assert outcome.lines == [outcome.err.strip()]
    assert "did you mean 'upsample'?" in outcome.err


def test_command_of_a_plugin_gets_its_arguments_and_gives_the_code(run, monkeypatch):
    got = []
    monkeypatch.setattr(registry, "names", lambda group: ["shout"] if group == "commands" else [])
    monkeypatch.setattr(registry, "load", lambda group, name: lambda argv: got.append((group, name, argv)) or 7)
    assert run("shout", "a", "--b").code == 7
    assert got == [("commands", "shout", ["a", "--b"])]


def test_plugin_without_exit_code_is_named(run, monkeypatch):
    monkeypatch.setattr(registry, "names", lambda group: ["shout"])
    monkeypatch.setattr(registry, "load", lambda group, name: lambda argv: None)
    outcome = run("shout")
    assert outcome.code == 1
    assert outcome.lines == ["gensr: command 'shout' returned NoneType instead of an exit code; update its package"]


@pytest.mark.parametrize("how", ["before", "after", "environment"])
def test_traces_are_shown_when_asked(run, monkeypatch, how):
    argv = ["info", "/no/such.tif"]
    if how == "environment":
        monkeypatch.setenv("GENSR_TRACEBACK", "1")
    else:
        argv.insert(0 if how == "before" else 1, "--traceback")
    outcome = run(*argv)
    assert outcome.code == 1
    assert outcome.lines[0] == "Traceback (most recent call last):"
    assert outcome.lines[-1] == "gensr: /no/such.tif: no such file or folder; check the path"
    monkeypatch.setenv("GENSR_TRACEBACK", "0")
    assert len(run("info", "/no/such.tif").lines) == 1


def test_reader_of_a_pipe_may_leave():
    code = (
        f"import subprocess, sys; p = subprocess.Popen([{sys.executable!r}, '-m', 'gensr', '--help'], "
        "stdout=subprocess.PIPE, stderr=subprocess.PIPE); p.stdout.close(); print(p.wait(), p.stderr.read())"
    )
    assert python(code).strip() == "0 b''"


def test_runs_as_a_module_where_only_ascii_can_be_written(tmp_path):
    path = tmp_path / "größe×2.tif"
    result = subprocess.run(
        [sys.executable, "-m", "gensr", "info", str(path)],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"},
        check=False,
    )
    assert result.returncode == 1
    assert b"gr\\xf6\\xdfe\\xd72.tif: no such file or folder" in result.stderr


def test_main_reads_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gensr", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("gensr ")


def test_no_memory_even_for_a_line_is_said(monkeypatch, capfd):
    def fail(self, *words):
        raise MemoryError

    monkeypatch.setattr("gensr.cli.console.Console.fail", fail)
    assert main(["nonsense"]) == 1
    assert capfd.readouterr().err == "gensr: out of memory; use a smaller tile= or batch=, or close other programs\n"
