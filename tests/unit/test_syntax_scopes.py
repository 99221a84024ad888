"""What stands in a scope without `< >` is offered with them; a flat notation is sent to the command that reads it."""

from __future__ import annotations

import re
import shlex

import pytest
from click.testing import CliRunner

from dagc.cli.main import main
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.driver.fix import fix
from dagc.source import Source


def problems(text: str) -> list[Diagnostic]:
    return [one for one in check(Source("-e", text)).diagnostics if one.code.code.startswith("S")]


BARE = [
    ("attn tp 8", "attn < tp 8 >"),
    ("moe ep 8", "moe < ep 8 >"),
    ("attn tp 8 ; ep 8", "attn < tp 8 > ; ep 8"),
    ("prefill tp 8 | decode tp 8", "prefill < tp 8 > | decode < tp 8 >"),
    ("prefill attn tp 8 ; ep 8 | decode ep 8", "prefill < attn < tp 8 > ; ep 8 > | decode < ep 8 >"),
    ("pp 2 < attn dp 4 >", "pp 2 < attn < dp 4 > >"),
    ("prefill [device h20] ep 8 | decode < ep 8 >", "prefill [device h20] < ep 8 > | decode < ep 8 >"),
    ("attn (tp 8) ; ep 8", "attn < (tp 8) > ; ep 8"),
]


@pytest.mark.parametrize(("text", "mended"), BARE)
def test_what_stands_in_a_scope_gets_its_brackets(text: str, mended: str) -> None:
    found = problems(text)
    assert found and all(one.help[0].startswith("write `") for one in found)
    assert fix(Source("-e", text), unsafe=True).text == mended
    assert problems(mended) == []


@pytest.mark.parametrize("text", ["attn tp", "prefill attn moe", "attn 8"])
def test_nothing_is_offered_that_does_not_parse(text: str) -> None:
    assert [one.fixes for one in problems(text)] == [()]


FLAT = [
    "PP=4, EP=16, TP=2", "EP64-TP8-PP2-DP2", "tp8dp8ep8", "ep16 tp8", "TP 2 x EP 4", "8-way tensor parallel, ep: 16",
    "vllm serve m -tp 8 -dp 2 --enable-expert-parallel", "--tp-size 16 --ep-size 16", "-tp 8 -pp 2", "tp8 'dp2'",
]  # fmt: skip
COMMAND = re.compile(r"`(dagc read .*)` lists")


@pytest.mark.parametrize("text", FLAT)
@pytest.mark.parametrize(
    "where", ["{}", "strategy a = {}   # flat", "model mixtral-8x7b\nstrategy a = {}\nstrategy b = ep 8"]
)
def test_a_flat_notation_is_one_error_that_names_the_command_for_it(text: str, where: str) -> None:
    (one,) = problems(where.format(text))
    assert one.code.code == "S014"
    assert one.span is not None and one.span.text == text
    (found,) = COMMAND.findall(one.help[0])
    result = CliRunner().invoke(main, shlex.split(found)[1:])
    assert result.exit_code == 0, result.output
    assert "reading" in result.stdout


@pytest.mark.parametrize("text", ["ep 16 tp 2", "dp 2 pp 4 tp 8"])
def test_degrees_of_the_language_without_signs_get_the_help_too(text: str) -> None:
    first = problems(text)[0]
    assert first.code.code == "S010"
    assert f"dagc read {shlex.quote(text)}" in first.help[-1]


@pytest.mark.parametrize("text", ["ep16 ; tp2", "ep16", "EP 16", "pp 4 < ep16 >", "dp 2 < dp2 tp2 dp2 >", "ep 4\nep 8"])
def test_what_is_of_the_language_is_not_taken_for_flat(text: str) -> None:
    assert all(one.code.code != "S014" and "dagc read" not in " ".join(one.help) for one in problems(text))
