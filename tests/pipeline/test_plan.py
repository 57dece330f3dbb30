"""A plan that is driven event by event: what happens in which order, and what is left when it is stopped."""

import json
import tempfile

import numpy as np
import pytest

from gensr.errors import UnexplainedError
from gensr.pipeline import preview
from gensr.pipeline.events import Position, Settled, Through, TileDone, Warned, Written
from gensr.runners.local import LocalRunner
from gensr.values.grid import Window


def picture(shape, seed=0, dtype=np.float32, centre=50.0):
    """Values within their noise of 50, where an exact prior leaves no more than noise."""
    return (centre + np.random.default_rng(seed).uniform(-8, 8, shape)).astype(dtype)


def blocks(values):
    return np.repeat(np.repeat(values, 2, -2), 2, -1)


def half_way(values):
    """The exact mean: data that count by half, see `tests/pipeline/test_reconstruct.py`."""
    return 50 + blocks(values - 50) / 2


def kinds(events):
    return [type(event).__name__ for event in events]


def test_events_come_in_order_and_count_output_pixels(plan):
    """Two planes of two bands, 20 x 12 pixels in tiles of 8: cores of 8, 8, 4 by 8, 4."""
    made = plan(picture((2, 2, 20, 12)), tile=8)
    events = list(made.run())
    assert kinds(events) == ["Settled"] + ["TileDone"] * 12 + ["Written"]
    total = 2 * 2 * 40 * 24
    assert events[0] == Settled(made, Position(0, total))
    sizes = [rows * cols * 2 * 4 for rows in (8, 8, 4) for cols in (8, 4)] * 2
    assert events[1:-1] == [TileDone(i, Position(sum(sizes[: i + 1]), total)) for i in range(12)]
    assert events[-1].files == ()


def test_results_are_those_of_the_exact_posterior(plan):
    values = picture((2, 3, 10, 12))
    result = list(plan(values, tile=5, samples=1).run())[-1].result
    np.testing.assert_allclose(result.mean, half_way(values), rtol=1e-5)
    np.testing.assert_allclose(result.std, 100 * 0.00875**0.5, rtol=1e-5)
    assert result.samples[0].shape == (2, 3, 20, 24)
    assert result.mean.dtype == np.float32
    assert result.grid.shape == (20, 24)
    assert result.bands == ("1", "2", "3")
    assert result.report["consistency"]["data"] == 2 * 3 * 120
    assert result.report["consistency"]["sum of data"] == pytest.approx(values.sum(), rel=1e-6)
    assert result.report["output"]["invalid pixels"] == 0
    left = (values - 50.0) / 2
    assert result.report["consistency"]["rms"] == pytest.approx((left**2).mean() ** 0.5, rel=1e-4)
    assert result.report["consistency"]["largest"] == pytest.approx(np.abs(left).max(), rel=1e-4)


def test_samples_are_kept_each_in_its_own_raster(plan):
    values = picture((10, 12))
    three, one = (list(plan(values, samples=n).run())[-1].result for n in (3, 1))
    np.testing.assert_array_equal(three.samples[0], one.samples[0])
    assert len({s.tobytes() for s in three.samples}) == 3
    assert three.mean.shape == (20, 24)


def test_the_mean_alone_says_what_was_clipped(plan):
    values = picture((6, 6), dtype=np.uint8, centre=251)
    with pytest.raises(UnexplainedError) as found:  # 20 deviations above what the prior expects
        list(plan(values, samples=2, tile=3, search="fast").run())
    result = found.value.result
    report = result.report
    assert [a.dtype for a in (result.mean, result.std, *result.samples)] == [np.uint8, np.float32, np.uint8, np.uint8]
    np.testing.assert_allclose(result.std, 100 * 0.00875**0.5, rtol=1e-5)
    exact = np.rint(half_way(values.astype(float)))
    assert report["output"]["dtype"] == "uint8"
    assert report["output"]["clipped or moved values"] == int((exact > 255).sum())
    high = list(plan(picture((6, 6), dtype=np.uint8), samples=2, tile=3).run())[-1].result
    assert high.report["output"]["clipped or moved values"] == 0


def test_clipped_codes_are_counted_over_all_tiles(plan):
    values = picture((6, 6))
    made = plan(values, tile=3, samples=1)
    codes = []

    def encode(plane, fine, valid):
        codes.append((plane, fine.shape, bool(valid.all())))
        return fine, 7

    made.scene.encode = encode
    report = list(made.run())[-1].result.report
    assert codes == [(0, (1, 6, 6), True)] * 8
    assert report["output"]["clipped or moved values"] == 4 * 7


def test_warnings_come_before_the_result(plan):
    made = plan(np.full((6, 6), 7.0), domain="faces")
    events = list(made.run())
    assert kinds(events) == ["Settled", "TileDone", "Warned", "Written"]
    assert events[2] == Warned("the generator was made for microscopy images")
    assert list(events[-1].result.report["warnings"]) == [events[2].text]


class Folders:
    """Where temporary stores are made, all of which must be gone at the end."""

    def __init__(self, monkeypatch, folder):
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        self.folder = folder

    def left(self):
        return list(self.folder.iterdir())


def test_without_an_output_nothing_is_left_whether_it_ends_or_not(plan, monkeypatch, tmp_path):
    folders = Folders(monkeypatch, tmp_path)
    list(plan(picture((6, 6))).run())
    assert folders.left() == []
    running = plan(picture((6, 6)), tile=3).run()
    next(running), next(running)
    assert len(folders.left()) == 1
    running.close()
    assert folders.left() == []


def stopped(made, tiles):
    """Run until so many tiles are done, then cancel."""
    running = made.run()
    for event in running:
        if isinstance(event, TileDone) and event.index == tiles - 1:
            running.close()
            return
    raise AssertionError("it ended before it was stopped")


def content(folder):
    """Bytes of everything in a folder; a report without the time that it took."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith("_report.json"):
            report = json.loads(path.read_text())
            assert report.pop("seconds") >= 0
            report.pop("megapixels per second")
            found[path.name] = report
        else:
            found[path.name] = path.read_bytes()
    return found


@pytest.mark.parametrize(("tiles", "batch", "kept"), [(1, 1, 1), (3, 1, 3), (3, 2, 2), (2, 2, 2)])
def test_a_cancelled_run_leaves_no_output_and_goes_on_to_the_same_bytes(plan, tmp_path, tiles, batch, kept):
    values, words = picture((4, 1, 6, 6)), {"tile": 6, "samples": 1, "batch": batch, "seed": 4}
    list(plan(values, output=tmp_path / "whole", **words).run())
    stopped(plan(values, output=tmp_path / "out", **words), tiles)
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".array_x2_generated.work"]
    events = list(plan(values, output=tmp_path / "out", resume=True, **words).run())
    # Groups of a batch are done again whole.
    assert events[0].position == Position(kept * 144, 576)
    assert [e.index for e in events if isinstance(e, TileDone)] == list(range(kept, 4))
    assert [e.position.done for e in events if isinstance(e, TileDone)] == [144 * n for n in range(kept + 1, 5)]
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert set(content(tmp_path / "out")) == {
        "array_x2_generated.npz", "array_x2_generated_report.json", "array_x2_generated_preview.png",
    }  # fmt: skip


def test_a_cancelled_run_starts_over_where_nobody_asks_to_go_on(plan, tmp_path):
    values = picture((12, 12))
    stopped(plan(values, output=tmp_path, tile=6), 2)
    events = list(plan(values, output=tmp_path, tile=6).run())
    assert events[0].position == Position(0, 576)
    assert len(events) == 6


def test_results_with_an_output_are_files_and_arrays(plan, tmp_path):
    values = picture((6, 6))
    event = list(plan(values, output=tmp_path, samples=1).run())[-1]
    assert isinstance(event, Written)
    assert event.files == tuple(event.result.files)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in event.files}
    with np.load(tmp_path / "array_x2_generated.npz") as stored:
        np.testing.assert_array_equal(stored["mean"][0, 0], event.result.mean)
        np.testing.assert_array_equal(stored["std"][0, 0], event.result.std)
        np.testing.assert_array_equal(stored["sample1"][0, 0], event.result.samples[0])


def test_through_planes_everything_is_computed_again_and_counted(plan):
    """Four planes, two volumes of two slices, x3 across: 4 x 64 pixels at first, then 12 x 64 twice and a sample."""
    values = picture((4, 1, 4, 4))
    made = plan(values, through=(2, 3), samples=1, tile=4)
    events = list(made.run())
    assert kinds(events) == ["Settled"] + ["TileDone"] * 4 + ["Through"] * 9 + ["Written"]
    total = 256 * (1 + 3 * 3)
    assert events[0].position == Position(0, total)
    through = [e.position for e in events if isinstance(e, Through)]
    per_slab = 6 * 8 * 8
    assert [p.done for p in through] == [256 + per_slab * n for n in (0, 1, 2, 2, 3, 4, 4, 5, 6)]
    assert {p.total for p in through} == {total}
    result = events[-1].result
    assert result.mean.shape == (12, 1, 8, 8)
    assert result.report["output"]["planes"] == 12
    assert result.report["output"]["invalid pixels"] == 0
    # Noise-free across, and white noise knows nothing of its neighbours: each new slice has the mean of the old one,
    # but for the smooth interpolation of what is left.
    np.testing.assert_allclose(
        np.asarray(result.mean, float).reshape(4, 3, 8, 8).mean(1), half_way(values)[:, 0], rtol=1e-4
    )
    assert result.std.mean() > 100 * 0.00875**0.5
    assert np.isfinite(result.std).all()
    assert result.samples[0].shape == result.mean.shape


def test_two_bands_through_planes_are_counted_both(plan):
    events = list(plan(picture((2, 2, 4, 4)), through=(2, 2)).run())
    assert events[0].position == Position(0, 2 * 2 * 64 * (1 + 2 * 2))
    assert [e.position.done for e in events if isinstance(e, Through)] == [256 + n * 512 for n in (0, 1, 1, 2)]


def test_the_clip_count_of_the_second_pass_replaces_that_of_the_first(plan):
    made = plan(picture((2, 1, 4, 4)), through=(2, 3))
    made.scene.encode = lambda plane, fine, valid: (fine, 5)
    report = list(made.run())[-1].result.report
    assert report["output"]["clipped or moved values"] == 6 * 5


def test_a_stopped_second_pass_goes_on_to_the_same_bytes(plan, tmp_path):
    values, words = picture((4, 1, 4, 4)), {"through": (2, 3), "samples": 1}
    list(plan(values, output=tmp_path / "whole", **words).run())
    running = plan(values, output=tmp_path / "out", **words).run()
    for event in running:
        if isinstance(event, Through) and event.position.done > 256 + 384:
            running.close()
            break
    events = list(plan(values, output=tmp_path / "out", resume=True, **words).run())
    assert events[0].position == Position(256, 2560)
    assert kinds(events)[1] == "Through"
    assert events[1].position.done == 256 + 2 * 384
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_plan_says_what_it_would_do(plan):
    said = plan(picture((2, 3, 30, 20)), tile=10, batch=3, samples=2, through=(2, 4), noise="1,2,3").describe()
    assert said["output"] == "60 x 40 pixels, 8 plane(s), 3 band(s)"
    assert said["through planes"] == "x4"
    # 8 pixels of context of the prior, and 16 for samples.
    assert said["tiles"] == "12 of 10 x 10 input pixels, 20 x 30 with context, 3 together"
    assert said["samples"] == "2, of the generator itself"
    assert said["noise"] == {"model": "gaussian", "sigma": [1.0, 2.0, 3.0], "unit": "", "from": "given"}
    assert said["data are"] == "explained to their noise"
    assert said["generator"] == {
        "name": "white",
        "family": "gaussian",
        "made for": "microscopy",
        "chosen as": "for the test",
    }
    assert said["disk"] == f"{2 * 3 * 60 * 40 * 4 * 4 * 13 / 2**20:.1f} MiB while it runs"
    assert said["memory"] == f"about {3 * 30 * 20 * 4 * 3 * 2000 / 2**20:.1f} MiB for a batch of tiles"
    assert said["warnings"] == []
    plain = plan(picture((8, 8)), noise=0, domain="faces").describe()
    assert plain["data are"] == "explained exactly"
    assert plain["samples"] == "none"
    assert plain["through planes"] is None
    assert plain["tiles"] == "1 of 8 x 8 input pixels, 8 x 8 with context, 1 together"
    assert plain["warnings"] == ["the generator was made for microscopy images"]


class Remote(LocalRunner):
    """Stands for a cluster: takes the groups in the opposite order."""

    remote = True

    def __init__(self):
        self.closed = False

    def map(self, function, items):
        yield from super().map(function, reversed(list(items)))

    def close(self):
        self.closed = True


def test_results_in_another_order_are_the_same_and_arrays_are_spilled(plan, tmp_path):
    values = picture((3, 1, 8, 8))
    here = list(plan(values, tile=4, samples=1, output=tmp_path / "a").run())
    made, runner = plan(values, tile=4, samples=1, output=tmp_path / "b"), Remote()
    assert made.scene.reference is None
    there = list(made.run(runner))
    assert made.scene.reference.path.endswith("array.npy")
    assert [e.index for e in there if isinstance(e, TileDone)] == list(reversed(range(12)))
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert len(here) == len(there)
    assert not runner.closed  # whoever gave it closes it


def test_what_is_shown_is_the_middle_of_what_was_computed(plan, monkeypatch):
    """The preview's rasters hold the results of their window, on the scale of the input, whatever the tiles."""
    shown = {}

    def panel(scene, title, factor, image, fine):
        shown.update(title=title, factor=factor, image=image, **fine)
        return b"png"

    monkeypatch.setattr(preview, "SIDE", 8)
    monkeypatch.setattr(preview, "panel", panel)
    values = picture((3, 2, 14, 11))
    result = list(plan(values, tile=5, samples=1).run())[-1].result
    assert result.preview == b"png"
    assert shown["title"] == "array, array, x2 by white"
    assert shown["factor"] == (2, 2)
    place = Window(5, 3, 4, 4)
    np.testing.assert_array_equal(shown["image"].values, values[1, :, 5:9, 3:7])
    fine = place.refine((2, 2))
    cut = np.s_[1, :, fine.row : fine.row + fine.rows, fine.col : fine.col + fine.cols]
    np.testing.assert_array_equal(shown["mean"], result.mean[cut])
    np.testing.assert_array_equal(shown["std"], result.std[cut])
    np.testing.assert_array_equal(shown["sample0"], result.samples[0][cut])
    np.testing.assert_allclose(shown["residual"], (values[1, :, 5:9, 3:7] - 50) / 2 / 5, rtol=1e-3, atol=1e-4)


def test_what_a_search_found_reaches_the_report(plan, white):
    made = plan(picture((4, 4)), white("linear"), search="pulse", tile=4)
    report = list(made.run())[-1].result.report
    assert report["latent search"]["solver"] == "pulse"
    assert report["latent search"]["candidates"] == 1
    assert report["search"]["mean and std"] == "latent search"


def test_a_plan_closes_its_input(plan):
    made, closed = plan(picture((4, 4))), []
    made.scene.close = lambda: closed.append(True)
    with made as same:
        assert same is made
    assert closed == [True]
