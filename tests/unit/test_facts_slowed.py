"""`slow 5 by 10 %` in a cluster: read, refused, and held against the size of a strategy."""

from __future__ import annotations

import pytest

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.facts.cluster import declare_cluster
from dagc.source import Source
from dagc.syntax.parser import parse, parse_fragment
from dagc.syntax.printer import format_plan

PLAN = """cluster h100-sxm x 64 {{ {cluster} }}
strategy main = ep 8
"""


def declared(text: str) -> tuple[tuple[tuple[int, float], ...] | None, tuple[Diagnostic, ...]]:
    """Slowed ranks of a cluster with these entries, and all that is wrong with it."""
    block, reported = parse_fragment("cluster", Source("c", f"h100-sxm x 64 {{ {text} }}"))
    assert block is not None
    cluster, problems = declare_cluster(block)
    return (cluster.slowed if cluster else None), (*reported, *problems)


def test_slowed_ranks_stand_in_order() -> None:
    assert declared("slow 9 by 20 %    network 40 GB/s    slow 5 by 10 %") == (((5, 0.1), (9, 0.2)), ())
    assert declared("slow 0 by 100 %") == (((0, 1.0),), ())
    assert declared("node 8") == ((), ())


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("slow 5", "N118", "slow 5"),
        ("slow 5 by 0 %", "N114", "0 %"),
        ("slow 5 by 120 %", "N114", "120 %"),
        ("slow 5 by -10 %", "N114", "-10 %"),
        ("slow 5 by 10", "N113", "10"),
        ("slow 5 by 10 GB", "N113", "GB"),
        ("slow -1 by 10 %", "N114", "-1"),
        ("slow 1.5 by 10 %", "N114", "1.5"),
        ("slow 5 by 10 %    slow 5 by 20 %", "N112", "slow 5 by 20 %"),
        ("slowdown 5", "N111", "slowdown"),
    ],
)
def test_what_slows_nothing_is_reported_once(text: str, code: str, place: str) -> None:
    slowed, problems = declared(text)
    assert slowed is None
    assert [(p.code.code, p.span.text if p.span else None) for p in problems] == [(code, place)]


def test_all_wrong_entries_are_reported_in_one_run() -> None:
    _, problems = declared("slow 5    slow 6 by 0 %    slow 7 by 10 %    slow 7 by 10 %")
    assert [p.code.code for p in problems] == ["N118", "N114", "N112"]


def test_a_rank_outside_the_strategy_is_an_error_and_the_rest_is_priced() -> None:
    outcome = check(Source("p", PLAN.format(cluster="slow 7 by 10 %    slow 8 by 10 %    slow 70 by 10 %")))
    found = [d for d in outcome.diagnostics if d.code.code == "G102"]
    assert [d.span.text for d in found if d.span] == ["slow 8 by 10 %", "slow 70 by 10 %"]
    assert found[0].message == "rank 8 is slowed, and `main` has no such rank"
    assert found[0].label == "not one of 0 to 7"
    assert outcome.checked[0].priced.timelines is not None


def test_the_printer_keeps_slow_and_routing_on_one_line_each() -> None:
    text = "cluster h100-sxm x 64 { slow 5 by 10 %    slow 6 by 20 % }\nworkload { routing zipf 1 seed 7 }\nep 8\n"
    parsed = parse(Source("p", text))
    assert parsed.file is not None and not parsed.diagnostics
    printed = format_plan(parsed.file)
    assert "slow 5 by 10 %" in printed
    assert "routing zipf 1 seed 7" in printed
