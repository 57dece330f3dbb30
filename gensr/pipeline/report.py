"""The report: what was done, with what, and how well the data are explained in units of the noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol

from gensr.operators import Area
from gensr.pipeline.decisions import Decisions
from gensr.pipeline.prior import closed_prior
from gensr.pipeline.store import TILE
from gensr.pipeline.through_plane import CODES
from gensr.pipeline.verdict import Checked, blank
from gensr.scenes.area import area_words
from gensr.scenes.provenance import mark_of, software
from gensr.search.pulse import Pulse

TIMES = ("seconds", "megapixels per second")
"""Entries that differ between equal runs."""
MISFIT, UNEXPLAINED = 2.0, 10.0
"""Chi square per datum above which the report warns, and above which a run has failed."""


class Statistics(Protocol):
    """Where the statistics of finished parts of the work lie: a store."""

    def statistics(self, prefix: str) -> list[dict[str, Any]]:
        """See `gensr.pipeline.store.Store.statistics`."""


class _Nothing:
    """Nothing was computed yet."""

    def statistics(self, prefix: str) -> list[dict[str, Any]]:
        """None."""
        return []


def identity(settled: Decisions) -> dict[str, Any]:
    """Everything that decides the numbers of a result: what a run that goes on must have in common with the first."""
    task = settled.task
    card, preset = task.generator.card, task.preset
    moments, samples = task.method.words
    return {
        "gensr": software(),
        "factor": settled.request.factor,
        "generator": {
            "name": card.name,
            "version": card.version,
            "sha256": "" if task.prior.reference is None else task.prior.reference.digest,
            "licence": card.licence,
            "domain": card.domain,
        },
        "operator": {**task.operator.describe(), "gain": task.operator.gain},
        "motion": None if settled.moved is None else settled.moved.describe(),
        "noise": {**task.noise_model.describe(), "source": settled.level.source, "exact": task.exact},
        "normalisation": task.normaliser.describe(),
        "search": {
            "preset": preset.name,
            "numbers": asdict(replace(preset, said=())),
            "mean and std": moments,
            "samples": samples,
        },
        "through_plane": _through_plane(settled),
        "samples": task.samples,
        "seed": task.seed,
        "std scale": list(task.conformal) if len(set(task.conformal)) > 1 else task.conformal[0],
        "std scale from": settled.calibration,
    }


def timeless(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report without what the clock said: what goes into headers, so that equal runs make equal files."""
    kept = {key: value for key, value in report.items() if key not in TIMES}
    search = report["latent search"]
    return kept if search is None else {**kept, "latent search": {k: v for k, v in search.items() if k not in TIMES}}


def _through_plane(settled: Decisions) -> dict[str, Any] | None:
    through = settled.through_plane
    if through is None:
        return None
    prior = closed_prior(settled.task.prior, Area((through.factor, 1)))
    return {"slices": through.slices, "factor": through.factor, "generator": prior.generator.card.name}


def planned(settled: Decisions) -> dict[str, Any]:
    """The report with every number that a run will find out at 0: what headers are tried with."""
    tried = None if settled.request.check == "off" else blank(settled.scene.bands)
    return build(settled, _Nothing(), 0.0, tried)


def build(settled: Decisions, store: Statistics, seconds: float, tried: Checked | str | None = None) -> dict[str, Any]:
    """The report of a finished store.

    Args:
        settled: what the run followed.
        store: where every tile is finished.
        seconds: that it took.
        tried: what the scene says of the generator, or why it was not asked; None where nobody wants to know.
    """
    scene, task = settled.scene, settled.task
    entries = store.statistics(TILE)
    keys = ("count", "square", "chi2", "observed", "explained", "clipped", "valid")
    total = {key: math.fsum(float(entry[key]) for entry in entries) for key in keys}
    largest = max((float(entry["largest"]) for entry in entries), default=0.0)
    count = total["count"]
    rms = math.sqrt(total["square"] / count) if count else 0.0
    rows, cols = scene.grid.refine(task.factor).shape
    output_pixels = scene.planes * settled.slices * len(scene.bands) * rows * cols
    # Codes of the pass through planes replace those of the first.
    clipped = entries if settled.through_plane is None else store.statistics(CODES)
    misfit = total["chi2"] / count if count and not task.exact else None
    return {
        "mark": mark_of({"factor": settled.request.factor}),
        **identity(settled),
        "input": {
            "name": scene.path.name,
            "domain": settled.domain,
            **({"domain was guessed": scene.doubt} if scene.doubt else {}),
            **area_words(scene, settled.request.area),
            **scene.metadata(),
        },
        "output": {
            "rows": rows,
            "cols": cols,
            "planes": scene.planes * settled.slices,
            "bands": list(scene.bands),
            "unit": scene.unit,
            "dtype": str(scene.dtype),
            "invalid pixels": output_pixels - int(total["valid"]) * settled.slices,
            "clipped or moved values": int(math.fsum(float(entry["clipped"]) for entry in clipped)),
        },
        "consistency": {
            "rms": rms,
            "largest": largest,
            "rms in codes": rms / scene.quantum if scene.quantum else None,
            "chi2 per datum": misfit,
            "sum of data": total["observed"],
            "sum of explained data": total["explained"],
            "data": int(count),
        },
        "check": tried.describe() if isinstance(tried, Checked) else tried and {"not done": tried},
        "latent search": merged([entry["search"] for entry in entries if entry.get("search")]),
        "contrast": _contrast(settled),
        "device": task.device,
        "precision": task.generator.precision,
        "seconds": round(seconds, 3),
        "megapixels per second": round(output_pixels / 1e6 / seconds, 4) if seconds > 0 else None,
        "warnings": _warnings(settled, int(count), misfit, tried),
    }


def unexplained(settled: Decisions, report: Mapping[str, Any]) -> str:
    """Why a run has failed, as a sentence; "" where it has not. PULSE as published promises no more than it finds."""
    misfit = report["consistency"]["chi2 per datum"]
    if misfit is None or misfit <= UNEXPLAINED or settled.task.preset.solver == Pulse.name:
        return ""
    return (
        f"the answer is {misfit**0.5:.1f} deviations of the noise away from its data (chi2 per datum {misfit:.3g}): it "
        "is kept as ..._unexplained and is no measurement; check operator= and noise=, or choose another generator="
    )


def _warnings(settled: Decisions, count: int, misfit: float | None, tried: Checked | str | None) -> list[str]:
    found = [*settled.warnings, *(tried.warnings if isinstance(tried, Checked) else [])]
    if not count:
        found.append("no usable pixel in the input: the output is invalid everywhere")
    if misfit is not None and misfit > MISFIT:
        found.append(
            f"the data are explained to {misfit**0.5:.1f} deviations of the noise only (chi2 per datum {misfit:.3g}): "
            "the operator, the noise level or the generator does not fit this image"
        )
    return found


def _contrast(settled: Decisions) -> dict[str, Any] | None:
    """What the evidence said: numbers for one band or bands that agree, lists otherwise."""
    found = settled.level.contrast
    if found is None:
        return None

    def shown(values: Iterable[float]) -> float | list[float]:
        numbers = list(values)
        return numbers[0] if len({repr(n) for n in numbers}) == 1 else numbers

    return {"gain": shown(c.gain for c in found), "evidence": shown(c.score for c in found)}


def merged(searches: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Summaries of the latent searches of all tiles as one; None where nothing was searched."""
    if not searches:
        return None
    verdicts: dict[str, int] = {}
    for found in searches:
        for sentence, times in found["verdicts"].items():
            verdicts[sentence] = verdicts.get(sentence, 0) + times
    least = {key: min for key in searches[0] if key.startswith("least ")}
    greatest = {key: max for key in searches[0] if key.startswith("greatest ")}
    return {
        "solver": searches[0]["solver"],
        "candidates": sum(found["candidates"] for found in searches),
        "verdicts": dict(sorted(verdicts.items())),  # tiles come in any order
        "best chi2 per datum": min(found["best chi2 per datum"] for found in searches),
        "worst chi2 per datum": max(found["worst chi2 per datum"] for found in searches),
        "most steps": max(found["most steps"] for found in searches),
        "seconds": round(math.fsum(found["seconds"] for found in searches), 3),
        **{key: end(found[key] for found in searches) for key, end in (least | greatest).items()},
    }
