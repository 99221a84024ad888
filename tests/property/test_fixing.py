"""Fixing any text comes to an end, and never leaves it with more syntax errors than it had."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.driver.check import check
from dagc.driver.fix import fix
from dagc.driver.outcome import Outcome
from dagc.source import Source
from tests.harness import explain
from tests.harness.effort import examples
from tests.harness.places import EXPLAIN

PLANS = [plan for path in sorted(EXPLAIN.glob("*.md")) for plan in explain.read(path).examples if len(plan) < 400]
PIECES = [" ", "\n", "<", ">", ";", "|", "(", ")", "[", "]", "{", "}", ",", "=", "#", '"', "%", "1", "ep 4", "tp", "x",
          "attn", "micro 2", "rules { deny W110 }", "strategy a ="]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A plan of an explain page with some of its characters replaced by pieces of the language."""
    text = draw(st.sampled_from(PLANS))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at + draw(st.integers(0, 3)) :]
    return text


def syntax_errors(outcome: Outcome) -> int:
    return sum(diagnostic.code.code.startswith("S") for diagnostic in outcome.diagnostics)


@given(mutated(), st.booleans())
@settings(max_examples=examples(50, 150))
def test_fixing_ends_and_mends(text: str, unsafe: bool) -> None:
    source = Source("plan.moe", text)
    fixed = fix(source, unsafe=unsafe)
    assert syntax_errors(fixed.outcome) <= syntax_errors(check(source))
    assert fix(Source("plan.moe", fixed.text), unsafe=unsafe).text == fixed.text
