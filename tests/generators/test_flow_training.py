"""Training of the flow family: options, corpora, going on after a kill, starting from another flow, logs and sheets."""

import csv
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.cli.main import main
from gensr.errors import FormatError, UsageError, WeightsError
from gensr.generators.flow import FAMILY, training
from gensr.generators.flow.degrade import Recipe
from gensr.generators.flow.loop import Corpus, Run, measure, pairs
from gensr.generators.flow.network import Network, Shape
from gensr.generators.flow.options import lasting, parse
from gensr.generators.flow.pictures import Aligned, Contrast, Fields, Sized
from gensr.generators.flow.sheet import FACTOR, GAP, ROWS
from gensr.generators.flow.training import FLUX_JITTER, train
from gensr.making.checkpoint import load
from gensr.making.training import Budget
from gensr.operators import Area
from gensr.priors import weights
from gensr.priors.stretch import Stretch
from gensr.priors.unet import place

SMALL = {"widths": "8,12", "side": "32", "batch": "4", "minutes": "1000"}
TINY = Shape(1, 2, (8, 12), 1, 8)


def ignored(done, total):
    return None


class Stopped:
    """Progress that interrupts the run when it is called for the n-th time."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self, done, total):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Fixed:
    """A source that always gives the same pictures."""

    scaling = {"unit": 255.0}  # noqa: RUF012

    def __init__(self, images):
        self.images = torch.from_numpy(np.stack(images) / np.float32(255))

    def __len__(self):
        return len(self.images)

    def restart(self, step):
        self.images = self.images.clone()

    def batch(self, count):
        return self.images[torch.arange(count) % len(self.images)]


@pytest.fixture
def folder(tmp_path, discs):
    np.savez(tmp_path / "discs.npz", np.concatenate(discs(12)))
    return tmp_path


@pytest.fixture
def options(folder):
    return {
        "domain": "microscopy", "data": str(folder / "discs.npz"), "output": str(folder), "steps": "4", **SMALL,
    }  # fmt: skip


@pytest.fixture
def corpus(discs, scales):
    return Corpus(Fixed(discs(8, 32)), Recipe(((2, 1.0),)), Stretch(), scales, 32)


class Told(Stopped):
    """Stops like `Stopped` and remembers what it is told."""

    def __init__(self, steps):
        super().__init__(steps)
        self.facts, self.how = [], []

    def tell(self, text):
        self.facts.append(text)

    def status(self, text):
        self.how.append(text)


def run_of(corpus, folder, steps=10, **settings):
    torch.manual_seed(1)
    folder.mkdir(exist_ok=True)
    budget = Budget(steps, 1000.0, 4, 1e-3)
    return Run(network=Network(TINY), corpora=[corpus], budget=budget, folder=folder, **settings)


class TestOptions:
    def test_defaults(self, monkeypatch, tmp_path):
        monkeypatch.setenv("GENSR_HOME", str(tmp_path))
        chosen = parse({"domain": "microscopy", "data": "a, b"})
        assert [str(path) for path in chosen.data[0]] == ["a", "b"]
        assert (chosen.name, chosen.output) == ("flow-microscopy-own", tmp_path)
        assert (chosen.minutes, chosen.batch, chosen.rate, chosen.sheet) == (60.0, 16, 1e-3, 10.0)
        assert not chosen.aligned
        assert parse({"domain": "faces", "data": "a"}).aligned
        assert parse({"domain": "faces", "data": "a", "init": "flow-own"}).rate == 3e-4

    def test_every_option_has_a_help(self):
        read = set(parse({"domain": "faces", "data": "a"}).__dataclass_fields__)
        assert {{"domain": "domains", "companion": "fallback"}.get(key, key) for key in FAMILY.train_options} == read

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"domain": ""}, "domain= is missing"),
            ({"data": " "}, "data= is missing"),
            ({"domain": "microscopy,satellite"}, "1 group(s) for 2 domain(s)"),
            ({"batch": "many"}, "batch=many: expected a number from 1 to 4096"),
            ({"batch": "2.5"}, "batch=2.5: expected a whole number"),
            ({"batch": "0"}, "batch=0"),
            ({"steps": "-3"}, "steps=-3"),
            ({"rate": "nan"}, "rate=nan"),
            ({"minutes": "inf"}, "minutes=inf"),
            ({"unit": "0"}, "unit=0"),
            ({"side": "8"}, "side=8"),
            ({"widths": "48,wide"}, "widths=48,wide: expected whole numbers"),
            ({"widths": "48,10"}, "multiples of 4"),
            ({"widths": "-8"}, "multiples of 4"),
            ({"widths": "8,8,8,8,8,8,8"}, "up to 6"),
            ({"aligned": "yes"}, "aligned=yes: expected true or false"),
            ({"low": "99", "high": "1"}, "low=99 high=1"),
            ({"low": "101"}, "low=101"),
            ({"init": "flow-own", "widths": "48"}, "widths=48: flow-own settles it"),
            ({"init": "flow-own", "aligned": "true"}, "aligned=true: flow-own settles it"),
        ],
    )
    def test_impossible_texts_are_named(self, change, words):
        with pytest.raises(UsageError) as caught:
            parse({"domain": "microscopy", "data": "a"} | change)
        assert words in str(caught.value)

    def test_what_lasts(self):
        given = {"domain": "faces", "data": "a", "steps": "3", "name": "x", "batch": "4 ", "unit": " "}
        assert lasting(given) == {"domain": "faces", "data": "a", "batch": "4"}


class TestPictures:
    def test_windows_of_fields(self, discs):
        images = discs(4, 40)
        source = Fields(images, Contrast(unit=255.0, jitter=0.0), 24, 0)
        assert len(source) == 4
        batch = source.batch(16)
        assert batch.shape == (16, 1, 24, 24)
        windows = [
            np.rot90(image[0], turn)[i : i + 24, j : j + 24] for image in images for turn in range(4)
            for i in range(17) for j in range(17)
        ]  # fmt: skip
        known = torch.from_numpy(np.stack([w for window in windows for w in (window, window[::-1])]) / 255)
        nearest = torch.cdist(batch.flatten(1), known.flatten(1)).min(1).values
        assert float(nearest.max()) < 0.02

    def test_percentiles_and_contrast(self, discs):
        source = Fields(discs(4, 40), Contrast(0, 100, jitter=0.0), 40, 0)
        plane = source.planes[0].float()
        assert (float(plane.min()), float(plane.max())) == pytest.approx((0, 1))
        same, other = (Fields(discs(4, 40), Contrast(0, 100, jitter=j), 40, 0).batch(64) for j in (0.0, 0.5))
        assert float(other.std((1, 2, 3)).std()) > 1.5 * float(same.std((1, 2, 3)).std())

    def test_nearly_empty_planes_are_left_out(self, discs):
        empty = np.zeros((1, 40, 40), np.float32)
        empty[0, 0, 0] = 1000.0
        empty[0, 1, :4] = 1.0
        assert len(Fields([*discs(2, 40), empty], Contrast(1, 99.9), 24, 0)) == 2

    def test_small_images_are_left_out_and_bands_are_planes(self, discs):
        assert len(Fields([*discs(2, 40, bands=3), *discs(1, 20)], Contrast(), 24, 0)) == 6

    def test_a_restart_draws_others(self, discs):
        for source in (Fields(discs(4), Contrast(), 24, 0), Sized(Aligned(discs(8), 255.0, 0), 40)):
            first = source.batch(8)
            source.restart(5)
            later = source.batch(8)
            source.restart(5)
            assert torch.equal(source.batch(8), later)
            assert not torch.equal(later, first)

    def test_aligned_pictures_and_their_mirror_images(self, discs):
        images = discs(3, 32, bands=3)
        source = Aligned(images, 255.0, 0)
        known = torch.from_numpy(np.stack([i for image in images for i in (image, image[..., ::-1])]) / 255)
        nearest = torch.cdist(source.batch(12).flatten(1), known.flatten(1)).min(1).values
        assert float(nearest.max()) < 0.1
        assert source.batch(2, 16).shape == (2, 3, 16, 16)
        assert Sized(source, 24).batch(2).shape == (2, 3, 24, 24)


class TestPairs:
    def test_shapes_shares_and_flux(self, discs):
        draw = torch.Generator().manual_seed(0)
        recipe = Recipe(((2, 0.5), (3, 0.5)), noisy=0.0, gaps=0.0, smooth=0.0, free=0.3, flux=True)
        source = Fixed(discs(64, 40))
        corpus = Corpus(source, recipe, Stretch(), measure(source, recipe, Stretch(), draw, 16), 32)
        factors = set()
        for _ in range(8):
            x, hint = pairs(corpus, 64, draw)
            assert x.shape == hint.base.shape == (64, 1, 32, 32)
            assert 0.1 < 1 - float(hint.given.mean()) < 0.5
            factor = int(hint.factor.max())
            factors.add(factor)
            assert float(x.max()) == pytest.approx(float(source.images.max()) * factor, rel=0.1)
            near = hint.given > 0
            assert float((hint.base - x)[near].abs().mean()) < 0.05 * factor
        assert factors == {2, 3}

    def test_measured_scales_are_deviations_from_the_interpolation(self, discs):
        draw = torch.Generator().manual_seed(0)
        scales = measure(Fixed(discs(64, 40)), Recipe(((2, 1.0),)), Stretch(), draw).by_factor
        assert list(scales) == [1, 2, 4, 8]
        assert scales[2] < scales[4] < scales[8] < scales[1]


class TestRun:
    def test_a_run_that_was_stopped_ends_like_one_that_was_not(self, corpus, tmp_path):
        """Weights, average, moments of the optimiser and random choices all go on."""
        whole = run_of(corpus, tmp_path / "a")
        whole(ignored, None)
        stopped = run_of(corpus, tmp_path / "b")
        assert not stopped.resume()
        with pytest.raises(KeyboardInterrupt):
            stopped(Stopped(5), None)
        stopped.save()
        again = run_of(corpus, tmp_path / "b")
        again.network.requires_grad_(True)
        assert again.resume()
        assert again.step == 5
        again(ignored, None)
        assert again.step == whole.step == 10
        for name, value in whole.network.state_dict().items():
            assert torch.equal(value, again.network.state_dict()[name])
            assert torch.equal(whole.average[name], again.average[name])

    def test_moments_lie_in_memory_as_their_parameters(self, corpus, tmp_path):
        run = run_of(corpus, tmp_path, 3)
        run(ignored, None)
        again = run_of(corpus, tmp_path, 3)
        again.resume()
        for before, after in zip(run.network.parameters(), again.network.parameters(), strict=True):
            for key, value in run.optimiser.state[before].items():
                restored = again.optimiser.state[after][key]
                assert torch.equal(value, restored)
                assert value.stride() == restored.stride()

    def test_the_average_follows(self, corpus, tmp_path):
        run = run_of(corpus, tmp_path, 5)
        start = {k: v.clone() for k, v in run.average.items()}
        run(ignored, None)
        own = run.network.state_dict()["head.weight"]
        moved, whole = (run.average["head.weight"] - start["head.weight"], own - start["head.weight"])
        assert 0 < float(moved.norm()) < float(whole.norm()) * 1.05

    def test_other_settings_are_refused_by_name(self, corpus, tmp_path):
        run_of(corpus, tmp_path, settings={"batch": "4", "data": "a"}).save()
        with pytest.raises(WeightsError, match="another data=, unit= stopped here"):
            run_of(corpus, tmp_path, settings={"batch": "4", "data": "b", "unit": "3"}).resume()
        assert run_of(corpus, tmp_path, settings={"batch": "4", "data": "a"}).resume()

    def test_checkpoints_of_other_networks_and_damaged_ones_are_refused(self, corpus, tmp_path):
        run = run_of(corpus, tmp_path)
        run.save()
        other = place(Network(Shape(1, 2, (8, 16), 1, 8)), "cpu")
        average = {k: v.clone() for k, v in other.state_dict().items()}
        with pytest.raises(WeightsError, match="remove it to begin anew"):
            load(run.path, {"network": (other, torch.optim.AdamW(other.parameters()))}, average)
        for content in (run.path.read_bytes()[:-20], b"", b"\x80\x02"):
            run.path.write_bytes(content)
            with pytest.raises(WeightsError, match="no checkpoint of these networks"):
                run_of(corpus, tmp_path).resume()

    def test_divergence_is_an_error_and_leaves_the_checkpoint(self, corpus, tmp_path):
        run = run_of(corpus, tmp_path)
        run.save()
        before = run.path.read_bytes()
        corpus.source.images[:] = torch.nan
        with pytest.raises(UsageError, match="not finite; give a smaller rate="):
            run(ignored, None)
        assert run.path.read_bytes() == before

    def test_log(self, corpus, tmp_path):
        (tmp_path / "log.csv").write_text("of an earlier run\n")
        seen = []
        run = run_of(corpus, tmp_path, 7)
        run.budget = replace(run.budget, log=3)
        run(lambda *done: seen.append(done), None)
        with (tmp_path / "log.csv").open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        assert list(rows[0]) == ["step", "minutes", "rate", "images_per_second", "loss", "blind", "variance"]
        assert [row["step"] for row in rows] == ["3", "6", "7"]
        assert all(np.isfinite(float(value)) for row in rows for value in row.values())
        assert seen == [(round(1000 * i / 7), 1000) for i in range(1, 8)]

    def test_time_ends_a_run(self, corpus, tmp_path):
        run = replace(run_of(corpus, tmp_path), budget=Budget(10**9, 0.005, 4, 1e-3))
        run(None, None)
        assert 1 <= run.step < 1000
        assert run.seconds >= 0.3


class TestTrain:
    def test_writes_a_registered_file(self, options, folder, monkeypatch):
        monkeypatch.setenv("GENSR_HOME", str(folder))
        path = train(options | {"licence": "CC0", "source": "made up", "companion": "gaussian-microscopy"}, ignored)
        assert path == folder / "flow-microscopy-own.safetensors"
        generator, stored = weights.load("flow-microscopy-own")
        card = stored.card
        assert (card.family, card.domain, card.bands, card.aligned) == ("flow", "microscopy", 1, False)
        assert (card.licence, card.data) == ("CC0", "made up")
        assert card.split == "12 images, 12 planes used, of discs.npz"
        assert card.unit == "percentile 1 of an image is 0, 99.9 is 1"
        assert "4 steps of 4 images (16 in all)" in card.recipe
        assert generator.settings.fallback == "gaussian-microscopy"
        assert generator.scaling == {"low": 1.0, "high": 99.9}
        assert generator.closed(Area(4))
        training = folder / "flow-microscopy-own.training"
        assert (training / "log.csv").is_file()
        assert not (training / "checkpoint.safetensors").exists()

    def test_the_same_options_make_the_same_weights(self, options):
        digests = [weights.read(train(options | {"name": name}, None)).tensors for name in ("a", "b")]
        assert all(torch.equal(value, digests[1][name]) for name, value in digests[0].items())

    def test_an_interrupted_run_leaves_a_checkpoint_and_goes_on(self, options, folder):
        with pytest.raises(KeyboardInterrupt):
            train(options, Stopped(3))
        assert not list(folder.glob("*.safetensors"))
        with pytest.raises(WeightsError, match="another batch= stopped here"):
            train(options | {"batch": "2"}, None)
        seen = []
        path = train(options | {"steps": "5"}, lambda done, total: seen.append(done))
        assert seen == [800, 1000]
        assert " 5 steps" in weights.read(path).card.recipe

    def test_it_tells_what_it_found_how_it_goes_and_that_the_data_have_changed(self, options, folder, discs):
        told = Told(3)
        with pytest.raises(KeyboardInterrupt):
            train(options, told)
        sheets = f"a sheet of samples every 10 minutes: {folder}/flow-microscopy-own.training/sheet*.png"
        found = "found 12 images of 40 x 40 pixels; none is held out, gensr calibrate wants others"
        assert told.facts == [found, sheets]
        told = Told(100)
        with pytest.raises(KeyboardInterrupt):
            train(options | {"steps": "5", "sheet": "0"}, Told(1))
        np.savez(folder / "discs.npz", np.concatenate(discs(14)))
        train(options | {"steps": "5", "sheet": "0"}, told)
        assert told.facts[1:] == [
            "the data have changed since this run was stopped: 12 images of 40 x 40 pixels before, "
            "14 images of 40 x 40 pixels now",
            "goes on from step 4",
        ]
        ((step, loss, speed),) = (
            re.fullmatch(r"step (\d+), loss ([\d.]+), (\S+) images/s", s).groups() for s in told.how
        )
        assert step == "5"
        assert 0 < float(loss) < 100
        assert float(speed) > 0

    def test_a_start_from_another_flow_keeps_scaling_and_pays(self, options, discs, monkeypatch):
        monkeypatch.setattr(training, "WARM_UP", 1)
        trained = train(
            options | {"name": "old", "steps": "100", "rate": "0.01", "batch": "8", "low": "0", "high": "100"}, None
        )
        few = options | {"steps": "3", "rate": "1e-4"}
        fresh, _ = weights.load(str(train(few | {"name": "fresh", "low": "0", "high": "100"}, None)))
        del few["widths"]
        onward, stored = weights.load(str(train(few | {"name": "onward", "init": str(trained)}, None)))
        assert onward.scaling == {"low": 0.0, "high": 100.0}
        assert onward.model.network.shape.widths == (8, 12)
        assert f"from {trained}" in stored.card.recipe
        x = torch.from_numpy(np.stack(discs(16, 40, seed=9)) / np.float32(255))
        noisy, sigma = x + 0.5 * torch.randn(x.shape), torch.full((16,), 0.5)
        error = [float((flow.denoise(noisy, sigma) - x).square().mean()) for flow in (fresh, onward)]
        assert error[1] < 0.7 * error[0]

    def test_a_start_from_another_family_is_refused(self, options):
        del options["widths"]
        with pytest.raises(UsageError, match="gaussian family; give a flow"):
            train(options | {"init": "gaussian-microscopy"}, None)

    def test_fluxes(self, options, folder, discs):
        options |= {"domain": "astronomy", "unit": "100"}
        generator, stored = weights.load(str(train(options, None)))
        assert not generator.stretch.linear
        assert generator.flux
        assert generator.scaling == {"unit": 100.0}
        assert stored.card.unit == "100 of the training values is 1, seen through asinh(x / 0.3)"
        for change, words in (
            ({"unit": ""}, "unit= is missing: astronomy values are fluxes"),
            ({"unit": "1e-6"}, "times that; give more"),
            ({"softening": "1e-12", "top": "1e12"}, "softening=1e-12 top=1e.12"),
        ):
            with pytest.raises(UsageError, match=words):
                train(options | change, None)
        assert FLUX_JITTER == 0.5

    def test_several_domains_share_a_network(self, options, folder):
        data = options["data"]
        given = options | {"domain": "microscopy,astronomy", "data": f"{data};{data}", "unit": "100"}
        generator, stored = weights.load(str(train(given, None)))
        assert stored.card.domain == "microscopy"
        assert stored.card.split.endswith("; trained together with astronomy")
        assert generator.stretch.linear
        assert generator.scaling == {"low": 1.0, "high": 99.9}

    def test_aligned_pictures(self, folder, discs):
        np.savez(folder / "faces.npz", np.stack(discs(12, 24, bands=3)))
        given = {"domain": "faces", "data": str(folder / "faces.npz"), "output": str(folder), "steps": "2"}
        generator, stored = weights.load(str(train(given | SMALL | {"side": "16"}, None)))
        assert (stored.card.bands, stored.card.aligned, stored.card.side) == (3, True, 16)
        assert generator.scaling == {"unit": 255.0}
        assert generator.serves(Area(2), (24, 24))
        with pytest.raises(UsageError, match="side=32: expected a multiple of 4 from 16 to 24"):
            train(given | SMALL, None)

    def test_sheets(self, options, folder):
        train(options | {"steps": "2", "sheet": "0.00001", "widths": "8"}, None)
        sheets = sorted((folder / "flow-microscopy-own.training").glob("*.png"))
        assert [path.name for path in sheets] == ["sheet0000001.png", "sheet0000002.png"]
        with Image.open(sheets[0]) as sheet:
            assert sheet.mode == "RGB"
            assert sheet.size == (7 * (32 + GAP), ROWS * (32 + GAP))
            pixels = np.asarray(sheet, float)
        blocks = pixels[:32, :32].reshape(32 // FACTOR, FACTOR, 32 // FACTOR, FACTOR, 3)
        assert float(np.ptp(blocks, (1, 3)).max()) == 0
        truth = pixels[:32, 4 * (32 + GAP) : 4 * (32 + GAP) + 32].reshape(blocks.shape)
        unclipped = (truth.min((1, 3)) > 0) & (truth.max((1, 3)) < 255)
        assert unclipped.any()
        assert np.abs(truth.mean((1, 3)) - blocks.mean((1, 3)))[unclipped].max() <= 1

    def test_no_sheets(self, options, folder):
        train(options | {"steps": "2", "sheet": "0"}, None)
        assert not list((folder / "flow-microscopy-own.training").glob("*.png"))


class TestUnsuitableData:
    def attempt(self, options, folder, words, images, error=UsageError, **change):
        np.savez(folder / "bad.npz", images)
        with pytest.raises(error, match=words):
            train(options | {"data": str(folder / "bad.npz")} | change, None)
        assert not list(folder.glob("*.safetensors"))

    def test_not_finite(self, options, folder, discs):
        for value in (np.nan, np.inf):
            images = np.concatenate(discs(12))
            images[4, 3, 3] = value
            self.attempt(options, folder, "image 5 of 12 holds NaN or infinity", images)

    def test_too_few(self, options, folder, discs):
        self.attempt(options, folder, "9 images are too few; give 10 or more", np.concatenate(discs(9)))

    def test_too_small(self, options, folder, discs):
        images = np.concatenate(discs(12, 24))
        self.attempt(options, folder, "no image holds a window of 32 pixels; give side= of 24 or less", images)

    def test_a_side_that_the_levels_do_not_divide(self, options, folder, discs):
        images = np.concatenate(discs(12))
        self.attempt(options, folder, "side=32: expected a multiple of 64", images, widths="8,8,8,8,8,8")

    def test_nearly_empty(self, options, folder):
        images = np.zeros((12, 40, 40), np.float32)
        images[:, 0, 0], images[:, 1, :4] = 1000.0, 1.0
        self.attempt(options, folder, "all images are nearly empty", images)

    def test_aligned_pictures_of_other_shapes(self, options, folder, discs):
        images = np.stack([image[:, :32] for image in discs(12)])
        for change in ({}, {"bands": "3"}):
            self.attempt(options, folder, "square pictures of one size", images, aligned="true", **change)

    def test_black_pictures(self, options, folder):
        self.attempt(options, folder, "no picture has a value above 0", np.zeros((12, 32, 32)), aligned="true")

    def test_damaged_and_missing(self, options, folder):
        with zipfile.ZipFile(folder / "bad.zip", "w") as archive:
            archive.writestr("a.png", b"no picture")
        for name, error in (("bad.zip", FormatError), ("none.npz", UsageError)):
            with pytest.raises(error):
                train(options | {"data": str(folder / name)}, None)

    def test_a_companion_that_is_not_installed(self, options):
        with pytest.raises(UsageError, match="companion=nobody is not installed"):
            train(options | {"companion": "nobody"}, None)

    def test_images_of_window_size_still_serve(self, options, folder, discs):
        """Without a margin for all phases only factors that divide the window are trained."""
        np.savez(folder / "bad.npz", np.concatenate([*discs(11, 32)]))
        path = train(options | {"data": str(folder / "bad.npz")}, None)
        assert weights.read(path).card.split.startswith("11 images, 11 planes used")


class TestCommand:
    def test_trains_and_names_the_file(self, options, folder, capsys):
        words = [f"{key}={value}" for key, value in (options | {"name": "cells"}).items()]
        assert main(["train", "generator=flow", *words]) == 0
        said = capsys.readouterr()
        path = folder / "cells.safetensors"
        assert said.out == f"wrote {path}; try gensr upsample INPUT generator={path}\n"
        assert path.is_file()

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["domain=microscopy"], "data= is missing; try gensr train generator=flow"),
            (["domain=microscopy", "data=nowhere"], "data=nowhere: no such file or folder"),
            (["domain=microscopy", "data=a", "with=48"], "unknown key 'with'"),
            (["domain=microscopy", "data=a", "minutes=soon"], "minutes=soon: expected a number"),
        ],
    )
    def test_wrong_usage_is_one_line(self, words, expected, capsys):
        assert main(["train", "generator=flow", *words]) == 2
        said = capsys.readouterr()
        assert expected in said.err
        assert len(said.err.splitlines()) == 1

    def test_help_names_every_option(self, capsys):
        assert main(["train", "--help"]) == 0
        out = capsys.readouterr().out
        assert all(f"{key}=" in out for key in FAMILY.train_options)
