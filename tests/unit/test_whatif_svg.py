"""The tornado picture of sensitivities: one scale, a bar a change, and words that are escaped."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from dagc.export.text.whatif import NOTHING
from dagc.export.whatif_svg import DRAWN, whatif_svg
from tests.unit.test_whatif import LINKS, MEMORY_BOUND, MODEL, WORKLOAD, asked

SVG = "http://www.w3.org/2000/svg"


def test_the_picture_is_escaped_and_has_a_bar_for_each_change() -> None:
    """`pp 4 < ep 16 >` has brackets; of the batch's two changes one makes TTFT better, one worse."""
    found = asked(MODEL + MEMORY_BOUND + LINKS + WORKLOAD + "strategy main = pp 2 < tp 2 >\n", "workload")
    picture = whatif_svg([found])
    assert picture == whatif_svg([found])
    texts = [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{{{SVG}}}text")]
    assert texts[0] == "What changes main: pp 2 < tp 2 >, 4 GPUs"
    assert texts[1].startswith("model ") and "batch 8" in texts[1]
    assert any(text.startswith("batch 8") for text in texts)
    assert any(" at 4, " in text and text.endswith("at 16") for text in texts)
    kinds = {element.get("class") for element in ElementTree.fromstring(picture).iter(f"{{{SVG}}}rect")}
    assert {"better", "worse"} <= kinds


def test_a_bar_past_the_scale_ends_in_an_arrow() -> None:
    """Half the bandwidth takes twice the time, +100 %, which is the end of the scale; a fifth of it takes +400 %."""
    text = MODEL + MEMORY_BOUND + LINKS + WORKLOAD + "strategy main = tp 1\n"
    assert 'class="arrow"' not in whatif_svg([asked(text, "hardware", step=0.5)])
    wide = whatif_svg([asked(text, "hardware", step=0.8)])
    assert 'class="arrow"' in wide
    assert "+400 % at -80 %" in wide


def test_bars_of_all_parameters_are_on_one_scale() -> None:
    """A bar is as long as its share of the axis, whatever kind or figure it belongs to: 220 px for 100 %, half as much
    for 50 %.
    """
    text = MODEL + MEMORY_BOUND + LINKS + WORKLOAD + "require { tpot <= 1 s }\nstrategy main = tp 1\n"
    found = asked(text, "hardware", step=0.5)
    drawn = ElementTree.fromstring(whatif_svg([found]))
    texts = [element.text or "" for element in drawn.iter(f"{{{SVG}}}text")]
    assert [one for one in texts if one in ("-100 %", "-50 %", "0 %", "+50 %", "+100 %")][:5] == [
        "-100 %",
        "-50 %",
        "0 %",
        "+50 %",
        "+100 %",
    ]
    assert any("requirements:" in one and "tpot <= 1 s" in one for one in texts)
    bars = [element for element in drawn.iter(f"{{{SVG}}}rect") if element.get("class") in ("better", "worse")]
    moved = [
        min(abs(one.difference), 1.0)
        for effect in found.effects
        for one in effect.metrics
        if one.name in DRAWN and one.difference and abs(one.difference) >= NOTHING
    ]
    assert sorted(float(bar.get("width", "0")) / 220 for bar in bars[2:]) == pytest.approx(sorted(moved), abs=1e-4)
