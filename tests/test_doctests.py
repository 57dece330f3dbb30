"""Every example in a docstring runs, under the name that a module has when it is installed."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest


def modules():
    """Names of all modules of the core and of first-party plugins; those of plugins are walked from their own roots."""
    for root in ("gensr", "gensr.domains", "gensr.generators", "gensr.benchmarks"):
        package = importlib.import_module(root)
        yield root
        for found in pkgutil.walk_packages(package.__path__, f"{root}."):
            if not found.name.endswith("__main__"):
                yield found.name


@pytest.mark.parametrize("name", sorted(set(modules())))
def test_examples_run(name):
    if name.startswith("gensr.app.") and importlib.util.find_spec("gradio") is None:
        pytest.skip("the extra gensr[app] is not installed")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_examples_exist():
    """The runner finds examples, so a silent miss cannot look like success."""
    assert doctest.testmod(importlib.import_module("gensr.values.grid")).attempted > 3
    assert "gensr.domains.satellite.domain" in set(modules())
