"""Whatever a diagnostic offers is written into the plan, and the whole pipeline runs on it: its code comes up less
often, and no error comes up that was not there.

Two things are no fault of an offer. A claim was worked out for the plan as it was written. And where a plan names no
model, the default one may be too large for it. What mends the syntax or a name is held against these alone: what they
hid was there before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagc.diag.diagnostic import Diagnostic, Edit, Fix
from dagc.driver.check import check
from dagc.driver.outcome import Outcome
from dagc.source import Source
from tests.harness import explain
from tests.harness.effort import examples
from tests.harness.places import EXPLAIN
from tests.property.mutations import mutated
from tests.property.test_plan import ANY

QUICK = settings(
    max_examples=examples(30, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(QUICK, max_examples=300)

MODELS = st.sampled_from([
    "model mixtral-8x7b\n", "model qwen3-30b-a3b\n", "model deepseek-v3\n", "model llama-3.1-70b\n",
    "model minimax-m2\n", "model m { layers 16    experts 16 { top 2 } }\n", "",
])  # fmt: skip
CLUSTERS = st.just("") | st.builds(
    "cluster {} x {}\n".format, st.sampled_from(["h100-sxm", "h200"]), st.sampled_from([4, 16, 24, 64])
)
WORKLOADS = st.sampled_from([
    "", "workload { batch 6 prompt 40 output 20 }\n", "workload { batch 50 prompt 1024 output 8 }\n",
])  # fmt: skip
WANTED = st.sampled_from([
    "", "", "require { ttft <= 2 s }\n", "require { gpus <= 12    memory <= 60 GB }\n", "rules { deny W101 }\n",
])  # fmt: skip
ENGINES = st.sampled_from(["", "", "engine vllm\n", "engine sglang\n", "engine trtllm\n", "engine megatron\n"])
DEGREES = st.sampled_from([1, 2, 3, 5, 7, 8, 12, 16, 24, 32, 48, 64, 100, 300, 1000])
FORMS = st.sampled_from([
    "dp {}", "pp {} < ep {} ; tp {} >", "dp {} < pp {} < tp {} > >", "tp {} < ep {} >", "ep {} < tp {} >",
    "cp {} < tp {} >", "ep {} < pp {} < dp {} > >", "ep {} [redundant {}] ; tp {} [dcp {}]",
    "pp {} [micro {}] < ep {} >", "pp {} [layers 3 {}] < tp {} >", "pp {} < tp {} > | ep {}",
    "prefill < ep {} ; tp {} > | decode < dp {} < tp {} > >", "ep {} [overlap 2] ; tp {}", "epp {} ; ttp {}",
    "attn tp {} ; ep {}", "prefill tp {} | decode ep {}", "moe < ep {} > | dp {}", "(ep {} ; tp {}) | ep {}",
    "TP{}-EP{}-PP{}", "ep{} ; tp {}",
])  # fmt: skip


@st.composite
def wrong(draw: st.DrawFn) -> str:
    """Facts that differ, and a strategy whose degrees seldom fit them."""
    form = draw(FORMS)
    strategy = form.format(*(draw(DEGREES) for _ in range(form.count("{}"))))
    return "".join(draw(part) for part in (MODELS, CLUSTERS, WORKLOADS, WANTED, ENGINES)) + strategy


def offered(diagnostic: Diagnostic) -> Iterator[Fix]:
    """Every fix, and every way out that help alone names."""
    yield from diagnostic.fixes
    yield from (choice.fix for offer in diagnostic.offers for line in offer.lines for choice in line)


def edited(text: str, edits: tuple[Edit, ...]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.span.start, reverse=True):
        text = text[: edit.span.start] + edit.replacement + text[edit.span.end :]
    return text


def counting(outcome: Outcome, diagnostic: Diagnostic) -> Counter[str]:
    """How often each error comes up that an offer of this diagnostic may not bring."""
    errors = [one.code for one in outcome.diagnostics if one.is_error]
    if diagnostic.code.family in "SN":
        return Counter("text" for code in errors if code.family in "SN")
    # As what the pipeline said of the plan before says, where it said that the default model is too large, it counts.
    is_default = any("model" in one.plan.facts.defaulted for one in outcome.checked)
    return Counter(c.code for c in errors if c.family != "C" and not (is_default and c.code == "M101"))


def holds(text: str) -> None:
    before = check(Source("plan.moe", text))
    codes = Counter(one.code.code for one in before.diagnostics)
    for diagnostic in before.diagnostics[:12]:
        shown(diagnostic)
        for fix in dict.fromkeys(offered(diagnostic)):
            after = check(Source("plan.moe", edited(text, fix.edits)))
            left = Counter(one.code.code for one in after.diagnostics)
            code = diagnostic.code.code
            assert left[code] < codes[code], (code, fix.title, text)
            new = counting(after, diagnostic) - counting(before, diagnostic)
            assert not new, (code, fix.title, new, text)
            wrong = [
                one.code.code
                for one in after.diagnostics
                if is_at(one, fix) and counting(after, diagnostic)[one.code.code]
            ]
            assert diagnostic.code.family in "SN" or not diagnostic.offers or not wrong, (code, fix.title, wrong, text)


def is_at(error: Diagnostic, fix: Fix) -> bool:
    """Whether an error is at what a fix wrote."""
    start = min(edit.span.start for edit in fix.edits)
    change = sum(len(edit.replacement) - len(edit.span.text) for edit in fix.edits)
    end = max(edit.span.end for edit in fix.edits) + change
    return error.is_error and error.span is not None and error.span.start < end and start < error.span.end


AXES_AND_OPTIONS = r"(?:dp|pp|ep|tp|cp|micro|redundant|layers|dcp) \d[^`]*|\[[^`]*\]"
PROSE = re.compile(rf"(?:\buse|\bdid you mean|\bwrite) `({AXES_AND_OPTIONS})`")


def shown(diagnostic: Diagnostic) -> None:
    """A strategy, degree or option in the words of a help is one of its offers, or what its fix writes."""
    data = [choice.text for offer in diagnostic.offers for line in offer.lines for choice in line]
    for text in diagnostic.help:
        for written in PROSE.findall(text):
            assert diagnostic.fixes or any(f"`{written}`" in one for one in data), (diagnostic.code.code, text)


@QUICK
@given(wrong())
def test_an_offer_holds(text: str) -> None:
    holds(text)


@QUICK
@given(mutated(most=3) | ANY)
def test_an_offer_holds_in_any_plan(text: str) -> None:
    holds(text)


@pytest.mark.parametrize("code", sorted(path.stem for path in EXPLAIN.glob("*.md")))
def test_an_offer_holds_in_the_example_of_its_page(code: str) -> None:
    for text in explain.read(EXPLAIN / f"{code}.md").examples:
        holds(text)


@pytest.mark.slow
@LONG
@given(wrong() | mutated(most=3) | ANY)
def test_an_offer_holds_at_length(text: str) -> None:
    holds(text)
