"""The words of srcwin= and bounds=: what they mean and what is refused."""

import pytest

from gensr.errors import UsageError
from gensr.pipeline.request import Request
from gensr.values.area import Area, parse_bounds, parse_srcwin
from gensr.values.grid import Affine, PixelGrid, Window


@pytest.mark.parametrize("value", ["3,2,10,5", " 3, 2 ,10,5", (3, 2, 10, 5), [3, 2, 10, 5]])
def test_srcwin_counts_columns_first(value):
    assert parse_srcwin(value) == Window(row=2, col=3, rows=5, cols=10)


@pytest.mark.parametrize(
    "value", ["", "1,2,3", "1,2,3,4,5", "-1,0,3,3", "0,0,0,5", "0,0,5,0", "0.5,0,3,3", "a,b,c,d", "nan,0,3,3", (1, 2)]
)
def test_srcwin_refused(value):
    with pytest.raises(UsageError, match=r"^srcwin=.*expected xoff,yoff,xsize,ysize"):
        Area(srcwin=value)


@pytest.mark.parametrize(
    "value", ["1,2,0arcsec", "1,2,-3", "0,5,5,5", "5,0,5,5", "0,0,inf,5", "a,0,1,1", "1,2,3mm", "", "1,2"]
)
def test_bounds_refused(value):
    with pytest.raises(UsageError, match=r"^bounds="):
        Area(bounds=value)


def test_units_of_angle():
    assert parse_bounds("1,2,3").box() == (-0.5, 0.5, 2.5, 3.5)
    assert parse_bounds("1,2,90arcsec").size == pytest.approx(0.025, rel=1e-15)
    assert parse_bounds("1,2,3arcmin").size == pytest.approx(0.05, rel=1e-15)
    assert parse_bounds("1,2,0.1deg").size == 0.1
    assert parse_bounds("1,2,0.1deg").angle
    assert not parse_bounds("1,2,0.1").angle


def test_both_are_refused():
    with pytest.raises(UsageError, match="two ways to say one thing"):
        Request("a.tif", srcwin="0,0,1,1", bounds="0,0,1,1")


def test_pixels_of_a_turned_grid():
    grid = PixelGrid((20, 30), Affine(6.0, 2.0, 100.0, 1.0, -8.0, 50.0))
    assert grid.to_pixel(*grid.to_frame(4.25, 7.5)) == pytest.approx((4.25, 7.5), abs=1e-12)
