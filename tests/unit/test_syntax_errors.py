"""Syntax errors: what is said, where, and that one cause is said once. `^` marks the primary place."""

from __future__ import annotations

import pytest

from dagc.diag.diagnostic import Diagnostic
from dagc.source import Source
from dagc.syntax.errors import MAX_DEPTH
from dagc.syntax.parser import parse


def diagnose(text: str) -> list[Diagnostic]:
    return list(parse(Source("plan.moe", text)).diagnostics)


def brief(text: str) -> list[str]:
    """`CODE line:column` of each."""
    lines: list[str] = []
    for diagnostic in diagnose(text):
        assert diagnostic.span is not None
        line, column = diagnostic.span.source.position(diagnostic.span.start)
        lines.append(f"{diagnostic.code.code} {line}:{column}")
    return lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ep -1", ["S005 1:4"]),
        ("ep 1.5", ["S005 1:4"]),
        ("ep 1e3", ["S005 1:4"]),
        ("ep", ["S005 1:1"]),
        ("pp 4 < ep 16", ["S002 1:6"]),
        ("pp 4 <", ["S002 1:6"]),
        ("pp 4 < (", ["S002 1:6", "S002 1:8"]),
        ("pp 4 < ep 16 }", ["S002 1:6"]),
        ("pp 4 >", ["S003 1:6"]),
        ("ep 4 )", ["S003 1:6"]),
        ("}", ["S003 1:1"]),
        ("xp 4 < ep 16 >", ["S004 1:1"]),
        ("ep16 ; tp2", ["S004 1:1", "S004 1:8"]),
        ("decod < ep 4 >", ["S004 1:1"]),
        ("", ["S006 1:1"]),
        ("# only\n# comments", ["S006 2:11"]),
        ("a\0b", ["S007 1:2"]),
        ("ep 4 \ufffd", ["S007 1:6"]),
        ("modle demo { layers 16 }\nep 4", ["S009 1:1"]),
        ("layers 16\nep 4", ["S009 1:1"]),
        ("ep 16 tp 2", ["S010 1:7"]),
        ("ep 4\nep 8", ["S010 2:1"]),
        ("strategy a = ep 4 strategy a = ep 8", ["S011 1:28"]),
        ('model "abc\nep 4', ["S012 1:7"]),
        ("ep " + "9" * 19, ["S013 1:4"]),
        ("ep " + "9" * 5000, ["S013 1:4"]),
        ("model m { a 1e400 }\nep 4", ["S013 1:13"]),
        ("pp 4 < ; tp 2 >", ["S001 1:8"]),
        ("pp 4 < >", ["S001 1:8"]),
        ("ep 16 ;", ["S001 1:8"]),
        ("attn ; ep 4", ["S001 1:6"]),
        ("attn 8 ; ep 4", ["S001 1:6"]),
        ("ep 4 < tp 2 > < tp 4 >", ["S001 1:15"]),
        ("ep 4 [micro 8 layers 4]", ["S001 1:15"]),
        ("ep 4 [,]", ["S001 1:7"]),
        ("pp 4 [micro 8 < ep 4 >", ["S002 1:6"]),
        ("strategy = ep 4", ["S001 1:10"]),
        ("strategy a =", ["S001 1:13"]),
        ("model", ["S001 1:6"]),
        ("require { ttft <=\nmemory <= 4 GB }\nep 4", ["S001 2:1"]),
        ("model m { layers 16\nstrategy a = ep 4", ["S002 1:9"]),
        ("pp 4 \u2192 ep 16", ["S001 1:6"]),
    ],
)
def test_one_cause_one_diagnostic(text: str, expected: list[str]) -> None:
    assert brief(text) == expected


def test_seven_errors_in_one_run() -> None:
    text = """model { = 4
    layers 5 <= }
strategy a = pp 4 < ep -1 ; xp 2 ; tp > | dp
strategy b = pp 3 < < tp 2 >
workload { batch 3 )
"""
    assert brief(text) == [
        "S001 1:9",
        "S001 2:14",
        "S005 3:24",
        "S004 3:29",
        "S005 3:36",
        "S005 3:43",
        "S002 4:19",
        "S001 4:21",
        "S002 5:10",
    ]


def test_words_of_a_message() -> None:
    (one,) = diagnose("pp 4 < ; tp 2 >")
    assert one.message == "expected an axis such as `ep 16`, found `;`"
    (one,) = diagnose("xp 4")
    assert one.message == "`xp` is not an axis"
    assert (one.help, one.fixes) == ((), ())
    (one,) = diagnose("epp 4")
    assert (one.help, one.fixes) == (("did you mean `pp` or `ep`?",), ())
    (one,) = diagnose("decod < ep 4 >")
    assert one.help == ("did you mean `decode`?",)


def test_an_unclosed_bracket_shows_where_the_end_was_found() -> None:
    (one,) = diagnose("model m { layers 16\nstrategy a = ep 4")
    assert one.labels[0].span.text == "strategy"
    (one,) = diagnose("pp 4 < ep 16 # stages\n")
    assert (one.labels[0].span.start, one.labels[0].text) == (12, "the text ends here")


@pytest.mark.parametrize("text", ["memory 64 GX", "memory 64 GX    bandwidth 1.8 TB/s", "memory 64 GX per gpu top 2"])
def test_unknown_unit(text: str) -> None:
    parsed = parse(Source("plan.moe", f"cluster c {{ {text} }}\nep 4"))
    (one,) = parsed.diagnostics
    assert (one.code.code, one.code.name) == ("N101", "unknown-unit")
    assert one.span is not None
    assert one.span.text.startswith("GX")
    assert parsed.file is not None
    assert parsed.file.blocks[0].body
    memory = parsed.file.blocks[0].body[0].values[0]
    assert getattr(memory, "unit", "").startswith("GX")


def test_unknown_unit_offers_the_nearest() -> None:
    (one,) = diagnose("cluster c { memory 64 GX }\nep 4")
    assert one.help == ("did you mean `GB`?",)
    assert [edit.replacement for fix in one.fixes for edit in fix.edits] == ["GB"]


@pytest.mark.parametrize("opener", ["(", "ep 2 <", "model m { ", "pp 2 [", "a { "])
def test_deep_nesting_is_refused(opener: str) -> None:
    codes = {diagnostic.code.code for diagnostic in diagnose(opener * 10_000)}
    assert codes & {"S008", "S002"}


def test_depth_limit_is_as_stated() -> None:
    deepest = "(" * MAX_DEPTH + "ep 4" + ")" * MAX_DEPTH
    assert diagnose(deepest) == []
    assert brief(f"({deepest})") == [f"S008 1:{MAX_DEPTH + 1}"]


def test_no_tree_with_syntax_errors() -> None:
    assert parse(Source("plan.moe", "ep 4 ;")).file is None
