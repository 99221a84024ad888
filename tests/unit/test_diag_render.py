"""Renderers, against text written by hand in the look that the project promises."""

from __future__ import annotations

from dagc.diag import explain, jsonout, text
from dagc.diag.diagnostic import Code, Diagnostic, Edit, Fix, Label, Severity, in_order
from dagc.source import Source, Span

CODE = Code("D203", "ep-exceeds-experts")
PLAN = Source(
    "plan.moe",
    "model demo {\n\n    experts 16 { top 2    ffn 6144 }\n\n\n}\nstrategy option2 = pp 8 < ep 32 >\n",
)


def place(words: str, source: Source = PLAN) -> Span:
    start = source.text.index(words)
    return source.span(start, start + len(words))


EXAMPLE = CODE.at(
    place("ep 32"),
    "`ep 32` has more ranks than a layer has experts",
    "16 of the 32 ranks would hold none",
    labels=(Label(place("experts 16"), "16 experts in each MoE layer"),),
    notes=("an expert group lives inside one stage",),
    help=("use `ep 16`",),
    fixes=(Fix("use `ep 16`", (Edit(place("32"), "16"),), safe=False),),
)


def test_labels_in_line_order_with_notes_and_help() -> None:
    assert (
        text.render([EXAMPLE], color=False)
        == """\
error[D203]: `ep 32` has more ranks than a layer has experts
  --> plan.moe:7:27
   |
 3 |     experts 16 { top 2    ffn 6144 }
   |     ---------- 16 experts in each MoE layer
 7 | strategy option2 = pp 8 < ep 32 >
   |                           ^^^^^ 16 of the 32 ranks would hold none
   |
   = note: an expert group lives inside one stage
   = help: use `ep 16`
"""
    )


def test_several_are_set_apart() -> None:
    one = CODE.at(None, "no place")
    assert text.render([one, one]) == "error[D203]: no place\n\nerror[D203]: no place\n"
    assert text.render([]) == ""


def test_gutter_grows_with_the_line_number() -> None:
    source = Source("p", "\n" * 9 + "ep 4\n")
    assert (
        text.render([CODE.at(place("ep 4", source), "m")])
        == """\
error[D203]: m
   --> p:10:1
    |
 10 | ep 4
    | ^^^^
    |
"""
    )


def test_two_labels_of_one_line() -> None:
    source = Source("p", "ep 4 ; tp 2")
    one = CODE.at(place("tp 2", source), "m", "b", labels=(Label(place("ep 4", source), "a"),))
    assert (
        text.render([one])
        == """\
error[D203]: m
  --> p:1:8
   |
 1 | ep 4 ; tp 2
   | ---- a
   |        ^^^^ b
   |
"""
    )


def test_a_span_over_lines() -> None:
    source = Source("p", "pp 4 <\n  ep 2\n>\n")
    assert (
        text.render([CODE.at(source.span(0, 15), "m", "all of it")])
        == """\
error[D203]: m
  --> p:1:1
   |
 1 | pp 4 <
   | ^^^^^^ all of it
 3 | >
   | ^ to here
   |
"""
    )


def test_a_span_at_the_end_of_the_file() -> None:
    source = Source("p", "ep 4 ;\n")
    assert (
        text.render([CODE.at(source.span(7, 7), "m", "here")])
        == """\
error[D203]: m
  --> p:2:1
   |
 2 |
   | ^ here
   |
"""
    )


def test_a_label_in_another_source() -> None:
    other = Source("--model", "deepseek-v3")
    one = CODE.at(place("ep 32"), "m", labels=(Label(other.span(0, 11), "61 layers"),))
    assert (
        text.render([one])
        == """\
error[D203]: m
  --> plan.moe:7:27
   |
 7 | strategy option2 = pp 8 < ep 32 >
   |                           ^^^^^
   |
  ::: --model:1:1
   |
 1 | deepseek-v3
   | ----------- 61 layers
   |
"""
    )


def test_a_plan_cannot_drive_the_terminal() -> None:
    source = Source("a\x1b[2J.moe", "\tep \x1b[31m4\u202e")
    out = text.render([CODE.at(source.span(1, 3), "bad \x07 bell\nsecond")])
    assert (
        out
        == """\
error[D203]: bad \\x07 bell\\x0asecond
  --> a\\x1b[2J.moe:1:2
   |
 1 |     ep \\x1b[31m4\\u202e
   |     ^^
   |
"""
    )
    assert not any(ord(c) < 32 and c != "\n" for c in out + text.render_concise([CODE.at(source.span(1, 3), "\x1b")]))


def test_wide_characters_take_two_columns() -> None:
    source = Source("p", "日本 ep 4")
    assert text.render([CODE.at(place("ep 4", source), "m")]).splitlines()[4] == "   |      ^^^^"


def test_color_adds_only_escapes() -> None:
    colored = text.render([EXAMPLE], color=True)
    assert "\x1b[1;31merror[D203]\x1b[0m" in colored
    plain = colored
    for style in ("\x1b[0m", "\x1b[1;31m", "\x1b[34m", "\x1b[1m"):
        plain = plain.replace(style, "")
    assert [line.rstrip() for line in plain.splitlines()] == text.render([EXAMPLE]).splitlines()


def test_concise() -> None:
    warning = Code("W101", "w", Severity.WARNING).at(None, "no place")
    assert text.render_concise([EXAMPLE, warning]) == (
        "plan.moe:7:27: error[D203] `ep 32` has more ranks than a layer has experts\nwarning[W101] no place"
    )


def test_json() -> None:
    data = jsonout.to_json(EXAMPLE)
    # Lines 1 to 6 hold 13 + 1 + 37 + 1 + 1 + 2 = 55 characters, and 26 stand before `ep 32` on line 7.
    assert data["span"] == {
        "file": "plan.moe",
        "start": {"line": 7, "column": 27, "offset": 81},
        "end": {"line": 7, "column": 32, "offset": 86},
    }
    assert (data["code"], data["name"], data["severity"]) == ("D203", "ep-exceeds-experts", "error")
    assert (data["notes"], data["help"]) == (["an expert group lives inside one stage"], ["use `ep 16`"])
    assert data["label"] == "16 of the 32 ranks would hold none"
    assert data["labels"][0]["span"]["start"]["line"] == 3
    assert data["fixes"][0]["edits"][0]["replacement"] == "16"
    assert jsonout.to_json(CODE.at(None, "m"))["span"] is None


def test_order_is_source_place_code() -> None:
    def at(source: Source, start: int, code: str) -> Diagnostic:
        return Code(code, "n").at(source.span(start, start + 1), code)

    a, b = Source("a", "x y"), Source("b", "x y")
    found = [at(b, 0, "D001"), at(a, 2, "D002"), at(a, 0, "S009"), at(a, 0, "S001"), CODE.at(None, "none")]
    assert [d.message for d in in_order(found)] == ["none", "S001", "S009", "D002", "D001"]


def test_explain_pages_are_named_as_they_are_titled() -> None:
    assert {"S001", "S013", "N101"} <= set(explain.codes())
    assert explain.codes() == tuple(sorted(explain.codes()))
    for code in explain.codes():
        assert explain.title(code).split()[0] == code
    assert explain.page("s001") == explain.page("S001")
    assert explain.page("S999") is None
    assert explain.page("../S001") is None


def test_of_a_very_long_line_the_parts_around_the_marks_are_shown() -> None:
    """160 characters around a mark, 40 of them before it; a mark beyond them has a part of its own.

    The first mark is 100 characters in, so its part begins at 60 and ends at 220; the second is at 1,000, from 960 on.
    """
    plan = Source("plan.moe", "a" * 100 + "BB" + "c" * 898 + "DD" + "e" * 500)
    one = CODE.at(plan.span(100, 102), "m", "here", labels=(Label(plan.span(1000, 1002), "there"),))
    lines = text.render([one], color=False).splitlines()
    assert lines[1] == "  --> plan.moe:1:101"
    assert lines[3] == " 1 | …" + "a" * 40 + "BB" + "c" * 118 + "…"
    assert lines[4] == "   |  " + " " * 40 + "^^ here"
    assert lines[5] == " 1 | …" + "c" * 40 + "DD" + "e" * 118 + "…"
    assert lines[6] == "   |  " + " " * 40 + "-- there"
