"""The report: what was done, with what, and how well the data are explained in units of the noise."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from gensr.operators import Area
from gensr.pipeline.plan import Job, closed_generator
from gensr.pipeline.reconstruct import closed_form, own_draws
from gensr.pipeline.store import Store
from gensr.scenes.domain import Scene
from gensr.scenes.provenance import MARK, software

MISFIT = 2.0
"""Chi square per datum above which the report warns."""


def job_facts(job: Job) -> dict[str, Any]:
    """Everything that decides the numbers of a result: the identity of a job that is resumed."""
    preset = job.preset
    return {
        "gensr": software(),
        "factor": job.request.factor,
        "generator": {
            "name": job.generator.card.name,
            "version": job.generator.card.version,
            "sha256": job.digest,
            "licence": job.generator.card.licence,
            "domain": job.generator.card.domain,
        },
        "operator": {**job.operator.describe(), "gain": job.operator.gain},
        "noise": {**job.noise.describe(), "source": job.noise_source, "exact": job.exact},
        "normalisation": job.normaliser.describe(),
        "search": {
            "preset": preset.name,
            "numbers": asdict(preset),
            "mean and std": "of the generator itself" if closed_form(job) else f"{preset.moments}",
            "samples": "of the generator itself" if own_draws(job) else preset.guided.data_step,
            "stride": preset.stride(min(job.factor)),
        },
        "across": _across(job),
        "samples": job.request.samples,
        "seed": job.request.seed,
        "std scale": job.conformal,
    }


def _across(job: Job) -> dict[str, Any] | None:
    if job.across is None:
        return None
    prior = closed_generator(job.generator, Area((job.across.factor, 1)), job.device)
    return {"slices": job.across.slices, "factor": job.across.factor, "generator": prior.card.name}


def build(
    scene: Scene, domain: str, job: Job, store: Store, seconds: float, clipped: int | None = None
) -> dict[str, Any]:
    """The report of a finished store; ``clipped`` counts codes of a second pass, which replace those of the first."""
    keys = ("count", "square", "chi2", "observed", "explained", "clipped", "valid")
    total = {key: math.fsum(float(entry[key]) for entry in store.done.values()) for key in keys}
    largest = max((float(entry["largest"]) for entry in store.done.values()), default=0.0)
    count = total["count"]
    rms = math.sqrt(total["square"] / count) if count else 0.0
    rows, cols = scene.grid.refine(job.factor).shape
    slices = 1 if job.across is None else job.across.factor
    output_pixels = scene.planes * slices * len(scene.bands) * rows * cols
    warnings = []
    if not count:
        warnings.append("no usable pixel in the input: the output is invalid everywhere")
    misfit = total["chi2"] / count if count and not job.exact else 1.0
    if misfit > MISFIT:
        warnings.append(
            f"the data are explained to {misfit**0.5:.1f} deviations of the noise only (chi2 per datum {misfit:.3g}): "
            "the operator, the noise level or the generator does not fit this image"
        )
    if job.generator.card.domain != domain and domain != "array":
        warnings.append(f"the generator was made for {job.generator.card.domain} images")
    return {
        "mark": MARK,
        **job_facts(job),
        "input": {"name": scene.path.name, "domain": domain, **scene.facts()},
        "output": {
            "rows": rows,
            "cols": cols,
            "planes": scene.planes * slices,
            "bands": list(scene.bands),
            "unit": scene.unit,
            "dtype": str(scene.dtype),
            "invalid pixels": output_pixels - int(total["valid"]) * slices,
            "clipped or moved values": int(total["clipped"]) if clipped is None else clipped,
        },
        "consistency": {
            "rms": rms,
            "largest": largest,
            "rms in codes": rms / scene.quantum if scene.quantum else None,
            "chi2 per datum": total["chi2"] / count if count and not job.exact else None,
            "sum of data": total["observed"],
            "sum of explained data": total["explained"],
            "data": int(count),
        },
        "calibration": None
        if job.calibration is None
        else {"gain": job.calibration.gain, "sigma": job.calibration.sigma, "evidence": job.calibration.score},
        "device": job.device,
        "seconds": round(seconds, 3),
        "megapixels per second": round(output_pixels / 1e6 / seconds, 4) if seconds > 0 else None,
        "warnings": warnings,
    }
