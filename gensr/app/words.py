"""The report in words: what was done, how well it explains its data, and what not to believe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gensr.scenes.provenance import repeated

IDENTITY = (
    "Not for identification, evidence or biometrics: the picture of a face that explains the data is not the face of "
    "the person."
)


def told(report: Mapping[str, Any], answers: Sequence[str] = ()) -> list[str]:
    """Sentences about a finished answer, the most important first.

    Args:
        report: see `gensr.pipeline.report.build`.
        answers: what is said of every sample, see `residual`.
    """
    if repeated(report):
        return [f"{report['mark']}.", *_warnings(report)]
    if "parts" in report:
        return _composed(report)
    card, source, seconds = report["generator"], report["input"], report["seconds"]
    size = report["output"]
    return [
        f"{report['mark']}.",
        *([IDENTITY] if source["domain"] == "faces" else []),
        f"{source['name']} ({source['domain']}) was answered x{report['factor']} by the prior {card['name']} "
        f"(licence {card['licence']}) in {seconds:.1f} s: {size['cols']} x {size['rows']} pixels, "
        f"{len(size['bands'])} band(s).",
        f"The instrument was taken for {_instrument(report)}; {_noise(report)}.",
        _fit(report),
        *_answers(report, answers),
        *_check(report),
        *_warnings(report),
    ]


def _composed(report: Mapping[str, Any]) -> list[str]:
    """Sentences about a photo of which a prior answered faces, and the rest was interpolated."""
    card, source, size, parts = report["generator"], report["input"], report["output"], report["parts"]
    what = ", ".join(part["name"] for part in parts)
    by = f"{what} by the prior {card['name']} (licence {card['licence']}); " if parts else ""
    ground = report["background"]
    of = f"by the prior {ground['generator']}" if isinstance(ground, Mapping) else "interpolated (Lanczos)"
    rest = "" if report["whole"] else f"everything else is {of} so that it explains its data; "
    done = f"{source['name']} ({source['domain']}) was answered x{report['factor']} in {report['seconds']:.1f} s"
    return [
        f"{report['mark']}.",
        IDENTITY,
        f"{done}: {by}{rest}{size['cols']} x {size['rows']} pixels, {len(size['bands'])} band(s).",
        _fit(report),
        *(f"{part['name'].capitalize()}: {_explained(part['explained'])}." for part in parts),
        *(["Features outside the agreement map are inventions of the model."] if report["samples"] else []),
        *_warnings(report),
    ]


def _explained(told: Mapping[str, Any]) -> str:
    """How well the mean, or one answer, of a part explains its data."""
    chi2 = told.get("chi2 per datum")
    return residual(None if chi2 is None else math.sqrt(chi2), told["residual rms in codes"])


def of_answers(report: Mapping[str, Any]) -> list[str]:
    """What is said of every answer of a photo: see `residual`, of each of its parts."""
    parts = report.get("parts") or []
    return [
        "; ".join(f"{part['name']} {_explained(part['explained']['samples'][k])}" for part in parts)
        for k in range(report["samples"] if parts else 0)
    ]


def residual(chi: float | None, codes: float | None) -> str:
    """What is said of one answer.

    Args:
        chi: root of chi square per datum; None where the data are explained exactly.
        codes: root mean square of what is left, in code values; None where there are none.
    """
    if chi is not None:
        good = "explains its data" if chi < math.sqrt(2) else "does not explain its data"
        return f"{good}: {chi:.2f} noise deviations"
    if codes is not None:
        good = "explains its data" if codes <= 1 else "does not explain its data"
        return f"{good}: to {codes:.2g} code values"
    return "explains its data exactly"


def _instrument(report: Mapping[str, Any]) -> str:
    operator = dict(report["operator"])
    name, numbers = operator.pop("name"), []
    for key in ("sigma", "value", "window", "radius", "length", "angle"):
        if key in operator:
            numbers.append(f"{key} {operator[key]}")
    spoiled = report["input"].get("spoiled on purpose")
    known = f" (the input was {spoiled})" if spoiled else ""
    return f"{name}{' with ' + ', '.join(numbers) if numbers else ''}{known}"


def _noise(report: Mapping[str, Any]) -> str:
    noise = report["noise"]
    source = noise["source"]
    sigma = noise.get("sigma", noise.get("median sigma"))
    if noise["exact"] or sigma in (0, None):
        return f"its data for {'exact' if noise['exact'] else 'as noisy as the file says'} ({source})"
    shown = ", ".join(f"{s:.3g}" for s in sigma) if isinstance(sigma, list) else f"{sigma:.3g}"
    unit = report["output"]["unit"]
    source = "as it was added" if noise["source"] == "file" and "spoiled on purpose" in report["input"] else source
    return f"the noise for {shown}{' ' + unit if unit else ''} ({source})"


def _fit(report: Mapping[str, Any]) -> str:
    found = report["consistency"]
    chi = found["chi2 per datum"]
    if chi is not None:
        return f"What the mean leaves of the data is {math.sqrt(chi):.2f} deviations of their noise (about 1 is right)."
    if found["rms in codes"] is not None:
        return f"The mean explains the data to {found['rms in codes']:.2g} code values."
    return f"The mean explains the data to {found['rms']:.2g} {report['output']['unit']}".rstrip() + "."


def _answers(report: Mapping[str, Any], answers: Sequence[str]) -> list[str]:
    kind = report["search"]
    how = [f"Mean and deviation: {kind['mean and std']}."]
    if report["samples"]:
        how.append(
            f"{report['samples']} answer(s) from seed {report['seed']}: {kind['samples']}. Features outside the "
            "agreement map are inventions of the model."
        )
    search = report["latent search"]
    if search is not None:
        verdicts = "; ".join(f"{count} x {text}" for text, count in search["verdicts"].items())
        how.append(f"The latent search ended: {verdicts}.")
    return [*how, *(f"Answer {k}: {text}." for k, text in enumerate(answers, 1))]


def _check(report: Mapping[str, Any]) -> list[str]:
    check = report["check"]
    if not check:
        return []
    if "verdict" in check:
        return [f"Tried on its own data, coarsened: {check['verdict']}."]
    return [f"Not tried on its own data: {check['not done']}."]


def _warnings(report: Mapping[str, Any]) -> list[str]:
    return [f"Note: {text}." for text in report["warnings"]]
