"""The Pygments lexer takes every plan without an error, keeps its text, and tells keywords from names."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

from pygments.token import Comment, Error, Keyword, Name, Number

from dagc.highlight import PlanLexer
from dagc.source import Source
from dagc.syntax.parser import parse
from tests.harness.places import EXAMPLES, EXPLAIN, ROOT

FENCED = re.compile(r"^~~~moe\n(.*?)^~~~$", re.M | re.S)


def pages() -> list[Path]:
    return [*EXPLAIN.glob("*.md"), ROOT / "grammar" / "README.md", *(ROOT / "tests" / "pages").glob("*.md")]


def test_every_plan_that_parses_lexes_without_error_and_keeps_its_text() -> None:
    plans = [path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.moe")]
    plans += [found for path in pages() for found in FENCED.findall(path.read_text(encoding="utf-8"))]
    right = [plan for plan in plans if not any(found.is_error for found in parse(Source("plan", plan)).diagnostics)]
    assert len(right) > 100
    for plan in right:
        tokens = list(PlanLexer(ensurenl=False, stripnl=False).get_tokens(plan))
        assert "".join(text for _, text in tokens) == plan
        assert [text for kind, text in tokens if kind is Error] == []


def test_words_have_their_kinds() -> None:
    plan = "model deepseek-v3 # the model\nstrategy main = prefill < pp 4 [micro 8] < ep 16 [overlap 2] ; tp 2 > >\n"
    kinds = {text: kind for kind, text in PlanLexer().get_tokens(plan)}
    for word in ("model", "strategy", "prefill", "pp", "ep", "tp"):
        assert kinds[word] in Keyword
    assert kinds["deepseek-v3"] is Name
    assert kinds["micro"] is kinds["overlap"] is Name.Attribute
    assert kinds["16"] in Number
    assert kinds["# the model"] in Comment


def test_what_is_no_plan_is_an_error() -> None:
    assert any(kind is Error for kind, _ in PlanLexer().get_tokens("strategy main = ep 16 & tp 2"))


def test_pygments_finds_it_by_the_entry_point() -> None:
    found = [one for one in entry_points(group="pygments.lexers") if one.name == "dagc"]
    assert [one.load() for one in found] == [PlanLexer]
