"""``gensr models inspect`` and ``convert``, and pictures through what was converted."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.priors import weights
from tests.foreign_files import edm, nvidia
from tests.generators import (
    emit_diffusers,
    emit_monai,
    reference_edm,
    test_biggan,
    test_pggan,
    test_stylegan1,
    test_stylegan3,
)
from tests.generators.reference_stylegan2 import random_tensors


class Evil:
    def __reduce__(self):
        return eval, ("open('/tmp/never', 'w')",)


@pytest.fixture
def snapshot(tmp_path):
    return nvidia(tmp_path / "network-snapshot-000400.pkl", random_tensors(side=32), {"z_dim": 12, "img_channels": 3})


def test_inspect(run, snapshot):
    outcome = run("models", "inspect", snapshot)
    assert (outcome.code, outcome.err) == (0, "")
    for words in ("stylegan2", "NVIDIA's PyTorch names", "G_ema", "z_dim", "not stated", "never run", "sha256"):
        assert words in outcome.out
    page = json.loads(run("models", "inspect", snapshot, "format=json").out)
    assert (page["family"], page["kind"], page["generator at"]) == ("stylegan2", "pickle", "G_ema")
    assert page["arguments"] == {"z_dim": 12, "img_channels": 3}
    assert page["parts"]["D"] == "1 tensors of DiscriminatorOfNobody"


def test_inspect_what_nobody_knows(run, tmp_path):
    torch.save({"strange.weight": torch.ones(2)}, tmp_path / "a.pt")
    outcome = run("models", "inspect", tmp_path / "a.pt")
    assert outcome.code == 0
    assert "none that is known" in outcome.out
    outcome = run("models", "convert", tmp_path / "a.pt", f"out={tmp_path / 'a.safetensors'}")
    assert outcome.code == 1
    assert "no known generator (tensors: strange.weight)" in outcome.err
    assert len(outcome.lines) == 1


@pytest.mark.parametrize("action", ["inspect", "convert"])
def test_hostile_files_are_one_line(run, tmp_path, action):
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"w": Evil()}))
    outcome = run("models", action, tmp_path / "a.pt", *([f"out={tmp_path / 'b.safetensors'}"][: action == "convert"]))
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert "builtins.eval" in outcome.err


@pytest.mark.parametrize("form", ["--out {}", "--out={}", "out={}"])
def test_convert_and_upsample_from_16_px(run, snapshot, tmp_path, form):
    out = tmp_path / "own.safetensors"
    outcome = run("models", "convert", snapshot, *form.format(out).split(" "), "licence=CC0-1.0", "pixel=1 px")
    assert outcome.code == 0, outcome.err
    assert f"{out}: StyleGAN2" in outcome.out
    assert "licence of the weights: CC0-1.0" in outcome.err
    card = weights.read(out).card
    assert (card.name, card.licence, card.pixel, card.domains) == ("own", "CC0-1.0", "1 px", ("faces",))
    assert snapshot.name in card.source
    if form != "out={}":
        return
    assert run("models", "convert", snapshot, f"out={out}").lines == [
        f"gensr: {out}: exists; add existing=overwrite, or give another out="
    ]
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(60, 190, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "face.png")
    for search in ("fast", "pulse"):
        words = ["factor=2", f"generator={out}", f"search={search}", "search.steps=3", "samples=0", "domain=faces"]
        done = run("upsample", tmp_path / "face.png", *words, f"output={tmp_path / search}", "noise=8")
        assert done.code == 0, done.err
        (report,) = (tmp_path / search).glob("*.json")
        assert json.loads(report.read_text())["generator"]["name"] == "own"


OTHERS = {
    "stylegan1": test_stylegan1.random_tensors,
    "stylegan3": test_stylegan3.random_tensors,
    "pggan": test_pggan.random_tensors,
}


@pytest.mark.parametrize(("family", "search"), [*((f, "fast") for f in OTHERS), ("stylegan1", "pulse")])
def test_every_family_answers_16_px(run, tmp_path, family, search):
    more = {"pggan": {"widths": (8, 8, 6, 6)}}.get(family, {"side": 32})
    torch.save({"state_dict": OTHERS[family](**more)}, tmp_path / "a.ckpt")
    out = tmp_path / "own.safetensors"
    outcome = run("models", "convert", tmp_path / "a.ckpt", "--out", out)
    assert outcome.code == 0, outcome.err
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(60, 190, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "face.png")
    words = ["factor=2", f"generator={out}", f"search={search}", "search.steps=2", "samples=1", "domain=faces"]
    words += ["noise=90"]  # nothing that random weights make explains random codes
    done = run("upsample", tmp_path / "face.png", *words, f"output={tmp_path / 'out'}")
    assert done.code == 0, done.err
    (report,) = (tmp_path / "out").glob("*.json")
    assert json.loads(report.read_text())["generator"]["name"] == "own"
    with Image.open(next((tmp_path / "out").glob("face_x2_generated.png"))) as picture:
        assert picture.size == (32, 32)


@pytest.mark.parametrize("kw", [reference_edm.SONG, reference_edm.ADM], ids=["DDPM++", "ADM"])
def test_edm_answers_16_px(run, tmp_path, kw):
    kw = {**kw, "img_resolution": 32, "attn_resolutions": [8], "num_blocks": 1, "channel_mult": [1, 1, 2]}
    path = edm(tmp_path / "edm-faces.pkl", reference_edm.random_tensors(kw), kw)
    page = run("models", "inspect", path)
    for words in ("edm", "EDMPrecond", kw["model_type"], "32 px", "never run", "model_channels"):
        assert words in page.out
    out = tmp_path / "own.safetensors"
    more = ["label=1"] if kw["label_dim"] else []
    assert run("models", "convert", path, "--out", out, "licence=CC BY-NC-SA 4.0", *more).code == 0
    values = np.random.default_rng(1).integers(60, 200, (16, 16, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "face.png")
    words = ["factor=2", f"generator={out}", "search=fast", "search.steps=3", "search.draws=2", "samples=1", "noise=2"]
    done = run("upsample", tmp_path / "face.png", *words, "domain=faces", f"output={tmp_path / 'out'}")
    assert done.code == 0, done.err
    assert "licence: CC BY-NC-SA 4.0" in done.err
    with Image.open(tmp_path / "out" / "face_x2_generated.png") as picture:
        assert picture.size == (32, 32)


def _decoder(folder):
    layers = [{"op": "linear", "name": "fc"}, {"op": "reshape", "shape": [4, 8, 8]}, {"op": "upsample", "factor": 8}]
    folder.mkdir()
    layers += [{"op": "conv", "name": "out", "padding": 1}, {"op": "tanh"}]
    (folder / "decoder.json").write_text(json.dumps({"latent": [6], "layers": layers}))
    linear, conv = torch.nn.Linear(6, 256), torch.nn.Conv2d(4, 3, 3)
    state = {**linear.state_dict(prefix="fc."), **conv.state_dict(prefix="out.")}
    torch.save(state, folder / "a.pt")
    return folder


def _biggan(folder):
    blocks = [[True, 16, 16], [True, 16, 8], [True, 8, 4], [True, 4, 2], [False, 2, 1]]
    config = {**test_biggan.CONFIG, "output_dim": 64, "layers": blocks, "attention_layer_position": 1}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(test_biggan.tensors(config), folder / "pytorch_model.bin")
    return folder


def _saved(tensors, folder):
    folder.mkdir()
    torch.save({"g_ema": tensors}, folder / "a.pt")
    return folder / "a.pt"


def _edm(folder):
    folder.mkdir()
    kw = {**reference_edm.SONG, "img_resolution": 64, "num_blocks": 1}
    return edm(folder / "edm.pkl", reference_edm.random_tensors(kw), kw)


LONG = {"strides": [2, 2, 2, 2], "channels": [6, 4, 4, 1]}
OWN_SIZE = {
    "stylegan1": (1024, lambda p: _saved(test_stylegan1.random_tensors(1024, most=6), p), "search=pulse"),
    "stylegan2": (1024, lambda p: _saved(random_tensors(1024, base=1024, most=6), p), "search=pulse"),
    "stylegan3": (512, lambda p: _saved(test_stylegan3.random_tensors(512, 14, most=6), p), "search=pulse"),
    "pggan": (512, lambda p: _saved(test_pggan.random_tensors((6,) * 8), p), "search.solver=adam"),
    "biggan": (64, _biggan, "search.solver=adam"),
    "decoder": (64, _decoder, "search.solver=adam"),
    "edm": (64, _edm, "search=fast"),
    "diffusers-pixel": (32, lambda p: emit_diffusers.pixel(p, sample_size=32), "search=fast"),
    "diffusers-vae": (64, lambda p: emit_diffusers.vae(p, sample_size=64), "search.solver=adam"),
    "diffusers-latent": (64, lambda p: emit_diffusers.latent(p, sample_size=32), "search.solver=adam"),
    "monai-gan": (64, lambda p: emit_monai.gan(p, **LONG), "search.solver=adam"),
    "monai-latent": (64, lambda p: emit_monai.latent(p, latent_shape=[2, 32, 32]), "search.solver=adam"),
}


@pytest.mark.parametrize("kind", list(OWN_SIZE))
def test_from_16_px_to_the_generator_s_own_size(run, tmp_path, kind):
    """By the words of the manual alone: the card knows the size, and the whole picture is answered."""
    side, make, search = OWN_SIZE[kind]
    out = tmp_path / "own.safetensors"
    outcome = run("models", "convert", make(tmp_path / "in"), "--out", out, "alignment=FFHQ")
    assert outcome.code == 0, outcome.err
    card = weights.read(out).card
    assert (card.side, card.alignment, card.aligned) == (side, "ffhq", True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(110, 140, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "face.png")
    words = [f"factor={side // 16}", f"generator={out}", "search=fast", search, "search.steps=2", "samples=0"]
    done = run("upsample", tmp_path / "face.png", *words, "noise=90", "domain=faces", f"output={tmp_path / 'out'}")
    assert done.code == 0, done.err
    with Image.open(tmp_path / "out" / f"face_x{side // 16}_generated.png") as picture:
        assert picture.size == (side, side)
    (report,) = (tmp_path / "out").glob("*.json")
    assert json.loads(report.read_text())["generator"]["name"] == "own"


def test_a_checkpoint_as_generator_is_told_how_to_become_one(run, snapshot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), (90, 80, 70)).save("face.png")
    outcome = run("upsample", "face.png", "factor=2", f"generator={snapshot.name}", "domain=faces")
    assert outcome.code == 1
    assert "gensr models convert" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "out=: expected the .safetensors file to write"),
        (["out=a.pt"], "out=a.pt: expected the .safetensors file"),
        (["out=a.safetensors", "low=dark"], "low=dark: expected a number"),
        (["out=a.safetensors", "lisence=CC0"], "unknown key 'lisence'; did you mean 'licence'?"),
    ],
)
def test_wrong_usage(run, snapshot, words, said):
    outcome = run("models", "convert", snapshot, *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert len(outcome.lines) == 1
