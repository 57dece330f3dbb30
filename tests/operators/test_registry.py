"""Operators by name."""

import numpy as np
import pytest

from gensr.errors import GridError, UsageError
from gensr.operators import (
    Area,
    Bicubic,
    Defocus,
    GaussianPSF,
    KSpaceCrop,
    Lanczos,
    MeasuredPSF,
    Motion,
    operator_names,
    parse_operator,
)
from gensr.operators.registry import recipe

SPECS = {
    "area": Area(4),
    " area ": Area(4),
    "bicubic": Bicubic(4),
    "lanczos": Lanczos(4),
    "gaussian:sigma=0.5": GaussianPSF(4, 0.5),
    "gaussian:0.5": GaussianPSF(4, 0.5),
    "mtf:0.26": GaussianPSF.from_mtf(4, 0.26),
    "mtf:value=0.26": GaussianPSF.from_mtf(4, 0.26),
    "defocus:radius=3": Defocus(4, 3.0),
    "motion:9,30": Motion(4, 9.0, 30.0),
    "motion:line=9,210": Motion(4, 9.0, 30.0),
    "kspace": KSpaceCrop(4),
    "kspace:window=hamming": KSpaceCrop(4, "hamming"),
    "kspace:fermi": KSpaceCrop(4, "fermi"),
}


@pytest.mark.parametrize("spec", SPECS)
def test_text_makes_the_operator(spec):
    assert parse_operator(spec, 4).describe() == SPECS[spec].describe()


@pytest.mark.parametrize("name", ["area", "bicubic", "lanczos", "gaussian:0.4", "mtf:0.3", "kspace"])
def test_factor_and_total_are_passed_on(name):
    operator = parse_operator(name, (4, 2), total=True)
    assert operator.factor == (4, 2)
    assert operator.gain == 8


@pytest.mark.parametrize("name", ["kernel.npy", "a=b,c:d.npy"])
def test_psf_takes_any_file_name(name, tmp_path):
    path = tmp_path / name
    kernel = np.arange(1.0, 16.0).reshape(3, 5)
    np.save(path, kernel)
    for spec in (f"psf:{path}", f"psf:file={path}"):
        assert parse_operator(spec, 2).describe() == MeasuredPSF(2, kernel).describe()


BAD = {
    "sinc": "unknown operator 'sinc'.*area, bicubic, defocus.*gaussian.*kspace.*lanczos.*motion.*mtf.*psf",
    "": "unknown operator ''",
    "Area": "unknown operator 'Area'",
    "area:3": "area has no parameter; write area",
    "gaussian": "lacks its sigma; write gaussian:sigma=0.5",
    "gaussian:": "lacks its sigma",
    "gaussian:wide": "'wide' is not a number",
    "gaussian:width=0.5": "only has the parameter sigma",
    "gaussian:sigma=-1": "between 0 and 8",
    "gaussian:sigma=nan": "between 0 and 8",
    "mtf:0.9": "pixel alone",
    "psf:": "lacks its file",
    "psf:/nowhere/none.npy": "none.npy cannot be read",
    "defocus:radius=0": "above 0",
    "defocus:300": "at most 100",
    "motion:9": "two numbers with a comma",
    "motion:9,x": "'x' is not a number",
    "motion:-9,30": "length=-9.0 is not above 0",
    "motion:9,nan": "angle=nan",
    "kspace:": "lacks its window",
    "kspace:window=hann": "there are none, hamming, fermi",
}


@pytest.mark.parametrize("spec", BAD)
def test_bad_text_is_refused_with_what_is_possible(spec):
    with pytest.raises(UsageError, match=BAD[spec]) as caught:
        parse_operator(spec, 2)
    assert "\n" not in str(caught.value)


def test_a_bad_factor_is_refused():
    with pytest.raises(GridError, match="factor 0"):
        parse_operator("area", 0)


def test_every_usage_line_names_its_operator():
    assert all(recipe(name).usage.startswith(name) for name in operator_names())
