"""Plans of the exactly known generator, so that a whole run takes milliseconds."""

import numpy as np
import pytest

from gensr.pipeline.request import Request
from gensr.pipeline.settle import settle_scene
from gensr.pipeline.task import Prior
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.product import ThroughPlane
from gensr.values.normalise import AffineNormaliser


class Volume(ArrayScene):
    """An array whose planes may be slices of volumes; physical values are generator units times 100."""

    through = None

    def through_plane(self, factor):
        return self.through

    def normaliser(self):
        return AffineNormaliser((100.0,) * len(self.bands), (0.0,) * len(self.bands))


@pytest.fixture
def plan(monkeypatch, white):
    """A plan for an array: ``through`` is (slices, factor); other words are those of the request."""

    def make(array, generator=None, through=None, domain="array", **words):
        prior = Prior(generator or white("posterior", "draw"), None, "cpu")  # no evidence: the contrast stays
        monkeypatch.setattr("gensr.pipeline.settle.choose_prior", lambda wanted: (prior, "for the test"))
        scene = Volume(np.asarray(array))
        scene.through = None if through is None else ThroughPlane(*through)
        request = Request(source="array", **{"factor": 2, "noise": 5.0, "samples": 0, **words})
        return settle_scene(scene, domain, "array", request)

    return make
