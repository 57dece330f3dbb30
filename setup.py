"""Compute the package list of the mapped folders; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

MAPPED = ("domains", "generators", "conf", "benchmarks")
setup(
    packages=find_packages(include=["gensr", "gensr.*"])
    + [f"gensr.{name}" for top in MAPPED for name in find_packages(include=[top, f"{top}.*"])]
)
