"""Files of StyleGAN2 become generators: tensors to the bit, pictures equal to a plain reference, every layout."""

from pathlib import Path

import pytest
import torch

from gensr.errors import SearchError, WeightsError
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from tests.foreign_files import nvidia, tensorflow
from tests.generators import reference_stylegan2 as reference

WORDS = Words("own", licence="CC0", domain="faces")


def made(path: Path, words=WORDS):
    """The generator of a file, through a weights file of ours."""
    out = path.with_suffix(".safetensors")
    convert(read_foreign(path), words, out)
    return weights.load(str(out))


def answers(generator, t, label=None, architecture="skip", clamp=None):
    """Pictures of ours and of the reference for the same z and noise, in float64."""
    network = generator.network.double()
    draw = torch.Generator().manual_seed(7)
    z = torch.randn(2, network.latent, generator=draw, dtype=torch.float64)
    told = None if label is None else torch.nn.functional.one_hot(torch.tensor([label] * 2), network.classes).double()
    w = generator.style_of(network.mapping(z, told))
    wide = w[:, None].expand(-1, generator.layers, -1) + 0.1 * torch.randn(
        2, generator.layers, network.style, generator=draw, dtype=torch.float64
    )
    noise = [torch.randn(2, s, s, generator=draw, dtype=torch.float64) for s in network.maps]
    ours = generator.render(wide, noise, (network.side, network.side))
    assert torch.allclose(w, reference.mapping(t, z, told), rtol=1e-6, atol=1e-6)
    theirs = reference.synthesis(t, wide, noise, architecture, clamp)
    return ours, (theirs + 1) / 2


def equal(ours, theirs):
    scale = theirs.abs().max()
    assert scale > 0.5
    return float((ours - theirs).abs().max() / scale) < 1e-5


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_snapshots_of_nvidia(tmp_path, architecture):
    t = reference.random_tensors(architecture=architecture)
    kwargs = {"z_dim": 12, "c_dim": 0, "w_dim": 10, "img_resolution": 32, "synthesis_kwargs": {"conv_clamp": 4.0}}
    path = nvidia(tmp_path / "network-snapshot.pt", t, kwargs)
    found = read_foreign(path)
    assert found.kind == "pickle"
    part = detect(found)[1].found
    assert (part.place, part.class_name) == ("G_ema", "Generator")
    for name, tensor in t.items():
        assert torch.equal(part.tensors[name].read(), tensor), name
    generator, kept = made(path)
    for name, tensor in t.items():
        if "filter" not in name and "noise_const" not in name:
            assert torch.equal(kept.tensors[name], tensor), name
    assert equal(*answers(generator, t, architecture=architecture, clamp=4.0))
    assert found.sha256 in kept.card.source
    assert kept.card.licence == "CC0"


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_of_rosinality(tmp_path, zipped):
    t = reference.random_tensors(side=16)
    theirs = reference.rosinality(t)
    said = {"g": {k: v + 1 for k, v in theirs.items()}, "g_ema": theirs, "latent_avg": torch.zeros(10)}
    torch.save(said, tmp_path / "550000.pkl", _use_new_zipfile_serialization=zipped)
    found = read_foreign(tmp_path / "550000.pkl")
    assert detect(found)[1].found.place == "g_ema"
    generator, kept = made(tmp_path / "550000.pkl")
    assert torch.equal(kept.tensors["synthesis.b16.conv0.weight"], t["synthesis.b16.conv0.weight"])
    assert equal(*answers(generator, t))


def test_pickles_of_tensorflow(tmp_path):
    t = reference.random_tensors(side=16)
    variables = {k: v.copy() for k, v in reference.old(t).items()}
    path = tensorflow(
        tmp_path / "stylegan2-ffhq.pkl", variables, {"resolution": 16}, {"dlatent_avg": t["mapping.w_avg"]}
    )
    generator, kept = made(path)
    for name in ("synthesis.b8.conv0.weight", "synthesis.b16.torgb.affine.weight", "mapping.fc0.weight"):
        assert torch.equal(kept.tensors[name], t[name]), name
    assert equal(*answers(generator, t))


@pytest.mark.parametrize("wrap", ["alone", "tuple", "state_dict", "module.", "decoder."])
def test_wherever_the_generator_is(tmp_path, wrap):
    t = reference.random_tensors(side=16)
    plain = {k: v for k, v in t.items() if "filter" not in k}
    said = {
        "alone": plain,
        "tuple": (1, {"d.weight": torch.ones(2)}, plain),
        "state_dict": {"epoch": 3, "state_dict": plain},
        "module.": {f"module.{k}": v for k, v in plain.items()},
        "decoder.": {"state_dict": {**{f"decoder.{k}": v for k, v in reference.rosinality(t).items()},
                                    "encoder.a": torch.ones(1)}},
    }[wrap]  # fmt: skip
    torch.save(said, tmp_path / "a.bin")
    assert equal(*answers(made(tmp_path / "a.bin")[0], t))


@pytest.mark.parametrize("side", [32, 128, 1024])
@pytest.mark.parametrize("base", [64, 256])
@pytest.mark.parametrize("classes", [0, 3])
def test_sizes_are_told_from_shapes(tmp_path, side, base, classes):
    t = reference.random_tensors(side, base=base * side // 32, most=24, classes=classes, bands=1, latent=9)
    torch.save({k: v for k, v in t.items() if "noise_const" not in k}, tmp_path / "a.pt")
    generator, kept = made(tmp_path / "a.pt")
    network = generator.network
    assert (network.side, network.classes, network.bands, network.latent) == (side, classes, 1, 9)
    assert kept.card.bands == 1
    assert all(torch.equal(kept.tensors[k], v) for k, v in t.items() if "filter" not in k and "const" not in k)
    if side == 32:
        assert equal(*answers(generator, t, label=1 if classes else None))


def test_one_class_of_several(tmp_path):
    t = reference.random_tensors(side=16, classes=4)
    torch.save(t, tmp_path / "a.pt")
    means = []
    for label in (0, 2):
        generator, kept = made(tmp_path / "a.pt", Words("own", label=label))
        told = torch.nn.functional.one_hot(torch.full((4000,), label), 4).float()
        v = generator.network.mapping(torch.randn(4000, 12), told)
        assert torch.allclose(generator.whitening.mean, v.mean(0), atol=0.1 * float(v.std()))
        means.append(generator.whitening.mean)
        assert f"number {label}" in kept.card.recipe
    assert not torch.allclose(*means, atol=1e-2)
    with pytest.raises(WeightsError, match="label=7: expected one of 4 classes"):
        made(tmp_path / "a.pt", Words("own", label=7))


def test_latents_are_white_and_stages_are_early_pictures(tmp_path):
    t = reference.random_tensors(side=32)
    torch.save(t, tmp_path / "a.pt")
    generator, _ = made(tmp_path / "a.pt")
    v = generator.network.mapping(torch.randn(20_000, 12))
    u = generator.whitening.whiten(v)
    assert torch.allclose(u.T @ u / len(u), torch.eye(10), atol=0.05)
    stages = generator.stages((32, 32))
    assert [s.shape for s in stages] == [(4, 4), (8, 8), (16, 16)]
    assert 0 < stages[0].cost < stages[1].cost < stages[2].cost < 1
    spec = generator.latents((32, 32))
    assert {x.name: x.searched for x in spec.tensors if "noise" in x.name} == {
        "noise4": True, "noise8": True, "noise16": True, "noise32": True
    }  # fmt: skip
    draws = {x.name: torch.randn(2, *x.shape) for x in spec.tensors}
    coarse = generator.synthesize(draws, (32, 32), stages[1])
    u = (1 - generator.spread**2) ** 0.5 * draws["style"][:, None] + generator.spread * draws["layers"]
    w = generator.style_of(generator.whitening.colour(u))
    noise = [draws[f"noise{s}"][:, i] for s, i in ((4, 0), (8, 0), (8, 1))]
    assert torch.allclose(coarse, (reference.synthesis(t, w, [*noise, *noise], stop=8) + 1) / 2, atol=1e-4)
    with pytest.raises(SearchError, match="32 x 32 pixels"):
        generator.latents((64, 64))


def test_samples_do_not_know_of_each_other(tmp_path):
    torch.save(reference.random_tensors(side=16), tmp_path / "a.pt")
    generator, _ = made(tmp_path / "a.pt")
    spec = generator.latents((16, 16))
    draws = {x.name: torch.randn(4, *x.shape) for x in spec.tensors}
    every = generator.synthesize(draws, (16, 16))
    alone = generator.synthesize({k: v[2:3] for k, v in draws.items()}, (16, 16))
    assert torch.allclose(every[2:3], alone, atol=1e-5)


def test_what_is_missing_is_said(tmp_path):
    t = reference.random_tensors(side=16)
    torch.save({k: v for k, v in t.items() if not k.startswith("mapping")}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"nearest: stylegan2 misses mapping\.fc0\.weight"):
        convert(read_foreign(tmp_path / "a.pt"), WORDS, tmp_path / "a.safetensors")
    torch.save({k: v for k, v in t.items() if k != "synthesis.b8.conv1.bias"}, tmp_path / "b.pt")
    with pytest.raises(WeightsError, match=r"synthesis\.b8\.conv1\.bias"):
        convert(read_foreign(tmp_path / "b.pt"), WORDS, tmp_path / "b.safetensors")
    path = nvidia(tmp_path / "c.pkl", t, {"synthesis_kwargs": {"activation": "swish"}})
    with pytest.raises(WeightsError, match="activation 'swish'"):
        convert(read_foreign(path), WORDS, tmp_path / "c.safetensors")
    assert not list(tmp_path.glob("*.safetensors"))
