"""The printer and the parser are each other's inverse, and no text makes the parser raise."""

from __future__ import annotations

import dataclasses

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagc.diag import text as renderer
from dagc.diag.diagnostic import Family
from dagc.source import Source, Span
from dagc.syntax.parser import parse
from dagc.syntax.printer import format_plan, format_strategy
from dagc.syntax.tree import (
    Axis,
    AxisKind,
    Entry,
    Fold,
    Option,
    Pools,
    Quantity,
    Scope,
    ScopeKind,
    Strategy,
    Value,
    Word,
)

NOWHERE = Source("none", "").span(0, 0)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def bare(node: object) -> object:
    """A tree as nested tuples, without spans (a value's `unit_span` may be None) and sources."""
    if isinstance(node, tuple):
        return tuple(bare(child) for child in node)  # pyright: ignore[reportUnknownVariableType]
    if dataclasses.is_dataclass(node):
        fields = [getattr(node, f.name) for f in dataclasses.fields(node) if f.name != "unit_span"]
        return (type(node).__name__, *(bare(v) for v in fields if not isinstance(v, (Span, Source))))
    return node


# Values. Units and names are words that stay what they are wherever they stand.

numbers = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(-1e15, 1e15, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-300),
)
units = st.sampled_from([None, "GB", "TB/s", "%", "output tokens/ms per gpu", "s"])
quantities = st.builds(lambda v, u: Quantity(v, u, NOWHERE), numbers, units)
strings = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Cn"], blacklist_characters='"\ufffd'), max_size=5)
words = st.one_of(
    st.sampled_from(["bf16", "mixtral-8x7b", "qwen3-235b-a22b", "yes"]).map(lambda t: Word(t, NOWHERE)),
    strings.map(lambda t: Word(t, NOWHERE, quoted=True)),
)
values: st.SearchStrategy[tuple[Value, ...]] = st.one_of(
    st.lists(quantities, min_size=1, max_size=4).map(tuple), words.map(lambda w: (w,))
)

# Strategies

counts = st.integers(0, 10**9).map(lambda n: (Quantity(n, None, NOWHERE),))
option = st.builds(
    lambda n, v: Option(n, v, NOWHERE, NOWHERE), st.sampled_from(["micro", "layers"]), st.one_of(st.just(()), counts)
)
options = st.lists(option, max_size=2).map(tuple)


def _nodes(inner: st.SearchStrategy[Strategy]) -> st.SearchStrategy[Strategy]:
    branches = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(
            lambda k, d, o, b: Axis(k, d, o, b, NOWHERE, NOWHERE),
            st.sampled_from(AxisKind), st.integers(0, 10**12), options, inner,
        ),
        st.builds(lambda k, o, b: Scope(k, o, b, NOWHERE, NOWHERE), st.sampled_from(ScopeKind), options, inner),
        st.builds(lambda b: Fold(b, NOWHERE), branches),
        st.builds(lambda b: Pools(b, NOWHERE), branches),
    )  # fmt: skip


leaves: st.SearchStrategy[Strategy] = st.builds(
    lambda k, d, o: Axis(k, d, o, None, NOWHERE, NOWHERE), st.sampled_from(AxisKind), st.integers(0, 10**12), options
)
strategies = st.recursive(leaves, _nodes, max_leaves=12)


@QUICK
@given(strategies)
def test_a_printed_strategy_reads_back(strategy: Strategy) -> None:
    parsed = parse(Source("p", format_strategy(strategy)))
    assert parsed.diagnostics == ()
    assert parsed.file is not None
    assert bare(parsed.file.strategies[0].body) == bare(strategy)
    assert format_strategy(parsed.file.strategies[0].body) == format_strategy(strategy)


# Plan files, as text in any layout. Each entry stands on a line of its own or in a block of one line.

names = st.sampled_from(["layers", "hidden", "attention", "ffn", "bandwidth", "ttft"])
# A bare word before `{` is the name of that block, so a value there is a number or quoted.
numbers_or_strings = values.filter(lambda vs: not any(isinstance(v, Word) and not v.quoted for v in vs))
with_a_body = st.one_of(st.just(()), numbers_or_strings)
percentiles = st.sampled_from([None, Word("p50", NOWHERE), Word("p99", NOWHERE), Word("p99.9", NOWHERE)])
entries = st.recursive(
    st.builds(
        lambda n, c, v, p: Entry(n, NOWHERE, c, v, None, NOWHERE, p if c else None),
        names, st.sampled_from([None, "<", "<=", "=", ">", ">="]), values, percentiles,
    ),
    lambda inner: st.builds(
        lambda n, v, b: Entry(n, NOWHERE, None, v, tuple(b), NOWHERE),
        names, with_a_body, st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip
blanks = st.sampled_from(["\n", "\n\n\n", " # note }\n", "\n\n    # note {\n", "   \n# a\n\n# b\n"])


def _value(value: Value) -> str:
    if isinstance(value, Word):
        return f'"{value.text}"' if value.quoted else value.text
    return repr(value.value) + (f"  {value.unit}" if value.unit else "")


def write(entry: Entry, data: st.DataObject) -> str:
    """An entry as somebody might lay it out, blanks and comments around it."""
    compared = [text for text in (entry.percentile and entry.percentile.text, entry.comparison) if text]
    words = [entry.name, *compared, *map(_value, entry.values)]
    line = "  ".join(words)
    if entry.body is None:
        return line + data.draw(blanks)
    return f"{line} {{{data.draw(blanks)}{''.join(write(e, data) for e in entry.body)}}}{data.draw(blanks)}"


@QUICK
@given(st.lists(entries, max_size=4), strategies, st.data())
def test_a_formatted_plan_reads_back_and_stays(body: list[Entry], strategy: Strategy, data: st.DataObject) -> None:
    text = data.draw(blanks) + "model demo {" + "".join(write(e, data) for e in body)
    text = text + "}" + data.draw(blanks) + "strategy a = " + format_strategy(strategy) + data.draw(blanks)
    first = parse(Source("p", text)).file
    assert first is not None, text
    printed = format_plan(first)
    second = parse(Source("p", printed)).file
    assert second is not None, printed
    assert bare(second.blocks) == bare(first.blocks)
    assert bare(second.strategies) == bare(first.strategies)
    assert bare(first.blocks[0].body) == bare(tuple(body))
    assert [c.text.strip() for c in second.comments] == [c.text.strip() for c in first.comments]
    assert format_plan(second) == printed


# Any text at all

SIGNS = ["<", ">", ";", "|", "(", ")", "[", "]", "{", "}", "=", ",", "<=", "#", '"', "%", "\n"]
WORDS = ["pp", "ep", "tp", "attn", "prefill", "strategy", "model", "require", "layers", "a", "GB", "4", "16", "1.5"]
pieces = st.sampled_from(SIGNS + WORDS)
texts = st.one_of(
    st.lists(pieces, max_size=30).map(" ".join),
    st.text(max_size=40),
    st.binary(max_size=40).map(lambda b: b.decode("latin-1")),
)


@settings(QUICK, max_examples=300)
@given(texts)
def test_no_text_makes_the_parser_raise(text: str) -> None:
    parsed = parse(Source("p", text))
    has_syntax_error = any(d.code.family is Family.SYNTAX for d in parsed.diagnostics)
    assert (parsed.file is None) == has_syntax_error
    for diagnostic in parsed.diagnostics:
        assert diagnostic.span is not None
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
    shown = renderer.render(parsed.diagnostics)
    assert all(c == "\n" or c.isprintable() for c in shown)


@settings(QUICK, max_examples=60)
@given(texts)
def test_what_parses_can_be_formatted(text: str) -> None:
    file = parse(Source("p", text)).file
    if file is not None:
        printed = format_plan(file)
        again = parse(Source("p", printed)).file
        assert again is not None
        assert format_plan(again) == printed
