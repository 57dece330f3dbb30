"""Random instruments and pictures of training: kinds, ranges, and the same numbers from the same seed."""

from collections import Counter

import numpy as np
import pytest
import torch

from gensr.generators.engression.instruments import (
    FACTORS,
    KINDS,
    LARGEST_RADIUS,
    Recipe,
    gaps,
    instrument,
    kernel,
    observe,
    track,
    trivial,
)
from gensr.generators.engression.pictures import KEEP_FLAT, Fields, Variation, varied
from gensr.operators import Area, Bicubic, GaussianPSF

PLAIN = Variation(0, 0, 0, 0, 0, 0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class TestInstruments:
    def test_all_kinds_and_factors_come_as_often_as_told(self):
        draw = seeded()
        made = [instrument(Recipe(), draw) for _ in range(1500)]
        names = Counter(operator.describe()["name"] for operator in made)
        assert set(names) == {"area", "gaussian", "psf", "bicubic", "lanczos", "kspace"}
        assert names["area"] / len(made) == pytest.approx(KINDS["area"], abs=0.05)
        assert {operator.factor[0] for operator in made} == set(FACTORS)
        unequal = np.mean([operator.factor[0] != operator.factor[1] for operator in made])
        assert unequal == pytest.approx(0.15 * (1 - sum(v**2 for v in FACTORS.values())), abs=0.03)
        for operator in made[:300]:
            rows, cols = (32 // s * s for s in operator.factor)
            constant = operator.forward(torch.ones(1, 1, rows, cols))
            torch.testing.assert_close(constant, torch.ones_like(constant), rtol=0, atol=1e-4)

    @pytest.mark.parametrize("kind", ["moffat", "airy", "line", "curve"])
    @pytest.mark.parametrize("factor", [(1, 1), (4, 4), (2, 16)])
    def test_kernels_are_optics(self, kind, factor):
        for seed in range(5):
            found = kernel(kind, factor, seeded(seed))
            assert found.min() >= 0
            assert np.isfinite(found).all()
            assert all(n % 2 and n <= 2 * LARGEST_RADIUS + 1 for n in found.shape)
            y, x = np.mgrid[: found.shape[0], : found.shape[1]] - found.shape[0] // 2
            share = found / found.sum()
            assert abs((share * y).sum()) < 0.1
            assert abs((share * x).sum()) < 0.1
            assert 0.2 < np.sqrt((share * (x**2 + y**2)).sum()) < 2.5 * max(factor) + 2.5

    def test_an_airy_disc_is_dark_where_it_should_be(self):
        """First dark ring at the width: 1.22 wavelengths over the aperture."""
        found = kernel("airy", (8, 8), seeded(3))
        middle = found[found.shape[0] // 2, found.shape[1] // 2 :]
        assert middle[0] == pytest.approx(1.0, abs=1e-6)
        assert middle.min() < 2e-3

    def test_a_line_has_its_length_and_a_curve_bends(self):
        line, curve = (track(12.0, bent, seeded(1)) for bent in (False, True))
        for found in (line, curve):
            assert found.sum() == pytest.approx(16 * 12)
        widths = []
        for found in (line, curve):
            y, x = np.mgrid[: found.shape[0], : found.shape[1]]
            points = np.stack([y.ravel(), x.ravel()])
            widths.append(np.linalg.eigvalsh(np.cov(points, aweights=found.ravel())))
        assert widths[0][1] == pytest.approx(12, rel=0.1)  # variance of a line: length^2 / 12
        assert widths[1][0] > 1.5 * widths[0][0]

    def test_noise_is_what_the_variance_says(self):
        x = torch.full((200, 1, 16, 16), 0.5)
        for seed in range(4):
            data = observe(x, Area(2), Recipe(uneven=1.0), seeded(seed))
            loud = data.variance > 0
            pull = ((data.y - 0.5) / data.variance.sqrt())[loud]
            assert float(pull.std()) == pytest.approx(1.0, abs=0.03)
            assert torch.equal(data.y[~loud], torch.full_like(data.y[~loud], 0.5))
            assert 0.5 < float(loud.any(-1).any(-1).float().mean()) < 0.8
            assert 0.5 < float(data.usable.flatten(1).all(1).float().mean()) < 0.8

    def test_what_is_the_image_itself_always_has_noise(self):
        assert trivial(Area(1))
        assert trivial(Bicubic(1))
        assert not trivial(GaussianPSF(1, 1.0))
        assert not trivial(Area((1, 2)))
        data = observe(torch.rand(50, 1, 8, 8), Area(1), Recipe(noisy=0.0, uneven=0.0), seeded())
        assert float(data.variance.min()) >= 1e-6

    def test_gaps_are_rectangles_specks_and_borders(self):
        found = gaps(torch.Size((400, 1, 16, 12)), seeded())
        whole = found.flatten(1).all(1).float().mean()
        assert float(whole) == pytest.approx(0.55, abs=0.08)
        border = ((~found[:, 0, 0]).all(-1) & found[:, 0, -1].all(-1)).float().mean()
        assert 0.005 < float(border) < 0.1
        assert float(found.flatten(1).float().mean(1).min()) > 0.3

    def test_the_same_seed_makes_the_same_data(self):
        x = torch.rand(3, 1, 48, 48)
        for seed in range(12):
            first, again = (self.data(x, seed) for _ in range(2))
            assert first.operator.describe() == again.operator.describe()
            for name in ("y", "variance", "usable"):
                assert torch.equal(getattr(first, name), getattr(again, name))

    @staticmethod
    def data(x, seed):
        draw = seeded(seed)
        operator = instrument(Recipe(), draw)
        rows, cols = (48 // s * s for s in operator.factor)
        return observe(x[..., :rows, :cols], operator, Recipe(), draw)


class TestPictures:
    def test_percentiles_and_windows_as_they_are(self, discs):
        fields = Fields(discs(4, 40), 0, 100, 40, PLAIN)
        x = fields.batch(16, seeded())
        assert x.shape == (16, 1, 40, 40)
        lowest, highest = x.amin((1, 2, 3)), x.amax((1, 2, 3))
        torch.testing.assert_close(lowest, torch.zeros(16), rtol=0, atol=2e-3)
        torch.testing.assert_close(highest, torch.ones(16), rtol=0, atol=2e-3)

    def test_larger_windows_are_reduced_to_the_side(self, discs):
        fields = Fields(discs(4, 64), 1, 99, 32, Variation(0, 0, 0, 0, 1.0, 0))
        sharp = Fields(discs(4, 64), 1, 99, 32, PLAIN)
        steep, plain = (
            float((s.diff(dim=-1)).square().mean()) for s in (f.batch(64, seeded()) for f in (fields, sharp))
        )
        assert steep > 1.2 * plain

    def test_the_same_seed_makes_the_same_batch_and_another_one_another(self, discs):
        fields = Fields(discs(6, 48), 1, 99.9, 32)
        first, again, other = (fields.batch(8, seeded(s)) for s in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_flat_windows_are_rarer(self):
        rng = np.random.default_rng(0)
        flat, full = np.zeros((1, 64, 64), np.float32), rng.random((1, 64, 64)).astype(np.float32)
        flat[0, 0, 0] = 1.0
        fields = Fields([flat, full] * 5, 0, 100, 16, PLAIN)
        share = float((fields.batch(600, seeded()).flatten(1).std(1) < 0.02).float().mean())
        assert share == pytest.approx(KEEP_FLAT / (1 + KEEP_FLAT), abs=0.07)

    @pytest.mark.parametrize(
        ("variation", "grows"),
        [(Variation(0.5, 0, 0, 0, 0, 0), True), (Variation(0, 0, 0, 0, 0, 1.0), False)],
    )
    def test_contrast_and_blur(self, variation, grows):
        x = torch.rand(400, 1, 16, 16)
        ratio = varied(x, variation, seeded()).flatten(1).std(1) / x.flatten(1).std(1)
        if grows:
            assert float(ratio.log().std()) == pytest.approx(0.5, abs=0.06)
        else:
            assert float(ratio.max()) < 1.001
            assert 0.1 < float(ratio.min()) < 0.6

    def test_gamma_keeps_the_ends_and_negatives_swap_them(self):
        x = torch.tensor([0.0, 0.5, 1.0] * 4).expand(50, 1, 12, 12)
        bent = varied(x, Variation(0, 0, 0.5, 0, 0, 0), seeded())
        torch.testing.assert_close(bent[..., 0::3], x[..., 0::3], rtol=0, atol=2e-3)
        assert float(bent[..., 1].std()) > 0.1
        torch.testing.assert_close(varied(x, Variation(0, 0, 0, 1, 0, 0), seeded()), 1 - x, rtol=0, atol=1e-4)
