"""The page in a headless Chromium: it fetches nothing, fits a phone, zooms, follows the dial, and prints."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus

if importlib.util.find_spec("tornado") is None:
    pytest.skip("tornado is not installed", allow_module_level=True)

SPEC = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
browser = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(browser)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]
EVIL = "<script>document.title='broken'</script><img src=http://example.org/x onerror=document.title='broken'>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    corpus = make_corpus(n_train=300, n_test=60, n_labels=64, branching=4, seed=0)
    rename = {
        label: f"{label} {EVIL}" for label in {name for row in corpus.train_labels for name in row}
    }
    train = [[rename[name] for name in row] for row in corpus.train_labels]
    asked = [[rename[name] for name in row if name in rename] for row in corpus.test_labels]
    asked = [asked[1], *asked[:-1]]  # of other documents: many are missed
    model = xmc.XRLinear(max_leaf_size=8, branching=4, min_count=1, calibrate=dict(share=0.3))
    model.fit(corpus.train_texts, train)
    path = tmp_path_factory.mktemp("page") / "report.html"
    model.report(corpus.test_texts, asked, path=path, title="a page", n_worst=3)
    return path


def visit(page, tmp_path, script):
    async def go(tab):
        found = await script(tab)
        assert tab.list_errors() == []
        assert {url for url in tab.list_requests()} == {page.absolute().as_uri()}
        assert await tab.run("document.title") == "a page"
        return found

    return browser.browse(tmp_path / "profile", go)


def test_no_width_needs_to_scroll_sideways(page, tmp_path):
    async def script(tab):
        found = {}
        for width in (320, 390, 768, 1280, 2000):
            await tab.open(page, width)
            root = "document.documentElement"
            found[width] = await tab.run(f"{root}.scrollWidth - {root}.clientWidth")
        return found

    assert not any(visit(page, tmp_path, script).values())


def test_text_is_readable_in_light_and_dark(page, tmp_path):
    async def script(tab):
        found = []
        for dark in (False, True):
            await tab.open(page, dark=dark)
            style = "getComputedStyle(document.querySelector('section'))"
            found.append(
                [await tab.run(f"{style}.{name}") for name in ("color", "backgroundColor")]
            )
        return found

    def contrast(one, other):
        def light(color):
            parts = np.array(
                [int(v) / 255 for v in color[color.index("(") + 1 : -1].split(",")[:3]]
            )
            parts = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
            return float(parts @ [0.2126, 0.7152, 0.0722])

        high, low = sorted((light(one), light(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    day, night = visit(page, tmp_path, script)
    assert day[1] != night[1]
    assert contrast(*day) > 7 and contrast(*night) > 7


def test_the_map_zooms_in_and_out(page, tmp_path):
    async def script(tab):
        await tab.open(page)
        path = "[...document.querySelectorAll('#tree .path button')].map(b => b.textContent)"
        tiles = "document.querySelectorAll('#tree .map > button').length"
        found = [(await tab.run(path), await tab.run(tiles))]
        await tab.run("document.querySelector('#tree .map > button').click()")
        found.append((await tab.run(path), await tab.run(tiles)))
        await tab.run("document.querySelector('#tree .path button').click()")
        found.append((await tab.run(path), await tab.run(tiles)))
        return found

    start, inside, back = visit(page, tmp_path, script)
    assert start[0] == ["all labels"] and start[1] > 1
    assert len(inside[0]) == 2 and EVIL[:8] in inside[0][1]
    assert back == start


def test_the_dial_tells_what_a_threshold_gives(page, tmp_path):
    async def script(tab):
        await tab.open(page)
        found = []
        for value in (0, 50, 100):
            dial = "document.getElementById('dial')"
            await tab.run(f"{dial}.value = {value}; {dial}.dispatchEvent(new Event('input'))")
            found.append(await tab.run("document.getElementById('dial-says').textContent"))
        found.append(await tab.run("document.querySelector('#thresholds .cursor line') !== null"))
        return found

    low, half, high, has_cursor = visit(page, tmp_path, script)
    assert low.startswith("At 0 % and above: ") and " labels per document" in half
    assert high.startswith("At 100 % and above: 0.00 labels")
    assert has_cursor


def test_it_prints(page, tmp_path):
    async def script(tab):
        await tab.open(page)
        return base64.b64decode((await tab.call("Page.printToPDF"))["data"])

    pdf = visit(page, tmp_path, script)
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
