"""`report.html` and the page of `dagc watch` in a real Chromium: clicks, keys, search, print, and a hostile plan.

A page must come without a message in the console, without a dialog, and without a request but for itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

import dagc
from tests.harness import devtools, hostile
from tests.harness.devtools import Browser, Page
from tests.harness.places import EXAMPLES, ROOT
from tests.harness.shell import RUN_DAGC

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(devtools.program() is None, reason="no Chromium on this machine"),
]

SVG = "document.querySelector('#panel-graph .canvas').shadowRoot.querySelector('svg')"
VIEW = f"({SVG}).getAttribute('viewBox')"
PLOT = "document.querySelector('.timeline .plot').getAttribute('viewBox')"


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with devtools.browser() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(dagc.compile(EXAMPLES / "01-deepseek-v3-64-gpus.moe")["main"].report(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, report: str) -> Generator[Page]:
    opened = browser.open(report)
    opened.click("#tab-graph")
    yield opened
    assert opened.complaints() == []
    assert set(opened.requests()) == {report}


CUT = """(() => {
  const words = (one) => one.textContent.slice(0, 40);
  const all = [...document.querySelectorAll('body *')].filter((one) => !one.closest('svg') && one.textContent.trim());
  const hidden = (one) => getComputedStyle(one).overflowX === 'hidden' && one.scrollWidth > one.clientWidth + 1;
  const beyond = (one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.wide, figure');
  const outside = (text) => {
    const [inner, outer] = [text, text.ownerSVGElement].map((one) => one.getBoundingClientRect());
    return inner.right > outer.right + 1 || inner.left < outer.left - 1;
  };
  const texts = [...document.querySelectorAll('svg text')].filter(outside);
  return [...all.filter((one) => hidden(one) || beyond(one)), ...texts].map(words);
})()"""


@pytest.mark.parametrize("width", [1280, 700, 420])
def test_no_label_is_cut_off(browser: Browser, report: str, width: int) -> None:
    """What scrolls may be wider than the window; nothing else is, and nothing is hidden by what it stands in."""
    assert browser.open(report, width=width).eval(CUT) == []


def test_tabs_show_one_view_at_a_time(page: Page) -> None:
    shown = "[...document.querySelectorAll('[role=tabpanel]')].filter((one) => !one.hidden).map((one) => one.id)"
    assert page.eval(shown) == ["panel-graph"]
    page.click("#tab-memory")
    assert page.eval(shown) == ["panel-memory"]
    page.press("ArrowLeft")
    assert page.eval(shown) == ["panel-rank"], "its neighbour"
    assert page.eval("document.activeElement.id") == "tab-rank"


def test_buttons_and_keys_zoom_the_picture(page: Page) -> None:
    """In narrows the view box by 1.5 in both directions, out widens it again; + is a click on the button."""
    _, _, width, height = map(float, page.eval(VIEW).split())
    page.click("#panel-graph [data-zoom=in]")
    _, _, narrow, low = map(float, page.eval(VIEW).split())
    assert (narrow, low) == pytest.approx((width / 1.5, height / 1.5))
    page.eval("document.querySelector('#panel-graph .canvas').focus()")
    page.press("+")
    assert float(page.eval(VIEW).split()[2]) == pytest.approx(width / 2.25)
    before = float(page.eval(VIEW).split()[0])
    page.press("ArrowRight")
    assert float(page.eval(VIEW).split()[0]) == pytest.approx(before + 0.1 * width / 2.25)
    page.click("#panel-graph [data-zoom=all]")
    assert (
        page.eval(VIEW).split()[2:]
        == page.eval(f"[({SVG}).viewBox.baseVal].map((b) => `${{b.width}} ${{b.height}}`)[0]").split()
    )


def test_a_drag_moves_the_picture(page: Page) -> None:
    page.eval("document.querySelector('#panel-graph .canvas').scrollIntoView({block: 'center'})")
    x, y, scale = page.eval(
        "(() => { const r = document.querySelector('#panel-graph .canvas').getBoundingClientRect();"
        f" return [r.left + 300, r.top + 200, 1 / ({SVG}).getScreenCTM().a] }})()"
    )
    before = float(page.eval(VIEW).split()[0])
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 60, y=y, button="left", buttons=1)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + 60, y=y, button="left", clickCount=1)
    assert float(page.eval(VIEW).split()[0]) == pytest.approx(before - 60 * scale, rel=0.02)


def test_search_finds_names_and_goes_from_one_to_the_next(page: Page) -> None:
    """`all_reduce` is in so many rows of the tables; Enter brings the first into the middle."""
    page.click("#panel-graph .search")
    page.type("all_reduce")
    hits = page.eval(f"({SVG}).querySelectorAll('.hit').length")
    named = page.eval(f"[...({SVG}).querySelectorAll('.row')].filter((n) => /all_reduce/.test(n.textContent)).length")
    assert hits == named > 1
    page.press("Enter")
    assert page.eval("document.querySelector('#panel-graph .found').textContent") == f"1 of {hits}"
    apart = page.eval(
        "(() => { const c = document.querySelector('#panel-graph .canvas').getBoundingClientRect();"
        f" const n = ({SVG}).querySelector('.current').getBoundingClientRect();"
        " return [c.left + c.width / 2 - n.left - n.width / 2, c.top + c.height / 2 - n.top - n.height / 2] })()"
    )
    assert apart == pytest.approx([0, 0], abs=2)
    page.click("#panel-graph .search")
    page.eval("document.querySelector('#panel-graph .search').value = ''")
    page.type("no such thing")
    assert page.eval("document.querySelector('#panel-graph .found').textContent") == "0 found"


def test_a_link_of_a_picture_opens_the_other_view(browser: Browser, tmp_path: Path) -> None:
    """The link to `memory.svg` in a picture of its own."""
    strategy = dagc.compile("tp 2", model="mixtral-8x7b", cluster="h100-sxm x 2")["main"]
    linked = strategy.report().replace('<g id="a_graph0">', '<g id="a_graph0" data-view="memory">')
    path = tmp_path / "report.html"
    path.write_text(linked, encoding="utf-8")
    page = browser.open(path.as_uri())
    page.eval(f"({SVG}).querySelector('[data-view] text').dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    assert page.eval("document.querySelector('#panel-graph').hidden") is True
    assert page.eval("document.activeElement.id") == "tab-memory"
    assert page.complaints() == []


def test_the_timeline_zooms_in_time_alone(page: Page) -> None:
    """Twice in is a quarter of the phase in the middle; its rows keep their height, its ticks follow."""
    whole, height = page.eval(PLOT).split()[2:]
    page.click(".timeline [data-time=in]")
    page.click(".timeline [data-time=in]")
    x, _, width, same = page.eval(PLOT).split()
    assert (float(width), same) == (float(whole) / 4, height)
    assert float(x) == pytest.approx(float(whole) * 3 / 8)
    ticks = page.eval("[...document.querySelectorAll('.timeline')][0].querySelectorAll('.axis text')[0].textContent")
    assert ticks != "0"
    page.click(".timeline [data-time=all]")
    assert page.eval("[...document.querySelectorAll('.timeline')][0].querySelector('.axis text').textContent") == "0"


def test_the_ticks_of_the_script_are_those_that_were_drawn(page: Page) -> None:
    texts = "[...document.querySelectorAll('.timeline .axis text')].map((one) => one.textContent)"
    drawn = page.eval(texts)
    page.eval("document.querySelectorAll('.timeline [data-time=all]').forEach((button) => button.click())")
    assert page.eval(texts) == drawn


def test_the_filter_leaves_rows_that_have_the_words(page: Page) -> None:
    page.click(".filter")
    page.type("experts.up")
    rows = "[...document.querySelectorAll('.operators tbody tr:not([hidden]) th')].map((one) => one.textContent)"
    assert page.eval(rows) == ["moe.experts.up", "moe.experts.up"], "one in prefill, one in decode"
    assert page.eval("[...document.querySelectorAll('#operators details')].every((one) => one.open)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [900, 1280])
def test_nothing_sticks_out(browser: Browser, report: str, width: int, scheme: str) -> None:
    """The page is as wide as the window; what is wider scrolls within its own frame."""
    page = browser.open(report, width=width, prefers_color_scheme=scheme)
    assert page.eval("document.documentElement.scrollWidth") == width
    ground = page.eval("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]
    assert page.complaints() == []


def test_in_print_every_view_is_there(page: Page) -> None:
    page.call("Emulation.setEmulatedMedia", media="print")
    shown = page.eval("[...document.querySelectorAll('.panel')].map((one) => one.getBoundingClientRect().height > 50)")
    assert shown == [True] * 5, "deployment, stages, layers, ranks, memory"
    assert page.pdf().startswith(b"%PDF")


def test_a_hostile_plan_is_text(browser: Browser, tmp_path: Path) -> None:
    """No dialog opens, no element of the plan's is made, and its lines stand on the page as they were written."""
    plan = hostile.write(tmp_path)
    path = tmp_path / "report.html"
    path.write_text(dagc.compile(plan).strategies[0].report(), encoding="utf-8")
    page = browser.open(path.as_uri())
    lines = page.eval("[...document.querySelectorAll('.lines > li > code')].map((one) => one.textContent)")
    assert lines == hostile.PLAN.replace(hostile.OVERRIDE, "\\u202e").splitlines()
    assert page.eval("document.querySelector('h1 .name').textContent") == hostile.STRATEGY
    assert page.eval("document.querySelectorAll('img, iframe, [onerror], [onload]').length") == 0
    assert page.eval("document.querySelectorAll('script').length") == 1
    assert page.eval("document.documentElement.scrollWidth") == 1280
    assert page.complaints() == []
    assert set(page.requests()) == {path.as_uri()}


@pytest.mark.parametrize("name", ["graph.svg", "memory.svg"])
def test_a_hostile_picture_is_text(browser: Browser, tmp_path: Path, name: str) -> None:
    plan = hostile.write(tmp_path)
    command = [sys.executable, "-c", RUN_DAGC, "compile", str(plan), "-o", str(tmp_path / "out")]
    subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    (path,) = (tmp_path / "out").glob(f"*/*/{name}")
    page = browser.open(path.as_uri())
    assert page.eval("document.documentElement.textContent.includes(" + json.dumps(hostile.RIGHT_TO_LEFT) + ")")
    assert page.eval("document.querySelectorAll('script, image, foreignObject').length") == 0
    assert page.complaints() == []


def test_the_watched_page_follows(browser: Browser, tmp_path: Path) -> None:
    """It keeps its strategy and its place over a save; an error stands above the last report, marked as old."""
    plan = tmp_path / "plan.moe"
    text = "model mixtral-8x7b\ncluster h100-sxm x 8\nstrategy one = ep 8\nstrategy two = tp 8\n"
    plan.write_text(text, encoding="utf-8")
    command = [sys.executable, "-u", "-c", RUN_DAGC, "watch", str(plan)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    assert process.stdout
    try:
        address = next(word for word in process.stdout.readline().split() if word.startswith("http://"))
        page = browser.open(address)
        name = "document.querySelector('#report').contentDocument?.querySelector('h1')?.textContent"
        page.wait(f"{name} === 'one ep 8'")
        page.click("#strategies button:last-child")
        page.wait(f"{name} === 'two tp 8'")
        page.eval("document.querySelector('#report').contentWindow.scrollTo(0, 500)")

        plan.write_text(text.replace("= tp 8", "= tp 8 < ep 2 >  # <script>alert(4)</script>"), encoding="utf-8")
        page.wait("document.querySelector('#problems').textContent.includes('error[')")
        assert "<script>alert(4)</script>" in page.eval("document.querySelector('#problems').textContent")

        plan.write_text(text + "model", encoding="utf-8")
        page.wait("!document.querySelector('#stale').hidden")

        plan.write_text(text.replace("tp 8", "tp 4"), encoding="utf-8")
        page.wait(f"{name} === 'two tp 4' && document.querySelector('#stale').hidden")
        page.wait("document.querySelector('#report').contentWindow.scrollY > 0")
        assert page.eval("document.querySelector('#problems').hidden")
        assert page.complaints() == []
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    page.wait("document.body.classList.contains('gone')")
