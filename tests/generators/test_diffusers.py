"""Folders of diffusers become priors: bit for bit, with the forward pass of the library itself, end to end."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
import emit_diffusers as emit

from gensr.cli.main import main
from gensr.errors import WeightsError
from gensr.operators import Area
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert, detect
from gensr.priors.foreign.reading import read_foreign
from gensr.priors.observation import Observation
from gensr.priors.steps import levels

KINDS = {"pixel": (emit.pixel, 16), "vae": (emit.vae, 16), "latent": (emit.latent, 16)}


def converted(folder: Path, out: Path, **words):
    convert(read_foreign(folder), Words(**{"name": "net", **words}), out)
    return weights.load(str(out))


def normal(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("diffusers", reason="needs diffusers, for an independent implementation")


@pytest.mark.parametrize(("kind", "part"), [("pixel", "unet"), ("vae", "vae"), ("latent", "vae"), ("latent", "unet")])
def test_tensors_arrive_to_the_bit(tmp_path, kind, part):
    folder = KINDS[kind][0](tmp_path / "in")
    _, found = converted(folder, tmp_path / "net.safetensors")
    theirs = load_file(folder / part / "diffusion_pytorch_model.safetensors")
    wanted = [t for n, t in theirs.items() if kind != "latent" or part == "unet" or not n.startswith(("enc", "quant"))]
    ours = [t for n, t in found.tensors.items() if n != "sigmas"]
    for tensor in wanted:
        assert any(o.shape == tensor.shape and torch.equal(o, tensor) for o in ours)
    if kind != "latent":
        assert len(ours) == len(theirs)


@pytest.mark.parametrize(("levels", "multiplier"), [(1, 1), (2, 5), (4, 2), (6, 1)])
def test_autoencoders_of_any_depth_and_width_are_rebuilt(tmp_path, levels, multiplier):
    """All that is known is the folder: every tensor arrives, and pictures of 32 to 1024 px have latents that fit."""
    widths = [4 * multiplier * (1 + i // 2) for i in range(levels)]
    kinds = {f"{a}_block_types": [f"{b}coderBlock2D"] * levels for a, b in (("down", "DownEn"), ("up", "UpDe"))}
    folder = emit.vae(tmp_path / "in", block_out_channels=widths, norm_num_groups=2, **kinds)
    ours, found = converted(folder, tmp_path / "net.safetensors")
    theirs = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert len(theirs) == len(found.tensors)
    for name, tensor in theirs.items():
        assert any(o.shape == tensor.shape and torch.equal(o, tensor) for o in found.tensors.values()), name
    factor = 2 ** (levels - 1)
    for side in (32, 256, 1024):
        assert [t.shape for t in ours.latents((side, side)).tensors] == [(4, side // factor, side // factor)]
    assert ours.synthesize({"z": normal(1, 4, 2, 3)}, (2 * factor, 3 * factor)).shape == (1, 3, 2 * factor, 3 * factor)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"block_out_channels": [8, 12, 16], "layers_per_block": 2, "norm_num_groups": 2, "latent_channels": 3},
        {"in_channels": 1, "out_channels": 1, "scaling_factor": 0.2, "shift_factor": None},
    ],
)
def test_an_autoencoder_decodes_and_encodes_as_the_library_does(tmp_path, library, more):
    levels = len(more.get("block_out_channels", [8, 16]))
    kinds = {f"{a}_block_types": [f"{b}coderBlock2D"] * levels for a, b in (("down", "DownEn"), ("up", "UpDe"))}
    folder = emit.vae(tmp_path / "in", **more, **kinds)
    ours, found = converted(folder, tmp_path / "net.safetensors")
    theirs = library.AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True).eval()
    z = normal(2, found.config["latent"][0], 6, 4)
    side = 2 ** (levels - 1)
    with torch.no_grad():
        want = theirs.decode(z / theirs.config.scaling_factor + (theirs.config.shift_factor or 0)).sample
        got = ours.synthesize({"z": z}, (6 * side, 4 * side))
        assert torch.allclose(got, (want + 1) / 2, atol=1e-5)
        y = normal(2, want.shape[1], 6 * side, 4 * side).sigmoid()
        data = Observation(y, Area((1, 1)), torch.ones_like(y), torch.ones_like(y, dtype=torch.bool))
        mean = theirs.encode(2 * y - 1).latent_dist.mean
        want = (mean - (theirs.config.shift_factor or 0)) * theirs.config.scaling_factor
        assert torch.allclose(ours.encode(data)["z"], want, atol=1e-5)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6},
        {"attention_head_dim": None, "layers_per_block": 2, "norm_num_groups": 2},
        {"down_block_types": ["AttnDownBlock2D"] * 2, "up_block_types": ["AttnUpBlock2D"] * 2},
        {
            "downsample_type": "resnet",
            "upsample_type": "resnet",
            "down_block_types": ["AttnDownBlock2D"] * 2,
            "up_block_types": ["AttnUpBlock2D"] * 2,
        },
        {"resnet_time_scale_shift": "scale_shift", "add_attention": False},
        {"out_channels": 6},
        {"time_embedding_dim": 20, "sample_size": [16, 16]},
    ],
)
def test_a_u_net_denoises_as_the_library_does(tmp_path, library, more):
    config = {**emit.UNET, **more}
    theirs = library.UNet2DModel(**{k: v for k, v in config.items() if not k.startswith("_")}).eval()
    for i, (name, p) in enumerate(theirs.named_parameters()):
        p.data = emit.random(iter([(name, tuple(p.shape))]), i)[name]
    theirs.save_pretrained(tmp_path / "in")  # a component by itself, its schedule beside it
    (tmp_path / "in" / "scheduler_config.json").write_text(json.dumps(emit.SCHEDULER))
    ours, _ = converted(tmp_path / "in", tmp_path / "net.safetensors")
    scheduler = library.DDPMScheduler.from_config(emit.SCHEDULER)
    clean, noise = normal(2, 3, 16, 16).sigmoid(), normal(2, 3, 16, 16, seed=4)
    step = torch.tensor([11, 700])
    kept = scheduler.alphas_cumprod[step].view(-1, 1, 1, 1)
    noisy = scheduler.add_noise(2 * clean - 1, noise, step)
    with torch.no_grad():
        said = theirs(noisy, step).sample[:, :3]
        want = (noisy - (1 - kept).sqrt() * said) / kept.sqrt()
        sigma = ((1 - kept) / kept).sqrt().flatten()
        got = ours.denoise((noisy / kept.sqrt() + 1) / 2, sigma / 2)
    assert torch.allclose(got, (want + 1) / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_schedules_and_predictions_are_those_of_the_library(library, kind, schedule):
    said = {**emit.SCHEDULER, "beta_schedule": schedule, "prediction_type": kind, "clip_sample": False}
    theirs = library.DDPMScheduler.from_config(said)
    kept = theirs.alphas_cumprod.double()
    assert torch.allclose(levels(said, "x"), ((1 - kept) / kept).sqrt(), rtol=1e-3)
    from gensr.priors.steps import clean, step_of

    sigmas = levels(said, "x")
    assert torch.allclose(step_of(sigmas[[0, 5, 400, 999]], sigmas), torch.tensor([0.0, 5.0, 400.0, 999.0]).double())
    assert 5 < float(step_of(sigmas[5:6] * 1.0001, sigmas)) < 6
    if schedule == "sigmoid":
        return  # DDIM of the library does not know it
    ddim = library.DDIMScheduler.from_config({**said, "set_alpha_to_one": True})
    ddim.set_timesteps(1000)
    x, out = normal(1, 1, 4, 4).double(), normal(1, 1, 4, 4, seed=5).double()
    want = ddim.step(out, 300, x).pred_original_sample
    sigma = sigmas[300].view(1, 1, 1, 1)
    assert torch.allclose(clean(out, x * (1 + sigma**2).sqrt(), sigma, kind), want, rtol=1e-3, atol=1e-3)


def test_sizes_that_are_no_multiples_are_padded_and_cut(tmp_path):
    ours, _ = converted(emit.pixel(tmp_path / "in"), tmp_path / "net.safetensors", alignment="none")
    x = normal(1, 3, 15, 13)
    made = ours.denoise(x, torch.tensor([0.5]))
    assert made.shape == x.shape
    even = ours.denoise(torch.nn.functional.pad(x, (0, 1, 0, 1), mode="replicate"), torch.tensor([0.5]))
    assert torch.equal(made, even[..., :15, :13])
    assert ours.latents((15, 13)).tensors[0].shape == (3, 16, 14)
    assert ours.synthesize({"noise": normal(1, 3, 16, 14)}, (15, 13)).shape == (1, 3, 15, 13)


def test_the_card_is_what_the_user_says(tmp_path):
    said = {"domain": "satellite", "low": 0.0, "high": 4.0, "pixel": "10 m", "licence": "MIT", "alignment": "none"}
    ours, found = converted(emit.pixel(tmp_path / "in"), tmp_path / "net.safetensors", **said)
    card = found.card
    assert (card.domain, card.pixel, card.licence, card.aligned, card.bands) == ("satellite", "10 m", "MIT", False, 3)
    assert found.config["range"] == [0.0, 4.0]
    assert read_foreign(tmp_path / "in").sha256 in card.source
    plain, _ = converted(tmp_path / "in", tmp_path / "plain.safetensors", alignment="none")
    x = normal(1, 3, 16, 16)
    wide = ours.denoise((2 * x - 1) / 4, torch.tensor([0.25]))  # the same picture and noise in the network's own units
    assert torch.allclose(4 * wide, 2 * plain.denoise(x, torch.tensor([0.5])) - 1, atol=1e-5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_upsample_runs_end_to_end(tmp_path, kind, monkeypatch, capsys):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))
    make, side = KINDS[kind]
    converted(make(tmp_path / "in"), tmp_path / "net.safetensors", licence="CC BY 4.0")
    values = np.random.default_rng(1).integers(60, 200, (side // 4, side // 4, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "face.png")
    words = ["factor=4", f"generator={tmp_path / 'net.safetensors'}", "search=fast", "search.steps=3"]
    words += ["search.draws=2", "samples=0", "noise=2"]
    assert main(["upsample", str(tmp_path / "face.png"), *words, f"output={tmp_path / 'out'}"]) == 0
    assert "licence: CC BY 4.0" in capsys.readouterr().err
    assert np.asarray(Image.open(tmp_path / "out" / "face_x4_generated.png")).shape == (side, side, 3)


def test_old_names_of_attention(tmp_path):
    folder = emit.vae(tmp_path / "in")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, tensor in load_file(file).items():
        for new, before in old.items():
            name = name.replace(new, before)
        tensors[name] = tensor[..., None, None].contiguous() if name.endswith("query.weight") else tensor
    ours, _ = converted(folder, tmp_path / "new.safetensors")
    save_file(tensors, file)
    again, _ = converted(folder, tmp_path / "old.safetensors")
    z = {"z": normal(1, 4, 4, 4)}
    assert torch.equal(again.synthesize(z, (8, 8)), ours.synthesize(z, (8, 8)))


def test_shards_and_pickles(tmp_path):
    folder = emit.vae(tmp_path / "in")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    file.unlink()
    torch.save(tensors, folder / "vae" / "diffusion_pytorch_model.bin")
    first, _ = converted(folder, tmp_path / "a.safetensors")
    (folder / "vae" / "diffusion_pytorch_model.bin").unlink()
    names = sorted(tensors)
    places = {n: f"diffusion_pytorch_model-0000{1 + i % 2}-of-00002.safetensors" for i, n in enumerate(names)}
    for shard in set(places.values()):
        save_file({n: tensors[n] for n in names if places[n] == shard}, folder / "vae" / shard)
    index = folder / "vae" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    second, _ = converted(folder, tmp_path / "b.safetensors")
    z = {"z": normal(1, 4, 4, 4)}
    assert torch.equal(first.synthesize(z, (8, 8)), second.synthesize(z, (8, 8)))
    for hostile in ("../../secret.safetensors", "/etc/passwd", "sub/x.safetensors", "missing.safetensors"):
        index.write_text(json.dumps({"weight_map": {**places, "x": hostile}}))
        with pytest.raises(WeightsError, match=r"no file beside it|is missing"):
            converted(folder, tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("unet", {"time_embedding_type": "fourier"}, "only positional is understood"),
        ("unet", {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"]}, "down_block_types"),
        ("unet", {"block_out_channels": [8, 17]}, "multiples of 4 groups"),
        ("unet", {"block_out_channels": [8, 32]}, "missing|is of shape"),
        ("unet", {"block_out_channels": [1 << 16] * 10}, "a whole number"),
        ("unet", {"block_out_channels": ["8", 16]}, "a whole number"),
        ("unet", {"norm_num_groups": 0}, "a whole number"),
        ("unet", {"num_class_embeds": 10}, "num_class_embeds"),
        ("unet", {"layers_per_block": 10**9}, "a whole number"),
        ("unet", {"norm_eps": float("nan")}, "norm_eps"),
        ("scheduler", {"beta_schedule": "__import__('os')"}, "beta_schedule"),
        ("scheduler", {"num_train_timesteps": 10**9}, "num_train_timesteps"),
        ("scheduler", {"prediction_type": "$x"}, "prediction_type"),
        ("scheduler", {"trained_betas": [0.5, -0.5]}, "trained_betas"),
        ("scheduler", {"beta_start": 0.02, "beta_end": 1.0, "trained_betas": [0.0, 0.0]}, "do not rise"),
        ("vae", {"act_fn": "mish"}, "act_fn"),
        ("vae", {"up_block_types": ["AttnUpDecoderBlock2D"] * 2}, "up_block_types"),
        ("vae", {"latents_mean": [0.0] * 4}, "latents_mean"),
        ("vae", {"scaling_factor": 0}, "scaling_factor"),
        ("vae", {"latent_channels": 5}, "is of shape"),
    ],
)
def test_configurations_that_are_not_understood_or_hostile(tmp_path, part, change, words):
    folder = emit.vae(tmp_path / "in") if part == "vae" else emit.pixel(tmp_path / "in")
    file = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(WeightsError, match=words):
        converted(folder, tmp_path / "net.safetensors")
    assert not (tmp_path / "net.safetensors").exists()


def test_what_is_missing_is_said(tmp_path):
    folder = emit.pixel(tmp_path / "in")
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(WeightsError, match=r"diffusers misses scheduler/scheduler_config\.json"):
        detect(read_foreign(folder))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(WeightsError, match="weights in unet"):
        detect(read_foreign(folder))
    text = {**emit.UNET, "_class_name": "UNet2DConditionModel"}
    (folder / "unet" / "config.json").write_text(json.dumps(text))
    with pytest.raises(WeightsError, match=r"AutoencoderKL or UNet2DModel \(it has UNet2DConditionModel\)"):
        detect(read_foreign(folder))


def test_headers_that_do_not_fit_their_tensors(tmp_path):
    _, found = converted(emit.latent(tmp_path / "in"), tmp_path / "net.safetensors")
    from gensr.priors.families import family

    build = family("diffusion").build
    good = json.loads(json.dumps(found.config))
    for place, value in (
        (("steps",), 0),
        (("size",), [16]),
        (("size",), [15, 15]),
        (("range",), [1.0, 1.0]),
        (("prediction",), "noise"),
        (("unet", "widths"), [8]),
        (("unet", "heads"), [3, 3]),
        (("latent", "factor"), 4),
        (("latent", "layers"), [{"op": "exec"}]),
        (("latent", "layers"), [{"op": "upsample", "factor": 64}] * 6),
    ):
        config = json.loads(json.dumps(good))
        node = config
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value
        with pytest.raises(WeightsError):
            build(found.tensors, config, found.card)
    build(found.tensors, good, found.card)
