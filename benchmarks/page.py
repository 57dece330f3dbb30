"""The benchmark as Markdown and as one HTML page with pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gensr.operators.resample import upsample

from .answers import Answer
from .cells import Cell
from .crops import SIDE, Crop
from .pictures import drawn, heat, jpeg, row_of
from .scores import Row
from .sets import FAMILIES

Array = NDArray[np.float64]
SHOWN = ("psnr_mean", "psnr_pooled", "psnr_over_mean", "ssim", "psnr_foreground", "galaxies_0.5", "stars_0.5", "swd",
         "spectrum", "consistency_rms_codes", "chi2", "flux_error", "cover50", "cover50_conformal", "cover90",
         "cover90_conformal", "cover95", "cover95_conformal", "conformal", "std_error_correlation",
         "s_per_Mpx")  # fmt: skip
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


def panel(cell: Cell, crop: Crop, lmmse: Array, answer: Answer) -> str:
    """Part of one case as a base64 JPEG: input, Lanczos, LMMSE, mean, std, sample, truth."""
    item, factor, low = cell.item, cell.factor, cell.lows[crop.index]
    scale = factor**2 if item.flux else 1
    reference = np.asarray(cell.cases[crop.index].image * scale, np.float32)
    nearest = crop.cut(np.repeat(np.repeat(low, factor, 1), factor, 2))
    lanczos = crop.cut(upsample(np.asarray(low, np.float32), (factor, factor), "lanczos"))
    shown: list[NDArray[Any]] = [nearest, lanczos, lmmse * scale, answer.mean * scale]
    cut = [drawn(item, p, reference) for p in shown]
    cut += [heat(answer.std), *(drawn(item, s * scale, reference) for s in answer.samples[:1])]
    strip = row_of([*cut, drawn(item, crop.cut(reference), reference)], SIDE)
    return base64.b64encode(jpeg(strip)).decode()


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
            kind = " class=own" if str(row["method"]).split(" ", 1)[0] in FAMILIES else ""
            parts.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
        parts.append("</table>")
        for key, data in pictures.items():
            if key.startswith(f"{name} "):
                parts.append(
                    f'<figure><img alt="{html.escape(key)}" src="data:image/jpeg;base64,{data}"><figcaption>'
                    f"{html.escape(key)}: input, Lanczos, LMMSE, mean, std, sample, truth</figcaption></figure>"
                )
    return "\n".join(parts) + "</html>\n"
