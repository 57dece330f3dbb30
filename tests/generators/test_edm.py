"""Snapshots of EDM become diffusion priors: tensors to the bit, denoised images of a plain reference."""

from __future__ import annotations

import pytest
import torch

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
    x = (
        torch.randn(3, kw["img_channels"], side, side, generator=draw, dtype=torch.float64)
        * (0.25 + levels[:, None, None, None] ** 2).sqrt()
    )
    ours = generator._clean(x, levels)
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
    assert equal(generator, kind, t, SONG, atol=1e-5)
    highest = {"VPPrecond": 152.2, "VEPrecond": 100.0, "iDDPMPrecond": float(reference.levels_of_iddpm()[0])}
    assert generator.parts.rule.highest() == pytest.approx(highest.get(kind, float("inf")), rel=1e-3)


@pytest.mark.parametrize(
    "kw", [{**SONG, "label_dim": 4}, {**NCSN, "label_dim": 3}, ADM], ids=["DDPM++", "NCSN++", "ADM"]
)
def test_one_class_of_several(tmp_path, kw):
    t = reference.random_tensors(kw)
    path = edm(tmp_path / "conditional.pkl", t, kw)
    count = kw["label_dim"]
    with pytest.raises(WeightsError, match=f"never trained without one; add label=0 to label={count - 1}"):
        made(path)
    with pytest.raises(WeightsError, match=f"label={count}: expected one of {count} classes"):
        made(path, label=count)
    answers = []
    for label in (0, 2):
        generator, kept, _, match = made(path, label=label)
        assert match.words.endswith(f"{count} classes")
        assert kept.card.recipe.endswith(f"number {label}")
        assert equal(generator, "EDMPrecond", t, kw, label)
        assert not equal(generator, "EDMPrecond", t, kw, 1)
        answers.append(generator)
    free = edm(tmp_path / "free.pkl", t, {**kw, "label_dropout": 0.1})
    assert equal(made(free)[0], "EDMPrecond", t, kw, None)


@pytest.mark.parametrize("side", [32, 256, 1024])
@pytest.mark.parametrize("base", [8, 12])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("model", ["SongUNet", "DhariwalUNet"])
def test_sizes_widths_and_classes_are_told_from_shapes(tmp_path, side, base, classes, model):
    kw = {**SONG, "img_resolution": side, "model_channels": base, "label_dim": classes, "img_channels": 1}
    kw |= {"channel_mult": [1, 1, 2, 2], "attn_resolutions": [side // 4], "num_blocks": 1, "model_type": model}
    if model == "DhariwalUNet":
        kw = {k: kw[k] for k in ADM if k in kw}
    t = reference.random_tensors(kw)
    generator, kept, _, _ = made(edm(tmp_path / "a.pkl", t, kw), label=0 if classes else None)
    shape = generator.parts.network.shape
    assert (shape.side, shape.widths, shape.classes, kept.card.bands) == (
        side,
        (base, base, 2 * base, 2 * base),
        classes,
        1,
    )
    assert [x.shape for x in generator.latents((side, side)).tensors] == [(1, side, side)]
    assert all(torch.equal(kept.tensors[f"edm.{k[6:]}"], v) for k, v in t.items() if "augment" not in k)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_half_precision_fields_and_ranges(tmp_path, protocol):
    t = {k: v.half() for k, v in reference.random_tensors(SONG).items()}
    path = edm(tmp_path / "a.bin", t, SONG, protocol=protocol)
    generator, kept, found, _ = made(path, alignment="none", low=0.0, high=4.0, label=None)
    assert kept.tensors["edm.map_layer0.weight"].dtype == torch.float16
    assert "augmented images is left out" in found.notes[0]
    assert not kept.card.aligned
    assert generator.denoise(torch.rand(1, 3, 21, 18), torch.tensor([0.5])).shape == (1, 3, 21, 18)
    assert [x.shape for x in generator.latents((21, 18)).tensors] == [(3, 24, 20)]
    x = torch.rand(1, 3, 16, 16)
    made_of = generator.denoise(x, torch.tensor([0.2])) * 4
    assert torch.allclose(made_of, generator._clean(4 * x, torch.tensor([0.8])), atol=1e-5)


def test_candidates_do_not_know_of_each_other(tmp_path):
    generator, *_ = made(edm(tmp_path / "a.pkl", reference.random_tensors(SONG), SONG))
    x, levels = torch.rand(3, 3, 16, 16), torch.tensor([0.1, 1.0, 3.0])
    every = generator.denoise(x, levels)
    assert torch.allclose(every[1:2], generator.denoise(x[1:2], levels[1:2]), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "UNetOfNobody"}, "says model_type = 'UNetOfNobody'"),
        ({"model_type": "DhariwalUNet"}, "says model_type"),
        ({"img_resolution": 64}, "says img_resolution = 64"),
        ({"img_channels": 1 << 40}, "says img_channels"),
        ({"label_dim": 7}, "says label_dim = 7, its tensors 0"),
        ({"num_blocks": 3}, "says num_blocks = 3, its tensors 2"),
        ({"model_channels": 16}, "says channel_mult"),
        ({"model_channels": 0}, "says channel_mult"),
        ({"channel_mult": [1, 2, 4]}, "says channel_mult"),
        ({"attn_resolutions": [8, 16]}, "says attn_resolutions"),
        ({"attn_resolutions": [4]}, "says attn_resolutions"),
        ({"embedding_type": "fourier"}, "says embedding_type"),
        ({"encoder_type": "residual"}, "says encoder_type"),
        ({"decoder_type": "skip"}, "says decoder_type"),
        ({"resample_filter": [1, 3, 3, 1]}, "says a filter of 4 numbers"),
        ({"sigma_data": "0.5"}, "EDMPrecond.data"),
        ({"sigma_data": 0}, "EDMPrecond.data"),
        ({"sigma_data": float("nan")}, "EDMPrecond.data"),
        ({"sigma_max": -1.0}, "EDMPrecond.most"),
    ],
)
def test_arguments_of_another_network(tmp_path, change, words):
    path = edm(tmp_path / "a.pkl", reference.random_tensors(SONG), {**SONG, **change})
    with pytest.raises(WeightsError, match=words):
        made(path)
    assert not list(tmp_path.glob("*.safetensors"))


def hostile(t):
    """Tensors that no network has, by what a message says of them."""
    first = "model.enc.16x16_conv.weight"
    yield "misses.*enc.NxN_conv.weight", {k: v for k, v in t.items() if k != first}
    yield "is of shape", {**t, first: torch.ones(8)}
    yield "is of shape|no network", {**t, first: torch.ones(9, 3, 3, 3)}
    yield "each half of the one before", {k.replace("4x4", "5x5"): v for k, v in t.items()}
    yield "each half of the one before", {k.replace("8x8", "99999x99999"): v for k, v in t.items()}
    yield "are missing", {k: v for k, v in t.items() if "8x8_up" not in k}
    yield "are missing", {k: v for k, v in t.items() if k != "model.dec.4x4_block1.affine.bias"}
    yield "is missing", {k: v for k, v in t.items() if k != "model.dec.16x16_aux_conv.weight"}
    yield "is missing", {k: v for k, v in t.items() if k != "model.enc.8x8_block0.conv0.weight"}
    yield "is of shape", {**t, "model.enc.8x8_block1.affine.weight": torch.ones(16, 1)}
    yield "no network has", {**t, "model.enc.8x8_down.conv0.resample_filter": torch.ones(1, 1, 3, 3)}
    yield "taps|is of shape", {**t, "model.enc.8x8_down.conv0.resample_filter": torch.ones(1, 1, 99, 99)}
    yield "not floating-point", {**t, "model.map_layer1.bias": torch.ones(16, dtype=torch.int64)}
    yield "not finite", {**t, "model.map_layer1.bias": torch.full((16,), torch.nan)}
    yield "no network has these numbers", reference.random_tensors({**SONG, "model_channels": 2})
    yield "16 pixels and 7 numbers", {**t, "model.map_layer0.weight": torch.ones(16, 7)}


def test_tensors_of_no_network(tmp_path):
    kw = {k: v for k, v in SONG.items() if k in ("img_channels", "label_dim", "img_resolution")}
    for i, (words, t) in enumerate(hostile(reference.random_tensors(SONG))):
        path = edm(tmp_path / f"{i}.pkl", t, kw)
        with pytest.raises(WeightsError, match=words):
            made(path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_levels_of_noise_that_do_not_rise(tmp_path):
    t = reference.random_tensors(SONG, True)
    for u in (reference.levels_of_iddpm().flip(0), torch.ones(4, 4), torch.zeros(2), torch.tensor([-3.0, -2, -1, 0])):
        path = edm(tmp_path / "a.pkl", {**t, "u": u}, SONG, "iDDPMPrecond")
        with pytest.raises(WeightsError, match="noise levels"):
            made(path)


def test_a_network_without_its_class_is_named(tmp_path):
    t = reference.random_tensors(SONG)
    torch.save({"ema": t}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"edm misses its class .*EDMPrecond.*give the pickle"):
        detect(read_foreign(tmp_path / "a.pt"))
    path = edm(tmp_path / "b.pkl", t, SONG, "PrecondOfNobody")
    with pytest.raises(WeightsError, match="edm misses its class"):
        detect(read_foreign(path))
    second = {"unet.out_gain": torch.ones(()), "unet.enc.64x64_conv.weight": torch.ones(8, 5, 3, 3)}
    with pytest.raises(WeightsError, match="edm misses SongUNet or DhariwalUNet: it is of EDM2"):
        detect(read_foreign(edm(tmp_path / "c.pkl", second, {}, "Precond")))


def test_a_header_that_was_changed(tmp_path):
    kw = {**SONG, "label_dim": 4}
    made(edm(tmp_path / "a.pkl", reference.random_tensors(kw), kw), label=1)
    found = weights.read(tmp_path / "a.safetensors")
    for change, words in [
        ({"label": 9}, "config.label = 9 of 4 classes"),
        ({"label": -1}, "config.label"),
        ({"rule": {"kind": "mine"}}, "config.rule.kind"),
        ({"prediction": "epsilon"}, "expected config.rule or config.prediction"),
        ({"edm": {**found.config["edm"], "blocks": 65}}, "config.edm.blocks"),
        ({"edm": {**found.config["edm"], "adm": True}}, "is missing|is of shape"),
        ({"edm": {**found.config["edm"], "side": 30}}, "30 pixels"),
        ({"edm": {**found.config["edm"], "adm": True, "encoder": "skip"}}, "parts of DDPM"),
        ({"edm": None}, "config.edm"),
    ]:
        weights.save(tmp_path / "b.safetensors", found.tensors, {**found.config, **change}, found.card)
        with pytest.raises(WeightsError, match=words):
            weights.load(str(tmp_path / "b.safetensors"))
