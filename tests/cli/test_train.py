from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from gensr import registry
from gensr.errors import UsageError
from gensr.priors import families


class Toy:
    train_options: ClassVar[Mapping[str, str]] = {"data": "folder of images", "rank": "size of the basis"}

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        if "data" not in options:
            raise UsageError("data= is missing; give a folder of images")
        progress(1, 2)
        return Path(f"{options['data']}.safetensors")


@pytest.fixture
def toys(monkeypatch):
    found = {"toy": Toy(), "fixed": object()}
    monkeypatch.setattr(registry, "names", lambda group: sorted(found) if group == "generators" else [])
    monkeypatch.setattr(families, "family", found.__getitem__)


@pytest.mark.usefixtures("toys")
class TestTrain:
    def test_options_reach_the_family(self, run):
        outcome = run("train", "generator=toy", "data=crops")
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == "wrote crops.safetensors; try gensr upsample INPUT generator=crops.safetensors\n"

    def test_help_lists_options_of_every_family_that_trains(self, run):
        out = run("train", "--help").out
        assert "rank=" in out
        assert "fixed" not in out

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ([], "generator= is missing; families: fixed, toy"),
            (["generator=toi"], "did you mean 'toy'?"),
            (["generator=fixed"], "this family cannot be trained"),
            (["generator=toy", "rnk=3"], "unknown key 'rnk'; did you mean 'rank'? keys: generator, data, rank"),
            (["generator=toy", "crops"], "'crops' is no key=value; write for example data=crops"),
            (["generator=toy", "rank=3"], "data= is missing"),
        ],
    )
    def test_wrong_usage(self, run, argv, words):
        outcome = run("train", *argv)
        assert outcome.code == 2
        assert len(outcome.lines) == 1
        assert words in outcome.err
