"""The benchmark as Markdown and as one HTML page with pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gensr.resample import upsample

from .datasets import Case
from .runner import Answer, Row
from .sets import SKY, BenchmarkSet

Array = NDArray[np.float64]
SHOWN = ("psnr_mean", "psnr_pooled", "ssim", "psnr_foreground", "galaxies_0.5", "stars_0.5", "consistency_rms_codes",
         "chi2", "flux_error", "cover50", "cover50_conformal", "cover90", "cover90_conformal", "cover95",
         "cover95_conformal", "std_error_correlation", "s_per_Mpx")  # fmt: skip
SIDE = 128
"""Side of one picture, pixels."""
STYLE = """body{font:14px system-ui,sans-serif;margin:2em;max-width:110em}table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em .6em;border-bottom:1px solid #ddd;text-align:right}td:nth-child(-n+4){text-align:left}
figure{margin:1em 0}img{max-width:100%}figcaption{color:#555}tr.own{background:#eef6ff}"""


def text(value: str | int | float | None) -> str:
    """A number as the tables show it."""
    if value is None or value == "":
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if 0.1 <= abs(value) < 1000 or value == 0 else f"{value:.2g}"
    return str(value)


def markdown(rows: Sequence[Row], preface: str) -> str:
    """One table per set."""
    parts = ["# Benchmark", "", preface]
    for name in dict.fromkeys(str(row["domain"]) for row in rows):
        own = [row for row in rows if row["domain"] == name]
        columns = [c for c in SHOWN if any(c in row for row in own)]
        parts += ["", f"## {name}", "", "| factor | noise | method | cases | " + " | ".join(columns) + " |"]
        parts.append("|" + "---|" * (4 + len(columns)))
        for row in own:
            cells = [text(row.get(c)) for c in ("factor", "noise", "method", "cases", *columns)]
            parts.append("| " + " | ".join(cells) + " |")
    return "\n".join(parts) + "\n"


def drawn(item: BenchmarkSet, values: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.uint8]:
    """Values (band, y, x) as RGB: asinh of flux, else linear between the 0.5 and 99.5 percentiles of the reference."""
    if item.flux:
        values, reference = np.arcsinh(values / (2 * SKY)), np.arcsinh(reference / (2 * SKY))
    low, high = (float(q) for q in np.percentile(reference, (0.5, 99.5)))
    level = np.clip((values - low) / ((high - low) or 1.0), 0, 1) * 255
    rgb = level if len(level) == 3 else np.repeat(level[:1], 3, 0)
    return np.asarray(rgb.transpose(1, 2, 0), np.uint8)


def panel(item: BenchmarkSet, case: Case, low: Array, lmmse: Array, answer: Answer, factor: int) -> str:
    """One case as a base64 JPEG: input, Lanczos, LMMSE, mean, std, sample, truth."""
    from PIL import Image

    scale = factor**2 if item.flux else 1
    reference = np.asarray(case.image * scale, np.float32)
    nearest = np.repeat(np.repeat(low, factor, 1), factor, 2)
    lanczos = upsample(np.asarray(low, np.float32), (factor, factor), "lanczos")
    shown: list[NDArray[Any]] = [nearest, lanczos, lmmse * scale, answer.mean * scale]
    pictures = [drawn(item, p, reference) for p in shown]
    spread = answer.std.mean(0)
    heat = np.clip(spread / max(float(np.percentile(spread, 99.5)), 1e-12), 0, 1) * 255
    pictures.append(np.repeat(heat.astype(np.uint8)[..., None], 3, -1))
    if answer.sample is not None:
        pictures.append(drawn(item, answer.sample * scale, reference))
    pictures.append(drawn(item, reference, reference))
    top, left = (max(0, (n - SIDE) // 2) for n in case.image.shape[1:])
    cut = [np.asarray(p, np.uint8)[top : top + SIDE, left : left + SIDE] for p in pictures]
    zoom = max(1, SIDE // max(cut[0].shape[:2]))
    cut = [np.repeat(np.repeat(p, zoom, 0), zoom, 1) for p in cut]
    strip = np.concatenate([np.pad(p, ((0, 0), (0, 4), (0, 0)), constant_values=255) for p in cut], 1)
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "JPEG", quality=88)
    return base64.b64encode(buffer.getvalue()).decode()


def page(rows: Sequence[Row], pictures: Mapping[str, str], preface: str) -> str:
    """The HTML page."""
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><title>gensr benchmark</title>"]
    parts.append(f"<style>{STYLE}</style><h1>gensr benchmark</h1><p>{html.escape(preface)}</p>")
    for name in dict.fromkeys(str(row["domain"]) for row in rows):
        own = [row for row in rows if row["domain"] == name]
        columns = [c for c in SHOWN if any(c in row for row in own)]
        head = "".join(f"<th>{html.escape(c)}</th>" for c in ("factor", "noise", "method", "cases", *columns))
        parts.append(f"<h2>{html.escape(name)}</h2><table><tr>{head}</tr>")
        for row in own:
            cells = [text(row.get(c)) for c in ("factor", "noise", "method", "cases", *columns)]
            kind = " class=own" if str(row["method"]).startswith("gensr") else ""
            parts.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
        parts.append("</table>")
        for key, data in pictures.items():
            if key.startswith(f"{name} "):
                parts.append(
                    f'<figure><img alt="{html.escape(key)}" src="data:image/jpeg;base64,{data}"><figcaption>'
                    f"{html.escape(key)}: input, Lanczos, LMMSE, mean, std, sample, truth</figcaption></figure>"
                )
    return "\n".join(parts) + "</html>\n"
