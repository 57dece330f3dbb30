"""Competitor columns: the estimators every claim of quality is measured beside, and the tables of their scores.

Nothing here needs the rest of the framework; the data packs are read from a folder that the caller names.
"""

if __name__ != "gensr.benchmarks":
    raise ImportError(
        f"this folder was imported as {__name__!r}, but its package is 'gensr.benchmarks': "
        "install the project (pip install -e .) and import it by that name"
    )
