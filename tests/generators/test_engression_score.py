"""The energy score: proper, fair to both draws, finite where draws meet, and blind to the rest of the batch."""

import pytest
import torch

from gensr.generators.engression.score import energy, energy_of_sums, error_of_sums, norms, pieces, pyramid, sums
from gensr.operators import Area, GaussianPSF
from gensr.priors.observation import Observation

DATA = 4000
SURE = torch.full((1, 1, 1, 1), 1e-3)
"""A deviation that asks for more than noise does."""


def scored(shift=0.0, spread=1.0, smooth=0.0, side=8):
    """Mean score of draws of a Gaussian against truths of a standard white one."""
    torch.manual_seed(1)
    truth = torch.randn(DATA, 1, side, side)
    first, second = (shift + spread * torch.randn(2, DATA, 1, side, side)).unbind()
    if smooth:
        first, second = (d + smooth * spread * d.roll(1, -1) for d in (first, second))
        first, second = (d / (1 + smooth**2) ** 0.5 for d in (first, second))
    return float(energy(first - truth, second - truth).mean())


class TestProper:
    """Least at the distribution of the truths."""

    @pytest.mark.parametrize("wrong", [{"shift": 0.3}, {"spread": 0.75}, {"spread": 1.25}, {"spread": 0.0}])
    def test_a_wrong_mean_or_spread_costs(self, wrong):
        assert scored(**wrong) > scored() + 0.003

    def test_a_wrong_texture_costs(self):
        assert scored(smooth=0.9) > scored() + 0.003

    def test_training_by_it_finds_mean_and_spread(self):
        torch.manual_seed(2)
        shift, spread = torch.tensor(1.5, requires_grad=True), torch.tensor(0.3, requires_grad=True)
        optimiser = torch.optim.Adam([shift, spread], 0.05)
        for _ in range(300):
            truth = -0.5 + 2 * torch.randn(64, 1, 8, 8)
            first, second = (shift + spread * torch.randn(64, 1, 8, 8) for _ in range(2))
            loss = energy(first - truth, second - truth).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert float(shift.detach()) == pytest.approx(-0.5, abs=0.15)
        assert float(spread.detach().abs()) == pytest.approx(2.0, abs=0.2)

    def test_of_one_pixel_it_is_the_ranked_probability_score(self):
        """CRPS of N(0, 1) at 0 is (sqrt 2 - 1)/sqrt pi, Gneiting and Raftery (2007), eq. 21."""
        torch.manual_seed(3)
        first, second = torch.randn(2, 200_000, 1, 1, 1).unbind()
        found = float(pieces(first, second).mean())
        assert found == pytest.approx((2**0.5 - 1) / torch.pi**0.5, abs=5e-3)


class TestParts:
    @pytest.mark.parametrize("size", [(16, 16), (15, 21), (5, 8)])
    def test_levels_of_the_pyramid_add_up_to_the_image(self, size):
        x = torch.randn(2, 1, *size)
        levels = pyramid(x)
        total = levels[-1]
        for level in reversed(levels[:-1]):
            finer = total.repeat_interleave(2, -2).repeat_interleave(2, -1)
            total = level[..., : finer.shape[-2], : finer.shape[-1]] + finer
        rows, cols = total.shape[-2:]
        torch.testing.assert_close(total, x[..., :rows, :cols])

    def test_norms_are_root_mean_squares_of_windows(self):
        x = torch.randn(1, 2, 5, 5)
        assert norms(x, 3).shape == (1, 1, 3, 3)
        expected = x[..., 1:4, 0:3].square().mean().sqrt()
        torch.testing.assert_close(norms(x, 3)[0, 0, 1, 0], expected, rtol=1e-4, atol=1e-5)

    def test_gradients_are_finite_where_everything_is_the_same(self):
        first = torch.zeros(2, 1, 16, 16, requires_grad=True)
        energy(first, torch.zeros_like(first)).sum().backward()
        assert bool(first.grad.isfinite().all())

    def test_images_of_a_batch_are_independent_and_draws_alike(self):
        first, second = torch.randn(2, 3, 1, 16, 16).unbind()
        whole = energy(first, second)
        torch.testing.assert_close(whole, energy(second, first))
        for i in range(3):
            torch.testing.assert_close(whole[i : i + 1], energy(first[i : i + 1], second[i : i + 1]))


class TestSums:
    def observed(self, operator=None, noise=0.1, n=2, low=16):
        y = torch.zeros(n, 1, low, low)
        return Observation(y, operator or Area(2), torch.full_like(y, noise**2), torch.ones_like(y, dtype=torch.bool))

    def test_noise_has_unit_variance_at_every_side_of_blocks(self):
        """Images whose data are off by as much as the noise."""
        data = self.observed(n=60)
        off = (0.1 * torch.randn_like(data.y)).repeat_interleave(2, -2).repeat_interleave(2, -1)
        found = sums((off,), data, SURE)
        assert [d.shape[-1] for (d,) in found] == [16, 8, 4, 2]
        for (d,) in found:
            assert float(d.square().mean()) == pytest.approx(1.0, abs=0.1)

    def test_a_shift_that_noise_hides_costs_more_in_larger_blocks(self):
        found = [float(d.square().mean()) for (d,) in sums((torch.full((2, 1, 32, 32), 0.03),), self.observed(), SURE)]
        assert found == sorted(found)
        assert found[-1] > 5 * found[0]

    def test_what_is_not_usable_does_not_count(self):
        data = self.observed()
        usable = data.usable.clone()
        usable[..., :8] = False
        data = Observation(data.y, data.operator, data.variance.where(usable, torch.tensor(torch.nan)), usable)
        wrong = torch.zeros(2, 1, 32, 32)
        wrong[..., :16] = 5.0
        assert float(error_of_sums(wrong, data, SURE).max()) == 0
        wrong[..., 16:] = 0.1
        assert 0.5 < float(error_of_sums(wrong, data, SURE)[0]) < 100

    def test_it_is_seen_through_the_instrument(self):
        """A pattern that the instrument averages away costs nothing."""
        pattern = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16).expand(2, 1, 32, 32)
        assert float(error_of_sums(pattern, self.observed(), SURE).max()) < 1e-10
        assert float(error_of_sums(pattern, self.observed(GaussianPSF(1, 0.1), low=32), SURE).max()) > 1

    def test_the_score_of_sums_is_least_at_the_true_spread(self):
        data = self.observed(n=400, low=8)
        torch.manual_seed(4)
        truth, *draws = (torch.randn(3, 400, 1, 16, 16) * 0.1).unbind()
        found = [
            float(energy_of_sums(*((k * d - truth) for d in draws), data, SURE).mean())
            for k in (0.3, 0.7, 1.0, 1.4, 2.0)
        ]
        assert min(found) == found[2]
