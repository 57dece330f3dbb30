"""What a search costs at full size: ``python -m gensr.benchmarks.search_size``: config-f at 1024 px, random weights.

A style generator with the channels of StyleGAN2's config-f and random weights in single precision makes pictures of
1024 x 1024; pictures that it can make, at 16 x 16 with noise 0.01, are searched for by the ladder. PULSE is timed by a
few of its hundred steps, as all of them cost the same. One thread of a processor; nothing is said about realism.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from gensr.generators.style.bank import Bank
from gensr.generators.style.generator import Parts, Style
from gensr.generators.style.network import Network, Shape
from gensr.operators import Area
from gensr.priors.card import GeneratorCard
from gensr.priors.observation import Observation
from gensr.priors.whitening import measure
from gensr.search.loop import solve
from gensr.search.metric import metric_of
from gensr.search.presets import PRESETS
from gensr.search.problem import Problem
from gensr.search.published import published
from gensr.search.pulse import Pulse
from gensr.search.run import coarse_stage, search
from gensr.values.random import Stream

LOW, NOISE, TIMED, STEPS = 16, 0.01, 2, 100
EIGHT = 10
"""Steps of the search of eight candidates, which is there for its memory."""
CONFIG_F = Shape(3, (512, 512, 512, 512, 512, 256, 128, 64), 512, 512, 8)
"""Channels of every level; the output is twice the side of the last."""
CARD = GeneratorCard(
    "config-f-random", "style", "faces", 3, True, "share of full scale", (0.0, 1.0), "1 px", "none", "none", "none",
    "random weights", bias="everything", audit="none", discrepancy=0.01,
)  # fmt: skip


def generator(shape: Shape = CONFIG_F, seed: int = 0) -> Style:
    """Random weights, with noise that matters a little."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(shape)
    for name, p in network.named_parameters():
        if name.endswith("strength"):
            torch.nn.init.constant_(p, 0.05)
    network.eval().requires_grad_(False)
    whitening = measure(network.mapping, shape.latent, 5000)
    white = torch.randn(256, shape.style, generator=torch.Generator().manual_seed(seed))
    made = Style(Parts(network, whitening, Bank(white, torch.zeros(256, shape.bands, 8, 8)), 0.6), CARD)
    side = (shape.side, shape.side)
    stage = made.stages(side)[1]
    with torch.no_grad():
        latents = made.latents(side).sample([Stream(seed)])
        few = {name: t.new_zeros(256, *t.shape[1:]) for name, t in latents.items() if "noise" not in name}
        noise = {name: t.new_zeros(1, *t.shape[1:]).expand(256, *t.shape[1:]) for name, t in latents.items()}
        pictures = made.synthesize({**noise, **few, "style": white / 0.8}, side, stage)
    return Style(replace(made.parts, bank=Bank(white, pictures.clamp(0, 1))), CARD)


def observed(made: Style, count: int, seed: int = 1) -> Observation:
    """Pictures that the generator can make, small and noisy."""
    side = (made.shape.side, made.shape.side)
    operator = Area(made.shape.side // LOW)
    streams = [Stream(seed).child(k) for k in range(count)]
    with torch.no_grad():
        rows = [made.synthesize(made.latents(side).sample([stream]), side) for stream in streams]
    y = operator.forward(torch.cat(rows))
    y = y + NOISE * torch.stack([stream.child("noise").normal(tuple(y.shape[1:])) for stream in streams])
    return Observation(y, operator, torch.full_like(y, NOISE**2), torch.ones_like(y, dtype=torch.bool))


def pulse_step(made: Style, data: Observation) -> float:
    """Seconds of the processor of one step of PULSE."""
    space = published(made)
    spec = space.latents(data.shape)
    drawn = spec.sample([Stream(0)])
    problem, times = Problem(space, data, drawn), []
    solve(Pulse(TIMED), problem, spec.flatten(drawn), callback=lambda *_: times.append(time.process_time()))
    return (times[-1] - times[0]) / (TIMED - 1)


def main(argv: Sequence[str] | None = None, shape: Shape = CONFIG_F) -> int:
    """Write ``search-size.md``.

    Args:
        argv: ``output=``, ``inputs=``; those of the process if None.
        shape: of the generator.
    """
    given = {"output": "benchmarks/results", "inputs": "1"}
    given |= dict(word.split("=", 1) for word in (argv if argv is not None else sys.argv[1:]))
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    made, count = generator(shape), int(given["inputs"])
    data = observed(made, count)
    began = time.process_time()
    metric_of(made, data.shape, coarse_stage(made, data))
    calibrated = time.process_time() - began
    rows: list[Mapping[str, float | str]] = []
    few = {"steps": EIGHT, "candidates": 8, "modes": 8, "proposals": 1, "rounds": 1, "fine": 4}
    few |= {"secant": 0, "extend": 0}
    eight = replace(PRESETS["balanced"], solver_options=few)
    for name, preset, inputs in (
        ("search=fast", PRESETS["fast"], count),
        (f"8 candidates, all refined, {EIGHT} steps", eight, 1),
    ):
        for k in range(inputs):
            one = replace(data, **{n: getattr(data, n)[k : k + 1] for n in ("y", "variance", "usable")})
            began = time.process_time()
            found = search(made, one, preset, [Stream(0).child(k)], 1)
            seconds = time.process_time() - began
            with torch.no_grad():
                low = one.operator.forward(made.synthesize(found.latents, one.shape))
            residual = float((low - one.y).square().mean())
            rows.append({"method": name, "seconds": seconds, "mse": residual, "chi2": float(found.chi2[0])})
            print(rows[-1], file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    step = pulse_step(made, replace(data, **{n: getattr(data, n)[:1] for n in ("y", "variance", "usable")}))
    torch.set_num_threads(kept)
    path = Path(given["output"]) / "search-size.md"
    path.write_text(document(rows, step, calibrated, peak, made), encoding="utf-8")
    print(f"wrote {path}")
    return 0


def document(
    rows: Sequence[Mapping[str, float | str]], step: float, calibrated: float, peak: float, made: Style
) -> str:
    """The table."""
    side = made.shape.side
    numbers = sum(p.numel() for p in made.parts.network.parameters())
    lines = [
        f"# Searching a generator of {side} x {side} pixels",
        "",
        f"Made by `python -m gensr.benchmarks.search_size`: {numbers:,} random parameters in single precision, one",
        "thread of a processor; data of 16 x 16 pixels that the generator can make, noise 0.01. Judged on",
        "the full picture `G(z)`. The hundred steps of PULSE are timed by one of them.",
        "",
        "| method | seconds | squared residual | chi2 | PULSE's 100 steps take |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = STEPS * step / float(row["seconds"])
        lines.append(
            f"| {row['method']} | {float(row['seconds']):.1f} | {float(row['mse']):.2g} | {float(row['chi2']):.2f} | "
            f"{ratio:.1f} times as long |"
        )
    more = [
        "",
        f"* PULSE: {step:.2f} s a step, {STEPS * step:.0f} s for 100; what it asks for is a squared residual of 0.002.",
        f"* The metric of the generator: {calibrated:.0f} s, once, then kept.",
        f"* Most memory of the searches, the eight candidates included: {peak:.1f} GiB.",
    ]
    return "\n".join([*lines, *more]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
