"""The names of the package itself."""

import subprocess
import sys

import pytest

SCRIPTS = [
    "import gensr; gensr.upsample; assert callable(gensr.upsample)",
    "import gensr, gensr.pipeline.run; assert callable(gensr.upsample)",
    "from gensr.pipeline.run import Progress; import gensr; assert callable(gensr.upsample)",
    "import gensr; gensr.open; assert callable(gensr.upsample); from gensr import upsample; assert callable(upsample)",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_upsample_stays_the_function(script):
    """A submodule has the same name, and Python binds it to the package when it is first imported."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
