"""What moved how, in simulated pictures: lengths, angles, curves, the order of the model, nothing where nothing is."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve

from gensr.operators.blurs import line, trace
from gensr.search.motion.fit import Fit, curved, stillness, straight, surprise
from gensr.search.motion.free import free_kernel, roughness
from gensr.search.motion.order import HUMAN, NONE, UNIFORM, identify
from gensr.search.motion.paths import Path, correlation, likeness
from gensr.search.motion.spectrum import SIDE, half_plane, modes, spectrum, taper, transfer
from gensr.search.motion.wander import MOMENTS, Paths, wandering

SIGMA = 0.01


def picture(seed=0, side=192):
    """Dead leaves: discs of all sizes and grey levels that cover each other, as natural images have them."""
    draw = np.random.default_rng(seed)
    out = np.full((side, side), 0.5)
    y, x = np.mgrid[:side, :side]
    for _ in range(1200):
        radius = 2.0 / draw.uniform(0.02, 1) ** 0.6
        row, col = draw.uniform(-20, side + 20, 2)
        out[np.hypot(y - row, x - col) < radius] = draw.uniform(0, 1)
    return out


def blurred(x, kernel, seed=1):
    wide = np.pad(x, 40, mode="symmetric")
    y = fftconvolve(wide, kernel, mode="same")[40:-40, 40:-40]
    return y + np.random.default_rng(seed).normal(0, SIGMA, y.shape)


def spectra(y):
    return [spectrum(y, taper(np.ones(y.shape, bool)), SIGMA)]


@pytest.mark.parametrize(("length", "angle"), [(7.0, 20.0), (14.0, 110.0), (22.0, 63.0)])
def test_a_line_is_found_by_its_evidence(length, angle):
    found = straight(spectra(blurred(picture(), line(length, angle))))
    assert found.path.length == pytest.approx(length, rel=0.1)
    assert abs((found.path.angle - angle + 90) % 180 - 90) < 4
    assert correlation(found.kernel, line(length, angle)) > 0.9


def test_nothing_is_found_where_nothing_moved():
    seen = spectra(blurred(picture(3), np.ones((1, 1))))
    assert stillness(seen) < straight(seen).surprise
    assert stillness(seen) < curved(seen, Path(8.0, 0.0)).surprise
    moved = spectra(blurred(picture(3), line(12, 40)))
    assert stillness(moved) > straight(moved).surprise + 0.1 * moved[0].data


def test_a_curve_and_its_way_are_found():
    true = Path(13.0, 70.0, 2.2)
    y = blurred(picture(1), true.kernel())
    found = identify(y, [], SIGMA).background
    assert found.kind in ("arc", "path", "free")
    assert correlation(found.kernel, true.kernel()) > 0.8
    assert correlation(found.kernel, true.mirrored().kernel()) < correlation(found.kernel, true.kernel())


def test_a_mirrored_path_has_the_same_evidence_and_a_turned_kernel():
    path = Path(11.0, 30.0, 1.5)
    y = blurred(picture(2), path.kernel())
    one, other = surprise(spectra(y), [path.kernel(), path.mirrored().kernel()]).tolist()
    assert one == pytest.approx(other, rel=1e-9)
    np.testing.assert_allclose(path.mirrored().kernel(), path.kernel()[::-1, ::-1], atol=2e-3)


def shaky():
    """A path that turns left, right and left again."""
    turn = 1.4 * np.sin(np.linspace(0, 5, 400))
    x, y = np.cumsum(np.cos(turn)), np.cumsum(np.sin(turn))
    scale = 13 / np.ptp(x)
    return trace(-(y - y.mean()) * scale, (x - x.mean()) * scale)


def test_a_shaky_path_is_found():
    y = blurred(picture(4), shaky())
    begins = [straight(spectra(y)).path]
    (best, least), *rest = wandering(spectra(y), begins)
    assert max(likeness(best, shaky())) > 0.8
    assert max(likeness(begins[0].kernel(), shaky())) < 0.7
    assert least < straight(spectra(y)).surprise
    assert all(value >= least for _, value in rest)


def test_a_sharp_image_is_smoother_under_the_blur_than_under_its_mirror_image_or_another():
    kernel = Path(14.0, 70.0, 2.4).kernel()
    y = blurred(picture(1), kernel)
    right = roughness(y, np.ones(y.shape), kernel, SIGMA)
    assert right < 0.98 * roughness(y, np.ones(y.shape), kernel[::-1, ::-1], SIGMA)
    sharp = blurred(picture(1), np.ones((1, 1)))
    still = roughness(sharp, np.ones(y.shape), np.ones((1, 1)), SIGMA)
    assert roughness(sharp, np.ones(y.shape), kernel, SIGMA) > 1.2 * still


def test_paths_have_the_kernel_and_the_size_of_the_arcs_they_are():
    arc = Path(15.0, 40.0, 1.8)
    at = torch.linspace(-0.5, 0.5, MOMENTS, dtype=torch.float64)
    paths = Paths(torch.tensor([math.log(15.0)], dtype=torch.float64), (math.radians(40.0) + 1.8 * at)[None])
    found = np.fft.fftshift(paths.kernels()[0].numpy())
    assert correlation(found, arc.kernel()) > 0.99
    rows, cols = (np.flatnonzero(arc.kernel().max(axis) > 1e-3) for axis in (1, 0))
    assert float(paths.extent()) == pytest.approx(max(np.ptp(rows), np.ptp(cols)), abs=2)


def walks(count, seed=0):
    draw = np.random.default_rng(seed)
    return Paths(torch.from_numpy(draw.normal(3, 0.1, count)), torch.from_numpy(draw.normal(0, 0.9, (count, MOMENTS))))


def test_finer_paths_are_the_same_paths_and_cost_the_same():
    paths = walks(3)
    finer = paths.finer()
    assert finer.heading.shape == (3, 2 * MOMENTS - 1)
    torch.testing.assert_close(finer.points(96), paths.points(96), atol=1e-9, rtol=0)
    torch.testing.assert_close(finer.effort(), paths.effort())


def test_bent_paths_are_others_nearby():
    paths = walks(200)
    bent = paths.bent(np.random.default_rng(1))
    turned = bent.heading.diff(dim=1) - paths.heading.diff(dim=1)
    assert float((turned.abs() > 1e-9).double().mean()) == pytest.approx(0.4, abs=0.04)
    assert float(turned[turned.abs() > 1e-9].std()) == pytest.approx(0.9, abs=0.08)
    assert float((bent.heading - paths.heading)[:, 0].std()) == pytest.approx(0.2, abs=0.03)
    assert float((bent.size - paths.size).std()) == pytest.approx(0.15, abs=0.03)
    torch.testing.assert_close(bent.heading, paths.bent(np.random.default_rng(1)).heading)  # the same every time


def test_windows_smear_a_spectrum_and_keep_its_power():
    seen = spectra(picture())[0]
    kernel = line(20, 30)
    power = half_plane(torch.from_numpy(kernel))[None]
    smeared = seen.smeared(power)[0]
    plain = transfer(kernel)
    assert float((smeared - plain).abs().max()) > 1e-3
    assert float((smeared * modes().twice).sum()) == pytest.approx(float((plain * modes().twice).sum()), rel=0.05)
    assert float(smeared.min()) > -1e-3
    assert float(seen.window[0, 0]) == 1
    assert float(seen.window[SIDE // 2 - 1, 0]) < 0.5


def test_a_free_kernel_has_no_negative_part_and_is_the_blur():
    y = blurred(picture(1), line(9, 30))
    found = free_kernel(y, np.ones(y.shape), 17)
    assert found.shape == (17, 17)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert correlation(found, line(9, 30)) > 0.75


def person(side=192):
    y, x = np.mgrid[:side, :side]
    return np.hypot((y - 100) / 62, (x - 95) / 52) < 1


def scene(person_kernel, background_kernel):
    """A person of other leaves over a background, each blurred by its own kernel, occlusion as it happens."""
    m = person().astype(float)
    ahead, behind = picture(5), picture(6)
    seen = fftconvolve(np.pad(m, 40), person_kernel, mode="same")[40:-40, 40:-40]
    front = fftconvolve(np.pad(m * ahead, 40), person_kernel, mode="same")[40:-40, 40:-40]
    return front + (1 - seen) * blurred(behind, background_kernel) + 0


@pytest.mark.parametrize(
    ("kernels", "order"),
    [
        ((np.ones((1, 1)), np.ones((1, 1))), NONE),
        ((line(11, 30), line(11, 30)), UNIFORM),
        ((line(12, 60), line(9, 150)), HUMAN),
        ((line(10, 100), np.ones((1, 1))), HUMAN),
    ],
)
def test_the_evidence_chooses_the_order(kernels, order):
    found = identify(scene(*kernels), [person()], SIGMA, thorough=False)
    assert found.order == order
    for fit, true in zip((*found.people, found.background), kernels, strict=True):
        if true.size == 1:
            assert fit is None
        else:
            assert correlation(fit.kernel, true) > 0.9
    if order == UNIFORM:
        assert found.people[0] is found.background
    assert found.describe()["order"] == order
    assert min(found.describe()["evidence lost by order"].values()) == 0


def test_what_the_user_knows_is_taken():
    y = scene(line(12, 60), line(9, 150))
    assert identify(y, [person()], SIGMA, UNIFORM, thorough=False).order == UNIFORM
    assert identify(y, [person()], SIGMA, NONE, thorough=False).background is None
    alone = identify(y, [], SIGMA, thorough=False)
    assert HUMAN not in alone.surprise


def test_a_region_that_is_too_small_moves_like_the_rest():
    tiny = np.zeros((192, 192), bool)
    tiny[50:58, 60:68] = True
    found = identify(blurred(picture(), line(10, 45)), [tiny], SIGMA, thorough=False)
    assert found.order == UNIFORM
    assert isinstance(found.background, Fit)
    assert spectrum(picture(), taper(tiny), SIGMA) is None
