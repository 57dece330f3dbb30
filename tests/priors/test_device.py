"""Where generators compute, and in which precision."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

import gensr
from gensr.errors import UsageError
from gensr.pipeline import reconstruct
from gensr.pipeline.record import digests
from gensr.pipeline.request import Request
from gensr.pipeline.task import Prior
from gensr.priors import weights
from gensr.priors.device import placed, rounding
from gensr.priors.grey import Grey
from gensr.priors.unet import fast_half

NETWORKS = ("engression-astronomy", "engression-field", "engression-faces")
FAST = "bfloat16" if fast_half("cpu") else "float32"
IMAGE = np.random.default_rng(2).normal(100, 9, (20, 24)).astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_compute_in_what_is_fast_or_in_float32(name):
    stored = weights.load(name)[0]
    fast, exact = placed(stored, "cpu"), placed(stored, "cpu", "float32")
    assert (fast.precision, exact.precision) == (FAST, "float32")
    assert (fast.model.half, exact.model.half) == (FAST == "bfloat16", False)
    assert exact.model.network is fast.model.network  # nothing is copied
    assert exact.card == fast.card
    assert exact.to("cpu").precision == exact.precise().precision == "float32"


@pytest.mark.parametrize("name", ["gaussian-satellite", "style-faces"])
def test_what_computes_in_float32_already_is_left_alone(name):
    stored = weights.load(name)[0]
    assert placed(stored, "cpu", "float32") is stored.to("cpu")
    assert stored.precision == "float32"


def test_the_luminance_of_a_generator_is_as_precise_as_that(monkeypatch):
    grey = Grey(weights.load("style-faces")[0])
    assert isinstance(placed(grey, "cpu", "float32"), Grey)
    monkeypatch.setattr(type(grey.colour), "precision", "float16")
    assert grey.precision == "float16"


def test_a_prior_takes_its_precision_along():
    stored = weights.load("engression-field")
    reference = weights.reference("engression-field", stored[1])
    for precision, found in (("auto", FAST), ("float32", "float32")):
        again = pickle.loads(pickle.dumps(Prior(stored[0], reference, "cpu", precision=precision)))
        assert (again.precision, again.generator.precision) == (precision, found)


@pytest.mark.parametrize("before", [True, False])
def test_convolutions_on_gpus_round_as_the_user_says_and_only_meanwhile(before, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    for precision, inside in (("auto", before), ("float32", False)):
        with rounding(precision):
            assert torch.backends.cudnn.allow_tf32 is inside
        assert torch.backends.cudnn.allow_tf32 is before
    with pytest.raises(ZeroDivisionError), rounding("float32"):
        raise ZeroDivisionError
    assert torch.backends.cudnn.allow_tf32 is before


@pytest.mark.parametrize(("precision", "found"), [("auto", FAST), ("float32", "float32")])
def test_a_run_computes_and_reports_what_was_asked(precision, found, monkeypatch):
    seen = []
    answer = reconstruct.answer

    def watched(generator, *words):
        seen.append((generator.precision, torch.backends.cudnn.allow_tf32))
        return answer(generator, *words)

    monkeypatch.setattr(reconstruct, "answer", watched)
    words = {"domain": "satellite", "generator": "engression-field", "factor": 2, "search": "fast", "samples": 0}
    result = gensr.upsample(IMAGE, precision=precision, **words)
    assert seen == [(found, torch.backends.cudnn.allow_tf32 and precision == "auto")]
    assert result.report["precision"] == found


def test_precision_decides_what_comes_out_and_other_words_are_refused():
    one, two = (digests(Request(IMAGE, precision=p), "satellite", "")["request"] for p in ("auto", "float32"))
    assert one != two
    with pytest.raises(UsageError, match="precision=float16: expected auto or float32"):
        Request(IMAGE, precision="float16")
