"""The shortest strategy that has given degrees: how the counting of an engine is written in the language.

Turns `Parallelism` into a tree: the first of the spellings, from the shortest on, whose domains are the wanted ones;
the last spelling, both parts in full, always has them. Ranks are numbered as the language does, not as the engine
does: the degrees are the engine's, the groups the strategy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dagc.degrees import AxisKind, Degrees, Parallelism
from dagc.engines.engine import Counted
from dagc.notation.candidates import axis, candidates, fold, scope
from dagc.notation.parse import Notation
from dagc.plan.domains import domains
from dagc.source import Span
from dagc.syntax.tree import ScopeKind, Strategy

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
