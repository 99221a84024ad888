"""The ledger of measured cases: how errors are counted, that its page is fresh, and that it does not get worse."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from dagc.catalog.cases import Case, kinds, measured_cases
from dagc.cli.validate import validate as command
from dagc.driver.validating import PAGE, validate
from dagc.report.ledger import Entry, aggregates, render_page, render_text

WORST = {
    "large operators": 0.050,
    "small operators": 0.070,
    "expert layers": 0.200,
    "large collectives": 0.045,
    "small collectives": 0.055,
    "expert exchange": 0.030,
    "layers": 0.220,
    "static batch": 0.180,
    "serving": 0.120,
    "serving, ep or dp": 0.100,
    "deployments": 0.090,
    "memory": 0.005,
}
"""The largest median error of each kind that is accepted: lowered when the model gets better, never raised."""


@pytest.fixture(scope="module")
def entries() -> tuple[Entry, ...]:
    return validate()


def entry(kind: str, measured: float, predicted: float | None) -> Entry:
    return Entry(Case("c", kind, "", "tpot", measured, f"{measured} s", "someone", "", ""), predicted)


def test_an_error_is_signed_and_relative_to_the_measurement() -> None:
    assert entry("a", 4.0, 5.0).error == 0.25
    assert entry("a", 4.0, 3.0).error == -0.25


def test_a_kind_has_the_median_and_the_mean_of_sizes_and_the_median_with_its_sign() -> None:
    """Errors -50 %, -10 %, +30 %: sizes 10, 30, 50 have the median 30 and the mean 30; the bias is -10 %."""
    (found,) = aggregates([entry("a", 10, 5), entry("a", 10, 9), entry("a", 10, 13)])
    assert (found.cases, found.answered) == (3, 3)
    assert (found.median, found.mean, found.bias) == pytest.approx((0.3, 0.3, -0.1))


def test_what_is_not_answered_is_counted_and_not_averaged() -> None:
    first, second = aggregates([entry("a", 10, 9), entry("a", 10, None), entry("b", 10, None)])
    assert (first.cases, first.answered, first.median) == (2, 1, pytest.approx(0.1))
    assert second.median is None
    assert "1 of 2" in render_text([entry("a", 10, 9), entry("a", 10, None)])


def test_every_case_is_answered(entries: tuple[Entry, ...]) -> None:
    assert [one.case.id for one in entries if one.predicted is None] == []


def test_every_case_has_its_own_name_and_a_source() -> None:
    cases = measured_cases()
    assert len({case.id for case in cases}) == len(cases)
    assert all(case.source and case.licence and case.measured > 0 for case in cases)


def test_the_ledger_does_not_get_worse(entries: tuple[Entry, ...]) -> None:
    found = {one.kind: one.median for one in aggregates(entries)}
    assert set(found) == set(WORST)
    assert {kind: median for kind, median in found.items() if median is None or median > WORST[kind]} == {}


def test_the_page_is_fresh(entries: tuple[Entry, ...]) -> None:
    """When this fails, predictions have changed: `python -m dagc.driver.validating` writes the page anew."""
    assert PAGE.read_text(encoding="utf-8") == render_page(entries)


def test_the_command_prints_a_kind_as_text_and_as_data() -> None:
    text = CliRunner().invoke(command, ["memory"])
    assert text.exit_code == 0
    assert text.stdout.startswith("kind    cases  median  mean   bias\nmemory  1")
    document = json.loads(CliRunner().invoke(command, ["memory", "--format", "json"]).stdout)
    (case,) = document["cases"]
    assert case["measured"] == 14.2474 * 2**30
    assert case["error"] == pytest.approx(case["predicted"] / case["measured"] - 1)


def test_an_unknown_kind_is_a_usage_error_that_names_the_kinds() -> None:
    result = CliRunner().invoke(command, ["colour"])
    assert result.exit_code == 2
    assert "static batch" in result.output and "static batch" in kinds()
