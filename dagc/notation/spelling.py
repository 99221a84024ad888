"""Strategies for given degrees: every one that a flat notation may mean, and the shortest for those of an engine.

`candidates` turns a notation into trees, systematically: each degree is in a chain around the stage, in attention's
part of the stage, or in the experts'; tensor parallelism perhaps in both parts, because one degree is often meant for
both, and dp perhaps nowhere, because it may follow from the others. A degree is put where its axis is allowed at all,
in every order. Many trees are illegal still: which are not is judged by the rules of the language, not here. Axes keep
the places of the notation, so that a message about a reading underlines what was written.

`spell` turns `Parallelism` into the first of the spellings, from the shortest on, whose domains are the wanted ones;
the last spelling, both parts in full, always has them. Ranks are numbered as the language does, not as the engine does:
the degrees are the engine's, the groups the strategy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations, product

from dagc.degrees import AxisKind, Degrees, Parallelism
from dagc.engines.engine import Counted
from dagc.notation.parse import Degree, FlatAxis, Notation
from dagc.plan.domains import domains
from dagc.plan.scopes import MAY_STAND, Place
from dagc.source import Span
from dagc.syntax.tree import Axis, Fold, Scope, ScopeKind, Strategy

Written = Sequence[tuple[AxisKind, int]]


def possible(notation: Notation, counts: Iterable[Counted]) -> list[Strategy]:
    """Every tree of a notation's degrees, and what the engines make of them."""
    place = notation.source.span(0, len(notation.source.text))
    return [*candidates(notation), *(spell(counted.sizes, place) for counted in counts if counted.sizes)]


def spell(sizes: Parallelism, place: Span) -> Strategy:
    """A strategy of these degrees, all of its nodes at one place."""
    stage = next(tree for tree in _stages(sizes, place) if _has(tree, sizes))
    around = ((AxisKind.DP, sizes.replicas), (AxisKind.PP, sizes.stages))
    return _nest(around, stage, place) or axis(AxisKind.TP, 1, None, place)


def _has(stage: Strategy | None, sizes: Parallelism) -> bool:
    found = domains(stage)
    return found.attention.degrees == sizes.attention and sizes.experts in (None, found.experts.degrees)


def _stages(sizes: Parallelism, place: Span) -> Iterator[Strategy | None]:
    """Spellings of a stage: one part alone, then both with what can be left out, then both in full."""
    attention = sizes.attention
    experts = sizes.experts or Degrees(dp=attention.width)
    split = ((AxisKind.CP, attention.cp), (AxisKind.TP, attention.tp))
    inner = _nest(split, None, place)
    whole = _nest(((AxisKind.DP, attention.dp), *split), None, place)
    expert_part = _nest(((AxisKind.EP, experts.ep), (AxisKind.TP, experts.tp)), None, place)
    yield None
    yield expert_part
    yield inner
    if whole is not None:
        yield scope(ScopeKind.ATTN, whole)
    branch = _experts_branch(experts, expert_part, place)
    for part in (inner, whole):
        yield fold(branch, part or axis(AxisKind.TP, 1, None, place))


def _experts_branch(experts: Degrees, part: Strategy | None, place: Span) -> Strategy:
    if part is None:
        return axis(AxisKind.EP, 1, None, place)
    return part if experts.ep > 1 else scope(ScopeKind.MOE, part)


def _nest(written: Written, inside: Strategy | None, place: Span) -> Strategy | None:
    """Axes of degree 1 are left out."""
    tree = inside
    for kind, degree in reversed(written):
        tree = tree if degree == 1 else axis(kind, degree, tree, place)
    return tree


Chain = Sequence[Degree]

_PARTS: dict[str, frozenset[Place]] = {
    "around": frozenset({Place.DEPLOYMENT, Place.REPLICA, Place.STAGE}),
    "attention": frozenset({Place.ATTENTION, Place.ATTENTION_BRANCH}),
    "experts": frozenset({Place.EXPERTS, Place.EXPERTS_BRANCH, Place.EXPERT_GROUP}),
}
"""The three chains that can hold a degree, and the scope of their axes."""


def candidates(notation: Notation) -> Iterator[Strategy]:
    """Every tree of the degrees above 1; of a notation in which all are 1, each degree alone."""
    degrees = [degree for degree in notation.degrees if degree.value > 1]
    if not degrees:
        yield from (_axis(degree, None) for degree in notation.degrees)
        return
    for places in product(*(list(_places(degree)) for degree in degrees)):
        chains = [[degree for degree, where in zip(degrees, places, strict=True) if part in where] for part in _PARTS]
        for around, attention, experts in product(*(list(permutations(chain)) for chain in chains)):
            yield from _trees(around, _chain(attention, None), _chain(experts, None))


def _places(degree: Degree) -> Iterator[tuple[str, ...]]:
    """Where a degree may be meant to stand: in one chain or two, or nowhere because it follows from the others."""
    allowed = MAY_STAND[_kind(degree)]
    if degree.axis is FlatAxis.ETP:
        yield ("experts",)
        return
    yield from ((part,) for part, places in _PARTS.items() if places & allowed)
    if degree.axis is FlatAxis.TP:
        yield ("attention", "experts")
    if degree.axis is FlatAxis.DP:
        yield ()


def _kind(degree: Degree) -> AxisKind:
    return AxisKind.TP if degree.axis is FlatAxis.ETP else AxisKind(degree.axis.value)


def _trees(around: Chain, attention: Strategy | None, experts: Strategy | None) -> Iterator[Strategy]:
    tree = _chain(around, _stage(attention, experts))
    if tree is not None:
        yield tree


def _stage(attention: Strategy | None, experts: Strategy | None) -> Strategy | None:
    """One part alone is named by its scope, two are folded."""
    if experts is None:
        return None if attention is None else scope(ScopeKind.ATTN, attention)
    if attention is None:
        return scope(ScopeKind.MOE, experts)
    has_ep = isinstance(experts, Axis) and experts.kind is AxisKind.EP
    return fold(experts if has_ep else scope(ScopeKind.MOE, experts), attention)


def _chain(chain: Chain, inside: Strategy | None) -> Strategy | None:
    tree = inside
    for degree in reversed(chain):
        tree = _axis(degree, tree)
    return tree


def _axis(degree: Degree, body: Strategy | None) -> Axis:
    return axis(_kind(degree), degree.value, body, degree.span)


def axis(kind: AxisKind, degree: int, body: Strategy | None, span: Span) -> Axis:
    """An axis at its place in the notation."""
    return Axis(kind, degree, (), body, span, span)


def scope(kind: ScopeKind, body: Strategy) -> Scope:
    """A scope around a strategy, in its place of the notation."""
    return Scope(kind, (), body, body.outer, body.outer)


def fold(experts: Strategy, attention: Strategy) -> Fold:
    """Experts and attention on the same GPUs."""
    return Fold((experts, attention), experts.outer.to(attention.outer))
