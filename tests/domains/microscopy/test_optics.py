"""Optics of a microscope: the width that OME implies, the one that beads show, and what cannot be told."""

from contextlib import closing
from xml.dom import minidom

import numpy as np
import pytest
import tifffile

from gensr.domains.microscopy import Microscopy
from gensr.domains.microscopy.optics import find_optics
from gensr.errors import DomainError
from gensr.operators import Area, GaussianPSF

GREEN = {"EmissionWavelength": "520", "Name": "GFP"}
NOTHING = {"psf": None, "psf_fwhm": None}


def ome(*channels, objectives='<Objective ID="Objective:0" LensNA="1.4"/>', used="Objective:0"):
    said = f'<ObjectiveSettings ID="{used}"/>' if used else ""
    told = "".join("<Channel " + " ".join(f'{k}="{v}"' for k, v in c.items()) + "/>" for c in channels)
    return (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Instrument ID="Instrument:0">{objectives}'
        f'</Instrument><Image ID="Image:0">{said}<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="24" '
        f'SizeY="20" SizeC="{len(channels)}" SizeZ="1" SizeT="1" PhysicalSizeX="0.1" PhysicalSizeY="0.1">'
        f"{told}<TiffData/></Pixels></Image></OME>"
    )


def image(*channels, **more):
    return minidom.parseString(ome(*channels, **more)).getElementsByTagName("Image")[0]


def found(element, pixel=(0.1, 0.1), **options):
    return find_optics(element, pixel, NOTHING | options)


def test_wide_field_and_confocal_widths():
    wide = found(image(GREEN), psf="own")
    assert wide.sigma == pytest.approx(0.21 * 0.52 / 1.4 / 0.1)
    assert "NA 1.4" in wide.origin
    mode = {"AcquisitionMode": "LaserScanningConfocalMicroscopy"}
    confocal = found(image(GREEN | mode | {"ExcitationWavelength": "488"}), psf="own")
    assert confocal.sigma**-2 == pytest.approx((0.21 * 5.2 / 1.4) ** -2 + (0.21 * 4.88 / 1.4) ** -2)


def test_units_of_wavelengths_and_the_objective_that_was_used():
    metres = {"EmissionWavelength": "0.52", "EmissionWavelengthUnit": "µm"}
    two = '<Objective ID="Objective:0" LensNA="0.3"/><Objective ID="Objective:1" LensNA="1.4"/>'
    assert found(image(metres, objectives=two, used="Objective:1"), psf="own").sigma == pytest.approx(0.78)
    with pytest.raises(DomainError, match="not which was used"):
        found(image(GREEN, objectives=two, used=""), psf="own")


@pytest.mark.parametrize(("text", "pixels"), [("2.5", 2.5), ("0.25um", 2.5), ("250 nm", 2.5), (2.5, 2.5)])
def test_a_width_of_the_user_holds_the_pixel(text, pixels):
    sigma = found(None, psf_fwhm=text).sigma
    assert sigma**2 + 1 / 12 == pytest.approx((pixels / 2.3548) ** 2, rel=1e-4)


@pytest.mark.parametrize(
    ("element", "options", "message"),
    [
        (None, {"psf": "own"}, "only OME files"),
        (image({"Name": "a"}), {"psf": "own"}, "'a' says no emission wavelength"),
        (image(GREEN, objectives=""), {"psf": "own"}, "names no aperture"),
        (image(GREEN, objectives='<Objective ID="Objective:0" LensNA="14"/>'), {"psf": "own"}, "aperture of 14"),
        (image(GREEN, {"EmissionWavelength": "600"}), {"psf": "own"}, "0.184, 0.212 um"),
        (image(GREEN | {"AcquisitionMode": "STED"}), {"psf": "own"}, "is of STED"),
        (image(GREEN | {"AcquisitionMode": "SpinningDiskConfocal"}), {"psf": "own"}, "no excitation wavelength"),
        (image(GREEN | {"EmissionWavelength": "520000"}), {"psf": "own"}, "none of light"),
        (None, {"psf": "beads.tif"}, "operator=psf:FILE"),
        (None, {"psf": "own", "psf_fwhm": "2"}, "keep one"),
        (None, {"psf_fwhm": "wide"}, "is no width"),
        (None, {"psf_fwhm": "0.5"}, "below the width of a pixel"),
        (None, {"psf_fwhm": "2 bananas"}, "is no width"),
    ],
)
def test_what_cannot_be_told_is_refused(element, options, message):
    with pytest.raises(DomainError, match=message):
        found(element, **options)


def test_pixels_that_are_not_square_or_have_no_size():
    with pytest.raises(DomainError, match="not square"):
        found(image(GREEN), (0.1, 0.2), psf="own")
    with pytest.raises(DomainError, match="no pixel size"):
        found(None, (None, None), psf_fwhm="0.3um")


def test_the_scene_of_a_file_undoes_them_and_says_so(tmp_path):
    path = tmp_path / "cells.ome.tif"
    pixels = np.random.default_rng(0).integers(1, 9999, (20, 24), dtype=np.uint16)
    tifffile.imwrite(path, pixels, description=ome(GREEN), metadata=None)
    with closing(Microscopy().open(path, {"psf": "own"})) as scene:
        operator = scene.operator((2, 2))
        assert isinstance(operator, GaussianPSF)
        assert operator.sigma == pytest.approx(0.78)
        assert "NA 1.4" in scene.metadata()["operator"]
    with closing(Microscopy().open(path, {})) as plain:
        assert type(plain.operator((2, 2))) is Area
        assert "no point spread function" in plain.metadata()["operator"]
    with closing(Microscopy().open(path, {"psf_fwhm": "0.25um"})) as wide:
        assert wide.operator((2, 2)).sigma == pytest.approx((2.5**2 / 2.3548**2 - 1 / 12) ** 0.5, rel=1e-4)
