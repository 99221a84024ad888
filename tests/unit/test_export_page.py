"""`report.html`: it holds what the summary says, is a page by the standard, and asks the network for nothing.

What a browser makes of it is in `test_page_in_browser.py`.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from xml.etree import ElementTree

import html5lib
import pytest
from markupsafe import Markup

import dagc
from dagc.export.page.answer import answer
from dagc.export.page.fold import MOST_BLOCKS, phase_lanes
from dagc.export.page.listing import listing
from dagc.export.page.markup import document, tag, ticked
from dagc.export.page.page import inlined
from dagc.export.trace.tracks import Traced, tracks
from dagc.results.serving import bound_text
from dagc.source import Source
from tests.harness.places import EXAMPLES

HTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def strategy() -> dagc.Strategy:
    return dagc.compile(EXAMPLES / "01-deepseek-v3-64-gpus.moe").strategies[0]


@pytest.fixture(scope="module")
def page(strategy: dagc.Strategy) -> str:
    return strategy.report()


@pytest.fixture(scope="module")
def root(page: str) -> ElementTree.Element:
    return html5lib.HTMLParser(strict=True).parse(page)


def words(element: ElementTree.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def section(root: ElementTree.Element, name: str) -> ElementTree.Element:
    return next(one for one in root.iter(f"{HTML}section") if one.get("id") == name)


def test_the_answer_is_that_of_the_summary(strategy: dagc.Strategy, root: ElementTree.Element) -> None:
    """64 GPUs of lcm(16, 2) × 4; both requirements of the plan are met, so two ticks and no cross."""
    told = words(section(root, "answer"))
    summary = strategy.summary
    assert summary.memory
    assert summary.phases
    assert told.startswith("Answer GPUs 64 1 replica × 4 stages memory fits")
    assert bound_text(summary.phases.prefill.bound) in told
    assert (told.count("✓"), told.count("✗")) == (2, 0)
    assert "lcm(16, 2) = 16" in words(section(root, "size"))


def test_every_diagnostic_stands_below_its_line(strategy: dagc.Strategy, root: ElementTree.Element) -> None:
    lines = [one for one in section(root, "plan").iter(f"{HTML}li") if one.get("value")]
    eighth = words(next(one for one in lines if one.get("value") == "8"))
    assert eighth.startswith("strategy main = pp 4 < ep 16 ; tp 2 >")
    for one in strategy.checked.diagnostics:
        assert f"warning[{one.code.code}] {' '.join(one.message.replace('`', ' ').split())}" in eighth


def test_nothing_is_asked_of_a_network(page: str, root: ElementTree.Element) -> None:
    """No attribute that loads, none that names an address, but the anchors of the page itself."""
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in {"src", "href", "srcset", "action", "data", "poster"}:
                assert value.startswith("#"), (element.tag, name, value)
    assert not re.search(r"@import|url\((?!#)", page)


def test_its_policy_allows_its_own_script_alone(page: str, root: ElementTree.Element) -> None:
    (script,) = root.iter(f"{HTML}script")
    digest = b64encode(sha256("".join(script.itertext()).encode()).digest()).decode()
    policy = next(one.get("content") for one in root.iter(f"{HTML}meta") if one.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy


def test_ids_are_unique_and_labels_lead_somewhere(root: ElementTree.Element) -> None:
    """Pictures are in shadow roots, whose ids are their own."""
    templates = {id(child) for one in root.iter(f"{HTML}template") for child in one.iter()}
    outside = [one for one in root.iter() if id(one) not in templates]
    ids = [name for one in outside if (name := one.get("id"))]
    assert len(ids) == len(set(ids))
    for one in outside:
        for attribute in ("aria-labelledby", "aria-controls"):
            assert one.get(attribute) in {None, *ids}


def test_the_same_plan_gives_the_same_bytes(strategy: dagc.Strategy, page: str) -> None:
    assert dagc.compile(EXAMPLES / "01-deepseek-v3-64-gpus.moe").strategies[0].report() == page


def test_a_plan_without_shapes_has_a_page_of_what_is_known() -> None:
    plan = dagc.compile("pp 2 < ep 8 >", model="mine { layers 16    experts 8 { top 2 } }")
    told = words(html5lib.HTMLParser(strict=True).parse(plan.strategies[0].report()))
    assert "memory ? undetermined" in told
    assert "2 × 8 = 16 GPUs" in told
    assert "Timeline" not in told


def test_folded_lanes_keep_time_and_count(strategy: dagc.Strategy) -> None:
    """Blocks on a lane never overlap, stand for every execution, and end with the phase."""
    priced = strategy.checked.priced
    assert priced.graph
    assert priced.timelines
    traced = Traced(strategy.checked.plan, priced.graph, priced.timelines, priced.others)
    for phase in tracks(traced, None):
        lanes = phase_lanes(phase)
        assert len(lanes.blocks) <= MOST_BLOCKS
        assert sum(block.count for block in lanes.blocks) == lanes.slices
        assert max(block.end for block in lanes.blocks) == pytest.approx(lanes.span, abs=2)
        ends: dict[tuple[int, str], int] = {}
        for block in lanes.blocks:
            lane = block.rank, block.lane.value
            assert block.start >= ends.get(lane, 0) - 1, "whole nanoseconds may meet"
            ends[lane] = block.end


def test_text_becomes_markup_in_one_way() -> None:
    """Brackets and quotes are escaped, what cannot be seen is shown, what is markup stays."""
    made = tag("p", "<b>\x1b\u202e", Markup("<i></i>"), None, 1.50, title='a"b', hidden=True, lang=None)
    assert made == '<p title="a&#34;b" hidden>&lt;b&gt;\\x1b\\u202e<i></i>1.5</p>'
    assert ticked("a `<b>` c") == "a <code>&lt;b&gt;</code> c"
    assert ticked("one ` alone") == "one ` alone"


def test_a_script_cannot_end_its_element_early() -> None:
    """The page's own scripts and styles stand unescaped: none may hold what ends them."""
    made = document("</title><script>", tag("body"), "", "x").decode()
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in made


@pytest.mark.parametrize(
    "content",
    [
        '<script>alert(1)</script>',
        '<g onclick="alert(1)"/>',
        '<a href="javascript:alert(1)"><text>x</text></a>',
        '<image href="http://example.org/x.png"/>',
        '<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">x</p></foreignObject>',
    ],
)  # fmt: skip
def test_a_picture_brings_nothing_that_runs_or_loads(content: str) -> None:
    made = inlined(f'<svg xmlns="http://www.w3.org/2000/svg"><g>{content}</g></svg>', "")
    assert not re.search(r"script|onclick|href|image|foreignObject|alert", made.removeprefix("<template"))


def test_titles_that_say_something_stay() -> None:
    """Graphviz titles a group with its own name for it and tells the rest in a link; a finished picture titles it."""
    group = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><g class="node">'
    raw = inlined(f'{group}<title>n1</title><a xlink:title="told"><text>x</text></a></g></svg>', "")
    assert "<title>told</title>" in raw
    assert "n1" not in raw
    assert "<title>told</title>" in inlined(f"{group}<title>told</title><text>x</text></g></svg>", "")


def test_a_link_to_another_view_leads_to_its_tab() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><a href="stage.svg"/><a href="http://a.example/b.svg"/></svg>'
    made = inlined(svg, "")
    assert made.count("data-view") == 1
    assert '<a data-view="stage"' in made


def test_a_mark_over_lines_is_on_each(strategy: dagc.Strategy) -> None:
    """The plan `ep 16 <`, `pp 4`, `>` on three lines: the first error spans what it says, line by line."""
    text = "strategy s =\n  ep 16 <\n  pp 4\n>\n"
    plan = dagc.compile(text)
    source = plan.diagnostics[0].span
    assert source
    made = html5lib.HTMLParser(strict=True).parseFragment(str(listing(source.source, plan.diagnostics)))
    marked = ["".join(one.itertext()) for one in made.iter(f"{HTML}mark")]
    assert "pp 4" in marked


def test_of_a_long_plan_the_lines_around_marks_are_shown() -> None:
    text = "# a comment\n" * 400 + "strategy s = ep 16 < pp 4 >\n" + "# another\n" * 400
    plan = dagc.compile(text)
    span = plan.diagnostics[0].span
    assert span
    made = html5lib.HTMLParser(strict=True).parseFragment(str(listing(span.source, plan.diagnostics)))
    lines = [one.get("value") for one in made.iter(f"{HTML}li") if one.get("value")]
    assert lines == [str(number) for number in range(398, 405)]
    assert words(made).count("…") == 2


def test_a_diagnostic_without_a_place_is_shown_too() -> None:
    from dagc.export.renderers import render

    _, problems = render("digraph {}", "nothing")
    assert "error[X201]" in str(listing(Source("plan", ""), problems))


def test_a_notebook_shows_the_answer_the_deployment_and_problems() -> None:
    """A strategy is the tiles of its page and an image; a plan is its strategies, or what is wrong with it."""
    plan = dagc.compile("tp 2", model="mixtral-8x7b", cluster="h100-sxm x 2")
    shown = plan._repr_html_()
    html5lib.HTMLParser(strict=True).parseFragment(shown)
    (picture,) = re.findall('data:image/svg\\+xml;base64,([^"]*)', shown)
    assert b64decode(picture).decode() == plan["main"].svg("deployment") != plan["main"].svg()
    assert str(answer(plan["main"].summary)) in shown.split("data:image")[0]
    assert plan["main"]._repr_html_() == shown
    wrong = dagc.compile("ep 16 < pp 4 >")._repr_html_()
    assert "error[H101]" in wrong
    assert "&lt; pp 4 &gt;" in wrong
    unknown = dagc.compile("ep 8", model="mine { layers 16    experts 8 { top 2 } }").strategies[0]
    assert "data:image" not in unknown._repr_html_()
    with pytest.raises(dagc.NothingToShow):
        unknown.svg()
