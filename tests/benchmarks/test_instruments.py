"""The table of other instruments: kernels are what the operators do, rivals are told them, figures are right."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gensr.benchmarks import instruments
from gensr.errors import UsageError
from gensr.generators.engression.generator import Engression
from gensr.operators import Area, GaussianPSF
from gensr.priors.weights import available, load


@pytest.mark.parametrize("factor", instruments.FACTORS)
def test_every_instrument_has_its_factor_and_a_blur_its_kernel(factor):
    x = torch.rand(32, 32, dtype=torch.float64)
    found = list(instruments.instruments(factor))
    assert len({one.name for one in found}) == len(found) >= 7
    for one in found:
        assert one.operator.factor == factor
        if one.psf is None:
            continue
        assert one.psf.sum() == pytest.approx(1, abs=1e-6)
        reach = one.psf.shape[0] // 2
        padded = np.pad(x.numpy(), reach, mode="symmetric")
        middle = (padded[: 2 * reach + 1, : 2 * reach + 1] * one.psf[::-1, ::-1]).sum()
        assert float(one.operator.forward(x)[0, 0]) == pytest.approx(middle, abs=1e-6)
    assert any(one.psf is not None for one in found) == (factor == (1, 1))


def test_rivals_with_the_true_kernel_undo_a_blur():
    y, x = np.mgrid[:48, :48]
    truth = torch.from_numpy(0.2 + 0.6 * ((y - 20) ** 2 + (x - 25) ** 2 < 90)).float()[None, None]
    one = next(iter(instruments.instruments((1, 1))))
    data = instruments.observed(truth, one.operator, 0.0)
    found = instruments.deconvolved(data, one.psf, truth)
    blurred = instruments.psnr(data.y, truth)
    assert found["richardson_lucy"] > blurred + 3
    assert found["wiener"] > blurred - 1


@pytest.mark.skipif("engression-field" not in available(), reason="the network of fields is not installed")
def test_a_row_has_every_figure():
    generator, _ = load("engression-field")
    x = torch.nn.functional.interpolate(torch.rand(3, 1, 10, 10), size=(48, 48), mode="bicubic")
    one = instruments.Instrument("gaussian", GaussianPSF(2, 0.6))
    row = instruments.row("microscopy", generator, x, one, 0.02)
    assert row["gain"] == pytest.approx(row["network"] - row["linear"])
    assert 0.6 < row["chi2"] < 1.6
    assert 0.1 < row["spread"] < 10  # pictures of no kind that it knows
    assert 0.5 < row["cover90"] <= 1
    assert "chi2" not in instruments.row("microscopy", generator, x, one, 0.0)


def test_tables_are_written_and_unknown_words_refused(tmp_path, monkeypatch):
    def answered(domain, generator, x, one, noise):
        return {"domain": domain, "instrument": one.name, "factor": "1x1", "noise": noise, "gain": 1.0, "network": 30.0,
                "richardson_lucy": 29.0, "wiener": 31.0}  # fmt: skip

    monkeypatch.setattr(instruments, "PRIORS", {"microscopy": "toy"})
    monkeypatch.setattr(instruments, "FACTORS", ((2, 2),))
    monkeypatch.setattr(instruments, "instruments", lambda factor: [instruments.Instrument("area", Area(factor))])
    stand_in = SimpleNamespace(available=lambda: ["toy"], load=lambda name: (Engression.__new__(Engression), None))
    monkeypatch.setattr(instruments, "weights", stand_in)
    monkeypatch.setattr(instruments, "pictures", lambda *_: torch.zeros(1, 1, 32, 32))
    monkeypatch.setattr(instruments, "row", answered)
    assert instruments.main([f"output={tmp_path}"]) == 0
    with (tmp_path / "instruments.csv").open() as stream:
        assert [row["noise"] for row in csv.DictReader(stream)] == ["0", "0.01", "0.05"]
    text = (tmp_path / "instruments.md").read_text()
    assert "Of 3 cells the network is above the linear estimator in 3" in text
    assert "of 3 blurs above both deconvolutions in 0" in text
    with pytest.raises(UsageError, match="unknown argument"):
        instruments.main(["speed=1"])
