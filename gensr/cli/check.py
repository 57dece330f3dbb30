"""``gensr check``: an input judges the prior, in a table, a picture and a sentence, before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.cli.console import Console
from gensr.cli.inquiry import inquire
from gensr.errors import OutputError, UsageError

if TYPE_CHECKING:
    from gensr.cli.config import CheckConfig
    from gensr.pipeline.plan import Plan
    from gensr.pipeline.verdict import Checked, Figures
    from gensr.scenes.inputs import Input
    from gensr.search.presets import Preset

HELP = """\
usage: gensr check INPUT... [key=value...]

Can the prior be trusted on this image? Windows of its own data are coarsened by
the factor, with its operator and its noise, reconstructed, and compared with
the data. Prints one table per input and a verdict, and leaves a picture of one
window: data, Lanczos, mean, deviation, error.

  gain      of the mean over Lanczos, dB of the squared error without noise
  covers    how often the data lie in their 90 % intervals
  self      the same with calibrate=self, measured where it was not fitted
  factor    that calibrate=self would put on the deviation
  bias      mean error, in the unit of the data and in deviations of the noise
  spread    variance of draws over squared error; 1 is right

What this cannot see: a wrong operator or noise level, and detail that shows
only on scales finer than the data. Images that are smooth at the scale of their
pixels are blurred first, until their coarse data are as smooth.

keys [default]:
{keys}

options of domains, as domain.KEY=VALUE:
{domains}

examples:
  gensr check scene.tif factor=2
  gensr check 'night/*.fits' generator=gaussian-astronomy format=json
  gensr check slide.tif srcwin=2000,3000,512,512 output=checked"""
HEAD = ("band", "gain, dB", "covers", "self", "factor", "bias", "in noise", "spread", "pixels")
SHOWN = 16
"""Bands that have a line of their own."""


def run(argv: Sequence[str], console: Console) -> int:
    """Run the command.

    Args:
        argv: arguments after ``check``.
        console: where to speak.

    Returns:
        The exit code: whether everything could be judged, not how.
    """

    def answer(item: Input, config: CheckConfig, search: Preset) -> dict[str, Any]:
        return _judge(item, config, search, console)

    return inquire("check", HELP, _schema, answer, argv, console)


def _schema() -> type[CheckConfig]:
    from gensr.cli.config import CheckConfig

    return CheckConfig


def _judge(item: Input, config: CheckConfig, search: Preset, console: Console) -> dict[str, Any]:
    """What one input says; its picture is written and, as text, its table printed."""
    from gensr.cli.asked import request_of
    from gensr.pipeline import preview, trial
    from gensr.pipeline.plan import Plan
    from gensr.pipeline.settle import settle

    beside = Path.cwd() if config.remote else item.path.absolute().parent
    folder = Path(config.output).expanduser() if config.output else beside
    with settle(request_of(item, config, search)) as plan:
        if not isinstance(plan, Plan):
            raise UsageError(f"{item.path.name}: {plan.no_prior}; no prior is to be judged")
        target = folder / f"{item.domain.stem(item.path)}_x{plan.request.factor}_check.png"
        if target.is_symlink() or (target.exists() and not (config.overwrite and target.is_file())):
            raise OutputError(f"{target}: exists already; give overwrite=true to make it again, or another output=DIR")
        checked, windows = trial.judged(plan)
        facts = _facts(plan)
        if windows:
            title = f"{item.path.name}: {facts['domain']}, x{plan.request.factor}, {facts['generator']}"
            folder.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            partial.write_bytes(preview.trial_panel(plan.scene, title, windows[len(windows) // 2]))
            partial.replace(target)
            facts["picture"] = str(target)
    if config.format == "text":
        told = ", ".join(str(facts[name]) for name in ("domain", "generator", "factor", "noise"))
        console.say("\n".join([f"{item.path} ({told}, {checked.windows} window(s))", *lines(checked)]))
        console.say("\n".join([*(f"  picture: {target}" for _ in windows[:1]), f"  verdict: {checked.verdict}"]))
    return {"file": str(item.path), **facts, **checked.describe()}


def _facts(plan: Plan) -> dict[str, Any]:
    noise = plan.task.noise_model.describe()
    level = noise.get("sigma", noise.get("median sigma"))
    shown = ", ".join(f"{s:.3g}" for s in level) if isinstance(level, list) else f"{level:.3g}"
    return {
        "domain": plan.domain,
        "generator": plan.task.generator.card.name,
        "factor": f"x{plan.request.factor}",
        "noise": "no noise" if plan.task.exact else f"noise {shown} {plan.scene.unit}".strip(),
    }


def lines(checked: Checked) -> list[str]:
    """The table of what was found: a line per band where there are several, and one over all."""
    each = zip(checked.names, checked.bands, checked.factors, strict=True)
    rows = [_row(name, band, factor) for name, band, factor in each][:SHOWN] if len(checked.bands) > 1 else []
    alone = checked.factors[0] if len(checked.factors) == 1 else None
    cells = [HEAD, *rows, _row("all", checked.over_all, alone)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    return ["  " + "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in cells]


def _row(name: str, found: Figures, factor: float | None) -> tuple[str, ...]:
    doubt = "" if math.isnan(found.doubt) else f" +- {found.doubt:.2f}"
    return (
        name,
        f"{found.gain:+.2f}{doubt}" if math.isfinite(found.gain) else "-",
        _number(100 * found.coverage, ".0f", " %"),
        _number(100 * found.calibrated, ".0f", " %"),
        "-" if factor is None else f"{factor:.2f}",
        _number(found.bias, "+.2g"),
        _number(found.shift, "+.3f"),
        _number(found.spread, ".2f"),
        str(found.pixels),
    )


def _number(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if math.isfinite(value) else "-"
