"""Engression of aligned pictures: all bands jointly, whole pictures of several sizes, from images to a generator."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.errors import SearchError, UsageError, WeightsError
from gensr.generators.engression import FAMILY
from gensr.generators.engression.generator import config_of
from gensr.generators.engression.imagined import of_data
from gensr.generators.engression.linear import estimate
from gensr.generators.engression.pictures import Pictures, Variation
from gensr.generators.engression.prior import Prior, alike, fit
from gensr.generators.engression.sources import OF_PICTURES
from gensr.making.heldout import Scaled
from gensr.operators import Area
from gensr.priors import weights
from gensr.priors.observation import Observation

PLAIN = Variation(0, 0, 0, 0, 0, 0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def correlations(x):
    """Of the bands of (n, band, rows, cols), all pairs."""
    matrix = torch.corrcoef(x.movedim(1, 0).flatten(1))
    return matrix[~torch.eye(len(matrix), dtype=torch.bool)]


class TestBands:
    @pytest.mark.parametrize("correlation", [0.0, 0.4, 0.9])
    def test_noise_has_unit_variance_and_the_correlation(self, correlation):
        found = alike(torch.randn(4, 3, 64, 64, generator=seeded()), correlation)
        assert float(found.var()) == pytest.approx(1.0, abs=0.03)
        torch.testing.assert_close(correlations(found), torch.full((6,), correlation), rtol=0, atol=0.03)

    def test_what_is_imagined_has_it_too_and_one_band_knows_of_none(self):
        prior = Prior(0.5, 1e-3, 0.03, 2.2, 0.8)
        y = torch.zeros(8, 3, 16, 16)
        data = Observation(y, Area(4), torch.full_like(y, 1e-6), torch.ones_like(y, dtype=torch.bool))
        white = torch.randn(8, 3, 64, 64, generator=seeded())
        found = of_data(white, torch.randn(8, 3, 16, 16, generator=seeded(1)), data, prior)
        torch.testing.assert_close(correlations(found), torch.full((6,), 0.8), rtol=0, atol=0.03)
        assert torch.equal(alike(white[:, :1], 0.8), white[:, :1])

    @pytest.mark.parametrize("correlation", [0.0, 0.7, 1.0])
    def test_it_is_fitted(self, correlation):
        common, own = torch.randn(2, 64, 3, 32, 32, generator=seeded())
        images = 0.5 + 0.1 * (correlation**0.5 * common[:, :1] + (1 - correlation) ** 0.5 * own)
        assert fit(images).alike == pytest.approx(min(correlation, 0.98), abs=0.02)
        assert fit(images[:, :1]).alike == 0.0

    def test_the_prior_survives_its_file_and_old_files_have_none(self):
        prior = Prior(0.5, 1e-3, 0.03, 2.2, 0.8)
        assert Prior.from_config(prior.to_config()) == prior
        old = {k: v for k, v in prior.to_config().items() if k != "alike"}
        assert Prior.from_config(old).alike == 0.0
        with pytest.raises(ValueError, match="alike from 0 to 1"):
            Prior(alike=1.5)


class TestPictures:
    def test_they_keep_their_field_of_view_at_every_size(self):
        slope = np.linspace(0, 255, 64, dtype=np.float32)
        stack = Pictures.of([np.broadcast_to(slope, (3, 64, 64))], 255.0, PLAIN)
        sizes = set()
        for seed in range(20):
            x = stack.batch(2, seeded(seed))
            sizes.add(x.shape[-1])
            ends = x[..., [0, -1]].mean((1, 2)).sort(-1).values
            torch.testing.assert_close(ends, torch.tensor([[0.0, 1.0]] * 2), rtol=0, atol=0.03)
        assert sizes == {64, 48, 32}
        cut = stack.cut(stack.batch(2, seeded(1)), (3, 5))
        assert (cut.shape[-2] % 3, cut.shape[-1] % 5) == (0, 0)
        assert float(cut.amax() - cut.amin()) == pytest.approx(1.0, abs=0.06)

    def test_half_are_mirrored_and_none_is_turned(self):
        corner = np.zeros((1, 16, 16), np.float32)
        corner[:, :4, :4] = 1
        x = Pictures.of([corner], 1.0, PLAIN, (1.0,)).batch(200, seeded())
        assert float(x[:, 0, 12:].max()) == 0
        assert 0.4 < float((x[:, 0, 0, 0] == 0).float().mean()) < 0.6

    def test_faces_keep_their_sign(self):
        assert OF_PICTURES.negative == OF_PICTURES.scaled == 0


class TestGenerator:
    def test_it_serves_squares_of_up_to_twice_its_side(self, engression_of):
        made = engression_of(3, aligned=True)
        assert made.serves(Area(4), (128, 128))
        assert not made.serves(Area(4), (132, 132))
        assert not made.serves(Area(4), (64, 96))
        assert made.context(Area(4)) == 0
        with pytest.raises(SearchError, match="up to 128 pixels"):
            made.latents((160, 160))

    def test_places_and_size_and_the_other_bands_matter(self, engression_of):
        made = engression_of(3, aligned=True)
        y = torch.full((1, 3, 8, 8), 0.4)
        data = Observation(y, Area(4), torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))
        told = estimate(data, made.model.prior)
        mean, _ = made.model.moments(told)
        assert float((mean[..., :8, :8] - mean[..., -8:, -8:].flip(-1, -2)).abs().max()) > 1e-3
        other = y.clone()
        other[:, 2] += 0.2
        moved, _ = made.model.moments(estimate(replace(data, y=other), made.model.prior))
        assert float((moved[:, 0] - mean[:, 0]).abs().max()) > 1e-3
        white = torch.randn(1, 3, 32, 32)
        drawn = made.model.draw(told, white)
        assert drawn.shape == (1, 3, 32, 32)
        assert not torch.equal(made.model.draw(told, -white), drawn)

    def test_card_and_network_must_fit(self, engression_of):
        made, plain = engression_of(3, aligned=True), engression_of(3)
        tensors = {k: v.half() for k, v in made.model.network.state_dict().items()}
        config = config_of(made.model, made.settings)
        assert FAMILY.build(tensors, config, made.card).card.aligned
        with pytest.raises(WeightsError, match="disagree"):
            FAMILY.build(tensors, config, plain.card)


class TestCommand:
    @pytest.fixture
    def options(self, tmp_path, discs):
        np.savez(tmp_path / "discs.npz", np.stack(discs(12, 32, 3)))
        return {
            "domain": "faces", "data": str(tmp_path / "discs.npz"), "output": str(tmp_path), "steps": "3", "batch": "2",
            "patch": "2", "widths": "8,12", "name": "toy", "held": str(tmp_path / "discs.npz"), "device": "cpu",
        }  # fmt: skip

    def test_from_pictures_to_a_generator_of_three_bands(self, options, tmp_path):
        generator, stored = weights.load(str(FAMILY.train(options, None)))
        assert (stored.card.bands, stored.card.aligned, stored.card.side) == (3, True, 32)
        assert generator.scaling == {"unit": 255.0}
        assert isinstance(generator, Scaled), "gensr calibrate knows how values were scaled"
        assert generator.model.prior.alike > 0.1
        with Image.open(tmp_path / "toy.training" / "panel-x4-0.png") as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert np.abs(pixels[..., 0] - pixels[..., 2]).max() > 20

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"domain": "faces,satellite", "data": "a;b", "held": ""}, "give one domain"),
            ({"side": "24"}, "of one size"),
            ({"aligned": "true", "init": "engression-field", "patch": "", "widths": ""}, "settles it"),
        ],
    )
    def test_what_does_not_fit_is_named(self, options, change, message):
        with pytest.raises(UsageError, match=message):
            FAMILY.train({**options, **change}, None)
