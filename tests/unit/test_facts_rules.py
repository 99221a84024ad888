"""Levels of advice and limits: what a plan and the command line say, and who wins."""

from __future__ import annotations

import pytest

from dagc.diag.diagnostic import Diagnostic
from dagc.diag.levels import AdviceLevel
from dagc.driver.check import check
from dagc.source import Source
from tests.unit import planning

MODEL = "model mixtral-8x7b\n"
WIDE = f"{MODEL}cluster h100-sxm x 16\nstrategy main = tp 16\n"
"""tp 16 on nodes of eight: W105 and nothing else."""


def found(text: str, *given: tuple[AdviceLevel, str]) -> list[tuple[str, str]]:
    """Code and severity of all that a run shows."""
    levels = tuple((level, Source(f"--{level}", words)) for level, words in given)
    return [(d.code.code, str(d.severity)) for d in check(Source("p", text), given=levels).diagnostics]


def problem(text: str) -> Diagnostic:
    """The one thing that is wrong."""
    (one,) = check(Source("p", f"{text}\nstrategy main = ep 8\n")).diagnostics
    return one


@pytest.mark.parametrize("rule", ["W105", "w105", "tp-across-nodes", "TP-across-nodes", '"W105"'])
@pytest.mark.parametrize(
    ("word", "shown"), [("allow", []), ("warn", [("W105", "warning")]), ("deny", [("W105", "error")])]
)
def test_a_level_by_code_or_name(word: str, rule: str, shown: list[tuple[str, str]]) -> None:
    assert found(WIDE) == [("W105", "warning")]
    assert found(f"{WIDE}rules {{ {word} {rule} }}\n") == shown


def test_several_after_one_word_and_words_on_one_line() -> None:
    text = f"{MODEL}cluster h100-sxm x 32\nstrategy main = tp 16\n"
    assert found(text) == [("W104", "warning"), ("W105", "warning")]
    assert found(f"{text}rules {{ allow W104 W105 deny W101 bubble 20 % warn W102 }}\n") == []
    assert found(f"{text}rules {{ allow W104 deny tp-across-nodes }}\n") == [("W105", "error")]


def test_the_command_line_wins() -> None:
    text = f"{WIDE}rules {{ deny W105 }}\n"
    assert found(text, (AdviceLevel.WARN, "W105")) == [("W105", "warning")]
    assert found(text, (AdviceLevel.ALLOW, "W104, W105")) == []
    assert found(text, (AdviceLevel.ALLOW, "W104")) == [("W105", "error")]


def test_denied_advice_does_not_stop_the_compiler() -> None:
    outcome = check(Source("p", f"{WIDE}rules {{ deny W105 }}\n"))
    (checked,) = outcome.checked
    assert [(d.code.code, d.is_error, d.stops) for d in checked.diagnostics] == [("W105", True, False)]


def test_a_limit_moves_the_advice() -> None:
    """Both are of the 80 GB of the device; what is filled does not depend on the limit."""
    text = f"{MODEL}cluster h100-sxm x 2\nworkload {{ batch 16    prompt 1024    output 128 }}\nstrategy main = ep 2\n"
    assert found(text) == []
    assert found(f"{text}rules {{ memory 10 % }}\n") == [("W901", "warning")]
    assert found(f"{text}rules {{ memory 10 % allow W901 }}\n") == []


def test_limits_have_defaults() -> None:
    rules = planning.plan("rules { bubble 5 % }\nstrategy main = ep 8\n").facts.rules
    assert (rules.limit("bubble"), rules.limit("memory")) == (0.05, 0.9)


@pytest.mark.parametrize(
    ("block", "code", "place"),
    [
        ("rules { allow D203 }", "N151", "D203"),
        ("rules { warn bad-degree }", "N151", "bad-degree"),
        ("rules { allow tp-across-node }", "N110", "tp-across-node"),
        ("rules { allow W105 deny W105 }", "N112", "W105"),
        ("rules { allow 105 }", "N114", "105"),
        ("rules { allow }", "N114", "allow"),
        ("rules { allow = W105 }", "N114", "allow"),
        ("rules strict { allow W105 }", "N114", "strict"),
        ("rules { bubbles 20 % }", "N111", "bubbles"),
        ("rules { bubble 20 GB }", "N113", "GB"),
    ],
)
def test_what_is_no_level(block: str, code: str, place: str) -> None:
    one = problem(block)
    assert one.span is not None
    assert (one.code.code, one.span.text) == (code, place)
    assert one.help


def test_a_misspelt_rule_is_offered() -> None:
    assert problem("rules { allow tp-across-node }").help[0] == "did you mean `tp-across-nodes`?"


def test_an_unknown_rule_on_the_command_line_has_its_place() -> None:
    (one,) = check(Source("p", "ep 8"), given=((AdviceLevel.DENY, Source("--deny", "W105,W199")),)).diagnostics
    assert one.code.code == "N110"
    assert one.span is not None
    assert (one.span.source.name, one.span.source.position(one.span.start)) == ("--deny", (1, 6))
