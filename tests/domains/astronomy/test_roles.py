"""Which HDU is what: names, cards and order as the observatories write them, and which image a companion belongs to."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from gensr.domains.astronomy.container import Container
from gensr.domains.astronomy.hdus import choose, companions
from gensr.domains.astronomy.roles import Role, deviation, roles
from gensr.values.grid import Window

IMAGE = np.arange(48, dtype=np.float32).reshape(6, 8)
FLAGS = np.zeros((6, 8), np.int32)
RUBIN = {"MP_BAD": 0, "MP_SAT": 1}


def hdu(data, name=None, version=None, **cards):
    made = fits.ImageHDU(data)
    if name is not None:
        made.header["EXTNAME"] = name
    if version is not None:
        made.header["EXTVER"] = version
    made.header.update(cards)
    return made


@pytest.fixture
def layers(tmp_path):
    def make(*hdus):
        path = tmp_path / "file.fits"
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
        return Container(path).layers

    return make


@pytest.mark.parametrize(
    ("name", "cards", "role"),
    [
        ("SCI", {}, Role.SCIENCE),
        ("ERR", {}, Role.ERROR),
        ("UNCERT", {}, Role.ERROR),
        ("UNCERT", {"UTYPE": "StdDevUncertainty"}, Role.ERROR),
        ("UNCERT", {"UTYPE": "VarianceUncertainty"}, Role.VARIANCE),
        ("UNCERT", {"UTYPE": "InverseVariance"}, Role.INVERSE_VARIANCE),
        ("UNCERT", {"UTYPE": "UnknownUncertainty"}, Role.WEIGHT),
        ("STAT", {}, Role.VARIANCE),
        ("IVAR", {}, Role.INVERSE_VARIANCE),
        ("VAR_POISSON", {}, Role.WEIGHT),
        ("WHT", {}, Role.WEIGHT),
        ("AREA", {}, Role.WEIGHT),
        (None, {"EXTTYPE": "IMAGE"}, Role.SCIENCE),
        (None, {"EXTTYPE": "VARIANCE"}, Role.VARIANCE),
        ("CCDID 1-1.RMS", {}, Role.ERROR),
        ("IFU.1.NOISE", {}, Role.ERROR),
        ("IFU.1.DATA", {}, Role.UNKNOWN),
        ("SEGMAP", {}, Role.LABELS),
        ("CHIP", {}, Role.UNKNOWN),
        (None, {}, Role.UNKNOWN),
        ("OBSERR", {}, Role.UNKNOWN),
    ],
)
def test_roles_of_float_images(name, cards, role, layers):
    assert roles(layers(hdu(IMAGE, name, **cards)))[1].role is role


@pytest.mark.parametrize(
    ("kind", "form", "role"),
    [
        ("DATA", "", Role.SCIENCE),
        ("ERROR", "RMSE", Role.ERROR),
        ("ERROR", "MSE", Role.VARIANCE),
        ("ERROR", "INVMSE", Role.INVERSE_VARIANCE),
        ("ERROR", "INVRMSE", Role.INVERSE_ERROR),
        ("ERROR", "STRANGE", Role.UNKNOWN),
        ("QUALITY", "FLAG32BIT", Role.FLAGS),
        ("QUALITY", "MASKZERO", Role.FLAGS),
        ("QUALITY", "MASKONE", Role.WEIGHT),
    ],
)
def test_roles_of_eso(kind, form, role, layers):
    cards = {"HDUCLASS": "ESO", "HDUCLAS1": "IMAGE", "HDUCLAS2": kind, "HDUCLAS3": form}
    assert roles(layers(hdu(FLAGS, "lm.x", **cards)))[1].role is role
    assert roles(layers(hdu(FLAGS, "lm.x", **{**cards, "HDUCLASS": "OGIP"})))[1].role is Role.UNKNOWN


def test_rubin_by_cards_and_by_order(layers):
    by_cards = layers(
        hdu(IMAGE, EXTTYPE="IMAGE"), hdu(FLAGS, EXTTYPE="MASK", **RUBIN), hdu(IMAGE + 9, EXTTYPE="VARIANCE")
    )
    by_order = layers(hdu(IMAGE), hdu(FLAGS, **RUBIN), hdu(IMAGE + 9))
    for found in (by_cards, by_order):
        chosen = choose(found, None, "file.fits")
        own = companions(found, chosen)
        assert (chosen.index, own.flags.index, own.noise.index) == (1, 2, 3)
        assert own.noise_role is Role.VARIANCE
        assert own.left == ()
    unmarked = layers(hdu(IMAGE), hdu(FLAGS), hdu(IMAGE + 9))
    assert companions(unmarked, choose(unmarked, None, "file.fits")).noise is None


def numbers(found, option):
    chosen = choose(found, option, "file.fits")
    own = companions(found, chosen)
    return [None if x is None else x.index for x in (chosen, own.noise, own.flags)]


def test_companions_by_version(layers):
    found = layers(*(hdu(IMAGE, name, version) for name in ("SCI", "ERR") for version in (1, 2)))
    assert numbers(found, "SCI,1") == [1, 3, None]
    assert numbers(found, "SCI,2") == [2, 4, None]


def test_companions_by_the_beginning_of_their_name(layers):
    parts = [(IMAGE, "SCI"), (IMAGE, "RMS"), (FLAGS, "FLG")]
    found = layers(*(hdu(data, f"{chip}.{word}") for chip in ("1-1", "1-2") for data, word in parts))
    assert numbers(found, "1-1.SCI") == [1, 2, 3]
    assert numbers(found, "1-2.SCI") == [4, 5, 6]


def test_companions_by_order_where_nothing_else_tells(layers):
    triple = [hdu(IMAGE, EXTTYPE="IMAGE"), hdu(FLAGS, EXTTYPE="MASK"), hdu(IMAGE, EXTTYPE="VARIANCE")]
    found = layers(*triple, *(h.copy() for h in triple))
    assert numbers(found, 1) == [1, 3, 2]
    assert numbers(found, 4) == [4, 6, 5]
    chips = layers(hdu(IMAGE, "N29"), hdu(IMAGE, "ERR"), hdu(IMAGE, "N30"), hdu(IMAGE, "ERR"))
    assert numbers(chips, "N29") == [1, 2, None]
    assert numbers(chips, "N30") == [3, 4, None]


def test_one_error_map_behind_another_image_is_still_of_the_first(layers):
    found = layers(hdu(IMAGE, "SKY"), hdu(IMAGE, "MODEL"), hdu(IMAGE, "ERR"))
    assert numbers(found, None) == [1, 3, None]


def test_companions_that_eso_names(layers):
    eso = {"HDUCLASS": "ESO", "HDUCLAS1": "IMAGE"}
    error = {**eso, "HDUCLAS2": "ERROR", "HDUCLAS3": "MSE"}
    found = layers(
        hdu(IMAGE, "A", HDUCLAS2="DATA", **eso),
        hdu(IMAGE, "B", HDUCLAS2="DATA", **eso),
        hdu(IMAGE, "Q", SCIDATA="B", **error),
        hdu(IMAGE, "P", SCIDATA="A", **error),
    )
    assert numbers(found, "A") == [1, 4, None]
    assert numbers(found, "B") == [2, 3, None]


def test_labels_are_chosen_last(layers):
    found = layers(hdu(FLAGS, "SEGMAP"), hdu(IMAGE, "CHIP"))
    assert choose(found, None, "file.fits").name == "CHIP"
    assert choose(found[:2], None, "file.fits").name == "SEGMAP"


@pytest.mark.parametrize(
    ("role", "stored"),
    [(Role.ERROR, 0.5), (Role.VARIANCE, 0.25), (Role.INVERSE_VARIANCE, 4.0), (Role.INVERSE_ERROR, 2.0)],
)
def test_deviations(role, stored):
    found = deviation(role, np.array([stored, 0.0, -1.0, np.inf, np.nan]))
    assert found[0] == pytest.approx(0.5)
    assert np.isnan(found[1:]).all()


def test_rubin_planes_reach_values_and_noise(opened, fits_file):
    flags = FLAGS.copy()
    flags[3] = 1
    flags[4] = 2
    more = [
        hdu(IMAGE, EXTTYPE="IMAGE", BUNIT="nJy"),
        hdu(flags, EXTTYPE="MASK", **RUBIN),
        hdu(IMAGE * 0 + 9, EXTTYPE="VARIANCE"),
    ]
    scene = opened(fits_file(None, more=more))
    image = scene.read(0, Window(0, 0, 6, 8))
    assert (~image.valid[0]).any(1).tolist() == [False, False, False, True, False, False]
    assert (~image.usable[0]).any(1).tolist() == [False, False, False, True, True, False]
    assert np.allclose(image.variance[image.usable], 9.0)
    assert scene.noise().describe()["median sigma"] == pytest.approx(3.0)


def test_rubin_planes_of_the_case_from_the_field(opened, cases):
    scene = opened(cases / "lsst_exttype.fits")
    bad = ~scene.read(0, Window(0, 0, 64, 64)).valid[0]
    assert bad.any(1).sum() == bad.all(1).sum() == 1
    assert scene.noise().describe()["median sigma"] == pytest.approx(3.0)


def test_unnamed_companions_have_names_in_the_output(refined, fits_file):
    flags = FLAGS.copy()
    flags[3] = 1
    more = [hdu(IMAGE), hdu(flags, **RUBIN), hdu(IMAGE * 0 + 9)]
    with fits.open(refined(fits_file(None, more=more))[0]) as hdus:
        assert np.array_equal(hdus["VARIANCE_LR"].data, IMAGE * 0 + 9)
        assert np.array_equal(hdus["MASK_SRC"].data, flags.repeat(2, 0).repeat(2, 1))
        assert np.isnan(hdus[0].data[6:8]).all()
