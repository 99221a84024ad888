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


def test_a_rate_alone_is_an_open_loop() -> None:
    """The number in flight is that of the steady state, which takes times to know."""
    workload, problems = declare_workload(block("rate 20 requests/s    burstiness 0.5    requests 2000    warmup 100"))
    assert workload is not None and not problems
    assert (workload.is_open, workload.burstiness, workload.requests, workload.warmup) == (True, 0.5, 2000, 100)
    capped, _ = declare_workload(block("rate 20 requests/s    concurrency 64"))
    assert capped is not None and (capped.is_open, capped.concurrency) == (False, 64)


def test_seed_belongs_to_routing_only_behind_it() -> None:
    text = "rate 2 requests/s    seed 7    routing zipf 1 seed 3    seed 8"
    _, problems = declare_workload(block(text))
    assert [p.code.code for p in problems] == ["N112"]
    workload, problems = declare_workload(block(text.removesuffix("    seed 8")))
    assert workload is not None and (workload.arrival_seed, workload.seed) == (7, 3)


@pytest.mark.parametrize(
    "text",
    [
        "batch 8    rate 2 requests/s",
        'batch 8    trace "t.csv"',
        'rate 2 requests/s    trace "t.csv"',
        "concurrency 8    burstiness 2",
        "concurrency 8    requests 10    warmup 10",
        "prompt 20 to 10",
        "output 20 to 10",
        "prompt 20 to 0",
        'prompt 10    trace "t.csv"',
        'output 10    lengths "t.csv"',
        'lengths "t.csv"    trace "t.csv"',
        "rate 2 requests/s    burstiness 0",
        "prompt 10 to",
    ],
)
def test_what_excludes_each_other_is_reported_once(text: str) -> None:
    workload, problems = declare_workload(block(text))
    assert workload is None
    assert [p.code.code for p in problems] == ["N114"]
