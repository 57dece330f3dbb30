"""What ``import gensr`` needs and costs, and which names a checkout must not be imported under."""

import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

ROOT = Path(__file__).parents[1]
OPTIONAL = ("rasterio", "astropy", "tifffile", "pydicom", "nibabel", "hydra", "omegaconf", "PIL", "imagecodecs")
BLOCK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""


def python(code, *flags, cwd=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTEST_"))}
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, cwd=cwd, env=env)


def test_import_needs_no_format_library():
    done = python(
        f"{BLOCK}\nimport gensr\nfrom gensr.pipeline.api import upsample, open\nprint(callable(gensr.upsample))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"


def test_import_loads_no_format_library():
    done = python(f"import gensr.pipeline.api, sys; print(sorted(set({OPTIONAL}) & set(sys.modules)))")
    assert done.stdout == "[]\n", done.stderr


def test_arrays_go_through_without_any_format_library():
    """Super-resolution itself, preview included except for the PNG encoder, uses none of the blocked libraries."""
    blocked = BLOCK.replace("'PIL', ", "")
    assert blocked != BLOCK
    done = python(
        f"{blocked}\nimport numpy as np, gensr\n"
        "r = gensr.upsample(np.hanning(12)[:, None] * np.hanning(12) * 99, factor=2, samples=0, search='fast')\n"
        "print(r.mean.shape)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(24, 24)\n"


@pytest.mark.parametrize(
    ("domain", "package"),
    [("satellite", "rasterio"), ("astronomy", "astropy"), ("microscopy", "tifffile"), ("medical", "nibabel")],
)
def test_a_missing_library_is_named(domain, package, tmp_path):
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, np.zeros((8, 8), np.uint8))
    starts = {
        "satellite": tiff.getvalue(),
        "microscopy": tiff.getvalue(),
        "astronomy": b"SIMPLE  =                    T".ljust(2880),
        "medical": b"\x5c\x01\0\0".ljust(344, b"\0") + b"n+1\0".ljust(40, b"\0"),
    }
    path = tmp_path / "a.nii"
    path.write_bytes(starts[domain])
    done = python(
        f"{BLOCK}\nimport gensr\ntry:\n    gensr.open({str(path)!r}, domain={domain!r})\n"
        "except gensr.GensrError as error:\n    print(type(error).__name__, error)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PluginError ")
    assert f"pip install {package}" in done.stdout


def processor_seconds(code):
    """Processor time of a fresh interpreter: what other programs do does not count."""
    done = python(f"{code}\nimport time; print(time.process_time())")
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_import_costs_little_more_than_torch():
    """The least of several runs each, in processor time: what else the machine does only adds to it."""
    processor_seconds("import torch, gensr.pipeline.api")  # writes byte code
    alone = min(processor_seconds("import torch") for _ in range(5))
    both = min(processor_seconds("import torch, gensr.pipeline.api") for _ in range(5))
    assert both - alone < 0.3


def test_help_needs_neither_torch_nor_hydra():
    done = python("import gensr.cli.main, sys; print({'torch', 'hydra'} & set(sys.modules))")
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize("name", ["domains", "generators"])
def test_checkout_folders_refuse_their_bare_name(name):
    """A second copy of every class would exist otherwise."""
    done = python(f"import {name}", cwd=ROOT)
    assert done.returncode == 1
    assert f"ImportError: imported as '{name}'; use gensr.{name}" in done.stderr


@pytest.mark.parametrize("name", ["domains", "generators", "conf", "benchmarks"])
def test_bare_names_do_not_exist_elsewhere(name, tmp_path):
    done = python(f"import {name}", "-P", cwd=tmp_path)
    assert f"No module named '{name}'" in done.stderr
    assert importlib.util.find_spec(f"gensr.{name}") is not None
