from __future__ import annotations

import importlib
import os
from dataclasses import asdict, replace

import pytest

from gensr import registry
from gensr.cli.config import InfoConfig, UpsampleConfig, compose, scalar
from gensr.cli.domains import option_names, options
from gensr.cli.keys import KEYS, OPERATORS
from gensr.cli.presets import chosen_preset, flat
from gensr.errors import UsageError
from gensr.operators import operator_names
from gensr.scenes import installed
from gensr.search.presets import PRESETS


def upsample(folder=None, **pairs):
    return compose("upsample", UpsampleConfig, {k.replace("__", "."): v for k, v in pairs.items()}, folder)


def test_defaults_are_those_that_help_shows():
    config = upsample()
    shown = {name: key.default for name, key in KEYS["upsample"].items()}
    assert {name: shown[name] for name in ("factor", "samples", "seed", "device")} == {
        "factor": str(config.factor),
        "samples": str(config.samples),
        "seed": str(config.seed),
        "device": config.device,
    }
    assert (config.search["name"], config.domain["name"]) == (shown["search"], shown["domain"])
    assert (config.generator, config.operator, config.noise, config.output, config.tile, config.batch) == (None,) * 6
    assert (config.overwrite, config.resume) == (False, False)


def test_every_field_has_a_key():
    assert set(asdict(upsample())) == set(KEYS["upsample"])
    assert set(asdict(compose("info", InfoConfig, {}))) == set(KEYS["info"])


@pytest.mark.parametrize(
    "text",
    ["/a b/c,d", "x=y", "[1]", "{a: b}", "it's", 'say "so"', "back\\slash", "ends\\", "a: b", "@x", "ünï", "~/a", "+1"],
)
def test_texts_mean_themselves(text):
    assert upsample(output=text).output == text


@pytest.mark.parametrize("text", ["", "null", "none"])
def test_optional_keys_can_be_unset(text):
    config = upsample(tile=text, generator=text, noise=text)
    assert (config.tile, config.generator, config.noise) == (None, None, None)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("factor", "0", "factor=0: expected a whole number from 2 to 64"),
        ("factor", "-1", "factor=-1: expected a whole number from 2 to 64"),
        ("factor", "2.5", "factor=2.5: expected a whole number from 2 to 64"),
        ("factor", "2.0", "factor=2.0: expected a whole number from 2 to 64"),
        ("factor", "1000", "factor=1000: expected a whole number from 2 to 64"),
        ("factor", "2,3", "factor=2,3: expected a whole number from 2 to 64"),
        ("factor", "", "factor=: expected a whole number from 2 to 64"),
        ("samples", "-1", "samples=-1: expected a whole number from 0"),
        ("seed", "-1", "seed=-1: expected a whole number from 0"),
        ("tile", "0", "tile=0: expected a whole number from 1"),
        ("batch", "x", "batch=x: expected a whole number from 1"),
        ("noise", "-0.1", "noise=-0.1: expected auto, a deviation"),
        ("noise", "nan", "noise=nan: expected auto, a deviation"),
        ("noise", "loud", "noise=loud: expected auto, a deviation"),
        ("noise", "-1%", "noise=-1%: expected auto"),
        ("noise", "poisson:sigma=1", "noise=poisson:sigma=1: expected auto"),
        ("device", "gpu", "device=gpu: expected auto, cpu, cuda, cuda:N or mps"),
        ("overwrite", "maybe", "overwrite=maybe: expected true or false"),
        ("search", "fst", "search=fst: expected balanced, best, fast, posterior, pulse; did you mean 'fast'"),
        ("runtime", "cluster", "runtime=cluster: expected dask, local"),
        ("domain", "satelite", "did you mean 'satellite'"),
        ("serch", "fast", "unknown key 'serch'; did you mean 'search'? keys: factor, samples"),
        ("factor__x", "2", "unknown key 'factor.x'; did you mean 'factor'?"),
        ("series", "2", "unknown key 'series'; it is an option of medical and microscopy: write domain.series="),
        ("hydra__job", "2", "unknown key 'hydra.job'"),
    ],
)
def test_wrong_values_are_named_with_what_is_accepted(key, text, words):
    with pytest.raises(UsageError) as caught:
        upsample(**{key: text})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_domains_ship_the_defaults_of_their_code():
    for name in ("astronomy", "faces", "medical", "microscopy", "satellite"):
        node = upsample(domain=name).domain
        assert node == {"name": name, **installed.domain(name).defaults}


def test_a_domain_without_configuration_can_be_named(monkeypatch):
    monkeypatch.setattr(registry, "names", lambda group: ["radar"] if group == "domains" else ["gensr"])
    assert upsample(domain="radar", domain__look="multi").domain == {"name": "radar", "look": "multi"}


def test_domain_options_have_the_type_that_they_look_like():
    config = upsample(
        domain__a="1", domain__b="true", domain__c="null", domain__d="x,y", domain__e="1.5", domain__f="[x, 2]"
    )
    assert config.domain == {"name": "auto", "a": 1, "b": True, "c": None, "d": "x,y", "e": 1.5, "f": ["x", 2]}


def test_only_changed_options_are_passed_on():
    defaults = {"nodata": None, "scale": 1.0}
    assert options({"name": "satellite", "nodata": 0, "scale": 1.0}, defaults) == {"nodata": 0}
    with pytest.raises(UsageError, match=r"unknown key 'domain.nodta'; did you mean 'nodata'\? .*domain.nodata"):
        options({"name": "auto", "nodta": 0}, defaults)


def test_scalars():
    assert [scalar(t) for t in ("1e3", "007", "-", "1.2.840", "None", "False")] == [
        1000.0,
        7,
        "-",
        "1.2.840",
        None,
        False,
    ]


def test_operators_offered_are_those_that_exist():
    assert {spec.partition(":")[0] for spec in OPERATORS} == set(operator_names())


def test_a_folder_of_the_user_joins(tmp_path):
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "big box.yaml").write_text("# @package _global_\ndevice: cuda:1\ntile: 512\nbatch: 32\n")
    config = upsample(str(tmp_path), runtime="big box", batch="8")
    assert (config.device, config.tile, config.batch) == ("cuda:1", 512, 8)
    (tmp_path / "domain").mkdir()
    (tmp_path / "domain" / "ours.yaml").write_text("defaults: [satellite]\nnodata: 7\n")
    assert upsample(str(tmp_path), domain="ours").domain["nodata"] == 7
    with pytest.raises(UsageError, match="runtime=big: expected big box, dask, local"):
        upsample(str(tmp_path), runtime="big")


def test_mistakes_in_a_folder_of_the_user_are_named(tmp_path):
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "typo.yaml").write_text("# @package _global_\ntyle: 512\n")
    (tmp_path / "runtime" / "wrong.yaml").write_text("# @package _global_\ntile: wide\n")
    (tmp_path / "runtime" / "broken.yaml").write_text("a: [\n")
    for name, words in (("typo", "tyle"), ("wrong", "tile"), ("broken", "broken.yaml")):
        with pytest.raises(UsageError, match=words) as caught:
            upsample(str(tmp_path), runtime=name)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="no such folder"):
        upsample(str(tmp_path / "none"))


def test_composing_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    upsample(factor="3")
    assert os.listdir(tmp_path) == []
    assert os.getcwd() == str(tmp_path)


def test_presets_have_the_numbers_of_the_code():
    """If this fails, the numbers were changed: run ``python tests/cli/write_presets.py``."""
    for name, preset in PRESETS.items():
        assert chosen_preset(upsample(search=name).search) is preset
        assert upsample(search=name).search == {**flat(preset), "guided": asdict(preset.guided)}


def test_a_number_of_a_preset_can_be_changed_and_its_name_says_so():
    preset = chosen_preset(upsample(search="fast", search__guided__steps="64", search__draws="2").search)
    assert (preset.guided.steps, preset.draws, preset.generator_options) == (64, 2, PRESETS["fast"].generator_options)
    assert preset.name == "fast with draws=2, guided.steps=64"


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("stps", "3", "unknown key 'search.stps'; did you mean 'steps'? keys: search.name"),
        ("guided__stps", "3", "unknown key 'search.guided.stps'; did you mean 'steps'?"),
        ("steps", "many", "search.steps=many: expected a whole number"),
        ("steps", "1.5", "search.steps=1.5: expected a whole number"),
        ("steps", "true", "search.steps=True: expected a whole number"),
        ("moments", "magic", "search.moments=magic: expected closed, draws, search"),
        ("guided__sigma_max", "x", "search.guided.sigma_max=x: expected a number"),
        ("guided__steps", "0", "steps and iterations start at 1"),
        ("guided", "3", "search.guided=3: expected keys below it, such as search.guided.steps="),
    ],
)
def test_wrong_numbers_of_a_preset(key, text, words):
    with pytest.raises(UsageError) as caught:
        chosen_preset(upsample(**{f"search__{key}": text}).search)
    assert words in str(caught.value)


def test_a_preset_of_the_user(tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "mine.yaml").write_text("defaults: [best]\nname: mine\nguided:\n  steps: 5\n")
    (tmp_path / "search" / "half.yaml").write_text("name: half\nsteps: 5\n")
    preset = chosen_preset(upsample(str(tmp_path), search="mine").search)
    assert preset == replace(PRESETS["best"], name="mine", guided=replace(PRESETS["best"].guided, steps=5))
    with pytest.raises(UsageError, match=r"search.sentence is missing; .*defaults: \[balanced\]"):
        chosen_preset(upsample(str(tmp_path), search="half").search)


@pytest.mark.parametrize("text", ["auto", "0", "2.5", "1e-3", "1%", "poisson:gain=2,sigma=3", "poisson:gain=0.5"])
def test_ways_to_write_noise(text):
    assert upsample(noise=text).noise == text


def test_configuration_of_a_plugin_joins(tmp_path, monkeypatch):
    package = tmp_path / "radar_conf"
    (package / "domain").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "domain" / "radar.yaml").write_text("name: radar\nlook: single\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module, load = importlib.import_module("radar_conf"), registry.load
    monkeypatch.setattr(registry, "names", {"conf": ["gensr", "radar"], "domains": ["radar"]}.__getitem__)
    monkeypatch.setattr(registry, "load", lambda group, name: module if name == "radar" else load(group, name))
    assert upsample(domain="radar").domain == {"name": "radar", "look": "single"}
    assert "look" in option_names()["radar"]
