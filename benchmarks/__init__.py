"""Competitors, tables and sheets: what every claim of quality is measured beside.

The data packs are read from a folder that the caller names.
"""

if __name__ != "gensr.benchmarks":
    raise ImportError(
        f"this folder was imported as {__name__!r}, but its package is 'gensr.benchmarks': "
        "install the project (pip install -e .) and import it by that name"
    )
