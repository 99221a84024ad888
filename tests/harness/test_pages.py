"""The page runner is itself seen to complain, against a compiler that says what the test tells it to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import explain, pages, shell
from tests.harness.checking import Checked, Finding
from tests.harness.markdown import fenced_blocks, headings

PAGE = """\
# A page

~~~moe
model demo { layers 4 }
pp 8 < ep 4 > ; tp 2   # error: [D201] [H103]
~~~

~~~figures
main.gpus = 64
main.domains.attention.dp = 8
main.derivation.0 = fold: lcm(6, 4) = 12 ranks
main.ratio = 0.1
~~~

```text
ep 4   # error: [D999]
```
"""
ERRORS = (Finding(2, "error", "D201", "layers"), Finding(2, "error", "H103", "branch"))
SUMMARY = {
    "gpus": 64,
    "domains": {"attention": {"dp": 8}},
    "derivation": ["fold: lcm(6, 4) = 12 ranks"],
    "ratio": 0.1 + 1e-12,
}


def complaints(tmp_path: Path, page: str, *findings: Finding, **summary: object) -> list[str]:
    path = tmp_path / "page.md"
    path.write_text(page, encoding="utf-8")
    (case,) = pages.cases(path)
    return pages.complaints(case, lambda _text, _name: Checked(findings, {"main": dict(summary)}))


def test_a_page_that_says_what_the_compiler_says_has_no_complaint(tmp_path: Path) -> None:
    assert complaints(tmp_path, PAGE, *ERRORS, **SUMMARY) == []


def test_an_error_that_is_not_stated_is_one(tmp_path: Path) -> None:
    more = Finding(1, "error", "N301", "no such model")
    assert complaints(tmp_path, PAGE, *ERRORS, more, **SUMMARY) == ["page.md:4: not stated: error[N301] no such model"]


def test_an_error_that_is_stated_and_not_raised_is_one(tmp_path: Path) -> None:
    assert complaints(tmp_path, PAGE, ERRORS[0], **SUMMARY) == ["page.md:5: not raised: error[H103]"]


def test_an_error_on_another_line_is_two(tmp_path: Path) -> None:
    moved = Finding(1, "error", "H103", "branch")
    assert len(complaints(tmp_path, PAGE, ERRORS[0], moved, **SUMMARY)) == 2


def test_warnings_count_only_where_one_is_stated(tmp_path: Path) -> None:
    stray = Finding(1, "warning", "W101", "uneven")
    assert complaints(tmp_path, PAGE, *ERRORS, stray, **SUMMARY) == []
    stating = "~~~moe\nep 4   # warning: [W102]\n~~~\n"
    assert complaints(tmp_path, stating, stray) == [
        "page.md:2: not stated: warning[W101] uneven",
        "page.md:2: not raised: warning[W102]",
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"gpus": 128}, "page.md:9: main.gpus is 128, the page says 64"),
        ({"gpus": "64"}, "page.md:9: main.gpus is '64', the page says 64"),
        ({"gpus": True}, "page.md:9: main.gpus is True, the page says 64"),
        ({"domains": {}}, "page.md:10: no figure main.domains.attention.dp"),
        ({"derivation": []}, "page.md:11: no figure main.derivation.0"),
        ({"ratio": 0.1001}, "page.md:12: main.ratio is 0.1001, the page says 0.1"),
    ],
)
def test_a_figure_that_differs_is_one(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    assert complaints(tmp_path, PAGE, *ERRORS, **(SUMMARY | change)) == [complaint]


def test_figures_without_a_plan_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("~~~figures\nmain.gpus = 1\n~~~\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must follow a plan"):
        pages.cases(path)


def test_a_block_that_does_not_end_is_refused() -> None:
    with pytest.raises(ValueError, match="line 3 does not end"):
        fenced_blocks("a\n\n~~~moe\nep 4\n```\n")


def test_headings_inside_of_blocks_are_none() -> None:
    assert headings("# A\n~~~moe\n# a comment\n~~~\n## B\n") == ["A", "B"]


EXPLAIN_PAGE = """\
# D203 ep-exceeds-experts

**error.** More ranks than experts.

## Why
Because.

## Example
~~~moe
ep 32
~~~

## Use instead
~~~text
a directory
~~~

## References
- arithmetic
"""


def test_an_explain_page_is_read(tmp_path: Path) -> None:
    path = tmp_path / "D203.md"
    path.write_text(EXPLAIN_PAGE, encoding="utf-8")
    page = explain.read(path)
    assert (page.code, page.name, page.severity) == ("D203", "ep-exceeds-experts", "error")
    assert (page.examples, page.instead) == (("ep 32\n",), ())


@pytest.mark.parametrize(
    ("good", "bad"),
    [("# D203 ", "# D203: "), ("**error.**", "error."), ("## Why", "## Reason"), ("~~~text\n", "~~~console\n")],
)
def test_an_explain_page_of_another_form_is_refused(tmp_path: Path, good: str, bad: str) -> None:
    path = tmp_path / "D203.md"
    path.write_text(EXPLAIN_PAGE.replace(good, bad), encoding="utf-8")
    with pytest.raises(ValueError, match=r"D203\.md"):
        explain.read(path)


def test_console_blocks_run_in_a_shell(tmp_path: Path) -> None:
    block = "$ echo one \\\n    two | tr a-z A-Z\nONE TWO\n$ sh -c 'echo gone >&2; exit 3'   # exit 3\ngone\n"
    assert shell.complaints(block, tmp_path) == []
    assert len(shell.complaints("$ echo one\ntwo\n$ false\n$ true   # exit 1\n", tmp_path)) == 3


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a … c\n", "a [b] c\n", True),
        ("a … c\n", "a\nc\n", False),
        ("a.c\n", "abc\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n\nb\n", "a\n\nb  \n", True),
    ],
)
def test_an_ellipsis_stands_for_anything(expected: str, actual: str, same: bool) -> None:
    assert shell.matches(expected, actual) is same
