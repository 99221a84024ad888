"""The page of flat notations: every stated reading, in its order, is what `dagc read` finds."""

from __future__ import annotations

import pytest

from dagc.driver import read as driver
from dagc.source import Source
from tests.harness.markdown import Block, fenced_blocks
from tests.harness.places import TESTS

BLOCKS = fenced_blocks((TESTS / "pages" / "reading.md").read_text(encoding="utf-8"))
ENGINES = ("vllm", "sglang", "trtllm", "megatron")
"""Engines that the page names; another changes none of its lines."""
CASES = list(zip(BLOCKS[::2], BLOCKS[1::2], strict=True))


def said(text: str) -> list[str]:
    """The readings of a notation, or its diagnostics, in the words of the page."""
    found, diagnostics = driver.read(Source("TEXT", text))
    if found is None:
        return [f"error [{d.code.code}] {d.span.text if d.span else ''}" for d in diagnostics]
    lines: list[str] = []
    for reading in found.readings:
        attention, experts = reading.sizes.attention, reading.sizes.experts
        assert experts is not None
        degrees = (
            f"attention {attention.tp} {attention.cp} {attention.dp}, experts {experts.tp} {experts.ep} {experts.dp}"
        )
        named = " ".join(name for name in reading.engines if name in ENGINES)
        lines.append(f"{reading.strategy} = {reading.gpus}, {degrees}{', ' * bool(named)}{named}")
    return lines


def test_the_page_is_notations_with_their_readings() -> None:
    assert len(CASES) > 15
    assert {(read.language, readings.language) for read, readings in CASES} == {("read", "readings")}


@pytest.mark.parametrize(("read", "stated"), CASES, ids=lambda block: f"line {block.line}")
def test_the_readings_are_those_of_the_page(read: Block, stated: Block) -> None:
    actual, lines = said(read.text.strip()), stated.text.splitlines()
    if lines[-1] == "…":
        lines = lines[:-1]
        actual = actual[: len(lines)]
    assert actual == lines
