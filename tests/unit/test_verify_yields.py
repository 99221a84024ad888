"""`dagc verify` accepts bounds of services of any size, and rejects each of some planted errors at its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dagc.driver import verify as verifying
from dagc.driver.search import SearchOptions, search
from dagc.driver.verify import Compiler, verify
from dagc.driver.verify_yields import Compiled
from dagc.export.records import json_bytes, plain
from dagc.search import optimum
from dagc.source import Source
from tests.unit.search_plans import TIGHT_MODEL

QUESTION = f"""{TIGHT_MODEL}cluster h100-sxm x 4 {{ device {{ memory 12 GB }} }}
workload {{ concurrency 64    prompt 2048    output 64 }}
require {{ tpot <= 40 ms }}
"""

Document = dict[str, Any]

KNOWN: dict[tuple[str, int], Compiled | str] = {}
"""What compiling says, for all tests: they verify much the same."""


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "Compiler", partial(Compiler, known=KNOWN))


def text_of(document: Document) -> str:
    """As a search writes it."""
    return json_bytes(document).decode()


def _not_enumerated(document: Document) -> Document:
    return document["proofs"][0]["not_enumerated"]


def _searched(most: int) -> Document:
    """A search that ends after so many evaluations, of as many GPUs as if they were many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimum, "MANY", 1)
        options = SearchOptions(over=frozenset({"phase-pools"}), most=most)
        outcome = search(Source("plan", QUESTION), (), Path(), options, lambda _: None)
    assert outcome.result is not None
    return plain(outcome.result)


@pytest.fixture(scope="module")
def bounded() -> Document:
    """One that ends before much is enumerated."""
    return _searched(12)


@pytest.mark.slow
@pytest.mark.parametrize("most", [14, 20, 30, 60])
def test_the_gap_is_no_wider_than_what_services_of_any_size_allow(most: int) -> None:
    """Columns that are enumerated have bounds of their own, which are far off until plans of them are priced."""
    document = _searched(most)
    (proof,) = document["proofs"]
    assert proof["not_enumerated"]["score_by_yields"] > 0
    assert proof["gap"] <= proof["score"] / proof["not_enumerated"]["score_by_yields"] - 1 + 1e-9
    assert not verify(Source("search.json", text_of(document)), Path()).diagnostics


@pytest.mark.slow
def test_yields_are_accepted(bounded: Document) -> None:
    assert not verify(Source("search.json", text_of(bounded)), Path()).diagnostics
    (proof,) = bounded["proofs"]
    assert {one["phase"] for one in proof["not_enumerated"]["yields"]} == {"prefill", "decode", "both"}


def _yield_of(phase: str) -> Callable[[Document], Document]:
    return lambda document: next(one for one in reversed(_not_enumerated(document)["yields"]) if one["phase"] == phase)


YIELDS: dict[str, tuple[Callable[[Document], Any], str, Callable[[Any], Any]]] = {
    "the score of what was not enumerated": (_not_enumerated, "score", lambda score: 2 * score),
    "the score of any size": (_not_enumerated, "score_by_yields", lambda score: 2 * score),
    "what a GPU yields": (_yield_of("both"), "requests", lambda requests: requests / 1000),
    "sequences that bring less": (_yield_of("decode"), "sequences", lambda _: 0.001),
    "GPUs of a strategy": (_yield_of("both"), "gpus", lambda gpus: gpus + 1),
    "sequences of a strategy": (_yield_of("decode"), "batch", lambda batch: 1000 * batch),
    "a strategy that is none": (_yield_of("decode"), "strategy", lambda _: "tp <"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", YIELDS)
def test_a_planted_error_of_a_yield_is_told_at_its_line(bounded: Document, name: str) -> None:
    place, key, change = YIELDS[name]
    document = json.loads(json.dumps(bounded))
    held = place(document)
    held[key] = change(held[key])
    text, before = text_of(document), text_of(bounded)
    pairs = zip(text.splitlines(), before.splitlines(), strict=True)
    (line,) = (number for number, (now, then) in enumerate(pairs, 1) if now != then)
    spans = [one.span for one in verify(Source("search.json", text), Path()).diagnostics if one.span]
    assert line in {span.source.position(span.start)[0] for span in spans}
