"""The wheel holds the folders, all of them and nothing else, under one name."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"gensr": "gensr", "domains": "gensr/domains", "generators": "gensr/generators", "conf": "gensr/conf",
           "benchmarks": "gensr/benchmarks"}  # fmt: skip
DATA = {"gensr": ["py.typed"], "conf": ["**/*.yaml"], "generators": ["weights/*.safetensors", "weights/*.md"]}


def expected():
    """Files of the wheel by what lies in the folders."""
    return {
        f"{target}/{path.relative_to(ROOT / top).as_posix()}"
        for top, target in FOLDERS.items()
        for pattern in ["**/*.py", *DATA.get(top, [])]
        for path in (ROOT / top).glob(pattern)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that a stale build folder or metadata of the checkout cannot leak in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for top in FOLDERS:
        shutil.copytree(ROOT / top, source / top, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        ".",
    ]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.mark.slow
def test_the_wheel_is_the_folders(wheel):
    assert {n for n in wheel.namelist() if ".dist-info/" not in n} == expected()


@pytest.mark.slow
def test_the_wheel_has_one_top_level_name_and_the_licence(wheel):
    (top,) = [n for n in wheel.namelist() if n.endswith("top_level.txt")]
    assert wheel.read(top).decode().split() == ["gensr"]
    (licence,) = [n for n in wheel.namelist() if n.endswith("LICENSE")]
    assert "Apache License" in wheel.read(licence).decode()
    (metadata,) = [n for n in wheel.namelist() if n.endswith("METADATA")]
    assert "License-Expression: Apache-2.0" in wheel.read(metadata).decode()


def test_every_folder_with_modules_is_a_package():
    """A folder without __init__.py would silently stay out of the wheel."""
    for top in FOLDERS:
        for path in (ROOT / top).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_entry_point_leads_somewhere():
    groups = {**project()["entry-points"], "console_scripts": project()["scripts"]}
    for group, points in groups.items():
        for name, value in points.items():
            assert EntryPoint(name, value, group).load() is not None


def test_every_bound_of_a_dependency_is_one():
    for text in project()["dependencies"]:
        assert ">=" in text, f"{text}: say from which version it works"


def test_versions_agree():
    assert f"## {project()['version']}" in (ROOT / "CHANGELOG.md").read_text()
