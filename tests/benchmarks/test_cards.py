"""Cards are filled from a finished benchmark; what a card says of its bias itself is kept."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from gensr.benchmarks import cards
from gensr.benchmarks.journal import Journal
from gensr.errors import UsageError
from gensr.priors import weights
from gensr.priors.weights import available

NAMES = [name for name in ("gaussian-microscopy",) if name in available()]
pytestmark = pytest.mark.skipif(not NAMES, reason="the microscopy priors are not installed")


def _row(method: str, psnr: float) -> dict[str, object]:
    return {"domain": "microscopy", "factor": 4, "noise": 0.0, "method": method, "cases": 3, "psnr_mean": psnr}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with the journal of one cell."""
    journal = Journal(tmp_path / "benchmark.jsonl")
    journal.add("competitors", {}, {"part": "competitors", "rows": [_row("nearest", 30.0), _row("lmmse", 40.0)]})
    for family, psnr in (("engression", 43.0), ("gaussian", 41.0)):
        entry = {"rows": [_row(f"{family} balanced", psnr)], "conformal": {"x4 noise 0": psnr / 40}}
        journal.add(family, {}, {"part": "mean", "generator": f"{family}-microscopy", **entry})
        journal.add(f"{family} draws", {}, {"part": "draws", "rows": [_row(f"{family} sample", psnr - 3)]})
    journal.add("old", {}, {"rows": [_row("lanczos", 1.0)]})
    return tmp_path


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "DRAWS", 20)
    monkeypatch.setattr(cards, "COMPARED", 60)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_takes_scores_factors_and_audit(small_packs: Path, results: Path, name: str) -> None:
    folder = results / "weights"
    folder.mkdir()
    path = folder / f"{name}.safetensors"
    shutil.copy(available()[name], path)
    before = weights.read(path)
    cards.main([f"data={small_packs}", f"results={results}", f"weights={folder}"])
    stored = weights.read(path)
    family, card = name.split("-")[0], stored.card
    psnr = 41.0
    assert card.metrics == {
        "x4 noise 0.0 lmmse PSNR": 40.0,
        f"x4 noise 0.0 {family} balanced PSNR": psnr,
        f"x4 noise 0.0 {family} sample PSNR": psnr - 3,
    }
    assert card.conformal == {"x4 noise 0": psnr / 40}
    assert "nearest of 60 training 24 px windows" in card.audit
    assert card.bias == before.card.bias
    assert stored.config == before.config
    text = path.with_suffix(".md").read_text()
    assert text.startswith(f"# {name}\n")
    assert card.bias in text
    assert stored.digest in text


def test_a_card_without_bias_takes_that_of_the_table_or_is_refused(small_packs: Path, results: Path) -> None:
    stored = weights.read(available()["gaussian-microscopy"])
    for name in ("gaussian-microscopy", "engression-astronomy"):
        silent = dataclasses.replace(stored.card, name=name, bias="")
        weights.save(results / f"{name}.safetensors", stored.tensors, stored.config, silent)
    words = [f"data={small_packs}", f"results={results}", f"weights={results}"]
    cards.main([*words, "generators=gaussian-microscopy"])
    filled = weights.read(results / "gaussian-microscopy.safetensors").card
    assert filled.bias == cards.BIAS["gaussian-microscopy"]
    with pytest.raises(UsageError, match="its card states no bias"):
        cards.main([*words, "generators=engression-astronomy"])
    with pytest.raises(UsageError, match="several fields"):
        cards.main([*words, "generators=engression-field"])
    with pytest.raises(UsageError, match="generators=nobody: no set"):
        cards.main([*words, "generators=nobody"])
