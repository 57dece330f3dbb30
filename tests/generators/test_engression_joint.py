"""Fields whose bands are drawn jointly: training windows, options, and answers to images of that many bands."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import gensr
from gensr.errors import UsageError
from gensr.generators.engression import FAMILY
from gensr.generators.engression.pictures import Fields, Variation
from gensr.priors import weights

PLAIN = Variation(0, 0, 0, 0, 0, 0)
DRAW = np.random.default_rng(2)


def scene(side=40):
    """Three bands (3, side, side) in float32: one picture, three scales and offsets."""
    rough = DRAW.normal(size=(side, side)).cumsum(0).cumsum(1).astype(np.float32)
    return np.stack([rough, 40 * rough + 7, -3 * rough])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A file of a network that has seen next to nothing."""
    folder = tmp_path_factory.mktemp("joint")
    for i in range(12):
        image = scene()
        codes = 255 * (image - image.min((1, 2), keepdims=True)) / np.ptp(image, (1, 2))[:, None, None]
        Image.fromarray(codes.astype(np.uint8).transpose(1, 2, 0)).save(folder / f"{i}.png")
    options = {"domain": "satellite", "data": str(folder), "joint": "true", "name": "three", "output": str(folder)}
    options |= {"widths": "8,12", "side": "32", "batch": "2", "steps": "2", "device": "cpu", "minutes": "100"}
    options["held"] = str(folder / "0.png")
    return FAMILY.train(options, None), options


def test_bands_of_a_window_show_one_place():
    fields = Fields([scene()], 2, 98, 32, PLAIN, joint=True)
    assert (len(fields), fields.bands) == (1, 3)
    x = fields.batch(6, torch.Generator().manual_seed(0))
    assert x.shape == (6, 3, 32, 32)
    torch.testing.assert_close(x[:, 1], x[:, 0], atol=4e-3, rtol=4e-3)  # each by its own percentiles
    torch.testing.assert_close(x[:, 2], 1 - x[:, 0], atol=4e-3, rtol=4e-3)
    apart = Fields([scene()], 2, 98, 32, PLAIN)
    assert (len(apart), apart.bands) == (3, 1)


def test_light_of_bands_varies_by_itself():
    flat = Fields([scene()], 2, 98, 32, Variation(0, 0, 0, 0, 0, 0, 0.1), joint=True)
    x = flat.batch(400, torch.Generator().manual_seed(0)).double()
    gain = (x[:, 1].std((-1, -2)) / x[:, 0].std((-1, -2))).log()
    assert float(gain.std()) == pytest.approx(0.1 * 2**0.5, rel=0.15)
    assert float(gain.mean()) == pytest.approx(0, abs=0.03)


def test_the_card_says_the_bands_and_answers_are_joint(trained):
    path, _ = trained
    generator, stored = weights.load(str(path))
    assert (stored.card.bands, stored.card.aligned, generator.scaling) == (3, False, {"low": 2.0, "high": 98.0})
    image = DRAW.integers(30, 220, (3, 20, 24)).astype(np.uint8)
    found = gensr.upsample(image, factor=2, domain="satellite", generator=str(path), noise=2.0, samples=2, seed=1)
    assert found.mean.shape == (3, 40, 48)
    assert 0.2 < found.report["consistency"]["chi2 per datum"] < 2
    other = gensr.upsample(image, factor=2, domain="satellite", generator=str(path), noise=2.0, samples=2, seed=1)
    np.testing.assert_array_equal(found.mean, other.mean)
    with pytest.raises(gensr.GensrError, match="4 bands, but three models 3 jointly"):
        gensr.upsample(np.concatenate([image, image[:1]]), factor=2, domain="satellite", generator=str(path), noise=2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aligned": "true"}, "joint=true goes with fields of several bands, and aligned="),
        ({"grey": "true"}, "and grey= makes"),
        ({"domain": "astronomy", "unit": "16"}, "and unit= makes"),
    ],
)
def test_what_joint_does_not_go_with(trained, change, message):
    with pytest.raises(UsageError, match=message):
        FAMILY.train({**trained[1], **change, "name": "other"}, None)


def test_images_of_other_bands_are_refused(trained, tmp_path):
    codes = DRAW.integers(0, 255, (40, 40, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "four.tif", codes, planarconfig="contig", photometric="minisblack")
    data = f"{trained[1]['data']},{tmp_path / 'four.tif'}"
    with pytest.raises(UsageError, match=r"an image of 4 band\(s\) beside others of 3"):
        FAMILY.train({**trained[1], "data": data, "name": "other"}, None)
