"""The require block: figures in SI units, comparisons, and what states no requirement."""

from __future__ import annotations

import pytest

from dagc.diag.diagnostic import Diagnostic
from dagc.facts.claims import declare_requirements
from dagc.plan.workload import Per, Requirement
from dagc.source import Source
from dagc.syntax.parser import parse_fragment
from dagc.units import last_digit, significant_digits


def read(text: str) -> tuple[tuple[Requirement, ...], tuple[Diagnostic, ...]]:
    parsed, _ = parse_fragment("require", Source("r", text))
    assert parsed is not None
    return declare_requirements(parsed)


@pytest.mark.parametrize(
    ("text", "value", "unit", "per", "kind"),
    [
        ("ttft <= 10 s", 10.0, "seconds", Per.DEPLOYMENT, ""),
        ("latency <= 50 ms", 0.05, "seconds", Per.DEPLOYMENT, ""),
        ("throughput >= 100 tokens/ms per gpu", 100e3, "tokens/s", Per.GPU, ""),
        ("throughput >= 20000 output tokens/s", 20e3, "tokens/s", Per.DEPLOYMENT, "output"),
        ("memory <= 64 GB", 64e9, "bytes", Per.GPU, ""),
        ("memory <= 90 %", 0.9, "share", Per.GPU, ""),
        ("communication < 20 %", 0.2, "share", Per.DEPLOYMENT, ""),
        ("gpus <= 64", 64.0, "count", Per.DEPLOYMENT, ""),
    ],
)
def test_figures_are_in_si_units(text: str, value: float, unit: str, per: Per, kind: str) -> None:
    (requirement,), problems = read(text)
    figure = requirement.figure
    assert not problems
    assert figure.value == pytest.approx(value)
    assert (figure.unit, figure.per, figure.kind) == (unit, per, kind)
    assert text == f"{requirement.name} {requirement.comparison} {figure.text}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("speed >= 10", "N131"),
        ("ttft 10 s", "N132"),
        ("ttft <= 10 GB", "N133"),
        ("ttft <= 10", "N133"),
        ("ttft <= soon", "N134"),
        ("ttft <= -1 s", "N134"),
    ],
)
def test_what_states_no_requirement_is_reported_once(text: str, code: str) -> None:
    requirements, problems = read(text)
    assert requirements == ()
    assert [p.code.code for p in problems] == [code]


def test_the_comparison_that_was_probably_meant_is_offered() -> None:
    """Less time is better, more tokens are."""
    assert read("ttft 10 s")[1][0].help == ("write `ttft <= 10 s`",)
    assert read("throughput 10 tokens/s")[1][0].help == ("write `throughput >= 10 tokens/s`",)


def test_one_wrong_entry_does_not_hide_the_others() -> None:
    requirements, problems = read("ttft 10 s    tpot <= 50 ms    speed >= 3")
    assert [r.name for r in requirements] == ["tpot"]
    assert [p.code.code for p in problems] == ["N132", "N131"]


def test_no_block_requires_nothing() -> None:
    assert declare_requirements(None) == ((), ())


@pytest.mark.parametrize(
    ("text", "digits"),
    [("1.15 GB", 3), ("0.010", 2), ("20000", 5), ("0.0 s", 0), ("12_000", 5), ("6.7e3", 2), ("51.6 %", 3), ("10.0", 3)],
)
def test_significant_digits_are_those_written(text: str, digits: int) -> None:
    assert significant_digits(text) == digits


def test_the_last_digit_of_a_rounded_total() -> None:
    """Of 10 B it is 1 B; of 0.27 B 10 M; of 235 B 1 B."""
    assert last_digit("parameters 10 B", 10e9) == pytest.approx(1e9)
    assert last_digit("parameters 0.27 B", 0.27e9) == pytest.approx(1e7)
    assert last_digit("235 B", 235e9) == pytest.approx(1e9)


def test_a_percentile_is_a_metric_of_its_own() -> None:
    found, problems = read("ttft p99 <= 500 ms    latency P50 <= 40 ms    goodput >= 18 requests/s")
    assert not problems
    assert [(one.title, one.percentile, one.metric.name) for one in found] == [
        ("ttft p99", 99, "ttft_p99"),
        ("latency p50", 50, "tpot_p50"),
        ("goodput", None, "goodput"),
    ]
    assert [one.figure.value for one in found] == [0.5, 0.04, 18.0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ttft p98 <= 500 ms", "N138"),
        ("ttft p99.9 <= 500 ms", "N138"),
        ("goodput p99 >= 18 requests/s", "N138"),
        ("memory p50 <= 18 GB", "N138"),
        ("tpot p99 40 ms", "N132"),
        ("goodput >= 18 tokens/s", "N133"),
        ("itl p99 <= 18 tokens/s", "N133"),
    ],
)
def test_what_is_no_percentile_is_reported_once(text: str, code: str) -> None:
    _, problems = read(text)
    assert [problem.code.code for problem in problems] == [code]


def test_percentiles_of_one_metric_do_not_contradict_each_other() -> None:
    _, problems = read("ttft p50 <= 100 ms    ttft p99 >= 200 ms")
    assert not problems
    _, problems = read("ttft p99 <= 100 ms    ttft p99 >= 200 ms")
    assert [problem.code.code for problem in problems] == ["N137"]
