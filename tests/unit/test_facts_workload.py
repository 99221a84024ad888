"""The workload block: stated fields, documented defaults, and what is no workload."""

from __future__ import annotations

import pytest

from dagc.facts.workload import declare_workload
from dagc.source import Source
from dagc.syntax.parser import parse, parse_fragment
from dagc.syntax.tree import Block


def block(text: str) -> Block:
    parsed, problems = parse_fragment("workload", Source("w", text))
    assert parsed is not None, problems
    return parsed


def test_no_block_is_the_documented_default() -> None:
    workload, problems = declare_workload(None)
    assert workload is not None and not problems
    assert (workload.batch, workload.prompt, workload.output) == (128, 1024, 128)
    assert (workload.routing, workload.chunk) == ("uniform", 8192)


def test_missing_fields_take_their_default() -> None:
    workload, _ = declare_workload(block("batch 128    prompt 10240"))
    assert workload is not None
    assert (workload.batch, workload.prompt, workload.output) == (128, 10240, 128)
    assert workload.spans["prompt"].text == "prompt 10240"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("batch 0", "N114"),
        ("batch 2.5", "N114"),
        ("batch 3 GB", "N113"),
        ("isl 1024", "N111"),
        ("batch 1    batch 2", "N112"),
        ("routing skewed", "N114"),
        ("routing zipf", "N114"),
        ("routing zipf -1", "N114"),
        ("routing zipf 1 %", "N113"),
        ("routing zipf 1 seed -2", "N114"),
        ("routing zipf 1 seed 1.5", "N114"),
        ("routing zipf 1 2", "N114"),
        ("routing uniform seed 3", "N114"),
    ],
)
def test_what_is_no_workload_is_reported_once(text: str, code: str) -> None:
    workload, problems = declare_workload(block(text))
    assert workload is None
    assert [p.code.code for p in problems] == [code]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("routing uniform", ("uniform", 0.0, 0)),
        ("routing zipf 1", ("zipf", 1.0, 0)),
        ("routing zipf 0", ("zipf", 0.0, 0)),
        ("routing zipf 1.25 seed 7    batch 3", ("zipf", 1.25, 7)),
    ],
)
def test_skewed_routing_has_an_exponent_and_a_seed(text: str, expected: tuple[str, float, int]) -> None:
    workload, problems = declare_workload(block(text))
    assert workload is not None and not problems
    assert (workload.routing, workload.zipf_exponent, workload.seed) == expected
    assert workload.is_skewed == (expected[1] > 0)


def test_a_workload_has_no_name() -> None:
    parsed = parse(Source("w", "workload night { batch 8 }\nep 16\n"))
    assert parsed.file is not None
    workload, problems = declare_workload(parsed.file.blocks[0])
    assert workload is None
    assert [p.code.code for p in problems] == ["N136"]
