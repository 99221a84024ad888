"""Every strategy that the language has for so many GPUs, generated from its grammar alone.

Texts come from the grammar's rules by recursion: nestings of all axes in any order, folds, scopes, phases. Most are
refused by the compiler, which is asked for that; of texts with one meaning by its answer the shortest is kept. Nothing
here knows how the search enumerates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from math import lcm

import pytest

import dagc
from dagc.driver.offers import Trial
from dagc.export.records import plain

AXES = ("dp", "pp", "ep", "tp", "cp")

LENIENT = {
    "model": "lenient { layers 4096    experts 4096 { top 1 } }",
    "cluster": "lenient { gpus 4096    node 8    device { memory 80 GB } }",
    "workload": "batch 4096    prompt 4096    output 2",
}
"""A model of no shapes: nothing but the text and its degrees can be wrong."""

MOST_NESTED = 4
"""Axes inside each other inside a stage: dp, cp, dp and tp."""

Sized = tuple[str, int]
"""A text and its GPUs by the arithmetic of the language: nestings multiply, folds take the least common multiple."""


@cache
def nests(most: int, axes: tuple[str, ...] = AXES, depth: int = MOST_NESTED) -> tuple[Sized, ...]:
    """Axes of degree 2 and more inside each other, in any order."""
    found: list[Sized] = []
    for axis, degree in product(axes, range(2, most + 1)):
        found.append((f"{axis} {degree}", degree))
        if depth > 1:
            found += [
                (f"{axis} {degree} < {inner} >", degree * size)
                for inner, size in nests(most // degree, axes, depth - 1)
            ]
    return tuple(found)


@cache
def stages(most: int) -> tuple[Sized, ...]:
    """A stage: one GPU, a nesting, a nesting in a scope, or a fold of two branches that the compiler takes apart."""
    whole = nests(most)
    scoped = [(f"{scope} < {text} >", size) for scope in ("attn", "moe") for text, size in whole]
    experts = [("ep 1", 1), *_legal([*whole, *scoped], "{} ; tp 1")]
    attention = _legal([*whole, *scoped], "ep 1 ; {}")
    folds = [
        (f"{one} ; {other}", lcm(first, second))
        for one, first in experts
        for other, second in attention
        if lcm(first, second) <= most
    ]
    return (("tp 1", 1), *_legal([*whole, *scoped], "{}"), *folds)


def _legal(branches: list[Sized], form: str) -> list[Sized]:
    """Those of the branches with which a form is a legal strategy."""
    plan = _lenient([form.format(text) for text, _ in branches])
    return [branches[int(strategy.name[1:])] for strategy in plan.strategies]


def _lenient(texts: list[str]) -> dagc.Plan:
    return compiled(texts, LENIENT)


def compiled(texts: Sequence[str], blocks: dict[str, str]) -> dagc.Plan:
    """Strategies s0, s1, … of one plan. Ways out of what is wrong are not tried: that compiles the plan for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trial, "settle", lambda _, diagnostics: tuple(diagnostics))
        return dagc.compile("".join(f"strategy s{i} = {text}\n" for i, text in enumerate(texts)), **blocks)


def _around(most: int) -> Iterator[Sized]:
    """Stages as they are, in a pipeline, in replicas, and in a pipeline in replicas."""
    yield from stages(most)
    for outer, size in nests(most, ("dp", "pp"), 2):
        closing = outer.count(">")
        head = outer.removesuffix(" >" * closing)
        yield from (
            (f"{head} < {text} >{' >' * closing}", size * inner)
            for text, inner in stages(most // size)
            if text != "tp 1"
        )


@cache
def services(most: int, *, has_experts: bool) -> tuple[Sized, ...]:
    """One text of each legal meaning on at most so many GPUs, with its GPUs as the compiler counts them.

    A model without experts has the texts that name none.
    """
    texts = sorted({text for text, _ in _around(most)}, key=lambda text: (len(text), text))
    texts = [text for text in texts if has_experts or not re.search("ep|moe", text)]
    known: dict[str, Sized] = {}
    for text, gpus, meaning in _meanings(texts):
        if gpus <= most:
            known.setdefault(meaning, (text, gpus))
    return tuple(known.values())


def _meanings(texts: list[str]) -> Iterator[tuple[str, int, str]]:
    """Texts that the compiler takes, with their GPUs and what tells their meaning apart."""
    for strategy in _lenient(texts).strategies:
        text = texts[int(strategy.name[1:])]
        # The order of cp and dp decides which ranks a group has, and no field tells it.
        order = re.findall("cp|dp", text)
        pools = [plain(pool) for pool in strategy.summary.pools]
        yield text, strategy.gpus, json.dumps([strategy.summary.replicas, pools, order], sort_keys=True)


def with_options(text: str, sequences: int) -> Iterator[str]:
    """A text with the options that a search says it tries: micro-batches of 1, 2, 4, …, and overlap of 2."""
    micro = [""] + [f" [micro {1 << i}]" for i in range(sequences.bit_length())] if "pp" in text else [""]
    overlap = ["", " [overlap 2]"] if re.search(r"ep [2-9]", text) else [""]
    for one, other in product(micro, overlap):
        yield re.sub(r"(ep [2-9])", rf"\1{other}", re.sub(r"(pp \d+)", rf"\1{one}", text))


def pairs(alone: Iterable[Sized], most: int) -> Iterator[str]:
    """A prefill service beside a decode service, on at most so many GPUs."""
    for (first, size), (second, other) in product(alone, repeat=2):
        if size + other <= most:
            yield f"prefill < {first} > | decode < {second} >"


def everything(most: int, sequences: int, *, has_experts: bool, has_phases: bool) -> list[str]:
    """All strategies of a search: services for both phases, and where asked pairs of services."""
    known = services(most, has_experts=has_experts)
    alone = [(option, gpus) for text, gpus in known for option in with_options(text, sequences)]
    return [*(text for text, _ in alone), *(pairs(alone, most) if has_phases else ())]
