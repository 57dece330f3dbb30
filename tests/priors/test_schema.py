"""Headers of weights files say what they can, or are refused with the place; nothing is allocated before."""

from __future__ import annotations

import json
import math
import resource
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gensr.errors import WeightsError
from gensr.pipeline.prior import closed_prior
from gensr.pipeline.task import Prior
from gensr.priors import weights
from gensr.priors.card import GeneratorCard
from gensr.priors.families import family
from gensr.priors.schema import CARD, COMPANION, DEPTH, check_depth

SHIPPED = ["engression-faces", "engression-astronomy", "gaussian-microscopy", "gaussian-faces", "style-faces"]


def stored(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any], GeneratorCard]:
    found = weights.read(weights.find(name))
    return dict(found.tensors), json.loads(json.dumps(found.config)), found.card


def write(path, tensors, config, card, text: str | None = None) -> None:
    """A file whose digest is right, whatever its header says."""
    digest = weights._digest(tensors, config, card)
    save_file(
        tensors, path, metadata={weights.KEY: text or json.dumps({"config": config, "card": card, "digest": digest})}
    )


@pytest.fixture
def refused(tmp_path):
    """Change something of the header of a small file, and see that it is refused with these words."""

    def check(words: str, config: Any = None, tensors=None, text: str | None = None, **card: Any) -> None:
        plain = json.loads(json.dumps(stored("gaussian-microscopy")[2].to_dict())) | card
        path = tmp_path / "a.safetensors"
        write(path, tensors or {"a": torch.zeros(2)}, {} if config is None else config, plain, text)
        with pytest.raises(WeightsError, match=words) as caught:
            weights.read(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)

    return check


@pytest.mark.parametrize("factor", [-5, 0, 1e30, 0.001, 101, 10**400, math.nan, math.inf, True, "1", None, [1]])
def test_conformal_factors_are_factors(refused, factor):
    refused(r"card.conformal.x2 noise 0 = .*: expected a number from 0.01 to 100", conformal={"x2 noise 0": factor})


@pytest.mark.parametrize(
    "key", ["x2", "x noise 0", "x0 noise 0", "x2 noise nan", "x2 noise ", "", "x99999 noise 0", "y2 noise 0"]
)
def test_conformal_keys_are_keys(refused, key):
    refused("card.conformal, key = ", conformal={key: 1.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bands", 0), ("bands", 1.0), ("bands", True), ("bands", 10**9), ("aligned", 1), ("aligned", None),
        ("discrepancy", -1), ("discrepancy", math.nan), ("name", ""), ("name", "../x"), ("name", "a\nb"), ("family", 3),
        ("unit", None), ("bias", ["x"]), ("licence", "x" * 100_001), ("value_range", [1, 0]), ("value_range", [0]),
        ("value_range", [0, math.inf]), ("value_range", "01"), ("metrics", {"a": math.nan}), ("metrics", {"a": "x"}),
        ("metrics", [1]), ("conformal", 3), ("version", 1),
    ],
)  # fmt: skip
def test_cards_say_what_they_can(refused, name, value):
    refused(rf"card.{name}", **{name: value})


def test_a_card_that_lacks_something(tmp_path):
    tensors, card = {"a": torch.zeros(1)}, json.loads(json.dumps(stored("gaussian-microscopy")[2].to_dict()))
    for name in CARD.needed:
        write(tmp_path / "a.safetensors", tensors, {}, {k: v for k, v in card.items() if k != name})
        with pytest.raises(WeightsError, match=f"{name!r} is missing"):
            weights.read(tmp_path / "a.safetensors")


def test_headers_that_are_no_header(refused):
    deep = "[" * 50_000 + "]" * 50_000
    refused(f"nested more than {DEPTH} deep", text=deep)
    refused(f"nested more than {DEPTH} deep", text='{"config": ' + '{"a": ' * 40 + "1" + "}" * 40 + "}")
    refused("unreadable gensr header", text="[]")
    refused("unreadable gensr header", text="3")
    refused("unreadable gensr header", text='{"config": {}}')
    refused("config = .*expected a table", config=[1, 2])
    check_depth('{"text": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[ \\" [[[[[["}')


def test_tensors_that_no_generator_has(refused):
    refused("is not finite", tensors={"a": torch.tensor([1.0, math.nan])})
    refused("is of type torch.complex64", tensors={"a": torch.zeros(2, dtype=torch.complex64)})
    refused("is of type torch.float8", tensors={"a": torch.zeros(2).to(torch.float8_e4m3fn)})


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_generators_are_read(name):
    tensors, config, card = stored(name)
    family(card.family).build(tensors, config, card)


def spoiled(config: Any, place: tuple[Any, ...] = ()):
    """Every configuration with one value replaced by one of another kind, and its place."""
    for key in list(config) if isinstance(config, dict) else range(len(config)):
        value = config[key]
        if isinstance(value, dict | list):
            yield from spoiled(value, (*place, key))
        for other in ("x", [], {}, -1, 10**12, math.nan, None, [[1]], {"a": {}}, True):
            if type(other) is not type(value):
                yield (*place, key), other


@pytest.mark.parametrize("name", SHIPPED)
def test_no_value_of_a_configuration_is_believed(name):
    """A value of another kind is refused, or means what the family lets it mean; never any other error."""
    tensors, config, card = stored(name)
    refusals = tried = 0
    for place, other in spoiled(config):
        changed = json.loads(json.dumps(config))
        inside = changed
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = other
        tried += 1
        try:
            family(card.family).build(tensors, changed, card)
        except WeightsError:
            refusals += 1
    assert refusals > 0.8 * tried


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shape_of_a_tensor_is_believed(name):
    tensors, config, card = stored(name)
    for key in sorted(tensors)[:: max(1, len(tensors) // 12)]:
        shape = tuple(tensors[key].shape)
        for other in map(torch.zeros, ((3,), (), (0,), (*shape, 1), (shape[0] + 1, *shape[1:]))):
            longer = key == "components" and other.ndim == 4  # there may be any number of them
            if tuple(other.shape) != shape and not longer:
                with pytest.raises(WeightsError):
                    family(card.family).build({**tensors, key: other.to(tensors[key].dtype)}, config, card)
        with pytest.raises(WeightsError):
            family(card.family).build({k: v for k, v in tensors.items() if k != key}, config, card)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory that Linux tells")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("style-faces", {"widths": [4096] * 8, "style": 4096, "latent": 4096, "depth": 64}),
        ("gaussian-microscopy", {"side": 256}),
        ("engression-astronomy", {"shape": {"widths": [4096] * 6, "embedding": 4096, "blocks": 64}}),
    ],
)
def test_nothing_is_allocated_before_it_is_compared(name, change):
    tensors, config, card = stored(name)
    for key, value in change.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError):
        family(card.family).build(tensors, config, card)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "x.safetensors", "a\nb", "-", 3, None])
def test_a_companion_is_a_name(name):
    with pytest.raises(WeightsError):
        COMPANION.check(name, "companion")
    COMPANION.check("gaussian-microscopy", "companion")
    COMPANION.check("", "companion")


def test_a_companion_that_cannot_stand_in_is_left_alone(monkeypatch, white):
    """Aligned, of other bands, or without a posterior of its own: the first prior goes on."""
    from gensr.operators import Area

    class Without:
        card = replace(white().card, name="without")
        fallback = "style-faces"

        def closed(self, operator: object) -> bool:
            return False

    prior = Prior(Without(), None, "cpu")  # type: ignore[arg-type]
    assert closed_prior(prior, Area((2, 1))) is prior
    monkeypatch.setattr(Without, "fallback", "gaussian-microscopy")
    assert closed_prior(prior, Area((2, 1))).generator.card.name == "gaussian-microscopy"


def test_levels_double_without_gaps() -> None:
    from gensr.priors.schema import doubling_sides

    names = ["b4.a", "b8.a", "b16.b", "b16.a", "c32.a"]
    assert doubling_sides(names, r"b(\d+)\.", 16, "own") == [4, 8, 16]
    for wrong, largest in ((names, 8), (["b4.a"], 16), (["b4.a", "b16.a"], 16), (["b8.a", "b16.a"], 16), ([], 16)):
        with pytest.raises(WeightsError, match=rf"own: levels .*expected 4, 8, ... up to {largest} without gaps"):
            doubling_sides(wrong, r"b(\d+)\.", largest, "own")
