"""Fixes: which codes offer one, that each re-parses and silences its code, and what `dagc check --fix` writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagc.cli.main import main
from dagc.diag.diagnostic import Code, Diagnostic, Edit, Fix
from dagc.diag.fixing import apply, spelling
from dagc.driver.check import check
from dagc.driver.fix import fix
from dagc.source import Source
from dagc.syntax.parser import parse
from tests.harness import explain
from tests.harness.places import EXPLAIN

SAFE = {"H101", "N110", "N116", "N120", "N136", "S004", "S009", "W110"}
UNSAFE = {
    "C101", "D101", "D103", "D104", "D105", "D106", "D107", "D201", "D203", "D204", "D301", "D302", "D303", "D304",
    "D305", "D306", "H102", "H103", "H104", "H105", "H106", "H107", "H108", "H109", "H110", "H111", "H112", "H113",
    "N101", "N111", "N113", "N122", "N123", "N132", "N135", "S002", "S003", "S011", "S012",
}  # fmt: skip
"""Codes whose page's example offers a fix, by what its first one is."""


def example(code: str) -> tuple[Source, list[Diagnostic]]:
    """A page's example, and what is found in it."""
    source = Source("plan.moe", explain.read(EXPLAIN / f"{code}.md").examples[0])
    return source, list(check(source).diagnostics)


def codes(text: str) -> list[str]:
    return [diagnostic.code.code for diagnostic in check(Source("plan.moe", text)).diagnostics]


@pytest.mark.parametrize("code", sorted(SAFE | UNSAFE))
def test_each_fix_parses_and_silences_its_code(code: str) -> None:
    source, found = example(code)
    own = [diagnostic for diagnostic in found if diagnostic.code.code == code]
    assert own[0].fixes
    assert own[0].fixes[0].safe is (code in SAFE)
    for offered in own[0].fixes:
        text, count = apply(source, [replace(own[0], fixes=(offered,))], unsafe=True)
        assert count == 1
        assert parse(Source("plan.moe", text)).file is not None
        assert codes(text).count(code) == len(own) - 1


def test_no_other_example_offers_a_fix() -> None:
    """So that the lists above are whole."""
    runnable = [path.stem for path in sorted(EXPLAIN.glob("*.md")) if explain.read(path).examples]
    offering = {
        code
        for code in runnable
        for diagnostic in example(code)[1]
        if diagnostic.code.code == code and diagnostic.fixes
    }
    assert offering == SAFE | UNSAFE


MODEL = "model m { layers 16    experts 16 { top 2 } }\n"

MEND = [
    ("strategy a = ep16", "strategy a = ep 16"),
    ("ep 16.0", "ep 16"),
    ("ep 1e1", "ep 10"),
    ("pp 4 [micro 8.0]", "pp 4 [micro 8]"),
    ("pp 4 [micro 8, micro 8]", "pp 4 [micro 8]"),
    ("pp 4 [Micro 8]", "pp 4 [micro 8]"),
    ("ep 4 [shared replcated]", "ep 4 [shared replicated]"),
    ("prefil < ep 4 > | decode < ep 4 >", "prefill < ep 4 > | decode < ep 4 >"),
    ("dp 1 < pp 1 < ep 8 > >", "ep 8"),
    ("dp 1 < pp 1 < ep 8 ; tp 2 > >   # why", "ep 8 ; tp 2   # why"),
    ("require { througput >= 1 tokens/s }\nep 8", "require { throughput >= 1 tokens/s }\nep 8"),
    ("rules { allow tp-across-node }\nep 8", "rules { allow tp-across-nodes }\nep 8"),
    ("strategy wide = ep 8\nclaims wide2x { gpus 8 }", None),
    ("xp 16", None),
    ("model mixtral-8x8b\nstrategy main = ep 8", None),
    ("ep 1 ; tp 8", None),
    ("pp 1 [micro 2] < ep 8 >", None),
    ("tp 1", None),
    ("pp 1 < # comment\nep 8 >", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "mended"), MEND)
def test_safe_fixes(text: str, mended: str | None) -> None:
    """Spelling that is clear, the same number, an axis of 1; never a guess, a digit, or what a comment stands in."""
    assert fix(Source("plan.moe", text)).text == (text if mended is None else mended)


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("ep 16 [micro 8]", "ep 16"),
        ("pp 4 < ep 4 [overlap 2, micro 8] >", "pp 4 [micro 8] < ep 4 [overlap 2] >"),
        ("pp 4 [layers 4 4 4 4] < ep 4 [micro 8] >", "pp 4 [layers 4 4 4 4, micro 8] < ep 4 >"),
        ("tp 8 [sp 2]", "tp 8 [sp]"),
        ("pp 2 < (ep 4 ; tp 2) < tp 2 > >", None),
        ("pp 4 < ep 16 ; tp 2   # open\n", "pp 4 < ep 16 ; tp 2 >   # open\n"),
        ("pp 2 < attn < tp 2", "pp 2 < attn < tp 2 > >"),
        ("ep 32", "ep 16"),
        ("strategy a = ep 8\nstrategy a = ep 4\nstrategy a-2 = tp 2",
         "strategy a = ep 8\nstrategy a-3 = ep 4\nstrategy a-2 = tp 2"),
    ],
)  # fmt: skip
def test_unsafe_fixes(text: str, mended: str | None) -> None:
    whole = f"{MODEL}{text}" if text.startswith(("strategy", "pp 4 [l")) or text == "ep 32" else text
    if mended is not None:
        assert fix(Source("plan.moe", whole), unsafe=True).text.removeprefix(MODEL) == mended
    else:
        assert fix(Source("plan.moe", whole), unsafe=True).text


CODE = Code("D203", "ep-exceeds-experts")


def fixing(source: Source, *edits: tuple[int, int, str]) -> Diagnostic:
    fixes = (Fix("f", tuple(Edit(source.span(a, b), text) for a, b, text in edits), safe=True),)
    return CODE.at(None, "m", fixes=fixes)


def test_of_two_fixes_that_meet_one_is_left() -> None:
    source = Source("p", "0123456789")
    first, second = fixing(source, (0, 2, "a"), (8, 10, "b")), fixing(source, (1, 3, "c"))
    third, fourth = fixing(source, (5, 6, "")), fixing(source, (6, 6, "d"))
    assert apply(source, [first, second, third, fourth], unsafe=False) == ("a23467b", 2)
    assert apply(source, [second, first], unsafe=False) == ("0c3456789", 1)


def test_the_text_of_an_option_is_not_fixed() -> None:
    plan = Source("-e", "ep 8")
    fixed = fix(plan, (("model", Source("--model", "mixtral-8x7")),))
    assert (fixed.text, fixed.count) == ("ep 8", 0)


def test_a_spelling_is_clear_where_one_word_is_near() -> None:
    def safe(word: str, near: str, *options: str) -> bool:
        return spelling(Source("p", word).span(0, len(word)), (near,), (near, *options))[0].safe

    assert safe("mircro", "micro", "layers")
    assert safe("GPUS", "gpus", "node")
    assert not safe("gb", "GB", "Gb")
    assert not safe("deepseek-v", "deepseek-v2", "deepseek-v3")
    assert not safe("h100-sxm5", "h100-sxm", "mi300x")


# The command


def run(*arguments: str, input: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["check", *arguments], input=input)
    return result.exit_code, result.stdout, result.stderr


PLAN = "# a plan\nstrategy  main = pp 4   [mircro 8] < ep 16 > # why\n"
FIXED = PLAN.replace("mircro", "micro")


def test_a_file_is_rewritten_and_nothing_but_the_edit_changes(tmp_path: Path) -> None:
    path = tmp_path / "plan.moe"
    path.write_bytes(b"\xef\xbb\xbf" + PLAN.replace("\n", "\r\n").encode())
    link = tmp_path / "link.moe"
    link.symlink_to(path)
    status, out, err = run(str(link), "--fix")
    assert path.read_bytes() == b"\xef\xbb\xbf" + FIXED.replace("\n", "\r\n").encode()
    assert link.is_symlink()
    assert (status, "1 fixed" in err, "main: " in out) == (0, True, True)
    assert run(str(link), "--fix")[2].startswith("0 fixed")


def test_a_plan_from_elsewhere_is_printed() -> None:
    assert run("-", "--fix", input=PLAN)[1] == FIXED
    assert run("-e", "pp 4 [mircro 8]", "--fix")[1] == "pp 4 [micro 8]\n"
    assert run("-e", "ep 8", "--fix", "--format", "json")[0] == 2


def test_a_diff_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "plan.moe"
    path.write_text(PLAN, encoding="utf-8")
    _, out, _ = run(str(path), "--diff")
    assert (
        out
        == f"--- {path}\n+++ {path}\n@@ -1,2 +1,2 @@\n # a plan\n-{PLAN.splitlines()[1]}\n+{FIXED.splitlines()[1]}\n"
    )
    assert path.read_text(encoding="utf-8") == PLAN


def test_unsafe_fixes_are_asked_for_by_name(tmp_path: Path) -> None:
    path = tmp_path / "plan.moe"
    path.write_text(f"{MODEL}strategy main = ep 32\n", encoding="utf-8")
    status, _, err = run(str(path), "--fix")
    assert (status, "1 fixable with `dagc check --unsafe-fixes`" in err) == (1, True)
    assert run(str(path), "--unsafe-fixes")[0] == 0
    assert path.read_text(encoding="utf-8") == f"{MODEL}strategy main = ep 16\n"


def test_the_text_says_what_can_be_fixed() -> None:
    err = run("-e", "pp 4 [mircro 8] < ep 4 [micro 2] >")[2]
    assert "error[N120]: [*] there is no option `mircro`" in err
    assert err.rstrip().endswith("[*] 1 fixable with `dagc check --fix`, 1 more with `dagc check --unsafe-fixes`")
