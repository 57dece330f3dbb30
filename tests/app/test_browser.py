"""The page in a browser, as a visitor sees it: headless Chromium, every request written down.

Skipped where there is no Playwright or no Chromium; it uses that of the system, its own is not downloaded.
"""

from __future__ import annotations

import shutil
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed (pip install 'gensr[browser]')"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
    pytest.mark.slow,
]
LONG = 90_000
"""Milliseconds that an answer may take."""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        found = play.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()


@pytest.fixture
def visit(browser, served):
    """Opens a page of its own; in the end no request of any has left the machine, and no script has failed."""
    contexts, asked, errors = [], [], []

    def one():
        context = browser.new_context(viewport={"width": 1280, "height": 1100}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LONG)
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(served.address)
        page.wait_for_selector("#start")
        return page

    yield one
    for context in contexts:
        context.close()
    assert asked
    strange = [
        url for url in asked if urlsplit(url).scheme not in ("data", "blob") and not url.startswith(served.address)
    ]
    assert strange == []
    assert errors == []


def says(page, text):
    page.wait_for_selector(f"#status >> text={text}")


def drop(page, path):
    page.set_input_files("#upload input[type=file]", path)


def choose(page, where, value):
    page.click(f"#{where} input")
    page.click(f"ul[role=listbox] >> text='{value}'")


def spoil(page, kind, amount):
    """Choose what is done to the input, and wait until its slider stands where it does no harm."""
    page.click("#spoil")
    page.check(f"#kind input[value={kind}]")
    page.wait_for_function(f"document.querySelector('#amount input[type=number]').value == {amount}")


def answers(page, count):
    page.fill("#answers input[type=number]", str(count))
    page.press("#answers input[type=number]", "Tab")


def downloaded(page, folder):
    with page.expect_download() as waiting:
        page.click("#files a >> nth=0")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_a_photograph_is_blurred_and_answered_four_times(visit, images, tmp_path):
    page = visit()
    drop(page, images["photo.png"])
    says(page, "photo.png: faces, 16 x 16 pixels")
    spoil(page, "blur", 1.5)
    answers(page, 4)
    choose(page, "factor", 2)
    page.click("#start")
    says(page, "Answered in")
    assert page.locator("#sheet figure").count() == 4
    assert "explains its data" in page.inner_text("#sheet")
    assert "Not for identification" in page.inner_text("#words")
    assert "blurred with a Gaussian of 1.5 px" in page.inner_text("#words")
    page.wait_for_function(
        "[...document.querySelectorAll('#stage img')].every(i => i.complete && i.naturalWidth == 32)"
    )
    for name in ("std", "agreement", "answer 3"):
        page.check(f"#right input[value='{name}']")
        page.wait_for_selector(f"#stage img[alt='{name}']")
    page.check("#left input[value=Lanczos]")
    page.wait_for_selector("#stage img.over[alt=Lanczos]")
    page.fill("#stage input[type=range]", "80")
    cut = "getComputedStyle(document.querySelector('#stage .gensr-stage')).getPropertyValue('--cut')"
    assert page.evaluate(cut) == "80%"
    path = downloaded(page, tmp_path)
    assert path.name == "photo_blurred1.5_x2_generated.png"
    with Image.open(path) as picture:
        assert (picture.size, picture.format) == ((32, 32), "PNG")
        assert "Contains generated detail" in picture.info["Comment"]


def test_a_face_is_found_ticked_and_answered(visit, crowd, tmp_path):
    """Numbers over the photo; what is left out stays as interpolated, and the report says so."""
    page = visit()
    drop(page, crowd)
    says(page, "people.jpg: faces, 320 x 250 pixels")
    page.click("#find")
    says(page, "2 faces found")
    page.wait_for_function("document.querySelector('#stage img[alt=found]')?.naturalWidth == 320")
    assert page.locator("#stage .box.chosen").count() == 2
    page.uncheck("#which input[name='2']")
    page.wait_for_function("document.querySelectorAll('#stage .box.chosen').length == 1")
    page.uncheck("#which input[name='1']")
    page.wait_for_function("document.querySelectorAll('#stage .box.chosen').length == 0")
    page.click("#start")
    says(page, "No face is ticked")
    page.check("#which input[name='2']")
    says(page, "1 of 2 faces ticked.")
    assert page.locator("#stage .box.chosen b").inner_text() == "2"
    page.screenshot(path=tmp_path / "found.png")
    answers(page, 0)
    choose(page, "factor", 2)
    page.click("#start")
    says(page, "Answered in")
    assert "face 1: left as interpolated, because face=2" in page.inner_text("#words")
    assert downloaded(page, tmp_path).name == "people_x2_generated.jpg"


def test_a_box_is_drawn_over_a_photo(visit, meadow, tmp_path):
    page = visit()
    drop(page, meadow)
    says(page, "meadow.png: faces, 44 x 30 pixels")
    page.click("#find")
    page.wait_for_selector("#stage img[alt=found], #status .gensr-error")
    if page.locator("#status .gensr-error").count():
        pytest.skip("the extra gensr[photos] is not installed")
    says(page, "No face is found")
    page.wait_for_function("document.querySelector('#stage img[alt=found]').naturalWidth == 44")
    place = page.locator("#stage .gensr-faces").bounding_box()
    step = place["width"] / 44
    page.mouse.move(place["x"] + 12 * step, place["y"] + 4 * step)
    page.mouse.down()
    page.mouse.move(place["x"] + 32 * step, place["y"] + 28 * step)
    page.mouse.up()
    assert page.input_value("#boxes input, #boxes textarea") == "12,4,20,24"
    page.check("#field input")
    page.check("#caption input")
    answers(page, 0)
    choose(page, "factor", 2)
    page.click("#start")
    says(page, "Answered in")
    assert "face 1 by the prior engression-faces" in page.inner_text("#words")
    assert "everything else is by the prior engression-field" in page.inner_text("#words")
    path = downloaded(page, tmp_path)
    assert path.name == "meadow_x2_generated.png"
    with Image.open(path) as picture:
        assert picture.width == 88
        assert picture.height > 70  # the caption lies below


def test_a_map_is_pixelated_and_comes_back_where_it_lay(visit, images, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    page = visit()
    drop(page, images["map.tif"])
    says(page, "map.tif: satellite, 48 x 32 pixels")
    spoil(page, "pixelate", 8)
    answers(page, 4)
    page.click("#start")
    says(page, "Answered in")
    with rasterio.open(downloaded(page, tmp_path)) as after, rasterio.open(images["map.tif"]) as before:
        assert (after.crs, after.transform, after.shape) == (before.crs, before.transform, before.shape)


def test_a_sky_is_cancelled_and_answered(visit, images, tmp_path):
    page = visit()
    drop(page, images["sky.fits"])
    says(page, "sky.fits: astronomy, 40 x 32 pixels")
    page.click("text=More")
    page.fill("#tile input", "8")
    page.press("#tile input", "Tab")
    answers(page, 16)
    page.click("#start")
    page.wait_for_selector("#status progress[value]")
    page.click("#cancel")
    says(page, "Cancelled; nothing is kept.")
    assert page.locator("#files a").count() == 0
    page.fill("#tile input", "")
    page.press("#tile input", "Tab")
    answers(page, 4)
    choose(page, "factor", 2)
    page.click("#start")
    says(page, "Answered in")
    before, after = fits.getheader(images["sky.fits"]), fits.getheader(downloaded(page, tmp_path))
    assert (after["NAXIS1"], after["CRPIX1"]) == (80, (before["CRPIX1"] - 0.5) * 2 + 0.5)


def test_a_hostile_upload_is_one_line_and_the_page_goes_on(visit, images, tmp_path):
    page = visit()
    trap = tmp_path / "<img src=x onerror=document.title='owned'>.png"
    trap.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 64)
    for path, name in ((images["evil.tif"], "evil.tif"), (trap, "onerror")):
        drop(page, path)
        page.wait_for_selector(f"#status .gensr-error >> text={name}")  # of this file: the line before is an error too
        text = page.inner_text("#status")
        assert "bug" not in text
        assert "/tmp" not in text
        assert page.title() != "owned"
        page.click("#start")
        says(page, "Drop an image first.")
    drop(page, images["photo.png"])
    says(page, "Ask for an answer.")


def test_two_visitors_at_once(visit, images, served):
    """Each sees their own image, none the other's, and what they dropped is gone when they are."""
    one, two = visit(), visit()
    drop(one, images["map.tif"])
    drop(two, images["photo.png"])
    says(one, "map.tif")
    says(two, "photo.png")
    one.click("#start")
    two.click("#start")
    says(one, "Answered in")
    says(two, "Answered in")
    assert "map_x4_generated.tif" in one.inner_text("#files")
    assert "photo_x4_generated.png" in two.inner_text("#files")
    assert "photo_x4" not in one.inner_text("body")
    folders = [path for path in served.temporary.glob("gensr-serve-*/*/upload") if path.is_dir()]
    assert len(folders) >= 2
    address = one.get_attribute("#files a >> nth=0", "href")
    assert one.evaluate("async a => (await fetch(a)).status", address) == 200
    one.close()
    end = time.monotonic() + 20
    while two.evaluate("async a => (await fetch(a)).status", address) != 404:
        assert time.monotonic() < end
    assert not [p for p in served.temporary.glob("gensr-serve-*/*/upload/map.tif")]


def test_what_one_sees_is_what_was_computed(visit, images):
    """The picture under the slider is the mean, pixel by pixel."""
    page = visit()
    drop(page, images["photo.png"])
    says(page, "Ask for an answer.")
    answers(page, 0)
    choose(page, "factor", 2)
    page.click("#start")
    says(page, "Answered in")
    page.wait_for_function("document.querySelector('#stage img[alt=mean]')?.naturalWidth == 32")
    code = """() => {const i = document.querySelector('#stage img[alt=input]'), c = document.createElement('canvas');
      c.width = c.height = 32; const g = c.getContext('2d'); g.drawImage(i, 0, 0);
      return [...g.getImageData(0, 0, 32, 32).data]}"""
    shown = np.array(page.evaluate(code), np.uint8).reshape(32, 32, 4)[..., :3]
    with Image.open(images["photo.png"]) as picture:
        np.testing.assert_array_equal(shown, np.asarray(picture).repeat(2, 0).repeat(2, 1))
