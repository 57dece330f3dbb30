"""Structure over scales, distances of sets, and distances that others bring."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import linalg, ndimage

from gensr.errors import PluginError, WeightsError
from gensr.metrics import frechet, frechet_pyramid, ms_ssim, ssim
from gensr.metrics.distortion import ssim_map
from gensr.metrics.lpips import LAYERS, Lpips
from gensr.metrics.multiscale import WEIGHTS
from gensr.metrics.plugged import available, distance


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(seed, side=192, bands=1):
    return ndimage.gaussian_filter(rng(seed).standard_normal((bands, side, side)), (0, 2, 2)) * 4 + 0.5


def test_weights_of_the_scales_are_those_published():
    assert sum(WEIGHTS) == pytest.approx(1, abs=2e-4)


def test_equal_pictures_are_alike_and_one_scale_is_ssim():
    x = picture(0)
    noisy = x + 0.1 * rng(1).standard_normal(x.shape)
    assert ms_ssim(x, x, 1.0) == pytest.approx(1)
    assert ms_ssim(x, noisy, 1.0, (1.0,)) == pytest.approx(ssim(x, noisy, 1.0))


def test_it_is_the_product_over_scales():
    """Against the formula written out with `ssim_map` alone, for two scales of equal luminance."""
    x = picture(3) - 0.5
    y = x + 0.05 * rng(4).standard_normal(x.shape)

    def halved(a):
        return a.reshape(*a.shape[:-2], a.shape[-2] // 2, 2, a.shape[-1] // 2, 2).mean((-3, -1))

    coarse = ssim_map(halved(x), halved(y), 1.0).mean()
    means = [ndimage.gaussian_filter(a, (0, 1.5, 1.5), truncate=3.34, mode="constant")[:, 5:-5, 5:-5] for a in (x, y)]
    light = (2 * means[0] * means[1] + 1e-4) / (means[0] ** 2 + means[1] ** 2 + 1e-4)
    fine = (ssim_map(x, y, 1.0) / light).mean()
    assert ms_ssim(x, y, 1.0, (0.4, 0.6)) == pytest.approx(fine**0.4 * coarse**0.6, rel=2e-3)


def test_coarse_damage_counts_more_than_fine():
    x = picture(5)
    fine = x + 0.2 * rng(6).standard_normal(x.shape)
    wave = ndimage.gaussian_filter(rng(7).standard_normal(x.shape), (0, 8, 8))
    coarse = x + 0.2 * wave / wave.std()
    assert ssim(x, fine, 1.0) < ssim(x, coarse, 1.0)
    assert ms_ssim(x, fine, 1.0) > ms_ssim(x, coarse, 1.0)


def test_too_small_pictures_say_how_large():
    with pytest.raises(ValueError, match="176 x 176, which 5 scales need"):
        ms_ssim(np.zeros((128, 128)), np.zeros((128, 128)), 1.0)


def test_frechet_is_the_closed_form():
    a, b = rng(0).standard_normal((500, 5)), rng(1).standard_normal((400, 5)) @ rng(2).standard_normal((5, 5)) + 1
    first, second = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(first @ second).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second - 2 * root)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="two rows"):
        frechet(a, b[:1])


def test_the_pyramid_sees_blur_noise_and_checkers():
    sets = [np.stack([picture(100 * s + k, 64) for k in range(40)]) for s in range(2)]
    same = frechet_pyramid(*sets, 1.0)
    checker = 0.4 * (np.indices((64, 64)).sum(0) % 2 - 0.5)
    for worse in (
        ndimage.gaussian_filter(sets[1], (0, 0, 1, 1)),
        sets[1] + 0.1 * rng(9).standard_normal(sets[1].shape),
        sets[1] + checker,
    ):
        assert frechet_pyramid(sets[0], worse, 1.0) > 3 * same
    assert frechet_pyramid(sets[0] * 255, sets[1] * 255, 255.0) == pytest.approx(same)


@pytest.fixture
def weights(tmp_path):
    """AlexNet with random numbers, and heads that are not negative."""
    torch.manual_seed(0)
    tensors = {}
    for number, (index, out, into, side, _, _) in enumerate(LAYERS):
        tensors[f"features.{index}.weight"] = torch.randn(out, into, side, side) * 0.05
        tensors[f"features.{index}.bias"] = torch.randn(out) * 0.1
        tensors[f"lin{number}.model.1.weight"] = torch.rand(1, out, 1, 1)
    save_file(tensors, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors", tensors


def test_lpips_is_the_published_sum(weights):
    """Against the formula with modules of torch, layer by layer."""
    path, tensors = weights
    a, b = (picture(k, 64, 3).clip(0, 1) for k in (1, 2))
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    x = [(2 * torch.from_numpy(v).float()[None] - 1 - shift) / scale for v in (a, b)]
    expected = 0.0
    for number, (index, out, into, side, stride, padding) in enumerate(LAYERS):
        layer = torch.nn.Conv2d(into, out, side, stride, padding)
        layer.weight.data, layer.bias.data = tensors[f"features.{index}.weight"], tensors[f"features.{index}.bias"]
        if index in (3, 6):
            x = [torch.nn.MaxPool2d(3, 2)(v) for v in x]
        x = [torch.relu(layer(v)).detach() for v in x]
        unit = [torch.nn.functional.normalize(v, dim=1) for v in x]
        head = tensors[f"lin{number}.model.1.weight"][0]
        expected += float((head * (unit[0][0] - unit[1][0]) ** 2).sum(0).mean())
    found = Lpips(path)
    assert found(a, b, 1.0) == pytest.approx(expected, rel=1e-4)
    assert found(255 * a, 255 * b, 255.0) == pytest.approx(expected, rel=1e-4)
    assert found(a, a, 1.0) == 0
    with pytest.raises(ValueError, match="smaller than 64"):
        found(a[:, :32, :32], b[:, :32, :32], 1.0)


def test_lpips_needs_a_file_of_the_user(weights, monkeypatch, tmp_path):
    path, tensors = weights
    monkeypatch.delenv("GENSR_LPIPS", raising=False)
    assert "lpips-alex" in available()
    with pytest.raises(PluginError, match="GENSR_LPIPS is not set"):
        distance("lpips-alex")
    monkeypatch.setenv("GENSR_LPIPS", str(path))
    assert distance("lpips-alex").name == "LPIPS (alex)"
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"PK\3\4 no safetensors")
    with pytest.raises(WeightsError, match="no safetensors file"):
        Lpips(bad)
    save_file({k: v for k, v in tensors.items() if k != "features.6.bias"}, bad)
    with pytest.raises(WeightsError, match=r"features\.6\.bias is nothing"):
        Lpips(bad)
    with pytest.raises(PluginError, match="not installed"):
        distance("fid")
