"""`answer.svg`: the answer of the report as a picture that is shown alone."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import dagc
from dagc.export.answer_svg import answer_svg
from dagc.export.svg_text import POINTS, width
from dagc.export.tiles import tiles
from dagc.results.summary import RequirementRecord, Summary

SVG = "{http://www.w3.org/2000/svg}"
PLAN = (
    "cluster h100-sxm x 4\nworkload { batch 8    prompt 128    output 16 }\nrequire { ttft <= 1 us    tpot <= 1 s }\n"
)


def summary() -> Summary:
    return dagc.compile(f"{PLAN}strategy main = pp 2 < tp 2 >\n", model="mixtral-8x7b").strategies[0].summary


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_picture_has_the_tiles_the_context_and_the_verdicts() -> None:
    """TTFT misses 1 us and TPOT keeps 1 s; bars of both phases are as long as their shares together: the whole."""
    one = summary()
    svg = answer_svg(one)
    assert svg == answer_svg(one)
    told = texts(svg)
    assert told[:2] == ["pp 2 < tp 2 >", "model mixtral-8x7b · h100-sxm x 4 · batch 8, 128 tokens in, 16 out"]
    assert all(tile.figure in told for tile in tiles(one))
    assert [told[told.index(f"{name}") - 1] for name in ("ttft <= 1 us", "tpot <= 1 s")] == ["✗", "✓"]
    tones = ("compute", "memory", "communication", "bubble")
    bars = [one for one in ElementTree.fromstring(svg).iter(f"{SVG}rect") if one.get("class") in tones]
    drawn = [float(bar.get("width", "0")) for bar in bars if bar.get("height") == "24"]
    assert abs(sum(drawn) - 2 * (960 - 2 * 20 - 92 - 250)) < 0.1


def test_words_stay_inside_the_picture() -> None:
    """A strategy of 300 letters is cut at the margin, and names are escaped."""
    long = replace(summary(), name="<b>&", strategy="ep 8 ; " * 43)
    asked = [RequirementRecord(name="tpot", required="<= 1 s" * 30, actual=None, actual_value=None, unit="seconds",
                               ok=None, verdict=None, reason="because " * 40)]  # fmt: skip
    drawn = ElementTree.fromstring(answer_svg(replace(long, requirements=asked)))
    for element in drawn.iter(f"{SVG}text"):
        kind = next(name for name in element.get("class", "").split() if name in POINTS)
        assert float(element.get("x", "0")) + width(element.text or "", kind) <= 960 - 20 + 0.1
