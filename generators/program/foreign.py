"""Programs that generate: looked at, and run once the user says ``trust=true``, to learn what they make of latents."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import torch
from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors import trust
from gensr.priors.foreign.checkpoint import OPAQUE, Checkpoint
from gensr.priors.foreign.plugin import TRUST, Converted, Foreign, Match, Words
from gensr.priors.quantile import as_trained

from .family import STATE, digest_of
from .running import Program, Run, imported, started

LATENT = re.compile(r"[1-9]\d{0,6}(x[1-9]\d{0,4}){0,3}")
SAME = 1e-4
"""Largest difference between an image alone and in a batch, share of the range, of a program that takes batches."""


class Programs(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name: ClassVar[str] = "program"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`: any program; whether it generates is known once it runs."""
        if checkpoint.kind not in (*OPAQUE, "module"):
            return None
        return Match(0.1, (TRUST,), None, f"a program ({checkpoint.kind}), run as a black box")

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`: the program runs here, on a few latents."""
        if not words.trust:
            raise WeightsError(f"{checkpoint.path}: {trust.MEANING}. If you trust who made it, add trust=true")
        program = _program(checkpoint)
        run = started(program, "cpu", str(checkpoint.path))
        latent = _latent(checkpoint, program, words)
        kind = words.distribution or "normal"
        if kind not in ("normal", "uniform", "truncated"):
            raise WeightsError(f"distribution={kind}: expected normal, uniform or truncated")
        distribution = {"kind": kind, "mean": 0.0, "scale": 1.0}
        low, high = words.range()
        made, single, differentiable = _probe(run, latent, distribution, abs(high - low), str(checkpoint.path))
        bands, rows, cols = made.shape[1:]
        digest = digest_of(program)
        config: dict[str, Any] = {
            "kind": program.kind,
            trust.KEY: digest,
            "latent": list(latent),
            "size": [rows, cols],
            "distribution": distribution,
            "range": [low, high],
            "single": single,
            "differentiable": differentiable,
        }
        if program.kind == "module":
            config["module"] = program.module
            state = imported(program.module).state_dict()
            tensors = {f"{STATE}{k}": t.detach().clone().contiguous() for k, t in state.items()}
        else:
            tensors = {trust.KEY: torch.frombuffer(bytearray(program.raw), dtype=torch.uint8)}
        trust.trust(digest, f"{words.name}: {checkpoint.path}")
        derivatives = (
            "has derivatives" if differentiable else "has no derivatives: only a search without them serves it"
        )
        notes = [f"trusted on this machine from now on: {trust.MEANING}", f"the program {derivatives}"]
        if single:
            notes.append("the program takes one image at a time, which is slow")
        card = words.card("program", bands, checkpoint, f"a black box ({program.kind})", size=[rows, cols])
        return Converted(tensors, config, card, tuple(notes))


def _program(checkpoint: Checkpoint) -> Program:
    if checkpoint.kind == "module":
        return Program("module", module=str(checkpoint.path))
    return Program(checkpoint.kind, checkpoint.path.read_bytes())


def _latent(checkpoint: Checkpoint, program: Program, words: Words) -> tuple[int, ...]:
    """Shape of the latents: as the user says, else as the user's own module does."""
    if words.latent:
        if not LATENT.fullmatch(words.latent):
            raise WeightsError(f"latent={words.latent}: expected a length such as 64, or a shape such as 4x8x8")
        return tuple(int(n) for n in words.latent.split("x"))
    said = getattr(imported(program.module), "latent_shape", None) if program.kind == "module" else None
    if isinstance(said, tuple | list) and said and all(type(n) is int and 0 < n <= 1 << 20 for n in said):
        return tuple(said)
    more = f" ({checkpoint.metadata['inputs']})" if checkpoint.metadata.get("inputs") else ""
    raise WeightsError(
        f"{checkpoint.path}: give the shape of its latents{more}, for example latent=512 or latent=4x8x8"
    )


def _probe(
    run: Run, latent: tuple[int, ...], distribution: dict[str, Any], span: float, where: str
) -> tuple[Tensor, bool, bool]:
    """Images of two latents, whether they must be made one by one, and whether there are derivatives.

    Raises:
        WeightsError: it fails, makes no images, or other ones each time.
    """
    draw = torch.Generator().manual_seed(50_033)
    z = as_trained(torch.randn(2, *latent, generator=draw), distribution)
    try:
        with torch.no_grad():
            alone = torch.cat([run(row) for row in z.split(1)])
            again = torch.cat([run(row) for row in z.split(1)])
    except WeightsError as error:
        raise WeightsError(f"{where}: {error}") from error
    except Exception as error:  # a program may fail in any way
        reason = " ".join(str(error).split())[-200:]
        raise WeightsError(f"{where}: fails on latents of shape {latent} ({type(error).__name__}: {reason})") from error
    if alone.ndim != 4 or len(alone) != 2 or max(alone.shape[1:]) > 1 << 14 or not bool(alone.isfinite().all()):
        raise WeightsError(
            f"{where}: makes {tuple(alone.shape)} of two latents, expected finite images (2, bands, rows, cols)"
        )
    if not torch.equal(alone, again):
        raise WeightsError(
            f"{where}: makes other images of the same latents each time; save it without noise of its own"
        )
    try:
        with torch.no_grad():
            together = run(z)
        single = together.shape != alone.shape or float((together - alone).abs().max()) > SAME * span
    except Exception:  # made for one image
        single = True
    try:
        leaf = z[:1].clone().requires_grad_()
        (grad,) = torch.autograd.grad(run(leaf).sum(), leaf)
        differentiable = bool(grad.isfinite().all()) and bool(grad.abs().max() > 0)
    except Exception:  # no graph, or an operation without a derivative
        differentiable = False
    return alone, single, differentiable


FOREIGN = Programs()
