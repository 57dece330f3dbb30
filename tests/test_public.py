"""The names of the package itself."""

import subprocess
import sys

import pytest

SCRIPTS = [
    "import gensr; gensr.upsample; assert callable(gensr.upsample)",
    "import gensr, gensr.pipeline.api; assert callable(gensr.upsample)",
    "import gensr; gensr.open; assert callable(gensr.upsample); from gensr import upsample; assert callable(upsample)",
    "from gensr import GensrError, Request, Result, Scene, open, settle; assert issubclass(GensrError, Exception)",
]


def python(script):
    return subprocess.run([sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS)
def test_public_names(script):
    done = python(script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("gensr.domain", "gensr.scenes.domain", ["Domain", "Scene", "Product", "Names"]),
        (
            "gensr.generator",
            "gensr.priors.generator",
            ["Generator", "GeneratorCard", "Observation", "Moments", "Family"],
        ),
        ("gensr.testing", "gensr.scenes.testing", ["NearestProduct"]),
    ],
)
def test_paths_that_plugins_used_still_work_and_say_where_to_look(old, new, names):
    done = python(f"from {old} import {', '.join(names)}; import {old}; assert {old}.{names[0]} is {names[0]}")
    assert done.returncode == 0, done.stderr
    assert f"DeprecationWarning: {old} is now" in done.stderr
    assert new in done.stderr


def test_other_paths_are_gone():
    assert "No module named 'gensr.engine'" in python("import gensr.engine").stderr
