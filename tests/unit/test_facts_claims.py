"""The claims block: whose claims, which figures, and margins."""

from __future__ import annotations

import pytest

from dagc.diag.diagnostic import Diagnostic
from dagc.facts.claims import declare_claims
from dagc.plan.workload import Claim
from dagc.source import Source
from dagc.syntax.parser import parse


def read(text: str) -> tuple[str, tuple[Claim, ...], tuple[Diagnostic, ...]]:
    parsed = parse(Source("c", f"{text}\nstrategy main = ep 16\n"))
    assert parsed.file is not None, parsed.diagnostics
    name, _, claims, problems = declare_claims(parsed.file.blocks[0])
    return name, claims, problems


def test_claims_speak_of_the_strategy_they_name() -> None:
    name, claims, problems = read("claims option1 { gpus 128    throughput 24320 output tokens/ms    ttft < 6 s }")
    assert (name, problems) == ("option1", ())
    assert [(c.name, c.comparison, c.figure.text) for c in claims] == [
        ("gpus", "=", "128"),
        ("throughput", "=", "24320 output tokens/ms"),
        ("ttft", "<", "6 s"),
    ]


def test_claims_without_a_name_speak_of_main() -> None:
    assert read("claims { gpus 16 }")[0] == "main"


def test_a_margin_belongs_to_its_claim() -> None:
    _, claims, problems = read("claims main { latency 35 ms margin 1.43 x    communication 3 % margin 6.7 }")
    assert not problems
    assert [(c.name, c.margin.value if c.margin else None) for c in claims] == [
        ("latency", 1.43),
        ("communication", 6.7),
    ]
    assert claims[0].span.text == "latency 35 ms margin 1.43 x"


def test_one_metric_may_be_claimed_in_several_ways() -> None:
    _, claims, problems = read("claims main { memory 33 GB    memory 51.6 % }")
    assert not problems
    assert [c.figure.unit for c in claims] == ["bytes", "share"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("claims main { gpu 16 }", "N131"),
        ("claims main { compute 3 GB }", "N133"),
        ("claims main { weights 20 GB per gpu }", "N133"),
        ("claims main { gpus }", "N134"),
        ("claims main { ttft 3 s margin }", "N134"),
        ("claims main other { gpus 16 }", "N135"),
        ("claims 3 { gpus 16 }", "N135"),
    ],
)
def test_what_states_no_claim_is_reported_once(text: str, code: str) -> None:
    assert [p.code.code for p in read(text)[2]] == [code]
