"""What holds for every strategy: sizes by another evaluator, layouts that fill the stage, ranks that partition."""

from __future__ import annotations

import re
from math import gcd

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.check.static import check_hierarchy
from dagc.degrees import AxisKind
from dagc.driver.check import check
from dagc.driver.fix import fix
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from dagc.plan.sizes import MAX_RANKS
from dagc.source import Source
from dagc.syntax.parser import parse
from dagc.syntax.tree import NamedStrategy
from dagc.units import counted
from tests.harness.effort import examples
from tests.unit.planning import offering

DEGREES = st.sampled_from([1, 2, 3, 4, 6])
SCOPES = ("attn", "moe", "prefill", "decode")


def axis(kind: str, inside: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[str]:
    body = st.just("") if inside is None else inside.map(lambda text: f" < {text} >" if text else "")
    return st.builds(lambda degree, text: f"{kind} {degree}{text}", DEGREES, body)


TP = axis("tp")
EXPERTS = axis("ep", TP | st.just(""))
ATTENTION = st.one_of(TP, axis("cp", TP | st.just("")), axis("dp", TP | st.just("")))
NO_DP = st.one_of(TP, axis("cp", TP | st.just("")))
FOLD = st.builds(lambda a, b: f"{a} ; {b}", EXPERTS, ATTENTION) | st.builds(
    lambda a, b: f"{a} ; {b}", ATTENTION, EXPERTS
)
STAGE_POOLS = st.builds(lambda a, b: f"{a} | {b}", ATTENTION, EXPERTS)
STAGE = st.one_of(FOLD, EXPERTS, NO_DP, STAGE_POOLS, ATTENTION.map(lambda text: f"attn < {text} >"))
REPLICA_POOLS = st.builds(lambda a, b: f"{b} | {a}", axis("pp", ATTENTION), EXPERTS)
REPLICA = st.one_of(STAGE, axis("pp", STAGE | st.just("")), REPLICA_POOLS)
SERVICE = st.one_of(REPLICA, axis("dp", REPLICA | st.just("")))
PHASES = st.builds(lambda a, b: f"prefill < {a} > | decode < {b} >", SERVICE, SERVICE)
LEGAL = st.one_of(SERVICE, PHASES, axis("dp", PHASES))

LEAF = st.builds(lambda kind, degree: f"{kind} {degree}", st.sampled_from(list(AxisKind)), DEGREES)
ANY = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.builds(lambda leaf, body: f"{leaf} < {body} >", LEAF, inner),
        st.builds(lambda scope, body: f"{scope} < {body} >", st.sampled_from(SCOPES), inner),
        st.builds(
            lambda sign, parts: f"({f' {sign} '.join(parts)})",
            st.sampled_from(";|"),
            st.lists(inner, min_size=2, max_size=3),
        ),
    ),
    max_leaves=8,
)


def read(text: str) -> NamedStrategy:
    parsed = parse(Source("-e", text))
    assert parsed.file is not None, text
    return parsed.file.strategies[0]


def independent_size(text: str) -> int:
    """The size by rewriting the text: an axis is a product, `;` a least common multiple, `|` a sum."""
    tokens = re.findall(r"[a-z]+|\d+|[<>;|()]", text)

    def pools() -> int:
        total = folded()
        while tokens and tokens[0] == "|":
            tokens.pop(0)
            total += folded()
        return total

    def folded() -> int:
        total = nested()
        while tokens and tokens[0] == ";":
            tokens.pop(0)
            other = nested()
            total = total * other // gcd(total, other)
        return total

    def nested() -> int:
        word = tokens.pop(0)
        if word == "(":
            inside = pools()
            tokens.pop(0)
            return inside
        own = 1 if word in SCOPES else int(tokens.pop(0))
        if tokens and tokens[0] == "<":
            tokens.pop(0)
            own *= pools()
            tokens.pop(0)
        return own

    return pools()


@given(LEGAL)
def test_a_legal_strategy_has_a_meaning_of_the_right_size(text: str) -> None:
    strategy = read(text)
    assert check_hierarchy(annotate(strategy)) == ()
    deployment, problems = resolve(annotate(strategy))
    assert deployment is not None and not problems
    assert deployment.gpus == independent_size(text)
    assert deployment.derivation[-1].endswith(counted(deployment.gpus, "GPU"))


@given(LEGAL)
def test_each_domain_fills_its_stage_and_its_groups_partition_it(text: str) -> None:
    deployment, _ = resolve(annotate(read(text)))
    assert deployment is not None
    for service in deployment.services:
        for pool in service.pools:
            layouts = [layout for layout in (pool.attention, pool.experts) if layout is not None]
            assert layouts
            for layout in layouts:
                assert layout.size == pool.width
                assert layout.tp * layout.cp * layout.dp * layout.ep == pool.width
                for kind in AxisKind:
                    groups = layout.groups((kind,))
                    assert groups.shape[1] == layout.degree(kind)
                    assert sorted(groups.reshape(-1).tolist()) == list(range(pool.width))


@given(LEGAL)
def test_global_ranks_partition_the_gpus(text: str) -> None:
    deployment, _ = resolve(annotate(read(text)))
    assert deployment is not None
    ranks = [
        deployment.global_ranks(service, pool, stage, replica)
        for service in deployment.services
        for pool in service.pools
        for replica in range(deployment.replicas * service.replicas)
        for stage in range(pool.stages)
    ]
    assert np.array_equal(np.sort(np.concatenate(ranks)), np.arange(deployment.gpus))


@settings(max_examples=examples(150, 300))
@given(ANY)
def test_any_strategy_has_a_meaning_or_an_error_and_never_both(text: str) -> None:
    strategy = read(text)
    errors = check_hierarchy(annotate(strategy))
    deployment, problems = resolve(annotate(strategy))
    assert bool(errors or problems) == (deployment is None)
    if independent_size(text) <= MAX_RANKS:
        assert problems == ()


@settings(max_examples=examples(150, 300))
@given(ANY)
def test_what_help_offers_for_a_whole_strategy_is_legal_and_counted_right(text: str) -> None:
    for error in offering(check_hierarchy(annotate(read(text)))):
        for offered, gpus in re.findall(r"`([^`]+)` \((\d+) GPU", " ".join(error.help)):
            strategy = read(offered)
            deployment, _ = resolve(annotate(strategy))
            assert check_hierarchy(annotate(strategy)) == ()
            assert deployment is not None and deployment.gpus == int(gpus)


@given(LEGAL)
@settings(max_examples=200)
def test_an_axis_of_one_is_left_out_and_nothing_else_changes(text: str) -> None:
    """What W110 takes away changes neither size nor stages nor the degrees of any domain of any pool."""
    source = Source("plan.moe", f"model m {{ layers 24 }}\n{text}")
    before = check(source)
    fixed = fix(source)
    after = fixed.outcome
    if not before.checked:
        return
    assert "W110" not in [d.code.code for d in after.diagnostics]
    (one,), (other,) = before.checked, after.checked
    kept = ("gpus", "replicas", "stages", "pools", "domains", "naive_product")
    assert [getattr(one.structure, name) for name in kept] == [getattr(other.structure, name) for name in kept]
