"""``gensr calibrate``: from a weights file and held-out images to a filled card, or one line that says why not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gensr.cli.calibrate_keys import KEYS
from gensr.cli.completion import complete
from gensr.generators.gaussian.training import mixture_tensors
from gensr.priors import weights
from gensr.priors.card import GeneratorCard

SIDE, SPREAD, UNIT = 8, 0.1, 200.0
CARD = GeneratorCard(
    name="white",
    family="gaussian",
    domain="microscopy",
    bands=1,
    aligned=False,
    unit="200 of the training values is 1",
    value_range=(0.0, 1.0),
    pixel="any",
    licence="CC0-1.0",
    data="white noise",
    split="none",
    recipe="none",
    bias="knows nothing",
    audit="not done",
    discrepancy=0.0,
    conformal={"x64 noise 0": 9.0},
)


def save(path, spread=SPREAD, card=CARD):
    """A prior of white noise: one Gaussian whose coefficients all have the same variance."""
    d = SIDE**2 - 1
    tensors = mixture_tensors(
        torch.ones(1), torch.zeros(1, d), torch.zeros(1, d, 1), torch.full((1, d), spread**2), SIDE**2 - 1
    )
    weights.save(path, tensors, {"form": "mixture", "side": SIDE, "level": 2.0}, card)
    return path


@pytest.fixture
def generator(tmp_path):
    return save(tmp_path / "white.safetensors")


def images(path, count=8, side=32, seed=0, unit=UNIT):
    rng = np.random.default_rng(seed)
    np.savez(path, images=(unit * (0.5 + SPREAD * rng.normal(size=(count, side, side)))).astype(np.float32))
    return path


@pytest.fixture
def held(tmp_path):
    return images(tmp_path / "held.npz")


def test_the_file_is_rewritten_with_a_filled_card(run, generator, held):
    before = weights.read(generator)
    outcome = run("calibrate", f"generator={generator}", f"data={held}", "unit=200", "factors=2,4", "noise=0,0.03")
    assert outcome.code == 0
    after = weights.read(generator)
    assert set(after.card.conformal) == {f"x{f} noise {n}" for f in (2, 4) for n in ("0", "0.03")}
    assert all(1 <= scale < 1.1 for scale in after.card.conformal.values())
    assert after.card.metrics["x2 noise 0 coverage of 90 %"] == pytest.approx(0.9, abs=0.02)
    assert after.card.value_range == pytest.approx((0.2, 0.8), abs=0.05)
    assert after.card.discrepancy == pytest.approx(SPREAD * 0.75**0.5, rel=0.05)
    assert (after.card.audit, after.config) == (CARD.audit, before.config)
    assert all(torch.equal(tensor, before.tensors[name]) for name, tensor in after.tensors.items())
    beside = generator.with_suffix(".md").read_text(encoding="utf-8")
    assert after.digest in beside
    assert f"| x4 noise 0.03 | {after.card.conformal['x4 noise 0.03']:.4g} |" in beside
    assert outcome.out.splitlines()[-1] == f"wrote {generator} and {generator.with_suffix('.md')}"
    assert sorted(p.name for p in generator.parent.iterdir()) == ["held.npz", "white.md", "white.safetensors"]


def test_a_deviation_of_half_the_size_is_doubled(run, tmp_path, held):
    narrow = save(tmp_path / "narrow.safetensors", SPREAD / 2)
    outcome = run("calibrate", f"generator={narrow}", f"data={held}", "unit=200", "factors=2", "noise=0")
    assert outcome.code == 0
    assert weights.read(narrow).card.conformal == {"x2 noise 0": pytest.approx(2.0, rel=0.05)}
    assert "x2 noise 0: std scale" in outcome.out


def test_another_file_may_be_written_and_the_audit_is_in_it(run, generator, held, tmp_path):
    train, output = images(tmp_path / "train.npz", seed=1), tmp_path / "new.safetensors"
    before = generator.read_bytes()
    outcome = run(
        *("calibrate", f"generator={generator}", f"data={held}", f"train={train}", f"output={output}"),
        *("low=1", "high=99.9", "factors=2", "noise=0"),
    )
    assert outcome.code == 0
    assert generator.read_bytes() == before
    audit = weights.read(output).card.audit
    assert "200 unconditional samples median" in audit
    assert f"audit: {audit}" in outcome.out.splitlines()


def test_a_generator_that_says_how_it_was_scaled_needs_no_keys(run, generator, held, monkeypatch):
    loaded, stored = weights.load(str(generator))
    loaded.scaling, loaded.flux = {"unit": UNIT}, False
    monkeypatch.setattr(loaded, "to", lambda device: loaded)
    monkeypatch.setattr(weights, "load", lambda name: (loaded, stored))
    assert run("calibrate", f"generator={generator}", f"data={held}", "factors=2", "noise=0").code == 0
    assert weights.read(generator).card.conformal["x2 noise 0"] < 1.1


def test_fluxes_with_the_noise_of_a_camera(run, tmp_path, held):
    bright = save(tmp_path / "bright.safetensors", 2 * SPREAD)
    outcome = run(
        *("calibrate", f"generator={bright}", f"data={held}", "unit=200", "flux=true", "photon=0.1", "factors=2"),
    )
    assert outcome.code == 0
    card = weights.read(bright).card
    assert set(card.conformal) == {"x2 noise 0", "x2 noise 1"}
    assert all(1 <= scale < 1.15 for scale in card.conformal.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "generator= is missing"),
        (["generator={generator}"], "data= is missing"),
        (["generator={generator}", "data={held}", "factor=2"], "unknown key 'factor'; did you mean 'factors'?"),
        (["generator={generator}", "data={held}", "factors=1"], "factors=1: expected whole numbers from 2 to 64"),
        (["generator={generator}", "data={held}", "factors=2.5"], "factors=2.5: expected whole numbers from 2 to 64"),
        (["generator={generator}", "data={held}", "noise=loud"], "noise=loud: expected numbers from 0 to 1"),
        (["generator={generator}", "data={held}", "images=3"], "images=3: expected a whole number from 4"),
        (["generator={generator}", "data={held}"], "does not say how values were scaled in training; give unit="),
        (["generator={generator}", "data={held}", "low=1"], "low=1: give unit=, or low= and a larger high="),
        (["generator={generator}", "data={held}", "low=9", "high=2"], "low=9, high=2: give unit=, or low="),
        (["generator={generator}", "data={held}", "unit=1", "flux=true"], "photon= is missing"),
        (["generator={generator}", "data={held}", "unit=1", "photon=1"], "photon= and sky= are for fluxes"),
        (["generator={generator}", "data={held}", "low=1", "high=99", "flux=true"], "fluxes need one scale"),
        (["generator={generator}", "data=nowhere", "unit=1"], "data=nowhere: no such file or folder"),
        (["generator={generator}", "data={held}", "train=nowhere", "unit=1"], "train=nowhere: no such file or folder"),
        (["generator={generator}", "data={few}", "unit=1"], "few.npz: 3 images show something; give 4 or more"),
        (["generator={generator}", "data={small}", "unit=1"], "images have 32 pixels or more along both sides"),
        (["generator={generator}", "data={broken}", "unit=1"], "broken.npz: image 2 of 8 holds NaN or infinity"),
        (["generator={generator}", "data={empty}", "unit=1"], "data={empty}: no image found"),
        (["generator={generator}", "data={held}", "unit=1", "output=new.pt"], "output=new.pt: expected a .safetensors"),
        (["generator={generator}", "data={held}", "{held}"], "is no key=value; write for example data="),
    ],
)
def test_wrong_usage_is_one_line_and_changes_nothing(run, generator, held, tmp_path, words, message):
    places = {"generator": generator, "held": held, "few": images(tmp_path / "few.npz", 3)}
    places["small"] = images(tmp_path / "small.npz", side=16)
    places["empty"] = tmp_path / "empty"
    places["empty"].mkdir()
    values = np.ones((8, 32, 32), np.float32)
    values[1, 3, 4] = np.nan
    places["broken"] = tmp_path / "broken.npz"
    np.savez(places["broken"], values)
    before = generator.read_bytes()
    outcome = run("calibrate", *(word.format(**places) for word in words))
    assert outcome.code == 2
    assert len(outcome.lines) == 1
    assert message.format(**places) in outcome.err
    assert generator.read_bytes() == before
    assert not generator.with_suffix(".md").exists()


def test_unknown_generators_and_damaged_images_are_named(run, generator, tmp_path, held):
    missing = run("calibrate", "generator=nobody", f"data={held}", "unit=1")
    assert (missing.code, len(missing.lines)) == (1, 1)
    assert "generator 'nobody' is not installed" in missing.err
    held.write_bytes(held.read_bytes()[:100])
    damaged = run("calibrate", f"generator={generator}", f"data={held}", "unit=1")
    assert (damaged.code, len(damaged.lines)) == (1, 1)
    assert f"{held}: damaged zip" in damaged.err
    assert "fetch it again" in damaged.err


def test_help_names_every_key(run):
    outcome = run("calibrate", "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert all(f"  {name}=" in outcome.out for name in KEYS)
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("word", "kind", "some"),
    [
        ("fac", "none", ["factors="]),
        ("data=cro", "files", []),
        ("flux=", "none", ["flux=true", "flux=false"]),
        ("generator=my", "files", ["generator=my-model"]),
        ("nonsense=1", "none", []),
        ("--h", "none", ["--help"]),
    ],
)
def test_completion(word, kind, some, tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path))
    (tmp_path / "my-model.safetensors").touch()
    assert complete(["calibrate", word]) == (kind, some)
