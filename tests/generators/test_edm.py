"""Snapshots of EDM become diffusion priors: tensors to the bit, denoised images equal to a plain reference, end to end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.errors import WeightsError
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from tests.foreign_files import edm
from tests.generators import reference_edm as reference
from tests.generators.reference_edm import ADM, NCSN, SONG


def made(path, **words):
    """The prior of a file, through a weights file of ours."""
    out = path.with_suffix(".safetensors")
    _, found, match = convert(read_foreign(path), Words(**{"name": "own", **words}), out)
    return *weights.load(str(out)), found, match


def equal(generator, kind, t, kw, label=None, atol=1e-5):
    """Whether both denoise alike, in float64, at the levels that a sampler goes through."""
    generator.parts.network.double()
    draw = torch.Generator().manual_seed(2)
    side = kw["img_resolution"]
    levels = torch.tensor([0.03, 0.4, 9.0], dtype=torch.float64)
    if kind == "iDDPMPrecond":
        levels = reference.levels_of_iddpm().double()[[990, 700, 300]]
    x = torch.randn(3, kw["img_channels"], side, side, generator=draw, dtype=torch.float64) * (0.25 + levels[:, None, None, None] ** 2).sqrt()
    ours = generator._clean(x, levels)  # noqa: SLF001
    theirs = reference.clean(kind, t, kw, x, levels, label)
    assert float(theirs.std()) > 0.05
    return float((ours - theirs).abs().max() / theirs.abs().max()) < atol


VARIANTS = {
    "DDPM++": SONG,
    "NCSN++": NCSN,
    "skips": {**SONG, "encoder_type": "skip", "decoder_type": "skip", "resample_filter": [1, 3, 3, 1]},
    "residual and skip": {**NCSN, "decoder_type": "skip", "resample_filter": [1, 1]},
    "ADM": {**ADM, "label_dim": 0},
    "ADM, two heads": {**ADM, "label_dim": 0, "channel_mult": [1, 4], "num_blocks": 2},
    "one level": {**SONG, "channel_mult": [2], "attn_resolutions": []},
}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_networks(tmp_path, variant):
    kw = VARIANTS[variant]
    t = reference.random_tensors(kw)
    path = edm(tmp_path / "network-snapshot-200000.pkl", t, kw)
    family, match = detect(read_foreign(path))
    assert (family.name, match.found.place, match.found.class_name) == ("edm", "ema", "EDMPrecond")
    assert set(match.found.tensors) == set(t)
    generator, kept, _, _ = made(path)
    for name, tensor in t.items():
        own = f"edm.{name.removeprefix('model.')}"
        assert "map_augment" in name or torch.equal(kept.tensors[own], tensor), name
    assert equal(generator, "EDMPrecond", t, kw)


@pytest.mark.parametrize("kind", ["EDMPrecond", "VPPrecond", "VEPrecond", "iDDPMPrecond"])
def test_preconditionings(tmp_path, kind):
    double = kind == "iDDPMPrecond"
    t = reference.random_tensors(SONG, double)
    extra = {"u": reference.levels_of_iddpm()} if double else {}
    path = edm(tmp_path / "baseline.pkl", {**t, **extra}, SONG, kind, sigma_min=0.0, sigma_max=float("inf"))
    if kind == "VEPrecond":
        path = edm(tmp_path / "baseline.pkl", t, SONG, kind, sigma_min=0.02, sigma_max=100.0)
    generator, kept, _, match = made(path)
    assert match.words == f"{kind}, SongUNet, 16 px"
    assert kept.card.recipe == f"{kind}, SongUNet, 16 px of EDM"
    # of schedules in steps the nearest is taken there, and here the place between two
    assert equal(generator, kind, t, SONG, atol=1e-4 if double else 1e-5)
    highest = {"VPPrecond": 152.2, "VEPrecond": 100.0, "iDDPMPrecond": float(reference.levels_of_iddpm()[0])}
    assert generator.parts.rule.highest() == pytest.approx(highest.get(kind, float("inf")), rel=1e-3)
