"""`dagc memory`: the table, the document, the picture, and the exit status."""

from __future__ import annotations

import json
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from dagc.cli.memory import memory
from dagc.export.memory_svg import PARTS, memory_svg
from dagc.export.svg_text import width
from dagc.results.summary import Memory
from tests.harness.places import EXAMPLES
from tests.harness.records import read_record

SVG = "{http://www.w3.org/2000/svg}"
QWEN = ("--model", "qwen3-30b-a3b", "--cluster", "h100-sxm x 8", "--workload", "{ batch 64 prompt 1000 output 24 }")
PLANS = {
    "one": ("-e", "ep 8", *QWEN),
    "stages": ("-e", "pp 3 < ep 2 >", *QWEN),
    "pools": ("-e", "pp 2 < tp 2 > | ep 4", *QWEN),
    "too much": ("-e", "tp 8", "--model", "deepseek-v3", "--cluster", "h100-sxm x 8"),
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(memory, arguments)


def test_a_table_of_classes_and_what_would_still_fit() -> None:
    result = run(*PLANS["stages"])
    assert result.exit_code == 0
    head, columns, *rows = result.stdout.splitlines()
    assert head.startswith("main: fits, ")
    assert columns.split()[:4] == ["GPUs", "experts", "other", "weights"]
    assert columns.split()[-3:] == ["reserve", "total", "share"]
    assert [row.split()[1] for row in rows[:3]] == ["0-1", "2-3", "4-5"]
    assert "KV-cache capacity" in rows[3] and "blocks of 16" in rows[3]
    assert "largest batch" in rows[4] and "longest context" in rows[4]


def test_what_does_not_fit_is_an_error() -> None:
    result = run(*PLANS["too much"])
    assert result.exit_code == 1
    assert result.stdout.startswith("main: does not fit")
    assert "largest batch: 0 sequences" in result.stdout


def test_a_document_with_the_summary_of_memory() -> None:
    result = run(*PLANS["one"], "--format", "json")
    (found,) = json.loads(result.stdout)["strategies"]
    known = read_record(Memory, json.dumps(found["memory"]))
    assert known.limits is not None
    assert [one.gpus for one in known.pools[0].classes] == [8]
    for one in known.pools[0].classes:
        assert sum(one.parts_bytes.values()) == one.total_bytes
        assert sum(one.weights_bytes.values()) == one.parts_bytes["weights"]
        assert max(one.activations_bytes.values()) == one.parts_bytes["activations"]


def test_without_shapes_memory_is_undetermined() -> None:
    result = run("-e", "ep 8", "--model", "m { layers 4 experts 8 { top 2 } }")
    assert result.exit_code == 0
    assert "main: memory is undetermined: not stated: " in result.stdout


def test_only_a_strategy_that_is_there() -> None:
    assert run(*PLANS["one"], "--strategy", "other").exit_code == 2
    assert run(*PLANS["one"], "--strategy", "main").exit_code == 0


@pytest.mark.parametrize("plan", PLANS)
def test_in_the_picture_no_text_meets_another(plan: str) -> None:
    """Boxes of all texts, by the advance of the font, do not overlap and stay on the page."""
    picture = run(*PLANS[plan], "--format", "svg").stdout
    root = ElementTree.fromstring(picture)
    wide, tall = float(root.get("width", 0)), float(root.get("height", 0))
    boxes: list[tuple[float, float, float, float]] = []
    for text in root.iter(f"{SVG}text"):
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        boxes.append((x, y - 11, x + width(text.text or "", text.get("class", "")), y + 3))
    assert boxes
    assert all(min(x0, y0) >= 0 and x1 <= wide and y1 <= tall for x0, y0, x1, y1 in boxes)
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)


@pytest.mark.parametrize("plan", PLANS)
def test_bars_are_as_long_as_the_bytes(plan: str) -> None:
    """The parts of a bar follow each other, and the bar is to the frame as what is held is to the device."""
    found = json.loads(run(*PLANS[plan], "--format", "json").stdout)["strategies"][0]["memory"]
    root = ElementTree.fromstring(run(*PLANS[plan], "--format", "svg").stdout)
    frames = [float(r.get("width", 0)) for r in root.iter(f"{SVG}rect") if r.get("class") == "free"]
    names = {part.name for part in PARTS}
    drawn = [r for r in root.iter(f"{SVG}rect") if r.get("class") in names and r.get("height") == "22"]
    by_row: dict[str, list[tuple[float, float]]] = {}
    for rect in drawn:
        by_row.setdefault(rect.get("y", ""), []).append((float(rect.get("x", 0)), float(rect.get("width", 0))))
    shares = [one["share"] for pool in found["pools"] for one in pool["classes"]]
    assert [
        sum(w for _, w in row) / frame for row, frame in zip(by_row.values(), frames, strict=True)
    ] == pytest.approx(shares, rel=1e-3)
    for row in by_row.values():
        for (x, long), (following, _) in pairwise(row):
            assert x + long == pytest.approx(following, abs=0.02)


def test_parts_are_told_apart_without_colour_and_on_a_dark_page() -> None:
    assert len({part.stroke for part in PARTS}) == len(PARTS)
    picture = memory_svg([])
    assert "prefers-color-scheme:dark" in picture
    assert picture == memory_svg([])


def test_the_picture_says_that_prefill_is_chunked_and_names_all_ranks() -> None:
    """16 prompts of 4,096 tokens on a GPU are more than a chunk of 8,192; 4 of 1,024 are not. Four stages of `pp 8`
    hold the same, so that their ranks are one class with a long name.
    """
    chunked = "prefill in chunks of 8,192 tokens per GPU; activations are those of one chunk"
    assert chunked in run(str(EXAMPLES / "04-prefill-decode-pools.moe"), "--format", "svg").stdout
    assert "in chunks" not in run(str(EXAMPLES / "01-deepseek-v3-64-gpus.moe"), "--format", "svg").stdout
    picture = run("-e", "pp 8 < ep 256 >", "--model", "deepseek-v3", "--format", "svg").stdout
    assert "…" not in picture
    assert "768-783, 1024-1039" in picture
