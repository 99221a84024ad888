"""Pictures that people read: no text over another, harmless names, links that lead somewhere, tones for dark pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dagc.driver.check import check
from dagc.export.views import look
from dagc.export.views.layer import layer_view
from dagc.export.views.strategy import StrategyView
from dagc.export.views.view import Distance
from dagc.source import Source
from tests.harness import chromium
from tests.harness.overlaps import complaints, labels
from tests.harness.places import EXAMPLES
from tests.unit.view_scenes import drawn, scene, small, svg

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
HOSTILE = [
    "</svg><script>alert(1)</script>",
    'a"b\\',
    "\\N\\G\\l<B>&lt;",
    "]; evil [label=x",
    "ä\U0001f600\x00\x1b\ud800",
    "--><!--",
    "]]>",
    "{a|b}<p>",
]


@cache
def scenes(example: Path) -> tuple[StrategyView, ...]:
    source = Source(example.name, example.read_text(encoding="utf-8"))
    return tuple(
        StrategyView(checked.plan, priced.graph, priced.timelines, priced.metrics, priced.assessment.memory)
        for checked in check(source).checked
        if (priced := checked.priced).graph is not None and priced.timelines is not None
    )


def pictures(example: Path) -> Iterator[tuple[Distance, str]]:
    for one in scenes(example):
        yield from ((distance, drawn(one, distance)) for distance in Distance)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.moe")), ids=lambda path: path.stem)
def test_no_text_lies_over_another_or_leaves_its_box(example: Path) -> None:
    assert [(distance, complaints(picture)) for distance, picture in pictures(example) if complaints(picture)] == []


def test_the_check_of_texts_sees_one_that_is_moved_and_one_that_is_too_long() -> None:
    """A line of a label moved onto the one above it, 12 points up; and a name drawn three times as wide."""
    picture = drawn(small(), Distance.STAGE)
    assert complaints(picture) == []
    text = re.search(r'<text[^>]*y="(-?[\d.]+)"[^>]*textLength="([\d.]+)"[^>]*>prefill: ', picture)
    assert text is not None
    moved = text[0].replace(f'y="{text[1]}"', f'y="{float(text[1]) - 12:.2f}"')
    assert any("lies over" in told for told in complaints(picture.replace(text[0], moved)))
    long = text[0].replace(f'textLength="{text[2]}"', f'textLength="{3 * float(text[2]):.2f}"')
    assert any("leaves its box" in told for told in complaints(picture.replace(text[0], long)))


def test_the_check_of_texts_sees_a_line_through_one() -> None:
    """A name put where an arrow begins, 3 points below its first point."""
    picture = drawn(small(), Distance.STAGE)
    arrow = re.search(r'<g id="edge\d+" class="edge"[^>]*>.*?<path[^>]* d="M(-?[\d.]+),(-?[\d.]+)C', picture, re.DOTALL)
    assert arrow is not None
    x, y = float(arrow[1]) - 20, float(arrow[2]) + 6
    text = f'<text x="{x:.2f}" y="{y:.2f}" font-size="10" textLength="40">across</text>'
    assert "'across' has a line through it" in complaints(
        picture.replace(arrow[0], arrow[0].replace("<path", f"{text}<path", 1))
    )


@pytest.mark.browser
@pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("name", ["01-deepseek-v3-64-gpus", "04-prefill-decode-pools", "05-attention-ffn-pools"])
def test_a_browser_draws_texts_where_the_check_says(name: str, tmp_path: Path) -> None:
    """Pixels of a page are 3/4 of a point. What the check takes a text's width to be is what a browser makes of it."""
    for distance, picture in pictures(EXAMPLES / f"{name}.moe"):
        found = chromium.rectangles(picture, tmp_path)
        assert chromium.overlapping(found) == [], distance
        wide = [(right - left) * 0.75 for _, left, _, right, _ in found]
        assert wide == pytest.approx([label.right - label.left for label in labels(picture)], abs=1.0)


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_shown_and_do_nothing(hostile: str, distance: Distance) -> None:
    ordinary = ElementTree.fromstring(drawn(small("name"), distance))
    root = ElementTree.fromstring(drawn(small(hostile), distance))
    assert [e.tag for e in root.iter()] == [e.tag for e in ordinary.iter()]
    shown = [(text.text or "").replace("\xa0", " ") for text in root.iter(f"{SVG}text")]
    visible = re.sub("[\x00-\x1f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", hostile)
    assert shown[0] == f"{visible} = pp 2 < ep 2 >"
    assert f"model {visible}" in shown[1]
    assert not list(root.iter(f"{SVG}script"))


def test_a_long_name_is_cut_and_said_in_full_in_the_title() -> None:
    """72 characters are shown, the last of them an ellipsis."""
    picture = drawn(small("n" * 500), Distance.STAGE)
    root = ElementTree.fromstring(picture)
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert texts[1].startswith(f"4 GPUs · model {'n' * 71}… · TTFT")
    title = root.find(f"{SVG}title")
    assert title is not None
    assert "n" * 500 in (title.text or "")
    assert complaints(picture) == []


def test_text_from_right_to_left_keeps_its_neighbours_in_order() -> None:
    """Isolated by U+2068 and U+2069; signs that would turn the direction of what follows are escaped."""
    picture = drawn(small("שלום"), Distance.STAGE)
    assert "model \u2068שלום\u2069 · TTFT" in picture
    turned = drawn(small("a\u202eb\u2066c"), Distance.STAGE)
    assert r"model a\u202eb\u2066c · TTFT" in turned
    assert not re.search("[\u202a-\u202e\u2066]", turned)


def identities(picture: str) -> set[str]:
    return {element.get("id", "") for element in ElementTree.fromstring(picture).iter()}


@pytest.mark.parametrize("name", ["01-deepseek-v3-64-gpus", "04-prefill-decode-pools", "05-attention-ffn-pools"])
def test_every_link_leads_to_a_thing_in_another_view(name: str) -> None:
    for one in scenes(EXAMPLES / f"{name}.moe"):
        files = {f"{distance.stem}.svg": drawn(one, distance) for distance in Distance}
        for file, picture in files.items():
            links = [a.attrib[HREF] for a in ElementTree.fromstring(picture).iter(f"{SVG}a")]
            assert {f for f in files if f != file} <= set(links)
            for link in links:
                target, _, anchor = link.partition("#")
                assert target in files
                assert not anchor or anchor in identities(files[target]), (file, link)


def test_a_view_alone_links_to_no_file_that_is_not_there() -> None:
    of = small()
    alone = StrategyView(of.plan, of.graph, of.timelines, of.metrics, drawn=frozenset({Distance.LAYER}))
    assert HREF not in str([e.attrib for e in ElementTree.fromstring(drawn(alone, Distance.LAYER)).iter()])


def test_a_pointer_is_told_the_formula_of_an_operator() -> None:
    root = ElementTree.fromstring(drawn(small(), Distance.LAYER))
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert any("matrix product of each held expert" in title and "work / peak" in title for title in titles)


def test_each_tone_of_a_picture_has_one_for_dark_pages() -> None:
    """Those of bars stay, and so does the white of their patterns, which is that of light paper."""
    picture = drawn(scene((EXAMPLES / "05-attention-ffn-pools.moe").read_text(encoding="utf-8")), Distance.LAYER)
    tones = set(re.findall(r'(?:(?:fill|stroke)="|stop-color:)(#[0-9a-f]{6})', picture))
    assert tones - set(look.BARS.values()) <= {*look.DARK, *look.DARK.values()}
    assert "@media (prefers-color-scheme: dark)" in picture


def test_nothing_in_a_picture_runs_or_loads() -> None:
    picture = svg(layer_view(small()))
    assert not re.search(r"<script|<foreignObject|<image|@import|\bon\w+=|https?://(?!www\.w3\.org/)", picture)


@pytest.mark.parametrize("distance", list(Distance))
def test_where_tpot_is_more_than_the_step_the_head_says_so_and_fits(distance: Distance) -> None:
    """Prompts between tokens, the host and drafts: the longest line that a head can have on TPOT."""
    facts = "model qwen3-30b-a3b\ncluster h100-sxm x 8\nengine vllm\n"
    load = "workload { concurrency 64    prompt 4096    output 128    draft 3    accept 70 % }\n"
    picture = drawn(scene(f"{facts}{load}strategy main = ep 8\n"), distance)
    assert complaints(picture) == []
    said = [label.text for label in labels(picture)]
    assert "decode: a single step on the GPUs" in said
    (parts,) = (text for text in said if text.startswith("TPOT "))
    assert re.fullmatch(
        r"TPOT \S+ ms = \(decode step .* \+ prefill interleaved .* \+ host .* \+ drafts .*\) / .*", parts
    )
