from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gensr.cli.completion import SCRIPTS, complete
from gensr.cli.domains import option_names
from gensr.cli.keys import KEYS
from gensr.cli.models_keys import ACTIONS


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path))
    (tmp_path / "my-model.safetensors").touch()


@pytest.mark.parametrize(
    ("words", "kind", "some"),
    [
        (["up"], "none", ["upsample"]),
        (["models", "v"], "none", ["verify"]),
        (["completion", ""], "none", ["bash", "zsh", "fish"]),
        (["upsample", "a.tif", "fac"], "files", ["factor="]),
        (["upsample", "search=b"], "none", ["search=balanced", "search=best"]),
        (["upsample", "operator=g"], "none", ["operator=gaussian:sigma="]),
        (["upsample", "domain=s"], "none", ["domain=satellite"]),
        (["upsample", "domain=satellite", "domain.no"], "none", ["domain.nodata=", "domain.noise_floor="]),
        (["upsample", "domain.axi"], "none", ["domain.axis="]),
        (["upsample", "generator=my"], "files", ["generator=my-model"]),
        (["upsample", "output="], "dirs", []),
        (["upsample", "overwrite="], "none", ["overwrite=true", "overwrite=false"]),
        (["upsample", "--c"], "none", ["--config", "--config-dir", "--cfg"]),
        (["upsample", "--config-dir", ""], "dirs", []),
        (["info", "format="], "none", ["format=text", "format=json"]),
        (["models", "info", "my"], "files", ["my-model"]),
        (["train", "generator=s"], "none", ["generator=style"]),
        (["train", "generator=e"], "none", ["generator=engression"]),
        (["train", "generator=gaussian", "comp"], "none", ["components="]),
        (["train", "generator=nobody", "g"], "none", ["generator="]),
        (["train", "data=cro"], "files", []),
        (["benchmark", ""], "files", []),
    ],
)
@pytest.mark.usefixtures("home")
def test_candidates(words, kind, some):
    assert complete(words) == (kind, some)


def test_every_key_is_offered(run):
    shown = run("__complete", "upsample", "").out.splitlines()
    assert shown[0] == "files"
    assert {f"{key}=" for key in KEYS["upsample"]} <= set(shown)


def test_options_are_read_from_the_configuration():
    assert "nodata" in option_names()["satellite"]
    assert all("name" not in keys for keys in option_names().values())


def test_scripts(run):
    for shell, script in SCRIPTS.items():
        assert run("completion", shell).out.strip() == script.strip()
    wrong = run("completion", "fihs")
    assert (wrong.code, len(wrong.lines)) == (2, 1)
    assert "did you mean 'fish'?" in wrong.err


BASH_TRY = r"""
PATH={bin}:$PATH
eval "$(gensr completion bash)"
compopt() {{ :; }}
COMP_LINE="$1" COMP_POINT=${{#1}} COMP_CWORD=$(($# - 2)) COMP_WORDS=("${{@:2}}")
_gensr
printf '%s\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "replies"),
    [
        ("gensr ups", ["upsample"]),
        ("gensr upsample scan.tif fac", ["factor="]),
        ("gensr upsample search = p", ["posterior", "pulse"]),
        ("gensr upsample search =", ["balanced", "best", "fast", "posterior", "pulse"]),
        ("gensr upsample operator = kspace : w", ["window=hamming"]),
        ("gensr upsample sc", ["scan.tif", "scans"]),
        ("gensr upsample se", ["search=", "seed=", r"se\ quel.tif"]),
        ("gensr upsample output =", ["scans"]),
        ("gensr upsample factor = 2 search = fa", ["fast"]),
        ("gensr models ", list(ACTIONS)),
    ],
)
def test_bash_completes(tmp_path, words, replies):
    """The words are as bash cuts them: at = and :."""
    (tmp_path / "scan.tif").touch()
    (tmp_path / "se quel.tif").touch()
    (tmp_path / "scans").mkdir()
    script = BASH_TRY.format(bin=Path(sys.executable).parent)
    line = words.replace(" = ", "=").replace(" =", "=").replace(" : ", ":")
    call = ["bash", "-c", script, "try", line, *words.split(" ")]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == sorted(replies)
    assert done.stderr == ""
