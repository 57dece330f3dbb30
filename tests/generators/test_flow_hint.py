"""What data tell the flow's network: interpolation, gaps, noise."""

import pytest
import torch

from gensr.generators.flow.hint import CENTRE, Hint, filled, hint, local_mean, octaves


def whole(y):
    return torch.ones_like(y, dtype=torch.bool)


class TestHint:
    @pytest.mark.parametrize("factor", [(2, 2), (3, 3), (8, 8), (2, 4)])
    def test_a_constant_stays_constant(self, factor):
        y = torch.full((2, 3, 6, 5), 0.37)
        found = hint(y, torch.zeros_like(y), whole(y), factor)
        torch.testing.assert_close(found.base, torch.full((2, 3, 6 * factor[0], 5 * factor[1]), 0.37))
        assert bool((found.known == 1).all())
        assert not found.noise.any()
        assert found.factor.tolist() == [[float(f) for f in factor]] * 2
        assert found.given.tolist() == [1.0, 1.0]

    def test_a_slope_is_centred_on_the_data(self):
        y = torch.arange(12.0).expand(1, 1, 12, 12)
        base = hint(y, torch.zeros_like(y), whole(y), (4, 4)).base
        expected = (torch.arange(48) + 0.5) / 4 - 0.5
        off = base[0, 0, 20, 8:40] - expected[8:40]
        assert off.abs().max() < 0.05
        assert abs(float(off.mean())) < 1e-4

    def test_known_and_noise_lie_above_their_data(self):
        y = torch.rand(1, 2, 4, 4)
        usable = whole(y)
        usable[0, 0, 1, 2] = False
        deviation = torch.full_like(y, 0.3)
        deviation[0, :, 3, 0] = torch.tensor([0.1, 0.7])
        found = hint(y, deviation, usable, (2, 3))
        assert found.known.shape == found.noise.shape == (1, 1, 8, 12)
        assert bool((found.known[0, 0, 2:4, 6:9] == 0.5).all())
        assert float(found.known.sum()) == 8 * 12 - 3
        torch.testing.assert_close(found.noise[0, 0, 6:, :3], torch.full((2, 3), 0.25**0.5))
        torch.testing.assert_close(found.noise[0, 0, 2, 6], torch.tensor((0.3**2 / 2) ** 0.5))

    def test_what_is_not_usable_has_no_influence(self):
        y = torch.rand(2, 1, 8, 8)
        usable = whole(y)
        usable[:, :, 2:5, 3:6] = False
        first = hint(y, torch.full_like(y, 0.1), usable, (2, 2))
        broken = torch.where(usable, y, torch.nan)
        second = hint(broken, torch.where(usable, 0.1, torch.nan), usable, (2, 2))
        for name in ("base", "known", "noise"):
            assert torch.equal(getattr(first, name), getattr(second, name))

    def test_keep_takes_the_hint_away(self):
        y = torch.rand(3, 1, 4, 4)
        found = hint(y, torch.full_like(y, 0.2), whole(y), (2, 2))
        kept = found.keep(torch.tensor([True, False, True]))
        none = Hint.none(3, 1, (8, 8))
        for name in ("base", "known", "noise", "given", "factor"):
            assert torch.equal(getattr(kept, name)[1], getattr(none, name)[1])
            assert torch.equal(getattr(kept, name)[::2], getattr(found, name)[::2])

    def test_crop_and_none(self):
        y = torch.rand(1, 1, 8, 8)
        found = hint(y, torch.zeros_like(y), whole(y), (2, 2))
        assert torch.equal(found.crop(3, 4, 5, 6).base, found.base[..., 3:8, 4:10])
        none = Hint.none(2, 3, (4, 5))
        assert bool((none.base == CENTRE).all())
        assert none.base.shape == (2, 3, 4, 5)
        assert not none.given.any()
        assert octaves(none.factor).tolist() == [0.0, 0.0]


class TestFilled:
    def test_complete_data_are_not_touched(self):
        y = torch.rand(1, 1, 4, 4)
        assert filled(y, whole(y)) is y

    def test_gaps_take_what_surrounds_them(self):
        y = torch.zeros(1, 1, 20, 20)
        y[..., 10:] = 1.0
        usable = whole(y)
        usable[..., 4:7, 2:5] = usable[..., 4:7, 14:17] = False
        out = filled(torch.where(usable, y, 77.0), usable)
        assert torch.equal(out, y)

    def test_a_gap_wider_than_all_windows_takes_the_mean(self):
        y = torch.full((1, 1, 40, 40), 0.25)
        usable = whole(y)
        usable[..., :36] = False
        out = filled(torch.where(usable, y, torch.nan), usable)
        torch.testing.assert_close(out, y)

    def test_nothing_usable_is_finite(self):
        y = torch.full((1, 1, 5, 5), torch.nan)
        assert not filled(y, torch.zeros_like(y, dtype=torch.bool)).any()


def test_local_mean_counts_only_what_is_inside():
    x = torch.rand(1, 2, 30, 21)
    found = local_mean(x)
    torch.testing.assert_close(found[..., 15, 10], x[..., 7:24, 2:19].mean((-2, -1)))
    torch.testing.assert_close(found[..., 0, 0], x[..., :9, :9].mean((-2, -1)))
