"""Labels are told from images by their pixels and by what the file says; add kinds to `tests/kinds.py`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gensr.values.labels import judge, named
from gensr.values.plateaus import MOST_VALUES, measure
from tests.kinds import IMAGES, LABELS, nuclei, smooth


def blocks(codes):
    return [(codes, np.isfinite(codes))]


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_found_by_their_pixels(kind):
    verdict = judge(blocks(LABELS[kind]()))
    assert verdict.labels
    assert "connected areas" in verdict.reason


@pytest.mark.parametrize("kind", IMAGES)
def test_images_are_images(kind):
    assert judge(blocks(IMAGES[kind]())) == judge([], ())


@pytest.mark.parametrize(
    "kind", ["4 bits", "8 bits", "noise", "photon counts, mean 2", "fractions in areas", "stars, bright"]
)
def test_a_name_does_not_make_labels_of_an_image(kind):
    verdict = judge(blocks(IMAGES[kind]()), ["cells_mask.tif"])
    assert not verdict.labels
    assert verdict.reason == "its name says 'mask', but its values are those of an image"


@pytest.mark.parametrize("kind", ["dark, 3 levels, no noise", "heights in plateaus", "constant"])
def test_a_name_decides_where_pixels_could_be_both(kind):
    assert judge(blocks(IMAGES[kind]()), ["x", "tissue dseg"]).reason == "its name says 'dseg'"


def test_proof_counts_whatever_the_pixels_are():
    noise = blocks(IMAGES["noise"]())
    assert judge(noise, declared="a palette").labels
    assert judge(noise, ["LC08_QA_PIXEL.TIF"]).reason == "QA_PIXEL holds classes or bits"


@pytest.mark.parametrize(
    ("name", "word"),
    [("sub-01_aseg_dseg.nii.gz", "aseg"), ("SEGMAP", "segmap"), ("QA_PIXEL", "qa"), ("cloud mask", "mask"),
     ("CloudMask", "mask"),
     ("brainmask", "brainmask"), ("land-cover", "land_cover"), ("aparc+aseg", "aparc"), ("image_labels_07", "labels"),
     ("T1w", ""), ("segment 3", ""), ("classic", ""), ("massachusetts", ""), ("unmasked", ""), ("B8A", "")],
)  # fmt: skip
def test_words_of_names(name, word):
    assert named(["scene", name]) == word


def test_invalid_pixels_say_nothing():
    codes = smooth(96, 4, 1)
    codes[:, 40:] = np.nan
    codes[codes < 0.4] = np.nan
    assert not judge(blocks(np.rint(codes * 200))).labels
    codes = nuclei(96, 30, 1).astype(float)
    codes[rows := slice(10, 50), rows] = np.nan
    assert judge(blocks(codes)).labels
    seen = measure([(codes, np.zeros(codes.shape, bool))])
    assert (seen.pixels, seen.values.size) == (0, 0)


def test_blocks_with_too_many_values_are_left_out():
    many = np.arange(2 * MOST_VALUES).reshape(64, -1)
    few = nuclei(128, 20, 1)
    assert measure([*blocks(many), *blocks(few)]).values.size == np.unique(few).size
    assert measure(blocks(many)).values.size == 0
    assert not judge(blocks(many)).labels


def by_hand(codes):
    """The measures of an image, pixel by pixel."""
    rows, cols = codes.shape
    values = sorted(set(codes.ravel()))
    rank = {value: k for k, value in enumerate(values)}
    pairs = edges = lines = steps = jumps = distance = 0
    at_edges, alone = [], set(np.ndindex(rows, cols))
    for dr, dc in ((0, 1), (1, 0)):
        for r, c in np.ndindex(rows - dr, cols - dc):
            a, b = rank[codes[r, c]], rank[codes[r + dr, c + dc]]
            pairs += 1
            if a == b:
                alone -= {(r, c), (r + dr, c + dc)}
                continue
            edges, distance, at_edges = edges + 1, distance + abs(a - b), [*at_edges, a, b]
            before, after = (r - dr, c - dc), (r + 2 * dr, c + 2 * dc)
            if min(before) < 0 or after[0] >= rows or after[1] >= cols:
                continue
            flat = rank[codes[before]] == a and rank[codes[after]] == b
            lines, steps, jumps = lines + 1, steps + flat, jumps + (flat and abs(a - b) > 1)
    share = [float((codes == value).mean()) for value in values]
    unlike = [abs(a - b) for a in at_edges for b in at_edges if a != b]
    modal = values[int(np.argmax(share))]
    return {
        "edges": edges,
        "commonest": max(share),
        "clumped": edges / pairs / (1 - sum(p * p for p in share)),
        "lonely": sum(codes[place] != modal for place in alone) / float((codes != modal).sum()),
        "steps": steps / lines,
        "jumps": jumps / lines,
        "reach": distance / edges / float(np.mean(unlike)),
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_measures_agree_with_counting_by_hand(seed):
    codes = nuclei(22, 9, seed) * 7
    codes[2, 3:9], codes[5] = [1, 1, 2, 9, 9, 40], 3
    seen = measure(blocks(codes))
    assert {name: getattr(seen, name) for name in by_hand(codes)} == pytest.approx(by_hand(codes))


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_real_sky_in_few_levels_is_an_image(bits):
    """Galaxies that are hardly resolved have steep, small cores: the images nearest to labels that were met."""
    from astropy.io import fits

    places = [Path(os.environ["GENSR_SHARED"])] if "GENSR_SHARED" in os.environ else []
    places += [parent / "shared" for parent in Path(__file__).parents]
    found = [p for p in (place / "samples/astronomy/hst_acs_cosmos_f814w.fits" for place in places) if p.is_file()]
    if not found:
        pytest.skip("shared/samples is not here")
    with fits.open(found[0]) as hdus:
        data = next(hdu.data for hdu in hdus if hdu.data is not None and hdu.data.ndim == 2).astype(np.float64)
    low, high = np.nanpercentile(data, [0.1, 99.9])
    for top in (high, high / 5):
        field = np.clip((np.nan_to_num(data) - low) / (top - low), 0, 1)
        assert not judge(blocks(np.rint(field * (2**bits - 1)))).labels
