"""``gensr benchmark`` end to end on a small data pack made here: tables, resuming, refusals."""

import csv
import dataclasses
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from gensr.benchmarks import cells, command, real_esrgan
from gensr.benchmarks.journal import Journal, substance
from gensr.benchmarks.sets import SETS, family_of
from gensr.cli.main import main as gensr
from gensr.errors import UsageError
from gensr.priors.card import conformal_factor
from gensr.priors.weights import available, load

pytestmark = pytest.mark.skipif(
    "gaussian-microscopy" not in available(), reason="the microscopy prior is not installed"
)
FAMILIES = [family_of(name) for name in SETS[0].generators if name in available()]
SAMPLED = {f"{family} sample" for family in FAMILIES} | {
    f"{family} mean of 8" for family in FAMILIES if family == "engression"
}
MEANS = [f"{family} balanced" for family in FAMILIES]
METHODS = {"nearest", "bicubic", "lanczos", "lmmse", *MEANS, *SAMPLED}


def _nuclei(rng: np.random.Generator) -> bytes:
    """A PNG of 64 x 72 pixels with soft discs."""
    y, x = np.mgrid[:64, :72]
    image = np.full((64, 72), 20.0)
    for _ in range(12):
        cy, cx, r = rng.uniform(0, 64), rng.uniform(0, 72), rng.uniform(4, 8)
        image += rng.uniform(40, 90) / (1 + np.exp((np.hypot(y - cy, x - cx) - r) * 1.5))
    stream = io.BytesIO()
    Image.fromarray(ndimage.gaussian_filter(image, 0.7).clip(0, 255).round().astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module", autouse=True)
def no_real_esrgan() -> Iterator[None]:
    """The same methods on every machine, and quickly; that one has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real_esrgan, "weights", lambda: None)
        yield


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packs")
    folder = root / "microscopy"
    folder.mkdir()
    rng, rows = np.random.default_rng(5), ["file,split,acquisition"]
    for split, count in (("train", 12), ("val", 3), ("test", 3)):
        with zipfile.ZipFile(folder / f"{split}.zip", "w") as archive:
            for i in range(count):
                archive.writestr(f"{split}{i}.png", _nuclei(rng))
                rows.append(f"{split}.zip/{split}{i}.png,{split},made")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def _words(packs: Path, output: Path, **more: str) -> list[str]:
    given = {
        "domains": "microscopy",
        "factors": "4",
        "noise": "0,0.01",
        "cases": "2",
        "validation": "2",
        "draws": "2",
        **more,
    }
    return [f"data={packs}", f"output={output}", *(f"{k}={v}" for k, v in given.items())]


@pytest.fixture(scope="module")
def finished(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("results")
    assert gensr(["benchmark", *_words(packs, output)]) == 0
    return output


def _table(output: Path) -> list[dict[str, str]]:
    with (output / "benchmark.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_method_of_every_cell_has_a_row(finished: Path) -> None:
    rows = _table(finished)
    assert {(r["noise"], r["method"]) for r in rows} == {(n, m) for n in ("0", "0.01") for m in METHODS}
    assert all(r["domain"] == "microscopy" and r["factor"] == "4" and r["cases"] == "2" for r in rows)
    assert all(20 < float(r["psnr_mean"]) < 70 and 0 < float(r["ssim"]) <= 1 for r in rows)
    assert all(float(r["swd"]) > 0 and float(r["spectrum"]) > 0 for r in rows)


@pytest.mark.parametrize("method", MEANS)
def test_gensr_explains_exact_data_and_states_its_uncertainty(finished: Path, method: str) -> None:
    exact, noisy = (
        next(r for r in _table(finished) if r["method"] == method and r["noise"] == noise) for noise in ("0", "0.01")
    )
    assert float(exact["consistency_rms_codes"]) < 0.01
    assert float(exact["consistency_max_codes"]) < 0.5
    assert float(exact["flux_error"]) < 1e-6
    assert 0.2 < float(noisy["chi2"]) < 1.5
    for row in (exact, noisy):
        cover = [float(row[f"cover{level}"]) for level in (50, 90, 95)]
        assert cover == sorted(cover)
        assert cover[0] > 0.2
        assert cover[2] <= 1
        assert float(row["conformal"]) >= 1  # two pictures do not narrow a deviation
        wider = float(row["conformal"]) > 1
        assert (float(row["cover90_conformal"]) > cover[1]) is wider
        assert float(row["s_per_Mpx"]) > 0


def test_gensr_is_not_below_interpolation(finished: Path) -> None:
    score = {(r["noise"], r["method"]): float(r["psnr_mean"]) for r in _table(finished)}
    for noise in ("0", "0.01"):
        assert min(score[noise, method] for method in MEANS) > score[noise, "lanczos"] > score[noise, "nearest"]


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_explain_the_data(finished: Path, family: str) -> None:
    exact, noisy = (
        next(r for r in _table(finished) if r["method"] == f"{family} sample" and r["noise"] == noise)
        for noise in ("0", "0.01")
    )
    assert float(exact["consistency_rms_codes"]) < 0.01
    assert 0.3 < float(noisy["chi2"]) < 3
    assert exact["s_per_Mpx"] == ""


@pytest.mark.skipif("engression" not in FAMILIES, reason="no network for microscopy is installed")
def test_the_mean_of_samples_is_compared_with_the_mean(finished: Path) -> None:
    rows = [r for r in _table(finished) if r["method"] == "engression mean of 8"]
    assert len(rows) == 2
    for row in rows:
        assert -3 < float(row["psnr_over_mean"]) < 1  # eight samples about a good mean cost 10 log10(1 + 1/8) dB
        assert float(row["std_error_correlation"]) > 0


def test_markdown_and_page_hold_the_same_numbers_and_need_no_other_file(finished: Path) -> None:
    row = next(r for r in _table(finished) if r["method"] == MEANS[0] and r["noise"] == "0")
    value = f"{float(row['psnr_mean']):.2f}"
    assert value in (finished / "benchmark.md").read_text()
    page = (finished / "benchmark.html").read_text()
    assert f"<td>{value}</td>" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert page.count("data:image/") == 2 * len(FAMILIES)
    assert page.count("<tr class=own>") == 2 * (len(MEANS) + len(SAMPLED))
    assert str(Path.home()) not in page


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of generators that were asked; competitors may not be computed."""
    asked: list[str] = []
    ask = cells.ask
    monkeypatch.setattr(cells, "ask", lambda *a, **k: asked.append(a[5].generator) or ask(*a, **k))

    def fail(*_: object) -> None:
        raise AssertionError("competitors were computed again")

    monkeypatch.setattr(cells, "competitor_rows", fail)
    return asked


def _timeless(output: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k != "s_per_Mpx"} for row in _table(output)]


def test_a_second_run_computes_nothing(packs: Path, finished: Path, idle: list[str]) -> None:
    before = (finished / "benchmark.csv").read_text()
    assert command.main(_words(packs, finished)) == 0
    assert idle == []
    assert (finished / "benchmark.csv").read_text() == before


def test_other_weights_cost_only_what_depends_on_them(
    packs: Path, finished: Path, tmp_path: Path, idle: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(finished / "benchmark.jsonl", tmp_path)
    own = SETS[0].generators[0]
    changed = substance(load(own)[1])
    monkeypatch.setattr(command, "substance", lambda w: "other" if substance(w) == changed else substance(w))
    assert command.main(_words(packs, tmp_path, noise="0", cache=str(finished / ".cache"))) == 0
    assert set(idle) == {own}
    assert _timeless(tmp_path) == _timeless(finished)


def test_a_run_that_was_killed_goes_on_with_the_same_result(packs: Path, finished: Path, tmp_path: Path) -> None:
    lines = (finished / "benchmark.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 2 * (1 + 2 * len(FAMILIES))
    (tmp_path / "benchmark.jsonl").write_text("".join(lines[:2]) + lines[2][:50])
    assert command.main(_words(packs, tmp_path, cache=str(finished / ".cache"))) == 0
    assert _timeless(tmp_path) == _timeless(finished)


def test_other_pictures_are_computed_again(packs: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "benchmark.jsonl", tmp_path)
    words = _words(packs, tmp_path, cases="3", noise="0", cache=str(finished / ".cache"))
    assert command.main(words) == 0
    assert {r["cases"] for r in _table(tmp_path) if r["noise"] == "0" and r["method"] not in SAMPLED} == {"3"}


def test_conformal_factors_are_in_the_words_of_the_cards(finished: Path) -> None:
    table = command.conformal_table(Journal(finished / "benchmark.jsonl"), "gaussian-microscopy")
    assert set(table) == {key for key in table if re.fullmatch(r"x4 noise \d[\d.e-]*", key)}
    rows = [r for r in _table(finished) if r["method"] == "gaussian balanced"]
    exact = next(float(r["conformal"]) for r in rows if r["noise"] == "0")
    assert conformal_factor(table, 4, 0.0) == pytest.approx(exact, rel=1e-4)
    assert len(table) == 2


def test_sets_name_what_exists() -> None:
    names = [item.name for item in SETS]
    assert len(set(names)) == len(names)
    assert {item.plugin for item in SETS} == {"microscopy", "satellite", "astronomy", "faces", "medical"}


@pytest.mark.parametrize(("word", "said"), [
    ("data=/no/such/folder", "data=/no/such/folder"),
    ("domains=mars", "'mars'"),
    ("factors=3", "'3' is none of 2, 4, 8"),
    ("factors=", "factors="),
    ("noise=-1", "noise=-1"),
    ("noise=nan", "noise=nan"),
    ("noise=loud", "noise=loud"),
    ("search=hard", "'hard' is none of"),
    ("generators=gan", "'gan' is none of flow, engression, gaussian"),
    ("draws=0", "draws=0"),
    ("speed=very", "speed=very"),
    ("cases=0", "cases=0"),
    ("cases=1.5", "cases=1.5"),
    ("seed=x", "seed=x"),
    ("device=abacus", "device=abacus"),
    ("fresh=perhaps", "fresh=perhaps"),
    ("colour=red", "colour=red"),
    ("nonsense", "nonsense"),
])  # fmt: skip
def test_refusals_name_the_argument(packs: Path, tmp_path: Path, word: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        command.main([*_words(packs, tmp_path / "out"), word])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_prior_is_one_line_and_the_rest_goes_on(
    packs: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(finished / "benchmark.jsonl", tmp_path)
    without = {name: path for name, path in available().items() if not name.endswith("-faces")}
    monkeypatch.setattr(command, "available", lambda: without)
    assert command.main(_words(packs, tmp_path, domains="faces,microscopy", noise="0")) == 1
    said = capsys.readouterr().err
    assert "gensr: faces: engression-faces, gaussian-faces not installed; train it first; nothing was computed" in said
    assert len(_table(tmp_path)) == 2 * len(METHODS)


def test_a_family_can_be_left_out(packs: Path, finished: Path, tmp_path: Path, idle: list[str]) -> None:
    shutil.copy(finished / "benchmark.jsonl", tmp_path)
    words = _words(packs, tmp_path, noise="0", cache=str(finished / ".cache"), generators="gaussian", seed="1")
    assert command.main(words) == 0
    assert set(idle) == {"gaussian-microscopy"}


def test_the_journal_is_json_lines(finished: Path) -> None:
    entries = [json.loads(line) for line in (finished / "benchmark.jsonl").read_text().splitlines()]
    own = SETS[0].generators[0]
    keys = [e["key"] for e in entries][:3]
    assert keys == [
        f"microscopy x4 noise 0 {what}" for what in ("competitors", f"{own} balanced", f"{own} balanced draws")
    ]
    assert len(entries[1]["given"]["weights"]) == 64
    assert entries[1]["given"]["generator"] == own


def test_a_filled_card_is_no_reason_to_compute_again() -> None:
    stored = load("gaussian-microscopy")[1]
    filled = dataclasses.replace(stored.card, audit="another", metrics={"x": 1.0}, conformal={"x4 noise 0": 2.0})
    assert substance(dataclasses.replace(stored, card=filled)) == substance(stored)
    assert substance(dataclasses.replace(stored, config={**stored.config, "k": 1})) != substance(stored)
