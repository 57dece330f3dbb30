"""MONAI bundles become priors: bit for bit, with the library's forward pass, their configuration never evaluated."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import emit_monai as emit

from gensr.cli.main import main
from gensr.errors import WeightsError
from gensr.operators import Area
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from gensr.priors.observation import Observation


def converted(folder: Path, out: Path, **words):
    _, made, match = convert(read_foreign(folder), Words(**{"name": "net", "domain": "medical", **words}), out)
    return *weights.load(str(out)), made, match


def normal(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def edit(folder: Path, change, file: str = "inference.json") -> None:
    path = folder / "configs" / file
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.fixture
def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.networks.nets", reason="needs monai, for an independent implementation")


def filled(network: torch.nn.Module) -> torch.nn.Module:
    for i, (name, p) in enumerate(network.named_parameters()):
        p.data = emit.random(iter([(name, tuple(p.shape))]), i)[name]
    return network.eval()


def test_tensors_arrive_to_the_bit(tmp_path):
    _, found, _, _ = converted(emit.gan(tmp_path / "gan"), tmp_path / "a.safetensors")
    theirs = list(emit.tensors("gan").values())
    assert len(theirs) == len(found.tensors)
    assert all(any(o.shape == t.shape and torch.equal(o, t) for o in found.tensors.values()) for t in theirs)
    _, found, _, match = converted(emit.latent(tmp_path / "ldm"), tmp_path / "b.safetensors")
    assert match.words == "MONAI bundle, AutoencoderKL + DiffusionModelUNet"
    for name, t in {**emit.tensors("autoencoder"), **emit.tensors("unet")}.items():
        if not name.startswith(("encoder", "quant")):
            assert any(o.shape == t.shape and torch.equal(o, t) for o in found.tensors.values()), name


@pytest.mark.parametrize(("side", "multiplier"), [(32, 1), (32, 8), (256, 2), (1024, 1)])
def test_generators_of_any_size_are_rebuilt(tmp_path, side, multiplier):
    """As many doublings as the list of strides has; every tensor arrives."""
    doublings = (side // 4).bit_length() - 1
    words = {"channels": [4 * multiplier] * doublings + [1], "strides": [2] * doublings + [1]}
    ours, found, _, _ = converted(emit.gan(tmp_path / "in", **words), tmp_path / "net.safetensors")
    theirs = emit.random(emit.generator({**emit.GENERATOR, **words}))
    assert len(theirs) == len(found.tensors)
    for name, tensor in theirs.items():
        assert any(o.shape == tensor.shape and torch.equal(o, tensor) for o in found.tensors.values()), name
    assert [t.shape for t in ours.latents((side, side)).tensors] == [(5,)]
    assert ours.synthesize({"z": normal(1, 5)}, (side, side)).shape == (1, 1, side, side)


@pytest.mark.parametrize(("levels", "multiplier"), [(1, 3), (3, 1), (5, 2)])
def test_autoencoders_of_any_depth_and_width_are_rebuilt(tmp_path, levels, multiplier):
    widths = [4 * multiplier * (1 + i // 2) for i in range(levels)]
    words = {**emit.AUTOENCODER, "channels": widths, "attention_levels": [False] * levels}
    folder = emit.latent(tmp_path / "in", autoencoder_def=words)
    theirs = emit.random(emit.autoencoder(words))
    torch.save(theirs, folder / "models" / "model_autoencoder.pt")
    edit(folder, lambda config: config.pop("diffusion_def"))
    (folder / "models" / "model.pt").unlink()
    ours, found, _, _ = converted(folder, tmp_path / "net.safetensors")
    for name, tensor in theirs.items():
        wanted = any(o.shape == tensor.shape and torch.equal(o, tensor) for o in found.tensors.values())
        assert wanted or "log_sigma" in name, name
    factor = 2 ** (levels - 1)
    for side in (32, 256, 1024):
        assert [t.shape for t in ours.latents((side, side)).tensors] == [(2, side // factor, side // factor)]
    assert ours.synthesize({"z": normal(1, 2, 2, 3)}, (2 * factor, 3 * factor)).shape == (1, 1, 2 * factor, 3 * factor)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"num_res_units": 0, "norm": "batch", "act": ["leakyrelu", {"negative_slope": 0.3}]},
        {"num_res_units": 1, "norm": None, "act": "relu", "bias": False, "kernel_size": 5},
        {"norm": ["group", {"num_groups": 1}], "act": ["prelu", {"init": 0.2}], "channels": [6, 4, 2]},
        {"norm": ["instance", {"affine": True}], "act": "SWISH"},
    ],
)
def test_a_generator_makes_what_the_library_makes(tmp_path, library, more):
    theirs = filled(library.Generator(**emit.literal({**emit.GENERATOR, **more})))
    for name, buffer in theirs.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    folder = emit.gan(tmp_path / "in")
    edit(folder, lambda config: config["network_def"].update(more))
    torch.save(theirs.state_dict(), folder / "models" / "model.pt")
    ours, found, made, _ = converted(folder, tmp_path / "net.safetensors")
    u = normal(3, 5)
    with torch.no_grad():
        want = theirs(torch.special.ndtr(u)).sigmoid()
    assert torch.allclose(ours.synthesize({"z": u}, (16, 16)), want, atol=1e-5)
    assert found.card.aligned
    assert any("sigmoid" in note for note in made.notes)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"channels": [4, 4, 8], "attention_levels": [False, False, True], "num_res_blocks": [1, 2, 1]},
        {"with_decoder_nonlocal_attn": False, "with_encoder_nonlocal_attn": False, "norm_eps": 1e-4},
        {"use_convtranspose": True},
        {"include_fc": False},
        {"use_combined_linear": True},
    ],
)
def test_an_autoencoder_decodes_and_encodes_as_the_library_does(tmp_path, library, more):
    words = {**emit.AUTOENCODER, **more}
    theirs = filled(library.AutoencoderKL(**emit.literal(words)))
    folder = emit.latent(tmp_path / "in", autoencoder_def=words, scale_factor=0.5)
    torch.save({"state_dict": theirs.state_dict()}, folder / "models" / "model_autoencoder.pt")
    (folder / "models" / "model.pt").unlink()
    ours, found, made, _ = converted(folder, tmp_path / "net.safetensors")
    assert any("left out" in note for note in made.notes)
    assert not found.card.aligned
    side = 2 ** (len(words["channels"]) - 1)
    z, y = normal(2, 2, 5, 3), normal(2, 1, 5 * side, 3 * side).sigmoid()
    with torch.no_grad():
        want = theirs.decode(z / 0.5)
        assert torch.allclose(ours.synthesize({"z": z}, (5 * side, 3 * side)), want, atol=1e-5)
        data = Observation(y, Area((1, 1)), torch.ones_like(y), torch.ones_like(y, dtype=torch.bool))
        assert torch.allclose(ours.encode(data)["z"], theirs.encode(y)[0] * 0.5, atol=1e-5)


@pytest.mark.parametrize("more", [{}, {"resblock_updown": True}, {"norm_eps": 1e-4, "num_res_blocks": [1, 2]}])
def test_a_u_net_denoises_as_the_library_does(tmp_path, library, more):
    words = {**emit.UNET, "in_channels": 1, "out_channels": 1, **more}
    theirs = filled(library.DiffusionModelUNet(**{**emit.literal(words), "num_head_channels": [4, 4]}))
    words["num_head_channels"] = [4, 4]
    folder = emit.latent(tmp_path / "in", diffusion_def=words)
    edit(folder, lambda config: config.pop("autoencoder_def"))
    (folder / "models" / "model_autoencoder.pt").unlink()
    torch.save(theirs.state_dict(), folder / "models" / "model.pt")
    ours, _, _, _ = converted(folder, tmp_path / "net.safetensors")
    from monai.networks.schedulers import DDPMScheduler

    scheduler = DDPMScheduler(**{k: v for k, v in emit.SCHEDULER.items() if k != "_target_"})
    clean, noise, step = normal(2, 1, 16, 16).sigmoid(), normal(2, 1, 16, 16, seed=4), torch.tensor([11, 700])
    kept = scheduler.alphas_cumprod[step].view(-1, 1, 1, 1)
    noisy = scheduler.add_noise(clean, noise, step)
    with torch.no_grad():
        want = (noisy - (1 - kept).sqrt() * theirs(noisy, step)) / kept.sqrt()
        got = ours.denoise(noisy / kept.sqrt(), ((1 - kept) / kept).sqrt().flatten())
    assert torch.allclose(got, want, atol=1e-5 * float(want.abs().max()), rtol=1e-5)


def test_old_names_are_those_of_generative_models(tmp_path, library):
    folder = emit.latent(tmp_path / "in")
    first, *_ = converted(folder, tmp_path / "a.safetensors")
    for file in ("model.pt", "model_autoencoder.pt"):
        state = torch.load(folder / "models" / file)
        inner = state.get("model", state)
        old = {
            k.replace(".attn.out_proj.", ".proj_attn.").replace(".attn.to_", ".to_").replace(".postconv.", ".conv."): v
            for k, v in inner.items()
        }
        torch.save({**state, "model": old} if "model" in state else old, folder / "models" / file)
    edit(folder, lambda config: config["autoencoder_def"].update(_target_="generative.networks.nets.AutoencoderKL"))
    edit(
        folder, lambda config: config["autoencoder_def"].update(num_channels=config["autoencoder_def"].pop("channels"))
    )
    second, *_ = converted(folder, tmp_path / "b.safetensors")
    u = {"noise": normal(1, 2, 8, 8)}
    assert torch.equal(first.synthesize(u, (16, 16)), second.synthesize(u, (16, 16)))


def test_a_latent_diffusion_is_its_parts(tmp_path):
    folder = emit.latent(tmp_path / "in")
    ours, found, _, _ = converted(folder, tmp_path / "net.safetensors", alignment="skull at the middle")
    assert found.config["latent"]["scale"] == 1 / 0.8
    assert found.config["size"] == [16, 16]
    assert (found.card.aligned, found.card.bands, found.card.domain) == (True, 1, "medical")
    assert "alignment: skull at the middle" in found.card.recipe
    field, plain, _, _ = converted(folder, tmp_path / "field.safetensors")
    assert not plain.card.aligned
    assert field.synthesize({"noise": normal(1, 2, 12, 10)}, (23, 20)).shape == (1, 1, 23, 20)
    u = {"noise": normal(2, 2, 8, 8)}
    assert torch.equal(ours.synthesize(u, (16, 16)), field.synthesize(u, (16, 16)))
    alone = ours.synthesize({"noise": u["noise"][1:]}, (16, 16))
    assert torch.allclose(ours.synthesize(u, (16, 16))[1:], alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["gan", "latent", "autoencoder"])
def test_upsample_runs_end_to_end(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))
    folder = emit.gan(tmp_path / "in") if kind == "gan" else emit.latent(tmp_path / "in")
    if kind == "autoencoder":
        (folder / "models" / "model.pt").unlink()
    converted(folder, tmp_path / "net.safetensors", domain="faces")
    values = np.random.default_rng(1).integers(100, 140, (4, 4)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "hand.png")
    words = [f"output={tmp_path / 'out'}", "factor=4", "samples=1", "noise=40", "search=fast", "search.steps=3"]
    assert main(["upsample", str(tmp_path / "hand.png"), f"generator={tmp_path / 'net.safetensors'}", *words]) == 0
    assert np.asarray(Image.open(tmp_path / "out" / "hand_x4_generated.png")).shape == (16, 16)


MARK = "touched"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("start_shape", "$__import__('pathlib').Path('touched').touch()", "is code and never evaluated"),
        ("start_shape", ["$open('touched', 'w')", 4, 4], "is code and never evaluated"),
        ("start_shape", "$[8] + [4, 4]", "is code and never evaluated"),
        ("start_shape", "@nothing", "refers to @nothing"),
        ("start_shape", "@network_def::start_shape", "in a circle"),
        ("start_shape", "@latent_size::0", "refers to @latent_size::0"),
        ("start_shape", [8, 4, 4, 4], "three axes"),
        ("start_shape", [8, 10**9, 4], "a whole number"),
        ("channels", [6, 4], "as many strides"),
        ("channels", [6, 4, 3], "is of shape|missing"),
        ("channels", [1 << 16] * 3, "is of shape"),
        ("kernel_size", [3, 5], "square kernel"),
        ("kernel_size", 4, "an odd one"),
        ("act", ["$exec('x')", {}], "is code and never evaluated"),
        ("act", "mish", "only relu"),
        ("norm", "layer", "only instance"),
        ("norm", [["x"], {}], "expected a name"),
        ("num_res_units", -1, "a whole number"),
        ("_target_", "os.system", "a definition of Generator"),
        ("_target_", "monai.networks.nets.Generator.__class__", "a definition of Generator"),
        ("_target_", "builtins.eval", "a definition of Generator"),
    ],
)
def test_configurations_are_never_evaluated(tmp_path, monkeypatch, key, value, words):
    monkeypatch.chdir(tmp_path)
    folder = emit.gan(tmp_path / "in")
    edit(folder, lambda config: config["network_def"].update({key: value}))
    with pytest.raises(WeightsError, match=words):
        converted(folder, tmp_path / "net.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_literals_written_as_python_are_understood(tmp_path):
    folder = emit.gan(tmp_path / "in")
    edit(folder, lambda config: config["network_def"].update(start_shape="$(8, 4, 4)", strides="$@steps"))
    edit(folder, lambda config: config.update(steps=[2, "@two", 1], two="$2"))
    converted(folder, tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(spatial_dims=3), "priors make images of 2 axes"),
        (lambda c: c["diffusion_def"].update(with_conditioning=True), "told more than the noisy image"),
        (lambda c: c["diffusion_def"].update(num_class_embeds=4), "told more than the noisy image"),
        (lambda c: c["diffusion_def"].update(in_channels=7), "missing|is of shape|for 1 bands|beside"),
        (lambda c: c["noise_scheduler"].update(schedule="mine"), "only linear_beta"),
        (lambda c: c["noise_scheduler"].update(beta_end="$1/0"), "is code"),
        (lambda c: c["noise_scheduler"].update(num_train_timesteps=10**9), "num_train_timesteps"),
        (lambda c: c["autoencoder_def"].update(attention_levels=[True]), "as many channels"),
        (lambda c: c["autoencoder_def"].update(norm_num_groups=3), r"do not fit|no network"),
        (lambda c: c.update(deep=[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]), "deeper or longer"),
        (lambda c: c.update(latent_shape=None), "states no latent_shape"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path, change, words):
    folder = emit.latent(tmp_path / "in")
    edit(folder, change)
    with pytest.raises(WeightsError, match=words):
        converted(folder, tmp_path / "net.safetensors", alignment="centred")


def test_what_is_missing_is_said(tmp_path):
    folder = emit.gan(tmp_path / "in")
    (folder / "models" / "model.pt").unlink()
    with pytest.raises(WeightsError, match="monai misses weights in models/"):
        detect(read_foreign(folder))
    torch.save({"linear.weight": torch.zeros(128, 5)}, folder / "models" / "model.pt")
    with pytest.raises(WeightsError, match=r"monai misses Generator: linear\.bias"):
        detect(read_foreign(folder))
