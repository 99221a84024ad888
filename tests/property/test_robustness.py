"""Whatever the text: a result or diagnostics, never an exception, and an end within a stated time.

At length, and for every command, `python -m tests.fuzz` asks the same. The bound is for one text and far above what any
takes (usually some milliseconds, some seconds at most): it finds work that grows without limit, not a slow machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagc.diag import text as renderer
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.jsonout import to_json
from dagc.driver import check as checks
from dagc.driver import compile as exports
from dagc.driver import read as reading
from dagc.source import Source
from dagc.syntax.parser import parse
from dagc.syntax.printer import format_plan
from tests.property.mutations import EXAMPLES, mutated
from tests.property.test_plan import ANY, LEGAL
from tests.property.test_syntax import bare, texts

SECONDS = 60
"""The bound for one text, on any machine that runs the tests."""

SHORT = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
LONG = settings(SHORT, max_examples=800)

SIZES = st.sampled_from([1, 2, 3, 5, 8, 24])
FACTS = st.builds(
    "model m {{ layers {} hidden 1024 vocab 1000 attention {{ heads {} head_dim 64 }} "
    "experts {} {{ top {} ffn {} }} }}\n"
    "cluster h100-sxm x {}\nworkload {{ batch {} prompt {} output {} }}\n".format,
    *[SIZES] * 9,
)
GENERATED = st.builds("{}{}".format, FACTS | st.just(""), LEGAL | ANY)
DEEP = st.builds(
    lambda opening, times, inside, closing: opening * times + inside + closing * times,
    st.sampled_from(["(", "ep 2 < ", "attn < ", "model m { ", "model m { a { ", "pp 2 [", "tp 2 ; (", "[", "{"]),
    st.integers(0, 400),
    st.sampled_from(["", "ep 4", "layers 4"]),
    st.sampled_from([")", " >", " }", "]", ""]),
)
PIECES = [
    *(
        "tp",
        "EP",
        "pp=",
        "dp:",
        "cp",
        "etp",
        "8",
        "16",
        "0",
        "-",
        "_",
        ",",
        " ",
        "x",
        "way",
        "²",
        "é",
        "9" * 30,
        "'",
        '"',
    ),
    *("vllm serve m", "-tp 2", "--tp-size", "--tp-size 4", "--enable-expert-parallel", "--enable-dp-attention", "--ep"),
    *("tensor parallel", "--moe_tp_size=2", "--nnodes 4", "--nproc-per-node 8", "--expert-model-parallel-size 8", "="),
]
DEGREES = ["tp 2", "ep 8", "pp 3", "dp 4", "cp 2", "etp 2"]
FLAT = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(DEGREES), unique=True).map(" ".join),
)


def judge(diagnostics: tuple[Diagnostic, ...]) -> None:
    """Each can be shown, and none says that the compiler broke its own rules."""
    renderer.render(diagnostics[:20])
    for diagnostic in diagnostics:
        to_json(diagnostic)
        assert diagnostic.code.family != "V", diagnostic.message


def within_bound(work: Callable[[], None]) -> None:
    start = time.monotonic()
    work()
    assert time.monotonic() - start < SECONDS


def check(text: str, with_files: bool = False) -> None:
    def work() -> None:
        outcome = checks.check(Source("plan.moe", text))
        judge(outcome.diagnostics)
        for checked in outcome.checked if with_files else ():
            product = exports.export(checked)
            judge(product.diagnostics)
            for content in product.files.values():
                assert isinstance(content, bytes) or all(isinstance(part, bytes) for part in content)

    within_bound(work)


def read(text: str) -> None:
    def work() -> None:
        found, diagnostics = reading.read(Source("TEXT", text))
        judge(diagnostics)
        assert (found is None) == any(d.is_error for d in diagnostics)

    within_bound(work)


def format_twice(text: str) -> None:
    """What parses prints to text that parses to the same tree and comments, and prints the same."""
    parsed = parse(Source("p", text))
    if parsed.file is None or parsed.diagnostics:
        return
    printed = format_plan(parsed.file)
    again = parse(Source("p", printed))
    assert again.file is not None and not again.diagnostics, printed
    assert bare(again.file.blocks) == bare(parsed.file.blocks)
    assert bare(again.file.strategies) == bare(parsed.file.strategies)
    assert [c.text.strip() for c in again.file.comments] == [c.text.strip() for c in parsed.file.comments]
    assert format_plan(again.file) == printed


@pytest.mark.slow
@settings(SHORT, max_examples=30)
@given(mutated() | GENERATED | DEEP | texts)
def test_any_plan_is_checked(text: str) -> None:
    check(text)


@pytest.mark.slow
@settings(SHORT, max_examples=25)
@given(mutated(EXAMPLES, most=2))
def test_what_is_checked_can_be_exported(text: str) -> None:
    check(text, with_files=True)


@SHORT
@given(FLAT | texts)
def test_any_flat_notation_is_read(text: str) -> None:
    read(text)


@settings(SHORT, max_examples=300)
@given(mutated())
def test_a_mutated_plan_is_formatted_to_what_it_was(text: str) -> None:
    format_twice(text)


@pytest.mark.slow
@LONG
@given(FLAT | texts)
def test_any_flat_notation_is_read_at_length(text: str) -> None:
    read(text)


@pytest.mark.slow
@LONG
@given(mutated())
def test_a_mutated_plan_is_formatted_to_what_it_was_at_length(text: str) -> None:
    format_twice(text)
