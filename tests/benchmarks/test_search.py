"""The benchmark of latent searches: few faces and steps through a tiny generator, and what its tables say."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gensr.benchmarks import search as bench
from gensr.benchmarks import search_methods, search_size
from gensr.benchmarks.command import main
from gensr.errors import UsageError
from gensr.generators.style.bank import bank
from gensr.generators.style.generator import Parts, Style
from gensr.generators.style.network import Network, Shape
from gensr.operators import Area
from gensr.priors.card import GeneratorCard
from gensr.priors.whitening import measure
from gensr.values.random import Stream

SHAPE = Shape(bands=3, widths=(8, 8, 6), latent=6, style=6, depth=2)
CARD = GeneratorCard(
    "style-toy", "style", "faces", 3, True, "share of full scale", (0.0, 1.0), "1 px", "CC0", "none", "train",
    "by hand", bias="all", audit="none", discrepancy=0.05,
)  # fmt: skip


@pytest.fixture
def style():
    torch.manual_seed(0)
    network = Network(SHAPE).eval().requires_grad_(False)
    whitening = measure(network.mapping, SHAPE.latent, 500)
    return Style(Parts(network, whitening, bank(network, whitening, 8), 0.5), CARD)


def test_a_run_writes_tables_and_goes_on(style, tmp_path, monkeypatch, capsys):
    numbers = np.random.default_rng(0)
    faces = [SimpleNamespace(image=numbers.uniform(80, 180, (3, 128, 128))) for _ in range(2)]

    class Faces:
        name = "faces"

        @staticmethod
        def cases(data, split, count):
            return faces[:count]

    class Stored:
        digest = "abc"

    monkeypatch.setattr(bench, "load", lambda name: (style, Stored))
    monkeypatch.setattr(bench, "SETS", [Faces])
    monkeypatch.setattr(search_methods, "BASELINE", 2)
    monkeypatch.setattr(search_methods, "GROWING", (3, 6))
    every = search_methods.methods()
    some = dict(list(every.items())[:5]) | {k: v for k, v in every.items() if "ladder" in k}
    monkeypatch.setattr(bench, "methods", lambda: some)
    words = ["search", f"output={tmp_path}", "faces=2", "slow=1", "posterior=1"]
    assert main(words) == 0
    page = (tmp_path / "search.md").read_text()
    assert "PULSE as published | 2 |" in page
    assert "guided sampling (DPS-like), 2 steps | 1 |" in page
    rows = [json.loads(line) for line in (tmp_path / ".search.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * (len(some) - 3) + 3 + 1
    assert "coverage of 90 % intervals" in page
    for row in (row for row in rows if row["method"] != "posterior"):
        assert row["chi2"] == pytest.approx(row["mse"] / (0.01**2 + 0.05**2 / 4), rel=1e-6)
        assert row["success"] == (row["chi2"] <= 1 + 2 * (2 / 768) ** 0.5)
    before = (tmp_path / ".search.jsonl").read_bytes()
    assert main(words) == 0
    assert (tmp_path / ".search.jsonl").read_bytes() == before
    assert main([*words[:-1], "posterior=2"]) == 0  # other faces: none of one alone is among them
    rows = [json.loads(line) for line in (tmp_path / ".search.jsonl").read_text().splitlines()]
    assert [(r["of"], r["face"]) for r in rows if r["method"] == "posterior"] == [(1, 0), (2, 0), (2, 1)]
    assert "samples of each of 2 held-out faces" in (tmp_path / "search.md").read_text()
    with pytest.raises(UsageError, match="unknown argument 'fcaes=2'"):
        main(["search", "fcaes=2"])
    assert main(["search", "--help"]) == 0
    assert "gensr benchmark search" in capsys.readouterr().out


def test_the_ladder_is_set_against_pulse_face_by_face():
    def row(seconds, mse, chi2):
        return {"seconds": seconds, "mse": mse, "chi2": chi2}

    by = {
        "PULSE as published": {0: row(10.0, 2.0, 8.0), 1: row(10.0, 2.0, 8.0)},
        "ladder, 5 steps": {0: row(1.0, 1.9, 7.0), 1: row(1.0, 3.0, 9.0)},
        "ladder, 7 steps": {0: row(8.0, 0.5, 2.0), 1: row(5.0, 2.0, 4.0)},
        "ladder, 100 steps": {0: row(11.0, 0.1, 0.5), 1: row(11.0, 0.1, 0.5)},
    }
    text = "\n".join(bench._against(by))
    assert "6.0 times less (median of 2 faces" in text  # of 10 and 2
    assert "3.0 times lower" in text  # of 8/2 and 8/4
    assert "0 never reached it" in text
    assert "Without" not in text  # these are the faces that numbers were chosen on


def test_faces_that_numbers_were_chosen_on_are_told_from_the_others():
    def rows(method, value):
        return {method: {face: value(face) for face in range(7)}}

    def row(seconds, mse, chi2, success=False):
        return {"seconds": seconds, "mse": mse, "chi2": chi2, "success": success}

    by = rows("PULSE as published", lambda face: row(10.0, 2.0, 8.0))
    by |= rows("ladder, 5 steps", lambda face: row(1.0 if face < 5 else 2.0, 1.0, 1.0 if face < 5 else 4.0))
    by |= rows("gensr search=balanced", lambda face: row(1.0, 1.0, 1.0, face != 6))
    by |= {"gensr search=best": {0: row(1.0, 1.0, 1.0, True)}}
    text = " ".join("\n".join(bench._against(by)).split())
    assert "10.0 times less (median of 7 faces" in text
    assert "chosen on the first 5 of these faces" in text
    assert "Without those 5: 5.0 times less time, chi2 2.0 times lower (medians of 2 faces)" in text
    assert text.endswith("success: `search=balanced` 50 % of 2.")


def test_the_space_of_csgm_is_one_style_for_all_layers(style):
    space = search_methods.Shared(style)
    spec = space.latents((32, 32))
    assert [t.name for t in spec.tensors] == ["style"]
    drawn = spec.sample([Stream(0)])
    full = {t.name: torch.zeros(1, *t.shape) for t in style.latents((32, 32)).tensors} | drawn
    assert torch.equal(space.synthesize(drawn, (32, 32)), style.synthesize(full, (32, 32)))
    assert bench.picture_side(style) == 32
    assert Area(2).factor == (2, 2)


def test_full_size_is_a_table_of_cost(tmp_path, capsys):
    shape = Shape(bands=3, widths=(8, 8, 8, 6), latent=6, style=6, depth=2)
    assert search_size.main([f"output={tmp_path}"], shape) == 0
    page = (tmp_path / "search-size.md").read_text()
    assert "# Searching a generator of 64 x 64 pixels" in page
    assert "| search=fast |" in page
    assert "Most memory of the searches" in page
    assert (search_size.CONFIG_F.side, search_size.CONFIG_F.layers) == (1024, 16)
