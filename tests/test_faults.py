"""A few injected faults on every run of the tests; `make faults` does hundreds."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "faults.py"


def faults(*words):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=600, check=False
    )


def test_faults_end_in_the_right_bytes_or_in_one_clear_line():
    kinds = "kill,interrupt,full,full store,full sync,read-only,memory,twice,damage"
    done = faults("--count", 9, "--seed", 4, "--each", "--kinds", kinds, "--cases", "raster")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 faults, 0 ended wrong" in done.stdout


def test_a_fault_that_ends_wrong_is_seen():
    """The same with a run that does not go on: it must be told, or the tool sees nothing."""
    done = faults("--count", 1, "--kinds", "kill", "--cases", "raster", "--forget")
    assert done.returncode == 1
    assert "1 faults, 1 ended wrong" in done.stdout


@pytest.mark.parametrize("words", [("--kinds", "fire"), ("--cases", "none")])
def test_words_that_name_nothing(words):
    assert faults(*words).returncode == 2
